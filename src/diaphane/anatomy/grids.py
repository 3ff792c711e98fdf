"""Upright views of a volume and the coarser grids that the anatomy is found on.

Anatomy reasons in the patient's own directions. An *upright* array has axes
``(z to Superior, y to Posterior, x to Left)``; it is a view of the native array
with axes swapped and flipped, so nothing is copied or interpolated, and a result
goes back to the native grid by the inverse view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diaphane.core.geometry import Geometry

Scalar = TypeVar("Scalar", bound=np.generic)
Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Upright:
    """The axis swap and flips between a native grid and the upright one.

    Attributes
    ----------
    axes:
        Native axis that becomes each upright axis ``(z, y, x)``.
    flips:
        Whether each upright axis runs against its native axis.
    shape:
        Upright shape ``(z, y, x)``.
    spacing:
        Upright spacing ``(z, y, x)`` in mm.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    shape: tuple[int, int, int]
    spacing: Triple

    @classmethod
    def of(cls, geometry: Geometry) -> Upright:
        """Nearest upright view of ``geometry``.

        Raises
        ------
        MissingSpacing
            When the grid has no known spacing or place in the patient.
        """
        matrix = geometry.affine[:3, :3]
        steps = geometry.spacing_mm
        unit = np.abs(matrix / np.asarray(steps))
        # Rows of LPS in upright order: Superior, Posterior, Left.
        rows = (2, 1, 0)
        orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
        axes = max(orders, key=lambda o: sum(unit[r, a] for r, a in zip(rows, o, strict=True)))
        flips = tuple(bool(matrix[r, a] < 0) for r, a in zip(rows, axes, strict=True))
        return cls(
            axes,
            (flips[0], flips[1], flips[2]),
            (geometry.shape[axes[0]], geometry.shape[axes[1]], geometry.shape[axes[2]]),
            (steps[axes[0]], steps[axes[1]], steps[axes[2]]),
        )

    def view(self, native: NDArray[Scalar]) -> NDArray[Scalar]:
        """Upright view of a native array ``(z, y, x)``."""
        turned = np.transpose(native, self.axes)
        return turned[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]

    def back(self, upright: NDArray[Scalar]) -> NDArray[Scalar]:
        """Native, contiguous array of an upright one."""
        flipped = upright[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]
        return np.ascontiguousarray(np.transpose(flipped, np.argsort(self.axes)))

    def index(self, native: NDArray[np.float64]) -> NDArray[np.float64]:
        """Upright indices ``(..., 3)`` of native indices ``(..., 3)``, both (z, y, x)."""
        turned = np.asarray(native, dtype=np.float64)[..., list(self.axes)]
        last = np.asarray(self.shape, dtype=np.float64) - 1.0
        return np.where(self.flips, last - turned, turned)

    def native_index(self, upright: NDArray[np.float64]) -> NDArray[np.float64]:
        """Native indices ``(..., 3)`` of upright ones; inverse of :meth:`index`."""
        last = np.asarray(self.shape, dtype=np.float64) - 1.0
        flipped = np.where(self.flips, last - upright, upright)
        return np.asarray(flipped[..., np.argsort(self.axes)], dtype=np.float64)


@dataclass(frozen=True)
class Coarse:
    """A grid whose voxels are blocks of ``factor`` fine voxels per axis.

    Attributes
    ----------
    factor:
        Fine voxels per coarse voxel, per axis.
    fine:
        Shape of the fine grid.
    spacing:
        Coarse spacing in mm.
    """

    factor: tuple[int, int, int]
    fine: tuple[int, int, int]
    spacing: Triple

    @classmethod
    def toward(cls, shape: tuple[int, int, int], spacing: Triple, target: float) -> Coarse:
        """The block grid whose spacing is nearest to ``target`` mm; never finer than the data."""
        f = [min(n, max(1, round(target / s))) for s, n in zip(spacing, shape, strict=True)]
        wide = [s * k for s, k in zip(spacing, f, strict=True)]
        return cls((f[0], f[1], f[2]), shape, (wide[0], wide[1], wide[2]))

    def mean(self, fine: NDArray[Scalar]) -> Float:
        """Mean of each block, float32; blocks at the far edge may be smaller."""
        result: NDArray[np.generic] = fine
        for axis, factor in enumerate(self.factor):
            if factor == 1:
                continue
            size = result.shape[axis]
            lines = [_every(result, axis, first, factor) for first in range(factor)]
            total = lines[0].astype(np.float32)
            for line in lines[1:]:
                part = _every(total, axis, 0, 1, line.shape[axis])
                np.add(part, line, out=part)
            counts = np.minimum(factor, size - np.arange(0, size, factor)).astype(np.float32)
            share = [1, 1, 1]
            share[axis] = -1
            total /= counts.reshape(share)
            result = total
        return np.asarray(result, dtype=np.float32)

    def nearest(self, coarse: NDArray[Scalar]) -> NDArray[Scalar]:
        """Each block's value on all its fine voxels."""
        result = coarse
        for axis, factor in enumerate(self.factor):
            if factor > 1:
                result = np.repeat(result, factor, axis=axis)
        nz, ny, nx = self.fine
        return result[:nz, :ny, :nx]

    def smooth(self, coarse: Mask) -> Mask:
        """A mask on the fine grid whose border is interpolated between blocks."""
        if self.factor == (1, 1, 1):
            return coarse
        whole = np.zeros(self.fine, dtype=bool)
        if not coarse.any():
            return whole
        # Half a block beyond the mask it is below one half everywhere.
        box = bounds(coarse, (1, 1, 1))
        result = coarse[box].astype(np.float32)
        into = []
        for axis, (part, factor) in enumerate(zip(box, self.factor, strict=True)):
            fine = np.arange(part.start * factor, min(part.stop * factor, self.fine[axis]))
            into.append(slice(int(fine[0]), int(fine[-1]) + 1))
            if factor > 1:
                result = _pick(result, axis, (fine + 0.5) / factor - 0.5 - part.start)
        whole[tuple(into)] = result > 0.5
        return whole

    def index(self, fine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coarse indices ``(..., 3)`` of fine ones."""
        factor = np.asarray(self.factor, dtype=np.float64)
        return (np.asarray(fine, dtype=np.float64) + 0.5) / factor - 0.5

    def fine_index(self, coarse: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fine indices ``(..., 3)`` of coarse ones; inverse of :meth:`index`."""
        factor = np.asarray(self.factor, dtype=np.float64)
        return (np.asarray(coarse, dtype=np.float64) + 0.5) * factor - 0.5


def dilated(mask: Mask, radius: float, spacing: Triple) -> Mask:
    """``mask`` grown by a ball of ``radius`` mm."""
    reach = [min(int(radius / s + 1e-6), n - 1) for s, n in zip(spacing, mask.shape, strict=True)]
    if not mask.any() or not any(reach):
        return mask.copy()
    box = bounds(mask, (reach[0], reach[1], reach[2]))
    # Squared distances add up over the axes, and none beyond the radius matters.
    gap = np.where(mask[box], np.float32(0.0), np.float32(np.inf))
    for axis in range(3):
        if reach[axis]:
            gap = _nearer(gap, axis, reach[axis], spacing[axis])
    result = np.zeros_like(mask)
    result[box] = gap <= np.float32(radius * radius * (1.0 + 1e-6))
    return result


def eroded(mask: Mask, radius: float, spacing: Triple) -> Mask:
    """``mask`` shrunk by a ball of ``radius`` mm; the frame of the grid does not erode."""
    return ~dilated(~mask, radius, spacing)


def _nearer(gap: Float, axis: int, reach: int, step: float) -> Float:
    """Least of the squared gaps up to ``reach`` voxels along an axis, each with its way there."""
    result = gap.copy()
    # Slab by slab, so that a slab stays in the cache.
    order = ((1, 0, 2), (0, 1, 2), (0, 2, 1))[axis]
    for old, new in zip(gap.transpose(order), result.transpose(order), strict=True):
        way = np.empty_like(old)
        for far in range(1, min(reach, len(old) - 1) + 1):
            np.add(old, np.float32((far * step) ** 2), out=way)
            np.minimum(new[far:], way[:-far], out=new[far:])
            np.minimum(new[:-far], way[far:], out=new[:-far])
    return result


def closed(mask: Mask, radius: float, spacing: Triple) -> Mask:
    """``mask`` closed by a ball of ``radius`` mm, as if it went on beyond the frame as empty."""
    pad = [(int(np.ceil(radius / s)) + 1,) * 2 for s in spacing]
    wide = np.pad(mask, pad)
    grown = dilated(wide, radius, spacing)
    whole = eroded(grown, radius, spacing) | wide
    core = tuple(slice(p[0], p[0] + n) for p, n in zip(pad, mask.shape, strict=True))
    return whole[core]


def opened(mask: Mask, radius: float, spacing: Triple) -> Mask:
    """``mask`` opened by a ball of ``radius`` mm."""
    core = eroded(mask, radius, spacing)
    return dilated(core, radius, spacing) & mask


def bounds(mask: Mask, margin: tuple[int, int, int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """Slices of the smallest box around ``mask``, widened by ``margin`` within the grid."""
    found: list[slice] = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        low, high = (int(hit[0]), int(hit[-1])) if hit.size else (0, 0)
        low, high = max(0, low - margin[axis]), high + margin[axis] + 1
        found.append(slice(low, min(mask.shape[axis], high)))
    return found[0], found[1], found[2]


@dataclass(frozen=True)
class Even:
    """A grid of equal steps on all axes inside a box of an upright grid.

    Attributes
    ----------
    start:
        Upright index of its voxel (0, 0, 0).
    step:
        Upright voxels per even voxel, per axis.
    shape:
        Its size ``(z, y, x)``.
    spacing:
        mm per even voxel, the same on all axes.
    """

    start: Triple
    step: Triple
    shape: tuple[int, int, int]
    spacing: Triple

    @classmethod
    def over(cls, box: tuple[slice, slice, slice], spacing: Triple, target: float) -> Even:
        """Grid of ``target`` mm over ``box`` of an upright grid of ``spacing``."""
        step = [target / s for s in spacing]
        start = [float(b.start) for b in box]
        size = [int((b.stop - 1 - b.start) / k) + 1 for b, k in zip(box, step, strict=True)]
        return cls(
            (start[0], start[1], start[2]),
            (step[0], step[1], step[2]),
            (size[0], size[1], size[2]),
            (target, target, target),
        )

    def sample(self, upright: NDArray[Scalar]) -> Float:
        """Linear samples, float32; averaged over a step first where it spans two voxels."""
        result: NDArray[np.generic] = upright
        # The axes that shrink most go first.
        for axis in sorted(range(3), key=lambda a: -self.step[a]):
            step, size = self.step[axis], self.shape[axis]
            low = max(0, int(self.start[axis] - step) - 1)
            high = int(self.start[axis] + step * size) + 3
            part = [slice(None)] * 3
            part[axis] = slice(low, high)
            line = np.asarray(result[tuple(part)], dtype=np.float32)
            if step >= 2.0:
                line = ndimage.uniform_filter1d(line, round(step), axis=axis, mode="nearest")
            at = self.start[axis] - low + step * np.arange(size, dtype=np.float64)
            result = _pick(line, axis, at)
        return np.asarray(result, dtype=np.float32)

    def index(self, upright: NDArray[np.float64]) -> NDArray[np.float64]:
        """Even indices ``(..., 3)`` of upright ones."""
        return (np.asarray(upright, dtype=np.float64) - self.start) / self.step

    def upright_index(self, even: NDArray[np.float64]) -> NDArray[np.float64]:
        """Upright indices ``(..., 3)`` of even ones; inverse of :meth:`index`."""
        return np.asarray(even, dtype=np.float64) * self.step + self.start


def _every(
    values: NDArray[Scalar], axis: int, first: int, step: int, stop: int | None = None
) -> NDArray[Scalar]:
    """View of each ``step``-th plane along one axis."""
    part = [slice(None)] * 3
    part[axis] = slice(first, stop, step)
    return values[tuple(part)]


def _pick(values: Float, axis: int, at: NDArray[np.float64]) -> Float:
    """Linear interpolation along one axis at fractional indices, held at both ends."""
    low = np.clip(np.floor(at).astype(np.intp), 0, values.shape[axis] - 1)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = np.clip(at - low, 0.0, 1.0).astype(np.float32)
    share = [1, 1, 1]
    share[axis] = -1
    # Every index is inside; "clip" only spares numpy a second copy.
    result = np.take(values, low, axis=axis, mode="clip")
    rise = np.take(values, high, axis=axis, mode="clip")
    rise -= result
    rise *= weight.reshape(share)
    result += rise
    return result
