"""``evaluate`` for segmentation bundles: masks held against those of a data set."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import Dataset, open_dataset
from diaphane.batch.outlining import AS_SHIPPED, Outlining, outlines
from diaphane.batch.scoring import Drawn, ScoredMask, ScoredMasks, write_scored
from diaphane.batch.tables import Refusal, write_refusals
from diaphane.batch.taking import EvaluationSummary, nothing_used, require_free, take_entries
from diaphane.bundle import Segmentation, SegmentationManifest, Segmenter
from diaphane.bundle.loaded import SEEN
from diaphane.core.case import Case
from diaphane.core.errors import DatasetError
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.volume import Volume
from diaphane.report.run_facts import SegmentedExample

SHOWN = 12
"""Cases that the report draws, worst first."""

Pairs = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Judging:
    """How answers are judged; see :func:`diaphane.batch.evaluate`."""

    subgroups: Sequence[str] = ()
    include_seen: bool = False
    seed: int = 0
    rounds: int = 2000
    outlining: Outlining = AS_SHIPPED
    options: ReadOptions | None = None


@dataclass(eq=False)
class _Gathered:
    """What the report shows beside the figures, of cases that count."""

    quality: Pairs = field(default_factory=lambda: defaultdict(list))
    volumes: Pairs = field(default_factory=lambda: defaultdict(list))
    # The worst so far, the best of them first: (-mean Dice, order of arrival, example).
    _worst: list[tuple[float, int, SegmentedExample]] = field(default_factory=list)
    _count: int = 0

    def add(
        self, case: Case, truth: Volume, found: Segmentation, scored: ScoredMask, names: Names
    ) -> None:
        dice = {names[value]: overlap.dice for value, overlap in scored.overlaps.items()}
        for value, overlap in scored.overlaps.items():
            name = names[value]
            self.volumes[name].append((overlap.volume, overlap.true_volume))
            guess = found.predicted_dice[name]
            if guess is not None and overlap.dice is not None:
                self.quality[name].append((guess, overlap.dice))
        mean = scored.dice()
        if mean is None:
            return
        self._count += 1
        item = (-mean, -self._count)
        if len(self._worst) < SHOWN or item > self._worst[0][:2]:
            example = drawn(case, truth, found, dice)
            if len(self._worst) < SHOWN:
                heapq.heappush(self._worst, (*item, example))
            else:
                heapq.heapreplace(self._worst, (*item, example))

    @property
    def examples(self) -> list[SegmentedExample]:
        """Worst first."""
        return [example for *_, example in sorted(self._worst, key=lambda w: w[:2], reverse=True)]


Names = Mapping[int, str]


def evaluate_segmenter(
    segmenter: Segmenter,
    dataset: str | Path,
    split: str,
    folder: Path,
    asked: Judging,
    *,
    progress: Progress = silent,
) -> EvaluationSummary:
    """Segment a split of a data set with masks and judge the masks.

    The counterpart of :func:`diaphane.batch.evaluate`, which sees to the arguments: the same
    files, the same rules of splits and of seen cases. The data set's labels are matched to the
    bundle's by name, else by value.

    Raises
    ------
    DatasetError
        No masks, no label that the bundle knows, no such split, or no case could be used.
    """
    require_free(folder, dataset)
    manifest = segmenter.manifest
    opened = open_dataset(
        dataset, subgroups=asked.subgroups, options=asked.options or segmenter.reading
    )
    recode, notes = matched(manifest, opened, dataset)
    entries, stored = take_entries(opened, manifest.seen, split, dataset)
    names = {label.value: label.name for label in manifest.labels}
    columns = tuple(f"predicted_dice:{label.name}" for label in manifest.labels)
    scored = ScoredMasks(names, columns)
    gathered, refused = _Gathered(), []
    found = outlines(
        segmenter, entries, asked.outlining, progress, known=True,
        wanted=(lambda s: s == split) if stored else None,
    )  # fmt: skip
    for answer in found:
        if answer.error is not None:
            refused.append(Refusal.of(answer.entry.name, answer.error))
        if answer.found is None or answer.case is None:
            continue
        if answer.case.mask is None:
            refused.append(Refusal.of(answer.entry.name, DatasetError("The case has no mask.")))
            continue
        drawn_truth = np.asarray(answer.case.mask.voxels)
        truth = answer.case.mask.with_voxels(recode[drawn_truth])
        seen = answer.split in SEEN
        guesses = answer.found.predicted_dice
        one = scored.add(
            answer.entry, answer.found.labels.voxels, truth, seen=seen,
            cells=["" if guesses[n] is None else repr(guesses[n]) for n in manifest.classes],
        )  # fmt: skip
        if asked.include_seen or not seen:
            gathered.add(answer.case, truth, answer.found, one, names)
    if not scored.cases:
        rejected = write_refusals(folder, refused)
        raise nothing_used(refused, rejected, split, dataset, stored=stored)
    how = asked.outlining
    evaluation = scored.evaluation(
        split,
        include_seen=asked.include_seen,
        seed=asked.seed,
        rounds=asked.rounds,
        settings={
            "bundle": {
                "name": manifest.name,
                "version": manifest.version,
                "sha256": segmenter.sha256,
            },
            "split_from": "bundle" if stored else "dataset" if split != "all" else "all",
            "include_seen": asked.include_seen,
            "refused": len(refused),
            "overlap": manifest.patch.overlap if how.overlap is None else how.overlap,
            "mirror": "" if how.mirror is False else "".join(manifest.patch.mirror),
        },
    )
    if evaluation.n == 0:
        notes.append("Every case was seen in training, so no figure is given; see --include-seen.")
    write_scored(
        folder, evaluation, scored.header(), scored.rows(),
        worst=scored.worst(include_seen=asked.include_seen), bundle=segmenter.ref(),
        drawn=Drawn(
            {name: value for value, name in names.items()},
            gathered.examples, gathered.quality, gathered.volumes,
            "mm3" if evaluation.settings["unit"] == "mm" else "px",
        ),
    )  # fmt: skip
    rejected = write_refusals(folder, refused)
    seen_cases = sum(case.seen for case in scored.cases)
    return EvaluationSummary(
        evaluation, folder, seen_cases, 0, tuple(refused), rejected, tuple(notes)
    )


def matched(
    manifest: SegmentationManifest, dataset: Dataset, path: str | Path
) -> tuple[NDArray[np.uint16], list[str]]:
    """Bundle's value by the data set's value ``(65536,)``, and what is to be said about it.

    A label that the bundle does not know becomes background, and is said.

    Raises
    ------
    DatasetError
        The data set has no masks, or shares no label with the bundle.
    """
    if not dataset.has_masks:
        raise DatasetError(
            "The data set has no masks, so nothing can be judged.",
            path=path,
            remedy="Use 'diaphane predict' for cases without masks.",
        )
    there = dataset.mask_labels
    by_name = {label.name: label.value for label in manifest.labels}
    values = set(by_name.values())
    known = {value: by_name[name] for value, name in there.items() if name in by_name}
    notes = list(dataset.notes)
    if not known:
        known = {value: value for value in there if value in values}
        if known:
            said = ", ".join(f"{value} ({there[value]})" for value in sorted(known))
            notes.append(f"labels are matched by value, since the names differ: {said}")
    if not known:
        raise DatasetError(
            f"None of the labels ({', '.join(list(there.values())[:10])}) is one that the bundle "
            "knows.",
            path=path,
            remedy=f"It knows: {', '.join(by_name)}.",
        )
    ignored = [name for value, name in there.items() if value not in known]
    if ignored:
        notes.append(f"labels that the bundle does not know: {', '.join(ignored)}")
    recode = np.zeros(1 << 16, dtype=np.uint16)
    for value, own in known.items():
        recode[value] = own
    return recode, notes


def drawn(
    case: Case, truth: Volume, found: Segmentation, dice: Mapping[str, float | None]
) -> SegmentedExample:
    """The slice on which mask and truth differ most, else the one with most of the truth."""
    a, b = found.labels.voxels, truth.voxels
    differ = [int((p != q).sum()) for p, q in zip(a, b, strict=True)]
    if not any(differ):
        differ = [int((q > 0).sum()) for q in b]
    z = int(np.argmax(differ))
    return SegmentedExample(
        case=case.key,
        image=_picture(case.volume, z),
        truth=np.array(b[z]),
        predicted=np.array(a[z]),
        dice=dict(dice),
        predicted_dice=dict(found.predicted_dice),
        place=None if len(a) == 1 else (z + 1, len(a)),
    )


def _picture(volume: Volume, z: int) -> NDArray[Any]:
    """Slice z as ``(h, w)`` or, of colours, ``(h, w, 3)``."""
    if volume.voxels.ndim == 3:
        return np.array(volume.voxels[z])
    if volume.channels in (3, 4) and volume.voxels.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(volume.voxels[:3, z], 0, -1))
    return np.array(volume.voxels[0, z])
