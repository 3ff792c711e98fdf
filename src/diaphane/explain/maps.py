"""Contributions as pictures, on the prepared grid and on the patient's own; sums are kept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import Bundle, Prediction, PreparedCase

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SliceWeight:
    """One slice: its native index z, its attention (0 to 1), its part of the logit."""

    z: int
    attention: float
    contribution: float


def upsample(maps: NDArray[Any], size: tuple[int, int], *, smooth: bool = True) -> Floats:
    """Feature-grid maps ``(T, h, w)`` on pixels ``(T, H, W)``, every slice's sum kept.

    Each cell's contribution is spread over pixels with weights that sum to 1: evenly over
    its block, or with ``smooth`` by a linear hat two blocks wide.
    """
    maps = np.asarray(maps, dtype=np.float64)
    down = _spread(maps.shape[1], size[0], smooth=smooth)
    across = _spread(maps.shape[2], size[1], smooth=smooth)
    return np.asarray(down @ maps @ across.T, dtype=np.float32)


def contribution_maps(
    bundle: Bundle, prediction: Prediction, target: str | None = None, *, smooth: bool = True
) -> Floats:
    """Contribution of each prepared pixel ``(T, H, W)`` to the target's logit.

    "Contribution given the rest of the study": attention and context are taken as they are.
    The sum is the image's part of the logit.
    """
    evidence = bundle.evidence(prediction, target)
    height, width = prediction.prepared.mask.shape[1:]
    return upsample(evidence.maps, (height, width), smooth=smooth)


def slice_attention(
    bundle: Bundle, prediction: Prediction, target: str | None = None
) -> tuple[SliceWeight, ...]:
    """Attention and contribution of each slice, in order."""
    evidence = bundle.evidence(prediction, target)
    parts = evidence.maps.sum(axis=(1, 2), dtype=np.float64)
    return tuple(
        SliceWeight(z, float(a), float(c))
        for z, a, c in zip(prediction.prepared.slices, evidence.attention, parts, strict=True)
    )


def native_map(pixels: Floats, prepared: PreparedCase) -> Floats:
    """Prepared pixels ``(T, H, W)`` on the case's own grid ``(z, y, x)``, the sum kept.

    Each native voxel takes an even share of the prepared pixel that it is nearest to; a pixel
    that no voxel is nearest to gives all to its nearest voxel. Slices that the network did
    not see stay 0.
    """
    matrix = prepared.trace.passage.index
    out = np.zeros(prepared.native.shape, dtype=np.float64)
    last = np.asarray(prepared.native.shape) - 1
    flat = np.asarray(pixels, dtype=np.float64).ravel()
    low, high = _box(prepared, matrix, last)
    voxels = np.stack(
        np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"),
        axis=-1,
    )
    owner = _owner(voxels.reshape(-1, 3), prepared, np.linalg.inv(matrix))
    taken = owner >= 0
    shares = np.bincount(owner[taken], minlength=flat.size)
    values = np.zeros(len(owner))
    values[taken] = flat[owner[taken]] / shares[owner[taken]]
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    out[box] = values.reshape(voxels.shape[:3])

    left = np.flatnonzero((shares == 0) & (flat != 0))
    t, y, x = np.unravel_index(left, pixels.shape)
    after = np.stack(
        [np.asarray(prepared.picked)[t], y + prepared.frame[0], x + prepared.frame[1]], axis=-1
    )
    at = np.clip(np.round(after @ matrix[:3, :3].T + matrix[:3, 3]), 0, last).astype(int)
    np.add.at(out, tuple(at.T), flat[left])
    return out.astype(np.float32)


def _spread(cells: int, pixels: int, *, smooth: bool) -> NDArray[np.float64]:
    """Weights ``(pixels, cells)`` whose columns sum to 1."""
    centre = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    away = np.abs(centre[:, None] - np.arange(cells))
    if smooth:
        weights = np.clip(1.0 - away, 0.0, None)
    else:
        weights = (away.argmin(axis=1)[:, None] == np.arange(cells)).astype(np.float64)
    return np.asarray(weights / weights.sum(axis=0), dtype=np.float64)


def _box(
    prepared: PreparedCase, matrix: NDArray[np.float64], last: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and last native index that the frame can touch."""
    _, height, width = prepared.mask.shape
    y, x = prepared.frame
    corners = np.array(
        list(
            product(
                (min(prepared.picked) - 1, max(prepared.picked) + 1),
                (y - 1, y + height),
                (x - 1, x + width),
            )
        ),
        dtype=np.float64,
    )
    before = corners @ matrix[:3, :3].T + matrix[:3, 3]
    low = np.clip(np.floor(before.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(before.max(axis=0)), 0, last).astype(int)
    return low, high


def _owner(
    voxels: NDArray[Any], prepared: PreparedCase, inverse: NDArray[Any]
) -> NDArray[np.int64]:
    """Flat index of the prepared pixel nearest to each native voxel, or -1."""
    at = np.round(voxels @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    steps, height, width = prepared.mask.shape
    turn = np.full(prepared.grid.shape[0], -1)
    turn[list(prepared.picked)] = np.arange(steps)
    inside_z = (at[:, 0] >= 0) & (at[:, 0] < len(turn))
    t = np.where(inside_z, turn[np.clip(at[:, 0], 0, len(turn) - 1)], -1)
    y, x = at[:, 1] - prepared.frame[0], at[:, 2] - prepared.frame[1]
    inside = (t >= 0) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.where(inside, (t * height + y) * width + x, -1)
