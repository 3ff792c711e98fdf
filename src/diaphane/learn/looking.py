"""What one case shows when it is read once: facts that are small, never its voxels."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import case_hash
from diaphane.core.case import Case
from diaphane.core.errors import NotApplicable

Array = NDArray[Any]
Floats = NDArray[np.float32]

SIDE = 16
"""Side of a thumbnail of an image."""
DEEP = (4, 12, 12)
"""Shape of a thumbnail of a stack or volume."""

_OUTLINED_SHARE = 0.2
"""Least share of exact zeros in an image that counts as black outside an outline."""
_GOLDEN = 0.6180339887498949
_LARGEST_BLOCK = 8_000_000
"""Most voxels in which thickness is measured, or places are listed, at once."""


@dataclass(frozen=True, slots=True)
class LabelSeen:
    """One label in one mask: how many voxels, and how thick it is in voxels (NaN: not measured)."""

    voxels: int
    thickness: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one case showed.

    Attributes
    ----------
    thumbnail:
        ``(SIDE, SIDE)`` or ``DEEP``, uint8 from the smallest to the largest value: block means.
    values, inside:
        ``(channels, m)`` sampled intensities of the whole image, and of what is judged in it (mask,
        outline or, without these, voxels above the image's minimum).
    labels:
        By mask value, background left out; empty without a mask.
    """

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
    thumbnail: NDArray[np.uint8]
    values: Floats
    inside: Floats
    labels: dict[int, LabelSeen] = field(default_factory=dict)


def look(case: Case, *, samples: int, thickness: bool) -> Seen:
    """Facts of a case.

    Parameters
    ----------
    samples:
        Intensities to keep per channel.
    thickness:
        Whether to measure how thick each label of the mask is, which takes time.

    Raises
    ------
    NotApplicable
        The case's images lie on different grids, which no network here takes.
    """
    volume = case.volume
    if any(other.shape != volume.shape for other in case.volumes.values()):
        shapes = ", ".join(" x ".join(map(str, v.shape)) for v in case.volumes.values())
        raise NotApplicable(
            f"The case's images are on different grids: {shapes}.",
            remedy="Bring them to one grid (diaphane register), or give one of them.",
        )
    every = [v.voxels if v.voxels.ndim == 4 else v.voxels[None] for v in case.volumes.values()]
    flat = every[0]
    coloured = len(case.volumes) > 1 or bool(len(flat) > 1 and (flat != flat[:1]).any())
    low, high = min(float(f.min()) for f in every), max(float(f.max()) for f in every)
    outlined = volume.unit != "HU" and low == 0.0 and _is_outlined(flat)
    marked = None
    if case.mask is not None:
        marked = np.asarray(case.mask.voxels) > 0
    elif outlined:
        marked = np.asarray(np.any(flat > 0, axis=0), dtype=np.bool_)
    some = marked is not None and bool(marked.any())
    values = np.concatenate([_sampled(f, None, samples) for f in every])
    if some:
        inside = np.concatenate([_sampled(f, marked, samples) for f in every])
    else:
        inside = values[:, values[0] > low]
    fractions = any(f.dtype.kind == "f" for f in every)
    return Seen(
        shape=volume.shape,
        channels=sum(v.channels for v in case.volumes.values()),
        coloured=coloured,
        spacing=volume.geometry.spacing,
        modality=volume.modality,
        unit=volume.unit,
        low=low,
        high=high,
        whole=not fractions or bool((values == np.round(values)).all()),
        masked=case.mask is not None and some,
        outlined=outlined,
        mask_box=_box(marked) if marked is not None and some else None,
        digest=case_hash(case, ""),
        thumbnail=thumbnail(flat if coloured else flat[:1]),
        values=values,
        inside=inside,
        labels={} if case.mask is None else _labels(case.mask.voxels, thickness=thickness),
    )


def thumbnail(voxels: Array) -> NDArray[np.uint8]:
    """Block means of ``(c, z, y, x)``, stretched to 0..255: ``(SIDE, SIDE)``, or ``DEEP`` if z > 1."""
    small = block_means(voxels, (1, SIDE, SIDE) if voxels.shape[1] == 1 else DEEP).mean(axis=0)
    if small.shape[0] == 1:
        small = small[0]
    low, high = float(small.min()), float(small.max())
    if high - low < 1e-9 * max(1.0, abs(high)):
        return np.zeros(small.shape, dtype=np.uint8)
    return np.asarray(np.round((small - low) * (255.0 / (high - low))), dtype=np.uint8)


def block_means(voxels: Array, shape: tuple[int, int, int]) -> Floats:
    """``(c, z, y, x)`` as means of equal blocks, ``(c, *shape)``; short axes are repeated."""
    small = voxels
    for axis, wanted in ((3, shape[2]), (2, shape[1]), (1, shape[0])):
        if small.shape[axis] != wanted:
            edges, counts = _edges(small.shape[axis], wanted)
            small = np.add.reduceat(small, edges, axis=axis, dtype=np.float32)
            small /= counts.reshape((-1,) + (1,) * (3 - axis))
    return np.asarray(small, dtype=np.float32)


@functools.lru_cache(maxsize=256)
def _edges(length: int, wanted: int) -> tuple[NDArray[np.int64], Floats]:
    """First index and size of each of ``wanted`` blocks of ``length`` places."""
    edges = np.arange(wanted, dtype=np.int64) * length // wanted
    return edges, np.maximum(np.diff(np.append(edges, length)), 1).astype(np.float32)


def _is_outlined(flat: Array) -> bool:
    """Whether the image is black outside an outline.

    An outline may touch the frame; corners and most of the border are black all the same.
    """
    if flat[..., 0, 0].any() or flat[..., -1, -1].any():
        return False
    edges = (flat[..., 0, :], flat[..., -1, :], flat[..., 0], flat[..., -1])
    zeros = sum(int(np.count_nonzero(edge == 0)) for edge in edges)
    black = flat.size - int(np.count_nonzero(flat))
    return black > _OUTLINED_SHARE * flat.size and zeros > 0.6 * sum(edge.size for edge in edges)


def _box(marked: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.flatnonzero(marked.any((0, 2))), np.flatnonzero(marked.any((0, 1)))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def _sampled(flat: Array, marked: NDArray[np.bool_] | None, samples: int) -> Floats:
    """Up to ``samples`` voxels ``(c, m)`` spread by the golden ratio, which no row period meets."""
    if marked is not None and marked.size > _LARGEST_BLOCK:  # places would take eight times as much
        step = -(-marked.size // _LARGEST_BLOCK)
        thinned = marked[::step]
        if thinned.any():
            flat, marked = flat[:, ::step], thinned
    rows = flat.reshape(flat.shape[0], -1)
    place = None if marked is None else np.flatnonzero(marked)
    count = rows.shape[1] if place is None else len(place)
    if count <= samples:
        picked = np.arange(count)
    else:
        picked = (np.arange(samples) * _GOLDEN % 1.0 * count).astype(np.int64)
    if place is not None:
        picked = place[picked]
    return np.asarray(rows[:, picked], dtype=np.float32)


def _labels(mask: Array, *, thickness: bool) -> dict[int, LabelSeen]:
    counts = np.zeros(int(mask.max()) + 1, dtype=np.int64)
    for plane in mask:  # counting widens what it counts
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    values = [int(v) for v in np.flatnonzero(counts) if v != 0]
    return {
        v: LabelSeen(int(counts[v]), thickness_of(mask == v) if thickness else float("nan"))
        for v in values
    }


def thickness_of(marked: NDArray[np.bool_]) -> float:
    """Typical thickness of a structure in voxels: 1 for a line, the width for a band.

    ``2 d - 1`` with d the mean distance to the background over the ridge of the distance map
    (its local maxima). Of very large structures, a block of slices around the fullest one counts.

    Parameters
    ----------
    marked:
        ``(z, y, x)``, some of it true.
    """
    from scipy import ndimage

    box = []
    for axis in range(3):
        there = np.flatnonzero(marked.any(tuple(i for i in range(3) if i != axis)))
        box.append(slice(int(there[0]), int(there[-1]) + 1))
    block = marked[tuple(box)]
    room = max(1, _LARGEST_BLOCK // (block.shape[1] * block.shape[2]))
    if block.shape[0] > room:
        fullest = int(np.argmax(np.count_nonzero(block, axis=(1, 2))))
        first = min(max(0, fullest - room // 2), block.shape[0] - room)
        block = block[first : first + room]
    deep = marked.shape[0] > 1
    padded = np.pad(block, ((int(deep), int(deep)), (1, 1), (1, 1)))
    plane = padded if deep else padded[0]
    distance = ndimage.distance_transform_edt(plane)
    ridge = plane & (distance >= ndimage.maximum_filter(distance, size=3))
    return float(2.0 * distance[ridge].mean() - 1.0)
