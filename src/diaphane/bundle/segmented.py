"""What follows a segmentation network, in training and in use: its quality, its components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.segmentation import LabelSpec

Floats = NDArray[np.float32]

MOST_VOXELS = 8_000_000
"""Voxels that components are looked for in at once."""


class QualitySums:
    """Gathers the features of predicted Dice slab by slab, so that no whole map is needed.

    Parameters
    ----------
    count:
        Number of labels, background left out.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._voxels = np.zeros(count, dtype=np.int64)
        # By label: sum of its probability inside its mask, and over the whole image.
        self._inside = np.zeros(count)
        self._total = np.zeros(count)
        self._entropy = np.zeros(count)
        self._margin = np.zeros(count)
        self._largest = np.zeros(count)

    def add(self, probability: Floats, index: NDArray[Any]) -> None:
        """Take in a slab: ``probability`` ``(1 + L, ...)`` that sums to 1, ``index`` ``(...)``.

        ``index`` says the mask: 0 is background, l is the l-th label.
        """
        flat = probability.reshape(self._count + 1, -1)
        mask = np.asarray(index).reshape(-1)
        self._total += flat[1:].sum(axis=1, dtype=np.float64)
        np.maximum(self._largest, flat[1:].max(axis=1, initial=0.0), out=self._largest)
        for label in range(1, self._count + 1):
            at = np.flatnonzero(mask == label)
            if not at.size:
                continue
            p = flat[:, at]
            self._voxels[label - 1] += at.size
            self._inside[label - 1] += p[label].sum(dtype=np.float64)
            self._entropy[label - 1] += entropy(p).sum(dtype=np.float64)
            ordered = np.sort(p, axis=0)
            self._margin[label - 1] += (ordered[-1] - ordered[-2]).sum(dtype=np.float64)

    def features(self) -> dict[int, dict[str, float]]:
        """By label number (1 to L): "expected_dice", "entropy" and "margin"."""
        found = {}
        for k in range(self._count):
            n = int(self._voxels[k])
            if not n:
                found[k + 1] = {
                    "expected_dice": float(1.0 - self._largest[k]),
                    "entropy": 0.0,
                    "margin": 1.0,
                }
                continue
            found[k + 1] = {
                "expected_dice": float(2.0 * self._inside[k] / (n + self._total[k])),
                "entropy": float(self._entropy[k] / n),
                "margin": float(self._margin[k] / n),
            }
        return found


def quality_features(probability: Floats, index: NDArray[Any]) -> dict[int, dict[str, float]]:
    """Features that predicted Dice is made of; see :class:`QualityModel` for what they are.

    A bundle takes them on the recipe's grid, from the probabilities there and their argmax,
    before components are dropped; so must whoever fits a quality model.

    Parameters
    ----------
    probability:
        ``(1 + L, z, y, x)``, background first; sums to 1.
    index:
        ``(z, y, x)``: 0 for background, l for the l-th label.

    Returns
    -------
    dict
        By label number (1 to L): "expected_dice", "entropy" (nats) and "margin".
    """
    sums = QualitySums(len(probability) - 1)
    sums.add(np.asarray(probability, dtype=np.float32), index)
    return sums.features()


def entropy(probability: Floats) -> Floats:
    """Entropy over the first axis, in nats; 0 log 0 is 0."""
    safe = np.maximum(probability, np.float32(1e-12))
    return np.asarray(-(probability * np.log(safe)).sum(axis=0), dtype=np.float32)


def keep_components(
    index: NDArray[Any], specs: Sequence[LabelSpec], *, copy: bool = True
) -> NDArray[Any]:
    """The mask less the components that the labels' rules drop.

    Components are joined over faces, edges and corners. Memory stays flat: components are
    looked for in slabs and joined across them.

    Parameters
    ----------
    index:
        ``(z, y, x)`` integers: 0 for background, l for the l-th of ``specs``.
    copy:
        ``False`` changes ``index`` itself.

    Returns
    -------
    ndarray
        ``index`` itself where nothing was dropped or ``copy`` is false, else a new array.
    """
    out = index
    for number, spec in enumerate(specs, start=1):
        if spec.keep == "all" and spec.least <= 1:
            continue
        box = _box(index, number)
        if box is None:
            continue
        for slab, gone in _dropped(index[box], number, spec):
            if copy and out is index:
                out = index.copy()
            out[box][slab][gone] = 0
    return out


def _box(index: NDArray[Any], number: int) -> tuple[slice, slice, slice] | None:
    """The smallest box that holds the label, found plane by plane."""
    rows = np.zeros(index.shape[1], dtype=np.bool_)
    columns = np.zeros(index.shape[2], dtype=np.bool_)
    planes = []
    for z, plane in enumerate(index):
        here = plane == number
        along = here.any(axis=1)
        if along.any():
            planes.append(z)
            rows |= along
            columns |= here.any(axis=0)
    if not planes:
        return None
    y, x = np.flatnonzero(rows), np.flatnonzero(columns)
    return (
        slice(planes[0], planes[-1] + 1),
        slice(int(y[0]), int(y[-1]) + 1),
        slice(int(x[0]), int(x[-1]) + 1),
    )


def _dropped(
    index: NDArray[Any], number: int, spec: LabelSpec
) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Slabs along the first axis with what the rule drops in them; earlier ones may change."""
    whole, slabs = _components(index, number)
    sizes = np.bincount(whole, weights=np.concatenate([s for _, s in slabs])).astype(np.int64)
    kept = sizes >= spec.least
    if spec.keep == "largest":
        kept &= np.arange(len(sizes)) == int(sizes.argmax())
    if kept.all():
        return
    first = 0
    for slab, counts in slabs:
        numbers = _numbered(index[slab] == number)
        # Background is number 0 and is never dropped.
        gone = np.concatenate([[False], ~kept[whole[first : first + len(counts)]]])[numbers]
        first += len(counts)
        if gone.any():
            yield slab, gone


def _components(
    index: NDArray[Any], number: int
) -> tuple[NDArray[np.intp], list[tuple[slice, NDArray[np.int64]]]]:
    """Whole component of each slab's own components, and slabs with their components' sizes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    deep = max(1, MOST_VOXELS // max(1, index[0].size))
    slabs, pairs = [], [np.empty((0, 2), dtype=np.int64)]
    first, before = 0, None
    for start in range(0, len(index), deep):
        slab = slice(start, min(start + deep, len(index)))
        numbers = _numbered(index[slab] == number)
        counts = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
        for plane in numbers:
            counts += np.bincount(plane.ravel(), minlength=len(counts))
        if before is not None:
            offset = np.array([before[1], first])
            pairs.append(np.add(_touching(before[0], numbers[0]), offset))
        before = (numbers[-1].copy(), first)
        slabs.append((slab, counts[1:]))
        first += len(counts) - 1
    joined = np.concatenate(pairs)
    graph = coo_array((np.ones(len(joined), np.int8), (joined[:, 0], joined[:, 1])), (first, first))
    whole = connected_components(graph, directed=False)[1]
    return np.asarray(whole, dtype=np.intp), slabs


def _numbered(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    from scipy import ndimage

    return np.asarray(ndimage.label(mask, np.ones((3, 3, 3)))[0], dtype=np.int32)


def _touching(above: NDArray[np.int32], below: NDArray[np.int32]) -> NDArray[np.int64]:
    """Pairs of components (from 0) of two neighbouring planes that touch."""
    found = []
    height, width = above.shape
    wide = np.pad(below, 1)
    for dy in range(3):
        for dx in range(3):
            other = wide[dy : dy + height, dx : dx + width]
            both = (above > 0) & (other > 0)
            if both.any():
                found.append(np.unique(np.stack([above[both], other[both]], axis=1), axis=0))
    if not found:
        return np.empty((0, 2), dtype=np.int64)
    return np.unique(np.concatenate(found), axis=0).astype(np.int64) - 1
