"""Descriptors of small patches of a slice, for a memory of what is normal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RADII = (1, 2, 4, 8)
"""Half sides in pixels of the windows that the filter bank looks through."""
CELL = 4
"""Pixels of one cell of the descriptors' grid."""
PER_CHANNEL = 4 * len(RADII)


def filter_bank(image: NDArray[Any]) -> Floats:
    """Descriptors ``(T, h, w, D)`` of slices ``(T, C, H, W)``, one per cell of :data:`CELL` pixels.

    For each channel and window: mean, standard deviation, and the mean's absolute slope down and
    across, averaged over the cell. ``h`` is ``ceil(H / CELL)``, and D is :data:`PER_CHANNEL` times C.
    Few numbers that were never learned, which is what a memory of few normal images can hold.
    """
    from scipy.ndimage import uniform_filter

    pixels = np.asarray(image, dtype=np.float32)
    flat = (0,) * (pixels.ndim - 2)
    parts = []
    for radius in RADII:
        size = (*flat, 2 * radius + 1, 2 * radius + 1)
        mean = uniform_filter(pixels, size, mode="reflect")
        square = uniform_filter(pixels * pixels, size, mode="reflect")
        parts.append(mean)
        parts.append(np.sqrt(np.maximum(square - mean * mean, 0.0)))
        step = max(1, radius // 2)
        parts += [np.abs(_apart(mean, step, axis)) for axis in (-2, -1)]
    stacked = np.stack(parts, axis=2)  # (T, C, P, H, W)
    cells = cell_means(stacked)
    slices, channels, kinds, height, width = cells.shape
    moved = np.moveaxis(cells.reshape(slices, channels * kinds, height, width), 1, -1)
    return np.ascontiguousarray(moved, dtype=np.float32)


def cell_means(values: NDArray[Any]) -> Floats:
    """Means over cells of the last two axes; cells at the far edges may be smaller."""
    means = np.asarray(values, dtype=np.float32)
    for axis in (-2, -1):
        starts = np.arange(0, means.shape[axis], CELL)
        counts = np.diff(np.append(starts, means.shape[axis])).astype(np.float32)
        shape = [1] * means.ndim
        shape[axis] = len(counts)
        sums = np.add.reduceat(means, starts, axis=axis)
        means = np.asarray(sums / counts.reshape(shape), dtype=np.float32)
    return means


def neighbourhood(cells: Floats) -> Floats:
    """Each descriptor ``(T, h, w, D)`` as the mean of its 3x3 neighbours, as PatchCore does."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(cells, (1, 3, 3, 1), mode="nearest"), dtype=np.float32)


def places(height: int, width: int) -> Floats:
    """Where each cell lies in the frame ``(h, w, 2)``: down and across, -1 to 1."""
    down, across = np.meshgrid(
        np.linspace(-1.0, 1.0, height), np.linspace(-1.0, 1.0, width), indexing="ij"
    )
    return np.stack([down, across], axis=-1).astype(np.float32)


def spread_core(values: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """Indices of up to ``size`` rows that lie far apart: greedy k-centres (Roth et al. 2022).

    Starts with the row nearest to the mean. Distances are of random projections to 16 dimensions
    where there are more (Johnson and Lindenstrauss 1984).
    """
    rows = np.asarray(values, dtype=np.float32)
    if len(rows) <= size:
        return np.arange(len(rows), dtype=np.int64)
    if rows.shape[1] > 16:
        matrix = np.random.default_rng(seed).standard_normal((rows.shape[1], 16))
        rows = rows @ (matrix / 4.0).astype(np.float32)
    at = int(np.square(rows - rows.mean(axis=0)).sum(axis=1).argmin())
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    chosen = []
    for _ in range(size):
        chosen.append(at)
        np.minimum(nearest, np.square(rows - rows[at]).sum(axis=1), out=nearest)
        at = int(nearest.argmax())
    return np.array(chosen, dtype=np.int64)


def nearest_distance(rows: Floats, memory: Floats) -> Floats:
    """Distance ``(n,)`` of each row ``(n, D)`` to the nearest row of a memory ``(m, D)``."""
    out = np.empty(len(rows), dtype=np.float32)
    own = np.square(memory).sum(axis=1)
    for first in range(0, len(rows), 2048):
        part = rows[first : first + 2048]
        square = np.square(part).sum(axis=1)[:, None] + own - 2.0 * (part @ memory.T)
        out[first : first + 2048] = np.sqrt(np.maximum(square.min(axis=1), 0.0))
    return out


def _apart(mean: Floats, step: int, axis: int) -> Floats:
    """Difference of values ``step`` ahead and ``step`` behind along an axis; edges repeat."""
    width = [(0, 0)] * mean.ndim
    width[axis] = (step, step)
    padded = np.pad(mean, width, mode="edge")
    ahead: list[Any] = [slice(None)] * mean.ndim
    behind: list[Any] = [slice(None)] * mean.ndim
    ahead[axis], behind[axis] = slice(2 * step, None), slice(None, -2 * step)
    return np.asarray(padded[tuple(ahead)] - padded[tuple(behind)], dtype=np.float32)
