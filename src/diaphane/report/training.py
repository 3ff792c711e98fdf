"""The report of a training run: plan, split, curves of learning, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diaphane.core.evaluation import Evaluation
from diaphane.core.files import write_text
from diaphane.core.finding import BundleRef
from diaphane.report import charts
from diaphane.report.claim import claim_rows
from diaphane.report.evaluation import evaluation_view
from diaphane.report.language import Language
from diaphane.report.methods import methods
from diaphane.report.methods_data import Told, split_order
from diaphane.report.methods_network import duration
from diaphane.report.page import render
from diaphane.report.run_cases import example_views, quality_charts, segmented_views
from diaphane.report.run_facts import Confusion, Example, RunFacts, SegmentedExample
from diaphane.report.run_story import confusion_view, planning_view
from diaphane.report.study import bundle_view, interval_words

LOSS, STOP_LOSS, STOP_METRIC, DICE = "loss", "stop_loss", "stop_metric", "dice"


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
    told = Told(plan, facts or RunFacts(), evaluation, bundle, dict(calibration or {}))
    worst, further = example_views(examples, language)
    values = {
        **_page(told, epochs, split or {}, language),
        "title": title or (bundle.title if bundle else "") or str(plan.get("name", "")),
        "notes": list(notes),
        "calibration": figure_rows(calibration or {}, language),
        "faithfulness": figure_rows(faithfulness or {}, language),
        "confusion": [confusion_view(table, language) for table in confusion],
        "worst": worst,
        "further": further,
        "quality": [],
    }
    target = Path(path)
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
    told = Told(plan, facts or RunFacts(), evaluation, bundle, {})
    worst, further = segmented_views(examples, labels, language)
    values = {
        **_page(told, epochs, split or {}, language),
        "title": title or (bundle.title if bundle else "") or str(plan.get("name", "")),
        "notes": list(notes),
        "calibration": [],
        "faithfulness": [],
        "confusion": [],
        "worst": worst,
        "further": further,
        "quality": quality_charts(quality or {}, language),
    }
    target = Path(path)
    write_text(target, render("run.html.j2", language, values))
    return target


def _page(
    told: Told,
    epochs: Sequence[Mapping[str, Any]],
    split: Mapping[str, Mapping[str, Any]],
    lang: Language,
) -> dict[str, Any]:
    """What both kinds of run show."""
    evaluation = told.evaluation
    parts = methods(told, lang)
    return {
        "segmentation": told.segmentation,
        "facts": _facts(told, lang),
        "judged": _judged(evaluation, lang),
        "evaluation": evaluation_view(evaluation, lang) if evaluation and evaluation.n else None,
        "bundle": None if told.bundle is None else bundle_view(told.bundle, lang),
        "plan": plan_sections(told.plan, lang),
        "planning": planning_view(told.plan, told.facts, lang),
        "curves": learning_curves(epochs, lang),
        "split": split_table(split, lang),
        "methods": parts,
        "claim": claim_rows(told, parts, lang),
    }


def _facts(told: Told, lang: Language) -> list[tuple[str, str]]:
    """The line under the title."""
    evaluation, material = told.evaluation, told.facts.material
    rows = []
    if told.plan.get("task"):
        rows.append((lang.text("Task"), lang.say("task", str(told.plan["task"]))))
    if material.cases:
        rows.append((lang.text("Cases"), lang.number(material.cases)))
        if material.grouped:
            rows.append((lang.text("Groups"), lang.number(material.groups)))
    if evaluation is not None and evaluation.n:
        rows.append((lang.text("Cases judged"), lang.number(evaluation.n)))
    if told.facts.engine.networks > 1:
        rows.append((lang.text("Networks"), lang.number(told.facts.engine.networks)))
    if told.facts.planning.seconds:
        rows.append((lang.text("Time"), duration(told.facts.planning.seconds, lang)))
    return rows


def _judged(evaluation: Evaluation | None, lang: Language) -> str:
    if evaluation is None or evaluation.split == "out_of_fold":
        return lang.text("Each case is judged by networks that never saw its group.")
    return lang.text(
        "Judged on cases that took no part in training (%(split)s).",
        split=lang.say("split", evaluation.split),
    )


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
    split = {part: split[part] for part in sorted(split, key=split_order)}
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
        DICE: lang.text("Mean Dice on the held-out cases"),
    }
    drawn = {title: _lines(epochs, column, lang) for column, title in titles.items()}
    shares = {titles[STOP_METRIC], titles[DICE]}
    labels = [name for name in (epochs[0] if epochs else {}) if name.startswith(f"{DICE}:")]
    if 1 < len(labels) <= _MOST_LABELS:
        each = [replace(_mean_line(epochs, name), name=name.partition(":")[2]) for name in labels]
        by_label = lang.text("Dice on the held-out cases, by label")
        drawn[by_label] = [e for e in each if e.points]
        shares.add(by_label)
    across = lang.text("Step") if any("step" in row for row in epochs) else lang.text("Epoch")
    shown = []
    for title, lines in drawn.items():
        if lines:
            reach = _share_range(lines) if title in shares else None
            axes = charts.Axes(across, y_range=reach, number=lang.number)
            markup = charts.line_chart(lines, title=title, axes=axes)
            shown.append({"title": title, "chart": markup})
    return shown


def _share_range(lines: Sequence[charts.Line]) -> tuple[float, float]:
    """Of an axis for figures that end at 1."""
    values = [y for line in lines for _, y in (*line.points, *line.low, *line.high)]
    low, high = min(values), max(values)
    room = max(0.05, 0.06 * (high - low))
    return max(0.0, low - room), min(1.0, high + room)


_MOST_LABELS = 6
_FEW = 4
"""So few epochs are drawn as dots too, since one of them makes no line."""


def _lines(epochs: Sequence[Mapping[str, Any]], column: str, lang: Language) -> list[charts.Line]:
    members: dict[int, list[tuple[float, float]]] = {}
    folds: dict[int, int] = {}
    for row in epochs:
        if isinstance(row.get(column), (int, float)):
            member = int(row.get("member", row.get("fold", 0)))
            folds[member] = int(row.get("fold", 0))
            members.setdefault(member, []).append((_place(row), float(row[column])))
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
    name = lang.text("mean and range of %(n)s networks", n=len(members))
    return [replace(_mean_line(epochs, column), name=name)]


def _mean_line(epochs: Sequence[Mapping[str, Any]], column: str) -> charts.Line:
    """Mean over the networks, with their range as a band where there are several."""
    by_place: dict[float, list[float]] = {}
    for row in epochs:
        if isinstance(row.get(column), (int, float)):
            by_place.setdefault(_place(row), []).append(float(row[column]))
    ordered = sorted(by_place)
    mean = [(at, sum(by_place[at]) / len(by_place[at])) for at in ordered]
    if max((len(values) for values in by_place.values()), default=0) < 2:
        return charts.Line("", mean, dots=len(mean) < _FEW)
    return charts.Line(
        "",
        mean,
        [(at, min(by_place[at])) for at in ordered],
        [(at, max(by_place[at])) for at in ordered],
    )


def _place(row: Mapping[str, Any]) -> float:
    """Where a row stands: its step, or its epoch counted from 1."""
    return float(row["step"]) if "step" in row else float(row["epoch"]) + 1
