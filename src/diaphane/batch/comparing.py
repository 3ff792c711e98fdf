"""``compare``: two models on the cases that both scored, with paired intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.batch.sides import Side, Truth, load_side, with_keys
from diaphane.batch.tables import together
from diaphane.core.errors import DatasetError, UsageError
from diaphane.core.files import write_text
from diaphane.core.protocols import Progress, silent
from diaphane.evaluate import (
    Difference,
    Task,
    evaluate_classification,
    paired_bootstrap,
    paired_means,
)
from diaphane.report import Comparison, Language, Note, Row, note_words, write_comparison

FILES = ("compare.json", "report.html")
_WHOLE = (
    "auc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "f1",
    "brier", "ece", "log_loss", "calibration_slope",
)  # fmt: skip
_PER_CLASS = ("auc", "sensitivity", "specificity")


@dataclass(frozen=True)
class ComparisonSummary:
    """What ``compare`` found.

    ``names`` are those of the sides, ``only`` the cases that one side alone scored, ``plan``
    the decisions that differ between two runs; differences are the second minus the first.
    """

    names: tuple[str, str]
    task: str
    n: int
    groups: int
    only: tuple[int, int]
    differences: Mapping[str, Difference]
    plan: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    seed: int
    rounds: int
    out: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """The content of ``compare.json``."""
        return {
            "a": self.names[0],
            "b": self.names[1],
            "task": self.task,
            "n": self.n,
            "groups": self.groups,
            "only_a": self.only[0],
            "only_b": self.only[1],
            "difference": "b minus a",
            "metrics": {name: _row_dict(found) for name, found in self.differences.items()},
            "plan": [{"key": key, "a": one, "b": other} for key, one, other in self.plan],
            "settings": {"seed": self.seed, "rounds": self.rounds, "level": 0.95},
            "notes": list(self.notes),
        }


def compare(
    first: str | Path,
    second: str | Path,
    *,
    truth: Truth | None = None,
    out: str | Path | None = None,
    lang: str = "en",
    seed: int = 0,
    rounds: int = 2000,
    progress: Progress = silent,
) -> ComparisonSummary:
    """Put two models side by side.

    Each side is a run's folder, the folder (or table) of an evaluation, or another tool's table
    of probabilities or folder of masks, which needs ``truth``. Cases that a side was trained on
    are left out. Figures are of the cases that both scored; intervals come from resampling the
    groups of these cases, the same for both.

    Parameters
    ----------
    out:
        Folder for ``compare.json`` and ``report.html``; ``None`` writes nothing.
    lang:
        "en" or "zh", of the report.

    Raises
    ------
    UsageError
        The sides are of different tasks or classes, or ``out`` holds something else.
    DatasetError
        A side cannot be used, the sides disagree on the truth, or share no case.
    """
    Language(lang)
    folder = None if out is None else Path(out)
    if folder is not None:
        _require_free(folder)
    a, b = (load_side(Path(place), truth, progress=progress) for place in (first, second))
    names = _names(a, b)
    columns = _common_columns(a, b)
    if a.keyed != b.keyed or (truth is not None and not a.keyed):
        a, b = with_keys(a, truth), with_keys(b, truth)
    keys = [key for key in a.cases if key in b.cases]
    only = (len(a.cases) - len(keys), len(b.cases) - len(keys))
    if not keys:
        raise _nothing_common(a, b)
    groups = [a.cases[key].group for key in keys]
    notes = _notes(names, (a, b), Language())
    values = [[_ordered(side, key, columns) for key in keys] for side in (a, b)]
    curves: list[Mapping[str, Any]] = [{}, {}]
    if a.task == "segmentation":
        tables = [
            {name: [row[k] for row in part] for k, name in enumerate(columns)} for part in values
        ]
        found = paired_means(tables[1], tables[0], groups, seed=seed, rounds=rounds)
    else:
        task: Task = a.task  # type: ignore[assignment]  # checked in _common_columns
        labels = _labels(a, b, keys, columns)
        chances = [np.array(part, dtype=np.float64) for part in values]
        orders = [_scores(side, keys, columns) for side in (a, b)]
        found = paired_bootstrap(
            labels, chances[1], chances[0], groups, metrics=_metrics(task, columns),
            task=task, classes=columns, orders=(orders[1], orders[0]), seed=seed, rounds=rounds,
        )  # fmt: skip
        curves = [
            evaluate_classification(
                labels, p, task=task, classes=columns, order=order, rounds=0
            ).curves
            for p, order in zip(chances, orders, strict=True)
        ]
    summary = ComparisonSummary(
        names, a.task, len(keys), len(set(groups)), only, found, _plan_changes(a.plan, b.plan),
        tuple(notes), seed, rounds, folder,
    )  # fmt: skip
    if folder is not None:
        page = _page(summary, (curves[0], curves[1]), (a.epochs, b.epochs))
        text = json.dumps(summary.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        with together(folder, FILES) as at:
            told = _notes(names, (a, b), Language(lang))
            write_comparison(replace(page, notes=told), at["report.html"], lang=lang)
            write_text(at["compare.json"], text + "\n")
    return summary


def _nothing_common(a: Side, b: Side) -> DatasetError:
    first, second = len(a.cases), len(b.cases)
    problem = f"No case was scored by both: {first} by the first, {second} by the second"
    if a.seen or b.seen:
        return DatasetError(
            f"{problem}, beside {a.seen} and {b.seen} that they were trained on.",
            remedy="Compare them on cases that neither was trained on.",
        )
    return DatasetError(f"{problem}.", remedy="If they are of one data set, name it: --dataset D")


def _metrics(task: Task, classes: Sequence[str]) -> list[str]:
    """Names of the figures that two classifiers are compared by."""
    per_class = [] if task == "binary" else [f"{m}:{c}" for m in _PER_CLASS for c in classes]
    return [m for m in _WHOLE if task != "multiclass" or m != "calibration_slope"] + per_class


def _require_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError("The output must be a folder.", path=folder)
    if (folder / "report.html").exists() and not (folder / FILES[0]).exists():
        raise UsageError(
            "The folder holds another report.", path=folder, remedy="Give a folder of its own."
        )


def _names(a: Side, b: Side) -> tuple[str, str]:
    if a.name != b.name:
        return a.name, b.name
    return f"A: {a.name}", f"B: {b.name}"


def _common_columns(a: Side, b: Side) -> tuple[str, ...]:
    """Classes in the first side's order, or the figures that both have."""
    if a.task != b.task:
        raise UsageError(f"The tasks differ: {a.task} and {b.task}.")
    if a.task == "segmentation":
        both = tuple(name for name in a.columns if name in b.columns)
        if not both:
            raise UsageError(
                f"No label is common to both: {', '.join(a.columns)} and {', '.join(b.columns)}."
            )
        return both
    if set(a.columns) != set(b.columns):
        raise UsageError(f"The classes differ: {', '.join(a.columns)} and {', '.join(b.columns)}.")
    return a.columns


def _scores(side: Side, keys: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64] | None:
    """What a side's cases are ordered by ``(n, classes)``; ``None``: by their probabilities."""
    if not all(side.cases[key].order for key in keys):
        return None
    place = [side.columns.index(name) for name in columns]
    return np.array([[side.cases[key].order[k] for k in place] for key in keys], dtype=np.float64)


def _ordered(side: Side, key: str, columns: Sequence[str]) -> list[float | None]:
    values = dict(zip(side.columns, side.cases[key].values, strict=True))
    return [values[name] for name in columns]


def _labels(a: Side, b: Side, keys: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Class index ``(n,)``, or 0 and 1 ``(n, labels)``; both sides must hold the same truth."""
    rows: list[Any] = []
    for key in keys:
        label = a.cases[key].label
        if set(label.split("|")) != set(b.cases[key].label.split("|")):
            raise DatasetError(
                f"The sides disagree on the truth of a case: '{label}' and '{b.cases[key].label}'."
            )
        if a.task == "multilabel":
            present = set(label.split("|"))
            rows.append([int(name in present) for name in classes])
        elif label in classes:
            rows.append(list(classes).index(label))
        else:
            raise DatasetError(f"The label '{label}' is none of: {', '.join(classes)}.")
    return np.array(rows, dtype=np.int64)


def _notes(names: tuple[str, str], sides: tuple[Side, Side], language: Language) -> list[str]:
    """What is to be said of each side, and of both."""
    notes: list[str] = []
    for name, side in zip(names, sides, strict=True):
        told = list(side.notes)
        if side.seen:
            told.append(("trained_on", {"count": side.seen}))
        notes += [f"{name}: {note_words(note, language)}" for note in told]
    if sides[0].images and sides[1].images and sides[0].images != sides[1].images:
        notes.append(note_words(("other_images", {}), language))
    if sides[0].task == "binary" and sides[0].columns != sides[1].columns:
        first: Note = ("positive_of_first", {"label": sides[0].columns[1]})
        notes.append(note_words(first, language))
    return notes


def _plan_changes(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[tuple[str, str, str], ...]:
    """Keys whose values differ, in the first plan's order."""
    if not first or not second:
        return ()
    one, other = _flat(first), _flat(second)
    keys = [*one, *(key for key in other if key not in one)]
    return tuple(
        (key, one.get(key, "–"), other.get(key, "–"))
        for key in keys
        if one.get(key) != other.get(key) and not key.startswith("reasons")
    )


def _flat(plan: Mapping[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in plan.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = json.dumps(value, ensure_ascii=False, default=str)
    return found


def _row_dict(found: Difference) -> dict[str, Any]:
    return {
        "a": found.baseline_interval.to_dict(),
        "b": found.model_interval.to_dict(),
        "difference": found.difference.to_dict(),
        "p": found.p,
    }


def _page(
    summary: ComparisonSummary,
    curves: tuple[Mapping[str, Any], Mapping[str, Any]],
    epochs: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]],
) -> Comparison:
    rows = [
        Row(name, found.baseline_interval, found.model_interval, found.difference)
        for name, found in summary.differences.items()
    ]
    return Comparison(
        names=summary.names,
        task=summary.task,
        n=summary.n,
        groups=summary.groups,
        only=summary.only,
        rows=rows,
        curves=curves,
        plan=summary.plan,
        epochs=epochs,
        facts={"seed": summary.seed, "rounds": summary.rounds, "level": 0.95},
    )
