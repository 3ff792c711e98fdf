"""What a dataset is, as learning needs to know it: read once, written to ``fingerprint.json``."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diaphane.bundle import case_hash
from diaphane.core.case import Case
from diaphane.core.errors import DatasetError, DiaphaneError
from diaphane.core.files import write_text
from diaphane.core.protocols import Progress, silent
from diaphane.learn.cases import Refused

if TYPE_CHECKING:
    from diaphane.acquire import Dataset

_OUTLINED_SHARE = 0.2
"""Least share of exact zeros in an image that counts as black outside an outline."""


@dataclass(frozen=True)
class Seen:
    """What one case showed."""

    shape: tuple[int, int, int]
    channels: int
    coloured: bool
    spacing: tuple[float | None, float | None, float | None]
    modality: str
    unit: str
    low: float
    high: float
    whole: bool
    masked: bool
    outlined: bool
    mask_box: tuple[int, int] | None
    digest: str


@dataclass(frozen=True)
class Fingerprint:
    """Facts of a dataset.

    Attributes
    ----------
    cases, groups, refused:
        Counts; refused cases could not be read.
    classes:
        Label column -> class -> cases.
    splits:
        Split -> cases; empty when the dataset has none.
    shape, channels, spacing, slices:
        Medians and extremes: ``{"low", "median", "high"}`` per axis.
    modality, unit, grey_levels:
        Most frequent; the smallest and largest voxel value.
    eight_bit:
        All values are whole and in 0..255.
    coloured:
        Every image has the same channels, and they say different things: colours, or several
        volumes a case. False where grey and colour files are mixed.
    masks, outlined:
        Whether every case has a mask; whether every image is black outside an outline.
    mask_extent:
        98th percentile of height and width of masks, or of outlines, in pixels.
    given_concepts:
        ``concept:`` columns.
    twins:
        Pairs of case keys that hold the same voxels in two groups.
    notes:
        What the reader of the dataset said.
    """

    kind: str
    cases: int
    groups: int
    refused: int
    classes: dict[str, dict[str, int]]
    splits: dict[str, int]
    slices: dict[str, float]
    height: dict[str, float]
    width: dict[str, float]
    spacing: tuple[float | None, float | None, float | None]
    channels: int
    coloured: bool
    modality: str
    unit: str
    grey_levels: tuple[float, float]
    eight_bit: bool
    masks: bool
    outlined: bool
    mask_extent: tuple[int, int] | None
    given_concepts: tuple[str, ...]
    twins: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    class_order: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write ``fingerprint.json`` in one step."""
        write_text(path, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def fingerprint(
    dataset: Dataset, *, threads: int = 1, progress: Progress = silent
) -> tuple[Fingerprint, list[Refused]]:
    """Read every case once.

    Raises
    ------
    DatasetError
        No case can be read, there is no label, or a label column has one class only.
    """
    entries = list(dataset.entries)
    check_labels(dataset)

    def one(number: int) -> Seen | Refused:
        entry = entries[number]
        try:
            return _look(entry.load())
        except DiaphaneError as error:
            return Refused(entry.name, error)

    seen: dict[int, Seen] = {}
    refused: list[Refused] = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for number, result in enumerate(pool.map(one, range(len(entries)))):
            progress("fingerprint", (number + 1) / len(entries))
            if isinstance(result, Refused):
                refused.append(result)
            else:
                seen[number] = result
    if not seen:
        raise DatasetError(
            "No case of the dataset can be read.",
            remedy=str(refused[0].error) if refused else None,
        )
    facts = list(seen.values())
    kept = [entries[number] for number in seen]
    classes = {
        column: dict(
            sorted(Counter(e.labels[column] for e in kept if e.labels.get(column)).items())
        )
        for column in dataset.label_columns
    }
    extents = [f.mask_box for f in facts if f.mask_box is not None]
    spacings = np.array([[np.nan if s is None else s for s in f.spacing] for f in facts])
    middle = [
        float(np.nanmedian(column)) if np.isfinite(column).any() else None for column in spacings.T
    ]
    whole = Fingerprint(
        kind=dataset.kind,
        cases=len(kept),
        groups=len({e.group for e in kept}),
        refused=len(refused),
        classes=classes,
        splits=dict(Counter(e.split for e in kept if e.split)),
        slices=_spread([f.shape[0] for f in facts]),
        height=_spread([f.shape[1] for f in facts]),
        width=_spread([f.shape[2] for f in facts]),
        spacing=(middle[0], middle[1], middle[2]),
        channels=max(f.channels for f in facts),
        coloured=any(f.coloured for f in facts) and len({f.channels for f in facts}) == 1,
        modality=_most([f.modality for f in facts]),
        unit=_most([f.unit for f in facts]),
        grey_levels=(min(f.low for f in facts), max(f.high for f in facts)),
        eight_bit=all(f.whole and f.low >= 0 and f.high <= 255 for f in facts)
        and max(f.high for f in facts) > 1,
        masks=all(f.masked for f in facts),
        outlined=all(f.outlined for f in facts),
        mask_extent=(
            (
                int(np.percentile([e[0] for e in extents], 98)),
                int(np.percentile([e[1] for e in extents], 98)),
            )
            if extents
            else None
        ),
        given_concepts=tuple(sorted({name for e in kept for name in e.concepts})),
        twins=_twins([(e.key, e.group, seen[n].digest) for n, e in zip(seen, kept, strict=True)]),
        notes=tuple(str(note) for note in dataset.notes),
        class_order={c: tuple(dataset.classes.get(c, ())) for c in dataset.label_columns},
    )
    return whole, refused


def check_labels(dataset: Dataset) -> None:
    """Refuse a dataset without labels, or with one class only.

    Raises
    ------
    DatasetError
        Naming the column.
    """
    if not dataset.label_columns:
        raise DatasetError(
            "The dataset has no label, so there is nothing to learn.",
            remedy="Add a column 'label' (or 'label:NAME') to labels.csv.",
        )
    for column in dataset.label_columns:
        values = sorted({e.labels[column] for e in dataset.entries if e.labels.get(column)})
        if len(values) < 2:
            only = f"only the class '{values[0]}'" if values else "no value"
            raise DatasetError(
                f"The column '{column}' has {only}; a model needs at least two classes.",
                remedy="Add cases of another class.",
            )


def _look(case: Case) -> Seen:
    volume = case.volume
    voxels = volume.voxels
    channels = sum(v.channels for v in case.volumes.values())
    flat = voxels if voxels.ndim == 4 else voxels[None]
    coloured = len(case.volumes) > 1 or bool((flat != flat[:1]).any())
    edge = np.concatenate(
        [
            flat[..., 0, :].ravel(),
            flat[..., -1, :].ravel(),
            flat[..., 0].ravel(),
            flat[..., -1].ravel(),
        ]
    )
    black = float((flat == 0).mean())
    # An outline may touch the frame; corners and most of the border are black all the same.
    outlined = (
        volume.unit != "HU"
        and float(flat.min()) == 0.0
        and black > _OUTLINED_SHARE
        and float((edge == 0).mean()) > 0.6
        and not flat[..., 0, 0].any()
        and not flat[..., -1, -1].any()
    )
    marked = None
    if case.mask is not None:
        marked = np.asarray(case.mask.voxels) > 0
    elif outlined:
        marked = np.asarray(np.any(flat > 0, axis=0), dtype=np.bool_)
    box = None
    if marked is not None and marked.any():
        rows, columns = np.flatnonzero(marked.any((0, 2))), np.flatnonzero(marked.any((0, 1)))
        box = (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    sample = flat if flat.dtype.kind in "iub" else flat[..., ::4, ::4]
    return Seen(
        shape=volume.shape,
        channels=channels,
        coloured=coloured,
        spacing=volume.geometry.spacing,
        modality=volume.modality,
        unit=volume.unit,
        low=float(flat.min()),
        high=float(flat.max()),
        whole=flat.dtype.kind in "iub" or bool((sample == np.round(sample)).all()),
        masked=case.mask is not None and bool(marked is not None and marked.any()),
        outlined=outlined,
        mask_box=box,
        digest=case_hash(case, ""),
    )


def _spread(values: list[int]) -> dict[str, float]:
    return {
        "low": float(min(values)),
        "median": float(np.median(values)),
        "high": float(max(values)),
    }


def _most(values: list[str]) -> str:
    return Counter(values).most_common(1)[0][0]


def _twins(rows: list[tuple[str, str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of cases with equal voxels in different groups."""
    first: dict[str, tuple[str, str]] = {}
    pairs: list[tuple[str, str]] = []
    for key, group, digest in rows:
        other = first.setdefault(digest, (key, group))
        if other[0] != key and other[1] != group:
            pairs.append((other[0], key))
    return tuple(pairs)


def plain_dict(found: Fingerprint) -> dict[str, Any]:
    """JSON-able form of a fingerprint."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(found)))
    return plain
