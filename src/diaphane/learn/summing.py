"""From what each case showed to the facts of a dataset; no order of cases or threads enters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diaphane.learn.duplicates import Twin
from diaphane.learn.facts import Fingerprint, Intensity, SegmentationFacts, Spread
from diaphane.learn.looking import Seen
from diaphane.learn.symmetry import Symmetries, symmetries

if TYPE_CHECKING:
    from diaphane.acquire import Dataset, Entry


def summed(
    dataset: Dataset,
    kept: Sequence[Entry],
    facts: Sequence[Seen],
    twins: tuple[tuple[Twin, ...], tuple[Twin, ...]],
    unreadable: Sequence[tuple[str, str]],
    *,
    segmenting: bool,
) -> Fingerprint:
    """Facts of a dataset from its readable cases, what each showed, and its duplicates."""
    columns = dataset.label_columns
    boxes = [(f.mask_box, f.spacing) for f in facts if f.mask_box is not None]
    extent = _extent([box for box, _ in boxes]) if boxes else None
    spacings = [_spread_known([f.spacing[axis] for f in facts]) for axis in range(3)]
    middle = [None if s is None else s["median"] for s in spacings]
    stated = (
        [(b[0] * (s[1] or 0.0), b[1] * (s[2] or 0.0)) for b, s in boxes]
        if spacings[1] is not None and spacings[2] is not None
        else None
    )
    low, high = min(f.low for f in facts), max(f.high for f in facts)
    groups = {e.group for e in kept}
    concepts = sorted({name for e in kept for name in e.concepts})
    channels = max(f.channels for f in facts)
    eight_bit = all(f.whole and f.low >= 0 and f.high <= 255 for f in facts) and high > 1
    intensity = {
        "all": _intensity([f.values for f in facts]),
        "inside": _intensity([f.inside for f in facts]),
    }
    return Fingerprint(
        kind=dataset.kind,
        cases=len(kept),
        groups=len(groups),
        grouped=len(groups) < len(kept) or any(g[:2] in ("G-", "P-") for g in groups),
        refused=len(unreadable),
        classes={c: _counted(kept, c) for c in columns},
        class_groups={
            c: {
                value: len({e.group for e in kept if e.labels.get(c) == value})
                for value in _counted(kept, c)
            }
            for c in columns
        },
        splits=_by_split(kept),
        split_classes={
            split: {c: _counted([e for e in kept if e.split == split], c) for c in columns}
            for split in _by_split(kept)
        },
        slices=_spread([f.shape[0] for f in facts]),
        height=_spread([f.shape[1] for f in facts]),
        width=_spread([f.shape[2] for f in facts]),
        aspect=_spread([f.shape[1] / f.shape[2] for f in facts]),
        spacing=(middle[0], middle[1], middle[2]),
        spacings=(spacings[0], spacings[1], spacings[2]),
        channels=channels,
        coloured=any(f.coloured for f in facts) and len({f.channels for f in facts}) == 1,
        modality=_most([f.modality for f in facts]),
        unit=_most([f.unit for f in facts]),
        grey_levels=(low, high),
        eight_bit=eight_bit,
        intensity=intensity,
        masks=all(f.masked for f in facts),
        masked=sum(f.masked for f in facts),
        outlined=all(f.outlined for f in facts),
        mask_extent=None if extent is None else (int(extent[0]), int(extent[1])),
        mask_extent_mm=None if stated is None or extent is None else _extent(stated),
        symmetries=None if segmenting else _symmetries(columns, kept, facts),
        given_concepts=tuple(concepts),
        concept_auc={name: _concept_auc(kept, columns, name) for name in concepts},
        duplicates=twins[0],
        near_duplicates=twins[1],
        unreadable=tuple(sorted(unreadable)),
        notes=tuple(str(note) for note in dataset.notes),
        class_order={c: tuple(dataset.classes.get(c, ())) for c in columns},
        one_hot=_is_one_hot(columns, kept),
        segmentation=(
            _segmentation(
                dataset.mask_labels,
                [f for f, e in zip(facts, kept, strict=True) if e.has_mask],
                intensity, spacings, eight_bit=eight_bit, unmasked=sum(not e.has_mask for e in kept),
            )
            if segmenting
            else None
        ),
    )  # fmt: skip


def _is_one_hot(columns: Sequence[str], entries: Sequence[Entry]) -> bool:
    """Whether just one of three or more label columns differs from the others, in every case."""
    if len(columns) < 3:
        return False
    counts = [Counter(e.labels.get(c) or "" for c in columns) for e in entries]
    wanted = {1, len(columns) - 1}
    same = {frozenset(count.items()) for count in counts}
    return len(same) == 1 and set(counts[0].values()) == wanted


def _segmentation(
    names: Mapping[int, str],
    facts: Sequence[Seen],
    intensity: dict[str, list[Intensity]],
    spacings: Sequence[Spread | None],
    *,
    eight_bit: bool,
    unmasked: int,
) -> SegmentationFacts:
    total = float(sum(int(np.prod(f.shape)) for f in facts))
    labels = {name: value for value, name in sorted(names.items())}
    having = {
        name: [f.labels[value] for f in facts if value in f.labels]
        for name, value in labels.items()
    }
    thick = {
        name: [s.thickness for s in seen if np.isfinite(s.thickness)]
        for name, seen in having.items()
    }
    through, rows, across = spacings
    deep = max(f.shape[0] for f in facts) > 1
    stated = through is not None and rows is not None and across is not None
    return SegmentationFacts(
        labels=labels,
        cases={name: len(seen) for name, seen in having.items()},
        voxels={
            name: float(np.median([s.voxels for s in seen])) if seen else 0.0
            for name, seen in having.items()
        },
        share={
            name: _rounded(sum(s.voxels for s in seen) / total) for name, seen in having.items()
        },
        thickness={
            name: _rounded(float(np.median(values))) if values else 0.0
            for name, values in thick.items()
        },
        intensity={
            "inside": _intensity([f.inside for f in facts if f.masked]) or intensity["all"],
            "all": intensity["all"],
        },
        spacings=(through, rows, across),
        shapes=(
            _spread([f.shape[0] for f in facts]),
            _spread([f.shape[1] for f in facts]),
            _spread([f.shape[2] for f in facts]),
        ),
        anisotropy=(
            _rounded(through["median"] / float(np.sqrt(rows["median"] * across["median"])))
            if deep and stated and through is not None and rows is not None and across is not None
            else 1.0
        ),
        empty=sum(1 for f in facts if not f.labels),
        channels=max(f.channels for f in facts),
        eight_bit=eight_bit,
        unit=_most([f.unit for f in facts]),
        unmasked=unmasked,
    )


def _extent(boxes: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """98th percentile of heights and widths."""
    return (
        float(np.percentile([box[0] for box in boxes], 98)),
        float(np.percentile([box[1] for box in boxes], 98)),
    )


def _symmetries(
    columns: Sequence[str], entries: Sequence[Entry], facts: Sequence[Seen]
) -> Symmetries | None:
    """Mirrorings tested on thumbnails, sorted by content so that the order of files is nothing."""
    if not columns:
        return None
    known = [(f, e) for f, e in zip(facts, entries, strict=True) if e.labels.get(columns[0])]
    size = max((f.thumbnail.size for f, _ in known), default=0)
    known = sorted(
        (pair for pair in known if pair[0].thumbnail.size == size), key=lambda p: p[0].digest
    )
    labels = np.array(["|".join(e.labels.get(c) or "" for c in columns) for _, e in known])
    small = np.stack([f.thumbnail for f, _ in known]).astype(np.float32)
    if small.ndim == 4:
        small = small.mean(axis=1)
    return symmetries(small[:, None], labels)


def _counted(entries: Sequence[Entry], column: str) -> dict[str, int]:
    found = Counter(e.labels[column] for e in entries if e.labels.get(column))
    return dict(sorted(found.items()))


def _by_split(entries: Sequence[Entry]) -> dict[str, int]:
    return dict(sorted(Counter(e.split for e in entries if e.split).items()))


def _spread(values: Sequence[float]) -> Spread:
    return {
        "low": float(min(values)),
        "median": float(np.median(values)),
        "high": float(max(values)),
    }


def _spread_known(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return _spread(known) if len(known) == len(values) else None


def _most(values: Sequence[str]) -> str:
    """The most frequent one, of equals the first by name."""
    return min(Counter(values).items(), key=lambda item: (-item[1], item[0]))[0]


def _rounded(value: float) -> float:
    """Six digits, so that the order of a sum does not show."""
    return float(f"{value:.6g}")


def _intensity(samples: Sequence[NDArray[np.float32]]) -> list[Intensity]:
    channels = min((len(s) for s in samples), default=0)
    found: list[Intensity] = []
    for channel in range(channels):
        values = np.sort(np.concatenate([s[channel] for s in samples])).astype(np.float64)
        if not values.size:
            return []
        low, middle, high = np.percentile(values, [0.5, 50.0, 99.5])
        found.append(
            {
                "mean": _rounded(float(values.mean())),
                "std": _rounded(float(values.std())),
                "p0_5": _rounded(float(low)),
                "p50": _rounded(float(middle)),
                "p99_5": _rounded(float(high)),
            }
        )
    return found


def _concept_auc(entries: Sequence[Entry], columns: Sequence[str], name: str) -> float:
    """How well a concept alone tells any class from the rest."""
    values = np.array([e.concepts.get(name, np.nan) for e in entries], dtype=np.float64)
    given = np.isfinite(values)
    best = 0.5
    for column in columns:
        labels = np.array([e.labels.get(column) or "" for e in entries])
        for value in sorted(set(labels) - {""}):
            positive, known = labels == value, labels != ""
            best = max(
                best,
                _auc(values[given & known], positive[given & known]),
                _auc(given[known].astype(np.float64), positive[known]),
            )
    return _rounded(best)


def _auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve in the better direction; 0.5 without both classes."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return 0.5
    area = (rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m)
    return float(max(area, 1 - area))
