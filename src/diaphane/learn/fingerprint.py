"""Reading a dataset once: every case, in threads, keeping facts and no voxels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from diaphane.core.errors import DatasetError, DiaphaneError
from diaphane.core.protocols import Progress, silent
from diaphane.learn.cases import Refused
from diaphane.learn.duplicates import Look, exact_twins, near_twins
from diaphane.learn.facts import Fingerprint, SegmentationFacts, plain_dict
from diaphane.learn.looking import Seen, look
from diaphane.learn.summing import summed

if TYPE_CHECKING:
    from diaphane.acquire import Dataset, Entry

__all__ = [
    "Fingerprint",
    "SegmentationFacts",
    "check_labels",
    "fingerprint",
    "is_segmentation",
    "plain_dict",
]

_SAMPLES = 1_000_000
"""Sampled voxels of the whole dataset, per channel; each case gives as many."""
_THICKNESSES = 200
"""Cases whose labels are measured for thickness."""


def fingerprint(
    dataset: Dataset,
    *,
    labelled: bool = True,
    near: bool = True,
    threads: int = 1,
    progress: Progress = silent,
) -> tuple[Fingerprint, list[Refused]]:
    """Read every case once; only small facts of it are kept.

    Parameters
    ----------
    labelled:
        Whether the dataset must have labels, or masks, to learn from.
    near:
        Whether to look for near-duplicates; likely pairs are read a second time.

    Raises
    ------
    DatasetError
        No case can be read; and, if ``labelled``, there is no label, a label column has one
        class only, or the dataset's own splits have no part to learn from.
    """
    if labelled:
        check_labels(dataset)
    entries = list(dataset.entries)
    segmenting = is_segmentation(dataset)
    samples = int(np.clip(_SAMPLES // max(1, len(entries)), 16, 4000))
    measured = _drawn(entries, _THICKNESSES) if segmenting else frozenset()

    def some(numbers: range) -> list[Seen | Refused]:
        return [one(number) for number in numbers]

    def one(number: int) -> Seen | Refused:
        entry = entries[number]
        try:
            return look(entry.load(), samples=samples, thickness=number in measured)
        except DiaphaneError as error:
            return Refused(entry.name, error)

    seen: dict[int, Seen] = {}
    refused: list[Refused] = []
    unreadable: list[tuple[str, str]] = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        size = 1 if len(entries) < 2000 else 50  # of small images the handing over costs most
        parts = [
            range(begin, min(begin + size, len(entries))) for begin in range(0, len(entries), size)
        ]
        results = (result for part in pool.map(some, parts) for result in part)
        for number, result in enumerate(results):
            progress("fingerprint", (number + 1) / len(entries))
            if isinstance(result, Refused):
                refused.append(result)
                unreadable.append((entries[number].key, result.error.code))
            else:
                seen[number] = result
    if not seen or (segmenting and not any(entries[number].has_mask for number in seen)):
        raise DatasetError(
            f"No case of the dataset {'with a mask ' if segmenting else ''}can be read.",
            remedy=str(refused[0].error) if refused else None,
        )
    facts = list(seen.values())
    kept = [entries[number] for number in seen]
    if labelled:
        _check_splits(kept)
    if labelled and not segmenting:
        _check_classes(dataset.label_columns, kept)
    looks = [
        Look(
            e.key, e.group, tuple(sorted(e.labels.items())), e.split, f.digest, f.thumbnail, e.load
        )
        for e, f in zip(kept, facts, strict=True)
    ]
    same = exact_twins(looks)
    alike = near_twins(looks, threads=threads, progress=progress) if near else ()
    return summed(dataset, kept, facts, (same, alike), unreadable, segmenting=segmenting), refused


def is_segmentation(dataset: Dataset) -> bool:
    """Whether the dataset is for segmentation: masks and no label."""
    return dataset.has_masks and not dataset.label_columns


def check_labels(dataset: Dataset) -> None:
    """Refuse a dataset with neither labels nor masks, or with one class only.

    Raises
    ------
    DatasetError
        Naming the column.
    """
    if is_segmentation(dataset):
        return
    if not dataset.label_columns:
        raise DatasetError(
            "The dataset has neither labels nor masks, so there is nothing to learn.",
            remedy="Write a labels.csv, which 'diaphane index' makes of DICOM and a table."
            if dataset.kind == "dicom"
            else "Add a column 'label' (or 'label:NAME') or 'mask' to labels.csv.",
        )
    _check_classes(dataset.label_columns, dataset.entries)


def _check_classes(columns: Sequence[str], entries: Sequence[Entry]) -> None:
    for column in columns:
        values = sorted({e.labels[column] for e in entries if e.labels.get(column)})
        if len(values) < 2:
            only = f"only the class '{values[0]}'" if values else "no value"
            raise DatasetError(
                f"The column '{column}' has {only}; a model needs at least two classes.",
                remedy="Add cases of another class.",
            )


def _check_splits(entries: Sequence[Entry]) -> None:
    """Refuse splits that leave nothing to learn from."""
    splits = {entry.split for entry in entries if entry.split}
    if splits and "train" not in splits:
        raise DatasetError(
            f"No case is in the part 'train', all are in {' and '.join(sorted(splits))}.",
            remedy="Say which cases to learn from, or leave the splits out.",
        )


def _drawn(entries: Sequence[Entry], count: int) -> frozenset[int]:
    """Up to ``count`` entries, drawn by their names, so that their order does not matter."""
    ranks = [hashlib.sha256(entry.name.encode("utf-8", "replace")).digest() for entry in entries]
    return frozenset(sorted(range(len(entries)), key=lambda i: ranks[i])[:count])
