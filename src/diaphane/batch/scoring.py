"""Answers held against the truth, case by case: what is gathered, judged and written.

``evaluate`` feeds it with a bundle's answers, ``evaluate --predictions`` with another tool's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import Entry
from diaphane.batch.tables import together
from diaphane.core.evaluation import Evaluation, Interval
from diaphane.core.files import write_text
from diaphane.core.finding import BundleRef
from diaphane.core.tables import write_table
from diaphane.core.volume import Volume
from diaphane.evaluate import (
    Overlap,
    Task,
    evaluate_classification,
    evaluate_segmentation,
    summarise_segmentation,
)
from diaphane.report import write_evaluation
from diaphane.report.run_facts import SegmentedExample

FILES = ("metrics.json", "predictions.csv", "report.html")
CLASS_METRICS = (
    "auc", "average_precision", "accuracy", "sensitivity", "specificity", "f1", "brier", "ece",
    "log_loss",
)  # fmt: skip
MASK_METRICS = ("dice", "hd95", "surface_distance", "volume_error")
_WORST = 10


@dataclass(eq=False)
class ScoredClasses:
    """Probabilities with the truth, case by case.

    Attributes
    ----------
    task, classes, ordinal:
        As in a bundle's manifest: of two classes the positive one last; whether they are grades.
    entries, truth, probability, seen:
        What was added: the case; its class index, or 0 and 1 per label; the probability of
        each class; whether training saw it.
    """

    task: Task
    classes: tuple[str, ...]
    ordinal: bool = False
    entries: list[Entry] = field(default_factory=list)
    truth: list[int | list[int]] = field(default_factory=list)
    probability: list[list[float]] = field(default_factory=list)
    seen: list[bool] = field(default_factory=list)

    def add(
        self,
        entry: Entry,
        truth: int | list[int],
        probability: Sequence[float],
        *,
        seen: bool = False,
    ) -> None:
        """Take one case in."""
        self.entries.append(entry)
        self.truth.append(truth)
        self.probability.append(list(probability))
        self.seen.append(seen)

    def evaluation(
        self,
        split: str,
        *,
        include_seen: bool = False,
        seed: int = 0,
        rounds: int = 2000,
        settings: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Figures of the cases that training did not see; null where none is left."""
        kept = self._kept(include_seen=include_seen)
        left_out = len(self.entries) - len(kept)
        more = dict(settings or {})
        if not kept:
            return _nothing(self.task, split, left_out, {"seed": seed, "rounds": rounds, **more})
        entries = [self.entries[i] for i in kept]
        names = sorted({name for entry in entries for name in entry.subgroups})
        judged = evaluate_classification(
            np.array([self.truth[i] for i in kept]),
            np.array([self.probability[i] for i in kept]),
            [entry.group for entry in entries],
            task=self.task,
            classes=self.classes,
            ordinal=self.ordinal,
            subgroups={n: [entry.subgroups.get(n, "") for entry in entries] for n in names},
            seed=seed,
            rounds=rounds,
        )
        found = judged.evaluation(split, left_out)
        return _with_settings(found, more)

    def worst(self, *, include_seen: bool = False) -> list[dict[str, Any]]:
        """The ten judged cases whose true class got the least probability, under pseudonyms."""
        found: list[dict[str, Any]] = []
        for i in self._kept(include_seen=include_seen):
            p, truth = self.probability[i], self.truth[i]
            if isinstance(truth, list):  # multi-label: the label that is most wrong
                right = [v if y else 1 - v for v, y in zip(p, truth, strict=True)]
                k = int(np.argmin(right))
                label = self.classes[k] if truth[k] else f"not {self.classes[k]}"
                chance = right[k]
            else:
                label, chance = self.classes[truth], p[truth]
            found.append({"case": self.entries[i].key, "label": label, "probability": chance})
        return sorted(found, key=lambda row: float(row["probability"]))[:_WORST]

    def label(self, number: int) -> str:
        """The class of a case; in a multi-label task the labels present, joined by ``|``."""
        truth = self.truth[number]
        if isinstance(truth, list):
            return "|".join(c for c, present in zip(self.classes, truth, strict=True) if present)
        return self.classes[truth]

    def _kept(self, *, include_seen: bool) -> list[int]:
        return [i for i, seen in enumerate(self.seen) if include_seen or not seen]


@dataclass(frozen=True, eq=False)
class ScoredMask:
    """One case's mask held against the truth.

    Attributes
    ----------
    overlaps:
        By label value.
    unit:
        "mm" when distances and volumes are in mm and mm³, else "px".
    failed:
        There was no usable mask; an empty one stands in for it.
    cells:
        Further cells of the case's row.
    """

    entry: Entry
    overlaps: Mapping[int, Overlap]
    unit: str
    seen: bool = False
    failed: bool = False
    cells: tuple[str, ...] = ()

    def dice(self) -> float | None:
        """Mean over the labels that the truth or the mask has; ``None`` when neither has any."""
        known = [o.dice for o in self.overlaps.values() if o.dice is not None]
        return float(np.mean(known)) if known else None


def overlaps_of(
    predicted: NDArray[Any], truth: Volume, labels: Sequence[int]
) -> tuple[dict[int, Overlap], str]:
    """Compare a label map ``(z, y, x)`` with the truth on its grid; also the unit of lengths.

    An image of one slice is compared as an image, so that its outline is its surface.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    a, b = np.asarray(predicted), np.asarray(truth.voxels)
    spacing: tuple[float | None, ...] = truth.geometry.spacing
    if a.shape == b.shape and b.shape[0] == 1:
        a, b, spacing = a[0], b[0], spacing[1:]
    known = [step for step in spacing if step is not None]
    if len(known) < len(spacing):
        return evaluate_segmentation(a, b, None, labels), "px"
    return evaluate_segmentation(a, b, known, labels), "mm"


@dataclass(eq=False)
class ScoredMasks:
    """Masks with the truth, case by case.

    Attributes
    ----------
    labels:
        Name by label value, background left out.
    columns:
        Names of the further cells that each case brings.
    """

    labels: Mapping[int, str]
    columns: tuple[str, ...] = ()
    cases: list[ScoredMask] = field(default_factory=list)

    def add(
        self,
        entry: Entry,
        predicted: NDArray[Any],
        truth: Volume,
        *,
        seen: bool = False,
        cells: Sequence[str] = (),
    ) -> ScoredMask:
        """Score a label map ``(z, y, x)`` on the grid of ``truth`` and take it in.

        Raises
        ------
        ValueError
            When the shapes differ.
        """
        found, unit = overlaps_of(predicted, truth, sorted(self.labels))
        self.cases.append(ScoredMask(entry, found, unit, seen, failed=False, cells=tuple(cells)))
        return self.cases[-1]

    def add_failure(self, entry: Entry, truth: Volume) -> ScoredMask:
        """Take in a case without a usable mask, as if the mask were empty."""
        found, unit = overlaps_of(np.zeros_like(truth.voxels), truth, sorted(self.labels))
        empty = ("",) * len(self.columns)
        self.cases.append(ScoredMask(entry, found, unit, failed=True, cells=empty))
        return self.cases[-1]

    def evaluation(
        self,
        split: str,
        *,
        include_seen: bool = False,
        seed: int = 0,
        rounds: int = 2000,
        settings: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Figures "dice", "dice:LABEL" and so on over the cases that training did not see."""
        kept = [case for case in self.cases if include_seen or not case.seen]
        left_out = len(self.cases) - len(kept)
        more = {**(settings or {}), "unit": "/".join(sorted({case.unit for case in kept}))}
        if any(case.failed for case in kept):
            more["counted_as_failures"] = sum(case.failed for case in kept)
        if not kept:
            return _nothing(
                "segmentation", split, left_out, {"seed": seed, "rounds": rounds, **more}
            )
        groups = [case.entry.group for case in kept]
        found = summarise_segmentation(
            [case.overlaps for case in kept], groups, names=self.labels, seed=seed, rounds=rounds
        )
        whole = [name for name in found if ":" not in name]
        ordered = [
            n for head in whole for n in (head, *(m for m in found if m.startswith(f"{head}:")))
        ]
        bare = Evaluation(
            task="segmentation",
            split=split,
            n=len(kept),
            groups=len(set(groups)),
            seen=left_out,
            metrics={name: found[name] for name in ordered},
            subgroups=self._subgroups(kept, seed, rounds),
            settings={"seed": seed, "rounds": rounds, "level": 0.95},
        )
        return _with_settings(bare, more)

    def _subgroups(
        self, kept: Sequence[ScoredMask], seed: int, rounds: int
    ) -> dict[str, dict[str, dict[str, Any]]]:
        tables: dict[str, dict[str, dict[str, Any]]] = {}
        for column in sorted({name for case in kept for name in case.entry.subgroups}):
            tables[column] = {}
            for value in sorted({case.entry.subgroups.get(column, "") for case in kept} - {""}):
                part = [case for case in kept if case.entry.subgroups.get(column) == value]
                groups = [case.entry.group for case in part]
                tables[column][value] = {
                    "n": len(part),
                    "groups": len(set(groups)),
                    "metrics": summarise_segmentation(
                        [case.overlaps for case in part], groups,
                        names=self.labels, seed=seed, rounds=rounds,
                    ),
                }  # fmt: skip
        return tables

    def worst(self, *, include_seen: bool = False) -> list[dict[str, Any]]:
        """The ten judged cases of least mean Dice, their worst label named, under pseudonyms."""
        found: list[dict[str, Any]] = []
        for case in self.cases:
            mean = case.dice()
            if mean is None or (case.seen and not include_seen):
                continue
            dice = {k: o.dice for k, o in case.overlaps.items() if o.dice is not None}
            lowest = min(dice, key=lambda k: dice[k])
            found.append({"case": case.entry.key, "label": self.labels[lowest], "dice": mean})
        return sorted(found, key=lambda row: float(row["dice"]))[:_WORST]

    def header(self) -> tuple[str, ...]:
        """``case``, ``group``, ``seen``, ``dice``, then per label ``dice:LABEL`` and so on."""
        names = [self.labels[value] for value in sorted(self.labels)]
        figures = ("dice", "hd95", "surface_distance", "volume", "true_volume")
        return (
            "case", "group", "seen", "failed", "unit", "dice",
            *(f"{figure}:{name}" for name in names for figure in figures),
            *self.columns,
        )  # fmt: skip

    def rows(self, *, keys: bool = False) -> list[list[str]]:
        """Rows under :meth:`header`; cases by name as typed, or by pseudonym (``keys``)."""
        return [self._row(case, keys=keys) for case in self.cases]

    def _row(self, case: ScoredMask, *, keys: bool) -> list[str]:
        row = [
            case.entry.key if keys else case.entry.name,
            case.entry.group,
            str(int(case.seen)),
            str(int(case.failed)),
            case.unit,
            _cell(case.dice()),
        ]
        for value in sorted(self.labels):
            o = case.overlaps[value]
            figures = (o.dice, o.hd95, o.surface_distance, o.volume, o.true_volume)
            row += [_cell(figure) for figure in figures]
        return [*row, *case.cells]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the report of masks shows beside the figures; see ``report.write_evaluation``."""

    labels: Mapping[str, int]
    examples: Sequence[SegmentedExample]
    quality: Mapping[str, Sequence[tuple[float, float]]]
    volumes: Mapping[str, Sequence[tuple[float, float]]]
    unit: str


def write_scored(
    folder: Path,
    evaluation: Evaluation,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    worst: Sequence[Mapping[str, Any]] = (),
    bundle: BundleRef | None = None,
    drawn: Drawn | None = None,
) -> None:
    """Write ``metrics.json``, ``predictions.csv`` and ``report.html``: all of them or none.

    Raises
    ------
    OutputError
        The disk is full or the place cannot be written.
    """
    text = json.dumps(evaluation.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
    with together(folder, FILES) as at:
        write_table(at["predictions.csv"], header, rows)
        shown = vars(drawn) if drawn is not None else {}
        write_evaluation(evaluation, at["report.html"], bundle=bundle, worst=worst, **shown)
        write_text(at["metrics.json"], text + "\n")


def _nothing(task: str, split: str, left_out: int, settings: Mapping[str, Any]) -> Evaluation:
    """An evaluation of no case: every figure is null."""
    names = MASK_METRICS if task == "segmentation" else CLASS_METRICS
    empty = {name: Interval(None, None, None) for name in names}
    return Evaluation(task, split, 0, 0, left_out, empty, settings={"level": 0.95, **settings})


def _with_settings(evaluation: Evaluation, more: Mapping[str, Any]) -> Evaluation:
    return replace(evaluation, settings={**evaluation.settings, **more})


def _cell(value: float | None) -> str:
    return "" if value is None else repr(float(value))
