"""The report of a training run: plan, split, curves of learning, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diaphane.core.evaluation import Evaluation
from diaphane.core.files import write_text
from diaphane.core.finding import BundleRef
from diaphane.report import charts
from diaphane.report.evaluation import evaluation_view
from diaphane.report.language import Language
from diaphane.report.page import render
from diaphane.report.run_facts import Confusion, Example, RunFacts, SegmentedExample
from diaphane.report.study import bundle_view, interval_words

LOSS, STOP_LOSS, STOP_METRIC = "loss", "stop_loss", "stop_metric"


def write_run_report(
    path: str | Path,
    *,
    plan: Mapping[str, Any],
    epochs: Sequence[Mapping[str, Any]],
    split: Mapping[str, Mapping[str, Any]] | None = None,
    evaluation: Evaluation | None = None,
    bundle: BundleRef | None = None,
    calibration: Mapping[str, Any] | None = None,
    faithfulness: Mapping[str, Any] | None = None,
    confusion: Sequence[Confusion] = (),
    examples: Sequence[Example] = (),
    facts: RunFacts | None = None,
    notes: Sequence[str] = (),
    title: str = "",
    lang: str = "en",
) -> Path:
    """Write the report of a run as one self-contained HTML file.

    Parameters
    ----------
    path:
        The HTML file; replaced in one step.
    plan:
        The plan's fields; nested mappings become sections.
    epochs:
        Rows of ``metrics.csv``: ``member``, ``fold``, ``epoch``, ``loss``, ``stop_loss``,
        ``stop_metric``; ``None`` where there is none.
    split:
        Split or fold -> counts, for example ``{"train": {"cases": 500, "groups": 300}}``.
    evaluation:
        Cross-fitted figures.
    bundle:
        The bundle that the run shipped; ``None`` while it has none.
    calibration, faithfulness:
        Figures by name: numbers, intervals or ``{"value", "low", "high"}``.
    confusion:
        Tables of right and wrong answers.
    examples:
        Judged cases; the worst are shown first.
    facts:
        Data, planning and machine: what the plan's story, the methods paragraph and the
        checklist are written from.
    notes:
        Sentences to show as they are.
    """
    language = Language(lang)
    target = Path(path)
    values = {
        "title": title or (bundle.title if bundle else "") or str(plan.get("name", "")),
        "plan": plan_sections(plan, language),
        "curves": learning_curves(epochs, language),
        "split": split_table(split or {}, language),
        "evaluation": None if evaluation is None else evaluation_view(evaluation, language),
        "bundle": None if bundle is None else bundle_view(bundle, language),
        "calibration": figure_rows(calibration or {}, language),
        "faithfulness": figure_rows(faithfulness or {}, language),
        "notes": list(notes),
    }
    write_text(target, render("run.html.j2", language, values))
    return target


def write_segmentation_run(
    path: str | Path,
    *,
    plan: Mapping[str, Any],
    epochs: Sequence[Mapping[str, Any]],
    labels: Mapping[str, int],
    split: Mapping[str, Mapping[str, Any]] | None = None,
    evaluation: Evaluation | None = None,
    bundle: BundleRef | None = None,
    examples: Sequence[SegmentedExample] = (),
    quality: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    facts: RunFacts | None = None,
    notes: Sequence[str] = (),
    title: str = "",
    lang: str = "en",
) -> Path:
    """Write the report of a segmentation run as one self-contained HTML file.

    Parameters
    ----------
    plan, split, bundle, facts, notes, title:
        As in :func:`write_run_report`.
    epochs:
        Rows of ``metrics.csv``: ``member``, ``fold``, ``step`` (or ``epoch``), and any of
        ``loss``, ``stop_loss``, ``dice``, ``dice:LABEL``; ``None`` where there is none.
    labels:
        Label -> value in masks, background left out.
    evaluation:
        Figures of held-out cases: "dice", "dice:LABEL", "hd95:LABEL", ... with intervals, as
        ``evaluate.summarise_segmentation`` names them.
    examples:
        Held-out cases with a picture; the worst (by mean Dice) are shown first.
    quality:
        Label -> ``(predicted Dice, true Dice)`` of each held-out case.
    """
    language = Language(lang)
    target = Path(path)
    values = {
        "title": title or (bundle.title if bundle else "") or str(plan.get("name", "")),
        "plan": plan_sections(plan, language),
        "curves": learning_curves(epochs, language),
        "split": split_table(split or {}, language),
        "evaluation": None if evaluation is None else evaluation_view(evaluation, language),
        "bundle": None if bundle is None else bundle_view(bundle, language),
        "calibration": [],
        "faithfulness": [],
        "notes": list(notes),
    }
    write_text(target, render("run.html.j2", language, values))
    return target


def figure_rows(figures: Mapping[str, Any], lang: Language) -> list[tuple[str, str]]:
    """Figures by name, in words."""
    rows = []
    for name, value in figures.items():
        if isinstance(value, bool) or name == "curves":
            continue
        if isinstance(value, int):
            words = lang.number(value)
        elif isinstance(value, (list, tuple)):
            words = lang.value([v for v in value if isinstance(v, (int, float, str))])
        elif isinstance(value, str):
            words = lang.value(value)
        else:
            words = interval_words(value, lang)
        if words:
            rows.append((lang.say("metric", str(name)), words))
    return rows


def plan_sections(plan: Mapping[str, Any], lang: Language) -> list[dict[str, Any]]:
    """The plan's plain fields first, then one section per nested mapping."""
    sections = [{"name": "", "rows": _rows(plan, lang)}]
    for name, inner in plan.items():
        if isinstance(inner, Mapping) and inner:
            sections.append(
                {"name": str(name).replace("_", " "), "rows": _rows(inner, lang, inner=True)}
            )
    return [section for section in sections if section["rows"]]


def _rows(
    fields: Mapping[str, Any], lang: Language, *, inner: bool = False
) -> list[tuple[str, str]]:
    rows = []
    for key, value in fields.items():
        if isinstance(value, Mapping):
            if not inner or any(
                isinstance(part, (Mapping, list, tuple)) for part in value.values()
            ):
                continue
            words = ", ".join(f"{k} {lang.value(v)}" for k, v in value.items())
        elif isinstance(value, (list, tuple)):
            if any(isinstance(part, Mapping) for part in value):
                continue
            words = lang.value(value)
        elif value is None:
            words = "–"
        else:
            words = lang.value(value)
        if words:
            rows.append((str(key).replace("_", " "), words))
    return rows


def split_table(split: Mapping[str, Mapping[str, Any]], lang: Language) -> dict[str, Any]:
    """Splits down, counts across."""
    names = list(dict.fromkeys(name for row in split.values() for name in row))
    return {
        "names": [str(name).replace("_", " ") for name in names],
        "rows": [
            (
                lang.say("split", str(part)),
                [lang.value(row[name]) if name in row else "–" for name in names],
            )
            for part, row in split.items()
        ],
    }


def learning_curves(epochs: Sequence[Mapping[str, Any]], lang: Language) -> list[dict[str, str]]:
    """Loss and metric over epochs, a line per network; many networks as mean and range."""
    titles = {
        LOSS: lang.text("Training loss"),
        STOP_LOSS: lang.text("Loss on the stopping cases"),
        STOP_METRIC: lang.text("Metric on the stopping cases"),
    }
    shown = []
    for column, title in titles.items():
        lines = _lines(epochs, column, lang)
        if lines:
            axes = charts.Axes(lang.text("Epoch"), number=lang.number)
            markup = charts.line_chart(lines, title=title, axes=axes)
            shown.append({"title": title, "chart": markup})
    return shown


_FEW = 4
"""So few epochs are drawn as dots too, since one of them makes no line."""


def _lines(epochs: Sequence[Mapping[str, Any]], column: str, lang: Language) -> list[charts.Line]:
    members: dict[int, list[tuple[float, float]]] = {}
    folds: dict[int, int] = {}
    for row in epochs:
        if isinstance(row.get(column), (int, float)):
            member = int(row.get("member", row.get("fold", 0)))
            folds[member] = int(row.get("fold", 0))
            at = float(row["step"]) if "step" in row else float(row["epoch"]) + 1
            members.setdefault(member, []).append((at, float(row[column])))
    if not members:
        return []
    if len(members) == 1:
        only = next(iter(members.values()))
        return [charts.Line("", only, dots=len(only) < _FEW)]
    if len(members) <= len(set(folds.values())) <= 6:
        return [
            charts.Line(lang.text("fold %(n)s", n=folds[member] + 1), points)
            for member, points in members.items()
        ]
    by_epoch: dict[float, list[float]] = {}
    for points in members.values():
        for epoch, value in points:
            by_epoch.setdefault(epoch, []).append(value)
    ordered = sorted(by_epoch)
    name = lang.text("mean and range of %(n)s networks", n=len(members))
    return [
        charts.Line(
            name,
            [(e, sum(by_epoch[e]) / len(by_epoch[e])) for e in ordered],
            [(e, min(by_epoch[e])) for e in ordered],
            [(e, max(by_epoch[e])) for e in ordered],
        )
    ]
