"""The report of an evaluation: figures with intervals, curves, subgroups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diaphane.core.evaluation import Evaluation, Interval
from diaphane.core.files import write_text
from diaphane.core.finding import BundleRef
from diaphane.report import charts
from diaphane.report.language import Language
from diaphane.report.page import render
from diaphane.report.run_cases import quality_charts, segmented_views, volume_charts
from diaphane.report.run_facts import SegmentedExample
from diaphane.report.study import bundle_view, interval_words

SHOWN_CLASSES = 6


def write_evaluation(
    evaluation: Evaluation,
    path: str | Path,
    *,
    bundle: BundleRef | None = None,
    worst: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, int] | None = None,
    examples: Sequence[SegmentedExample] = (),
    quality: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    volumes: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    unit: str = "mm3",
    lang: str = "en",
) -> Path:
    """Write the evaluation as one self-contained HTML file.

    Parameters
    ----------
    evaluation:
        Headline figures, subgroups and curves. Curves are read as ``evaluate`` gives them:
        "roc", "precision_recall", "reliability" -> class -> ``{"x", "y", "low", "high"}``.
    path:
        The HTML file; replaced in one step.
    bundle:
        What was evaluated.
    worst:
        Cases to look at first, as ``{"case", "label", "probability"}``; ``case`` is shown as
        given, so pass pseudonyms unless the user asked for names.
    labels, examples:
        Of a segmentation: label -> value in masks, and cases to show in outline.
    quality, volumes:
        Label -> ``(predicted Dice, true Dice)``, and ``(predicted, true)`` volume in ``unit``
        ("mm3", or "px" without spacing), of each case.
    lang:
        "en" or "zh".
    """
    language = Language(lang)
    target = Path(path)
    values = {
        "evaluation": evaluation_view(evaluation, language),
        "bundle": None if bundle is None else bundle_view(bundle, language),
        "worst": list(worst),
        "outlined": segmented_views(examples, labels or {}, language)[0],
        "quality": [
            *quality_charts(quality or {}, language),
            *volume_charts(volumes or {}, unit, language),
        ],
    }
    write_text(target, render("evaluation.html.j2", language, values))
    return target


def evaluation_view(evaluation: Evaluation, lang: Language) -> dict[str, Any]:
    """What templates show of an evaluation."""
    settings = dict(evaluation.settings)
    undefined = settings.get("undefined") or {}
    by_class = class_view(evaluation.metrics, lang)
    known = evaluation.metrics
    # What a single label shows is the mean over labels, too.
    alone = len({name.partition(":")[2] for name in evaluation.metrics if ":" in name}) == 1
    return {
        "task": lang.say("task", evaluation.task),
        "split": lang.say("split", evaluation.split),
        "n": lang.number(evaluation.n),
        "groups": lang.number(evaluation.groups),
        "seen": evaluation.seen,
        "seen_words": lang.count(
            "%(n)s case was seen in training and is left out of these figures.",
            "%(n)s cases were seen in training and are left out of these figures.",
            evaluation.seen,
        ),
        "include_seen": bool(settings.get("include_seen")),
        "figures": [
            {
                "name": metric_words(name, lang) + _unit(name, settings),
                "value": lang.number(figure.value, 3),
                "low": lang.number(figure.low, 3),
                "high": lang.number(figure.high, 3),
                "why": str(undefined.get(name, "")),
                "bar": None
                if name.partition(":")[0] in _NOT_SHARES
                else _bar(figure.value, figure.low, figure.high),
            }
            for name, figure in evaluation.metrics.items()
            if ":" not in name or not (by_class or (alone and name.partition(":")[0] in known))
        ],
        "by_class": by_class,
        "perfect_ece": lang.number(settings["ece_perfect_95"], 3)
        if isinstance(settings.get("ece_perfect_95"), (int, float))
        else "",
        "level": lang.percent(float(settings.get("level") or 0.95)),
        "charts": curve_charts(evaluation.curves, lang),
        "drawn": _drawn(evaluation.curves, lang),
        "subgroups": [subgroup_view(c, rows, lang) for c, rows in evaluation.subgroups.items()],
        "settings": [
            (lang.say("setting", key), lang.value(value))
            for key, value in settings.items()
            if isinstance(value, (str, int, float)) and key != "ece_perfect_95"
        ],
    }


def _unit(name: str, settings: Mapping[str, Any]) -> str:
    """The unit of a distance, where the evaluation states one."""
    unit = settings.get("unit")
    distance = name.partition(":")[0] in ("hd95", "surface_distance")
    return f" ({unit})" if distance and isinstance(unit, str) and unit else ""


_NOT_SHARES = (
    "hd95", "surface_distance", "volume_error", "log_loss", "calibration_slope",
    "mean_absolute_error", "kappa_quadratic",
)  # fmt: skip
_MANY = 8  # figures of classes or labels that may stand among the others


def class_view(metrics: Mapping[str, Interval], lang: Language) -> dict[str, Any] | None:
    """A table of the figures called ``name:CLASS``, classes down; ``None`` for a few."""
    parts = [(*name.partition(":")[::2], figure) for name, figure in metrics.items() if ":" in name]
    parts = [(name, _part_words(name, of, lang), figure) for name, of, figure in parts]
    if len(parts) < _MANY:
        return None
    names = list(dict.fromkeys(name for name, _, _ in parts))
    found = {(name, of): figure for name, of, figure in parts}
    return {
        "names": [metric_words(name, lang) for name in names],
        "rows": [
            {"value": of, "cells": [_cell(found.get((name, of)), lang) for name in names]}
            for of in dict.fromkeys(of for _, of, _ in parts)
        ],
    }


def metric_words(name: str, lang: Language) -> str:
    """A figure's name; ``dice:1`` and ``auc:class`` keep what stands behind the colon.

    ``sensitivity_at:youden`` names its operating point in words.
    """
    head, _, tail = name.partition(":")
    plain = head.removesuffix("_at")
    if plain != head and lang.knows("point", tail):
        point = _part_words(head, tail, lang)
        return lang.pause.join((lang.say("metric", plain), point[:1].lower() + point[1:]))
    words = lang.say("metric", head)
    return f"{words}{lang.colon}{tail}" if tail else words


def _part_words(head: str, tail: str, lang: Language) -> str:
    """What stands behind the colon: a class as it is, an operating point in words."""
    known = head.endswith("_at") and lang.knows("point", tail)
    return lang.say("point", tail) if known else tail


def _bar(value: float | None, low: float | None, high: float | None) -> dict[str, float] | None:
    """Interval on a track from 0 to 1, in per cent; ``None`` for figures beyond it."""
    if value is None or not 0 <= value <= 1:
        return None
    low = value if low is None else min(max(low, 0.0), 1.0)
    high = value if high is None else min(max(high, 0.0), 1.0)
    return {"at": 100 * value, "left": 100 * low, "width": max(100 * (high - low), 0.6)}


def subgroup_view(
    column: str, rows: Mapping[str, Mapping[str, Any]], lang: Language
) -> dict[str, Any]:
    """A table of one column: values down, figures across."""
    wanted = ("auc", "average_precision", "sensitivity", "specificity", "brier", "ece")
    present = list(dict.fromkeys(name for row in rows.values() for name in row["metrics"]))
    names = [name for name in wanted if name in present] or present[:6]
    return {
        "column": column,
        "names": [metric_words(name, lang) for name in names],
        "rows": [
            {
                "value": value,
                "n": lang.number(int(row.get("n", 0))),
                "cells": [_cell(row["metrics"].get(name), lang) for name in names],
            }
            for value, row in rows.items()
        ],
    }


def _cell(figure: Any, lang: Language) -> tuple[str, str]:
    """Value and interval of a figure in a table."""
    words = interval_words(figure, lang) or "–"
    value, bracket, interval = words.partition("（" if lang.code == "zh" else " (")
    return value, f"{bracket}{interval}".strip()


def curve_charts(curves: Mapping[str, Any], lang: Language) -> list[dict[str, str]]:
    """ROC, precision and recall, and reliability, as far as the curves are there."""
    return draw_curves(lambda key: curve_lines(curves.get(key)), lang)


def draw_curves(
    lines_of: Callable[[str], Sequence[charts.Line]], lang: Language
) -> list[dict[str, str]]:
    """A chart for each kind of curve that has lines."""
    shown = []
    rate, recall = lang.text("False positive rate"), lang.text("Sensitivity")
    makers: dict[str, tuple[str, Any, str, str]] = {
        "roc": (lang.text("ROC"), charts.roc, rate, recall),
        "precision_recall": (
            lang.text("Precision and recall"),
            charts.precision_recall,
            recall,
            lang.text("Precision"),
        ),
        "reliability": (
            lang.text("Reliability"),
            charts.reliability,
            lang.text("Predicted probability"),
            lang.text("Observed share"),
        ),
    }
    for key, (title, maker, x, y) in makers.items():
        lines = lines_of(key)
        if lines:
            markup = maker(lines, title=title, x=x, y=y, number=lang.number)
            shown.append({"title": title, "chart": markup})
    return shown


def _drawn(curves: Mapping[str, Any], lang: Language) -> str:
    """That not every class is drawn, where so."""
    by_class = [c for c in curves.values() if isinstance(c, Mapping) and "x" not in c]
    most = max((len(c) for c in by_class), default=0)
    if most <= SHOWN_CLASSES:
        return ""
    return lang.text(
        "The curves show the first %(shown)s of %(all)s classes.",
        shown=lang.number(SHOWN_CLASSES), all=lang.number(most),
    )  # fmt: skip


def curve_lines(data: Any) -> list[charts.Line]:
    """Lines from ``{class: {"x", "y", "low", "high"}}`` or a single ``{"x", "y"}``."""
    if not isinstance(data, Mapping):
        return []
    if "x" in data and "y" in data:
        data = {"": data}
    lines = []
    several = sum(1 for points in data.values() if points) > 1
    for name, points in list(data.items())[:SHOWN_CLASSES]:
        if not isinstance(points, Mapping) or not points.get("x"):
            continue
        xs = points["x"]

        def pairs(key: str, xs: Any = xs, points: Any = points) -> list[tuple[float, float]]:
            return list(zip(xs, points.get(key) or (), strict=False))

        lines.append(
            charts.Line(str(name) if several else "", pairs("y"), pairs("low"), pairs("high"))
        )
    return lines
