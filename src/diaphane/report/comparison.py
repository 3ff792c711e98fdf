"""The report of a comparison: two models on the same cases, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diaphane.core.evaluation import Interval
from diaphane.core.files import write_text
from diaphane.report import charts
from diaphane.report.evaluation import curve_lines, draw_curves, metric_words
from diaphane.report.language import Language
from diaphane.report.page import render

_LOWER_IS_BETTER = {
    "brier", "ece", "log_loss", "hd95", "surface_distance", "mean_absolute_error",
}  # fmt: skip
_NEITHER = {
    "calibration_slope", "volume_error", "unlike_training", "coverage", "mean_set_size",
    "sensitivity_at", "specificity_at",
}  # fmt: skip
"""Figures of which neither more nor less is better by itself."""


Note = str | tuple[str, Mapping[str, Any]]
"""A sentence as it is, or code and parameters of one of the kind ``verdict``."""


def note_words(note: Note, language: Language) -> str:
    """The sentence in a language."""
    return note if isinstance(note, str) else language.say("verdict", note[0], note[1])


@dataclass(frozen=True)
class Row:
    """A figure of both, and the second minus the first on the same resampled groups."""

    name: str
    first: Interval
    second: Interval
    difference: Interval

    def better(self) -> int | None:
        """0 or 1 when the interval of the difference leaves out zero and one side is better."""
        head, low, high = self.name.partition(":")[0], self.difference.low, self.difference.high
        if head in _NEITHER or low is None or high is None or low <= 0 <= high:
            return None
        rises = low > 0
        return int(rises != (head in _LOWER_IS_BETTER))


@dataclass(frozen=True)
class Comparison:
    """Two models on the cases that both scored.

    Attributes
    ----------
    names:
        What the two are called; no paths.
    only:
        Cases that only the first, only the second scored.
    rows:
        Figures, the most telling first.
    curves:
        Per side as in :class:`~diaphane.core.evaluation.Evaluation`.
    plan:
        Decisions that differ: key, first, second.
    epochs:
        Per side rows of ``metrics.csv``; empty where there is no run.
    facts:
        Label and value of what else is worth knowing, such as seed and rounds.
    """

    names: tuple[str, str]
    task: str
    n: int
    groups: int
    only: tuple[int, int]
    rows: Sequence[Row]
    curves: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
    plan: Sequence[tuple[str, str, str]] = ()
    epochs: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]] = ((), ())
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    title: str = ""


def write_comparison(comparison: Comparison, path: str | Path, *, lang: str = "en") -> Path:
    """Write the comparison as one self-contained HTML file, replaced in one step."""
    language = Language(lang)
    target = Path(path)
    level = float(comparison.facts.get("level") or 0.95)
    values = {
        "c": comparison,
        "notes": [note_words(note, language) for note in comparison.notes],
        "task": language.say("task", comparison.task),
        "level": language.percent(level),
        "left": [
            (language.text("Only in %(name)s", name=name), language.number(count))
            for name, count in zip(comparison.names, comparison.only, strict=True)
            if any(comparison.only)
        ],
        "rows": [_row(row, comparison.names, language) for row in comparison.rows],
        "charts": _charts(comparison, language),
        "facts": [
            (language.say("setting", key), language.value(value))
            for key, value in comparison.facts.items()
        ],
    }
    write_text(target, render("comparison.html.j2", language, values))
    return target


def _row(row: Row, names: tuple[str, str], lang: Language) -> dict[str, Any]:
    side = row.better()
    gap = row.difference
    return {
        "name": metric_words(row.name, lang),
        "sides": [(lang.number(i.value, 3), _span(i, lang)) for i in (row.first, row.second)],
        "gap": "–" if gap.value is None else lang.signed(gap.value, 3),
        "span": _span(gap, lang, signed=True),
        "is_clear": side is not None,
        "better": "" if side is None else names[side],
    }


def _span(figure: Interval, lang: Language, *, signed: bool = False) -> str:
    if figure.low is None or figure.high is None:
        return ""
    write = lang.signed if signed else lang.number
    return lang.text("%(low)s to %(high)s", low=write(figure.low, 3), high=write(figure.high, 3))


def _charts(comparison: Comparison, lang: Language) -> list[dict[str, str]]:
    """Curves of both in one chart each: per class of two, and what learning looked like."""

    def both(key: str) -> list[charts.Line]:
        sides = [curve_lines(curves.get(key)) for curves in comparison.curves]
        if not all(len(lines) == 1 for lines in sides):
            return []  # several classes and two models would be a tangle
        return [
            replace(one, name=name) for name, (one,) in zip(comparison.names, sides, strict=True)
        ]

    shown = draw_curves(both, lang)
    # Segmentation looks at itself every so many steps, and knows no epochs.
    by_step = any("epoch" not in row for rows in comparison.epochs for row in rows)
    for column, title in (
        ("loss", lang.text("Training loss")),
        ("stop_loss", lang.text("Loss on the stopping cases")),
        ("stop_metric", lang.text("Metric on the stopping cases")),
        ("dice", lang.text("Mean Dice on the held-out cases")),
    ):
        lines = [
            line
            for name, rows in zip(comparison.names, comparison.epochs, strict=True)
            for line in _learning(name, rows, column, by_step=by_step)
        ]
        if lines:
            words = lang.text("Step") if by_step else lang.text("Epoch")
            axes = charts.Axes(words, number=lang.number)
            markup = charts.line_chart(lines, title=title, axes=axes)
            shown.append({"title": title, "chart": markup})
    return shown


def _learning(
    name: str, rows: Sequence[Mapping[str, Any]], column: str, *, by_step: bool
) -> list[charts.Line]:
    """Mean over networks with their range, by epoch or by step."""
    by_epoch: dict[float, list[float]] = {}
    for row in rows:
        at = row.get("step") if by_step else float(row["epoch"]) + 1
        if isinstance(row.get(column), (int, float)) and isinstance(at, (int, float)):
            by_epoch.setdefault(float(at), []).append(float(row[column]))
    if not by_epoch:
        return []
    ordered = sorted(by_epoch)
    mean = [(e, sum(by_epoch[e]) / len(by_epoch[e])) for e in ordered]
    if all(len(values) == 1 for values in by_epoch.values()):
        return [charts.Line(name, mean, dots=len(mean) < 4)]
    low = [(e, min(by_epoch[e])) for e in ordered]
    high = [(e, max(by_epoch[e])) for e in ordered]
    return [charts.Line(name, mean, low, high, dots=len(mean) < 4)]
