"""How voxels pass from one grid to another: the one resampler of diaphane."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.core.geometry import Geometry, Spacing, Triple
from diaphane.core.volume import Array, Volume

Interpolation = Literal["linear", "nearest", "bspline"]
Floats = NDArray[np.float64]
Shape = tuple[int, int, int]

AIR_HU = -1024.0
_WHOLE = 1e-7  # indices this close to a voxel centre are that voxel


@dataclass(frozen=True, eq=False)
class Passage:
    """From the grid before a step to the grid after it.

    Attributes
    ----------
    before, after:
        The two grids.
    index:
        ``(4, 4)`` matrix from an index ``(z, y, x, 1)`` of ``after`` to the same point's
        index on ``before``. Needs no place in the patient, so images without spacing can
        be brought back too.
    """

    before: Geometry
    after: Geometry
    index: Floats

    def then(self, following: Passage) -> Passage:
        """One passage that does both, first this one."""
        return Passage(self.before, following.after, self.index @ following.index)

    def reversed(self) -> Passage:
        """The way back."""
        back = np.asarray(np.linalg.inv(self.index), dtype=np.float64)
        return Passage(self.after, self.before, back)

    def to_before(self, index: Any) -> Floats:
        """Indices ``(..., 3)`` on ``after`` as indices on ``before``."""
        at = np.asarray(index, dtype=np.float64) @ self.index[:3, :3].T + self.index[:3, 3]
        return np.asarray(at, dtype=np.float64)

    def to_after(self, index: Any) -> Floats:
        """Indices ``(..., 3)`` on ``before`` as indices on ``after``."""
        return self.reversed().to_before(index)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; ``from_dict`` reads it back."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "index": [[float(v) for v in row] for row in self.index],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Passage:
        """Inverse of :meth:`to_dict`."""
        return cls(
            Geometry.from_dict(data["before"]),
            Geometry.from_dict(data["after"]),
            np.asarray(data["index"], dtype=np.float64),
        )


def axis_passage(
    before: Geometry,
    shape: Shape,
    *,
    axes: Shape = (0, 1, 2),
    scale: Triple = (1.0, 1.0, 1.0),
    offset: Triple = (0.0, 0.0, 0.0),
) -> Passage:
    """Passage to a grid whose axes run along those of ``before``.

    Parameters
    ----------
    before:
        Grid that is left.
    shape:
        Size of the new grid ``(z, y, x)``.
    axes:
        Axis of ``before`` that each new axis runs along.
    scale:
        Voxels of ``before`` per new voxel along each new axis; negative runs backwards.
    offset:
        Index on ``before`` (in its own axis order) of the new voxel (0, 0, 0).
    """
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for new, old in enumerate(axes):
        matrix[old, new] = scale[new]
    matrix[:3, 3] = offset
    return Passage(before, _moved(before, shape, axes, scale, offset), matrix)


def _moved(before: Geometry, shape: Shape, axes: Shape, scale: Triple, offset: Triple) -> Geometry:
    steps = [before.spacing[a] for a in axes]
    known = [None if s is None else s * abs(k) for s, k in zip(steps, scale, strict=True)]
    spacing: Spacing = (known[0], known[1], known[2])
    direction = before.direction
    if direction is not None:
        turned = np.asarray(direction)[:, list(axes)] * np.sign(scale)
        rows = [(float(r[0]), float(r[1]), float(r[2])) for r in turned]
        direction = (rows[0], rows[1], rows[2])
    origin = before.origin
    if before.is_spatial:
        point = before.to_patient(offset)
        origin = (float(point[0]), float(point[1]), float(point[2]))
    elif any(offset):
        origin = None
    return replace(before, shape=shape, spacing=spacing, direction=direction, origin=origin)


def passage_to(before: Geometry, after: Geometry) -> Passage:
    """Passage to any grid in the same patient space.

    Raises
    ------
    MissingSpacing
        When one of the two grids has no place in the patient.
    """
    index = np.asarray(np.linalg.inv(before.affine) @ after.affine, dtype=np.float64)
    return Passage(before, after, index)


def carry(
    volume: Volume,
    passage: Passage,
    interpolation: Interpolation = "linear",
    *,
    fill: float | None = None,
    threads: int | None = None,
) -> Volume:
    """The volume on the grid ``passage.after``.

    Up to half a voxel outside the outermost voxel centres the edge value is taken (as ITK
    does); beyond that lies ``fill``, by default -1024 for HU and 0 otherwise. Whole-voxel
    passages (crop, pad, turn, every n-th slice) copy values and keep the voxel type;
    "nearest" keeps it as well; "linear" and "bspline" (cubic, mirrored at the edges) give
    float32.
    """
    outside = fill if fill is not None else (AIR_HU if volume.unit == "HU" else 0.0)
    voxels = volume.voxels
    channels = voxels if voxels.ndim == 4 else voxels[None]
    moved = [_carry(c, passage, interpolation, outside, threads) for c in channels]
    joined = np.stack(moved) if voxels.ndim == 4 else moved[0]
    return volume.with_voxels(joined, passage.after)


def _carry(
    voxels: Array, passage: Passage, how: Interpolation, fill: float, threads: int | None
) -> Array:
    axes = along_axes(passage.index)
    if axes is None:
        return _carry_oblique(voxels, passage, how, fill)
    shape = passage.after.shape
    source = voxels.transpose(axes)
    steps = [float(passage.index[a, j]) for j, a in enumerate(axes)]
    starts = [float(passage.index[a, 3]) for a in axes]
    places: list[Floats] = [
        np.arange(n, dtype=np.float64) * k + s for n, k, s in zip(shape, steps, starts, strict=True)
    ]
    whole = all(np.abs(p - np.round(p)).max() < _WHOLE for p in places)
    valid = [within(p, n) for p, n in zip(places, source.shape, strict=True)]
    if any(v.stop <= v.start for v in valid):
        kept = voxels.dtype if whole or how == "nearest" else np.dtype(np.float32)
        return np.full(shape, fill, dtype=_holding(kept, fill))
    covers = all(v == slice(0, n) for v, n in zip(valid, shape, strict=True))
    inner = [p[v] for p, v in zip(places, valid, strict=True)]
    if whole or how == "nearest":
        # The nudge breaks ties the same way whatever the rounding of the matrix.
        at = [
            np.clip(np.floor(p + 0.5 + 1e-9), 0, n - 1).astype(np.intp)
            for p, n in zip(inner, source.shape, strict=True)
        ]
        values = np.ascontiguousarray(source[_indexer(at)])
    elif how == "linear":
        values = _linear(source, inner, threads)
    else:
        values = _bspline(source, inner, steps)
    if covers:
        return values
    out = np.full(shape, fill, dtype=_holding(values.dtype, fill))
    out[tuple(valid)] = values
    return out


def _holding(kind: np.dtype[Any], fill: float) -> np.dtype[Any]:
    """The voxel type, or float32 where it cannot hold the fill value."""
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        if fill != int(fill) or not limits.min <= fill <= limits.max:
            return np.dtype(np.float32)
    return kind


def along_axes(index: Floats) -> Shape | None:
    """Old axis of each new axis when the grids are parallel, else ``None``."""
    size = np.abs(index[:3, :3])
    nonzero = size > 1e-9 * size.max()
    if not ((nonzero.sum(axis=0) == 1).all() and (nonzero.sum(axis=1) == 1).all()):
        return None
    old = nonzero.argmax(axis=0)
    return int(old[0]), int(old[1]), int(old[2])


def within(place: Floats, size: int) -> slice:
    """New indices that lie within half a voxel of the old axis; always one stretch."""
    good = np.flatnonzero((place >= -0.5 - _WHOLE) & (place <= size - 0.5 + _WHOLE))
    return slice(int(good[0]), int(good[-1]) + 1) if good.size else slice(0, 0)


def _indexer(at: Sequence[NDArray[np.intp]]) -> tuple[Any, ...]:
    """Slices where all three axes have an even step (fast), else an open mesh."""
    cuts: list[slice] = []
    for line in at:
        step = int(line[1] - line[0]) if line.size > 1 else 1
        if step == 0 or (np.diff(line) != step).any():
            return np.ix_(*at)
        stop = int(line[-1]) + (1 if step > 0 else -1)
        cuts.append(slice(int(line[0]), None if stop < 0 else stop, step))
    return tuple(cuts)


@dataclass(frozen=True, eq=False)
class Lerp:
    """Neighbours and weight of each new position along one axis."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: NDArray[np.float32]
    same: bool

    @classmethod
    def at(cls, place: Floats, size: int) -> Lerp:
        """For positions ``place`` on an axis of ``size`` voxels."""
        clamped = np.clip(place, 0.0, size - 1.0)
        low = np.minimum(np.floor(clamped + _WHOLE), size - 1).astype(np.intp)
        weight = np.maximum(clamped - low, 0.0).astype(np.float32)
        same = place.size == size and bool(np.abs(place - np.arange(size)).max() < _WHOLE)
        return cls(low, np.minimum(low + 1, size - 1), weight, same)


def _linear(source: Array, places: Sequence[Floats], threads: int | None) -> NDArray[np.float32]:
    """Separable linear interpolation: plane by plane, then between planes.

    Slabs of new planes run on threads (numpy releases the lock); no coordinate grid is
    ever built and every old plane is interpolated once per slab.
    """
    z, y, x = (Lerp.at(p, n) for p, n in zip(places, source.shape, strict=True))
    out = np.empty((z.low.size, y.low.size, x.low.size), dtype=np.float32)

    def slab(first: int, last: int) -> None:
        ready: dict[int, NDArray[np.float32]] = {}
        for k in range(first, last):
            low, high, weight = int(z.low[k]), int(z.high[k]), z.weight[k]
            needed = (low, high) if weight else (low,)
            ready = {i: ready[i] if i in ready else lerp_plane(source[i], y, x) for i in needed}
            if not weight:
                out[k] = ready[low]
                continue
            np.subtract(ready[high], ready[low], out=out[k])
            out[k] *= weight
            out[k] += ready[low]

    count = z.low.size
    workers = min(threads or os.cpu_count() or 1, count) if out.size > 1 << 18 else 1
    cuts = [count * i // workers for i in range(workers + 1)]
    if workers == 1:
        slab(0, count)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(slab, cuts[:-1], cuts[1:]))
    return out


def lerp_plane(plane: Array, y: Lerp, x: Lerp) -> NDArray[np.float32]:
    """Linear interpolation of one plane ``(rows, columns)``."""
    rows = plane.astype(np.float32)
    if not y.same:
        low = rows.take(y.low, axis=0, mode="clip")
        rows = rows.take(y.high, axis=0, mode="clip")
        rows -= low
        rows *= y.weight[:, None]
        rows += low
    if not x.same:
        left = rows.take(x.low, axis=1, mode="clip")
        rows = rows.take(x.high, axis=1, mode="clip")
        rows -= left
        rows *= x.weight
        rows += left
    return rows


def _bspline(
    source: Array, places: Sequence[Floats], steps: Sequence[float]
) -> NDArray[np.float32]:
    """Cubic B-spline on parallel grids (Unser 1999), mirrored at the edges as in ITK."""
    from scipy import ndimage

    shape = tuple(p.size for p in places)
    values = ndimage.affine_transform(
        source.astype(np.float64, copy=False),
        np.asarray(steps),
        np.asarray([float(p[0]) for p in places]),
        output_shape=shape,
        output=np.float32,
        order=3,
        mode="mirror",
    )
    return np.asarray(values, dtype=np.float32)


def _carry_oblique(voxels: Array, passage: Passage, how: Interpolation, fill: float) -> Array:
    """Any two grids; slower, plane by plane."""
    from scipy import ndimage

    order = {"nearest": 0, "linear": 1, "bspline": 3}[how]
    kind = _holding(voxels.dtype if how == "nearest" else np.dtype(np.float32), fill)
    plain = voxels.astype(np.uint8) if voxels.dtype == bool else voxels
    source = plain if how == "nearest" else plain.astype(np.float64)
    mode = "nearest"
    if how == "bspline":
        source = ndimage.spline_filter(source, order=3, mode="mirror")
        mode = "mirror"
    matrix, start = passage.index[:3, :3], passage.index[:3, 3]
    depth, height, width = passage.after.shape
    limit = np.asarray(voxels.shape, dtype=np.float64)[:, None, None] - 0.5 + _WHOLE
    y = matrix[:, 1, None, None] * np.arange(height)[None, :, None]
    x = matrix[:, 2, None, None] * np.arange(width)[None, None, :]
    flat = y + x + start[:, None, None]
    out = np.empty((depth, height, width), dtype=kind)
    for k in range(depth):
        at = flat + (matrix[:, 0] * k)[:, None, None]
        values = ndimage.map_coordinates(source, at, order=order, mode=mode, prefilter=False)
        inside = ((at >= -0.5 - _WHOLE) & (at <= limit)).all(axis=0)
        out[k] = np.where(inside, values, fill)
    return out
