"""Flat sheets through a volume, turned as a radiologist looks at them.

A :class:`Sheet` says where each pixel of a picture lies on the native grid, so that image,
mask and evidence are all sampled by one rule and can never slip against each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.geometry import Geometry

Box = tuple[tuple[int, int, int], tuple[int, int, int]]

_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))
_NAMES = {0: "sagittal", 1: "coronal", 2: "axial"}
# Right of the picture: patient's Left (axial, coronal) or Posterior; down: Posterior or Inferior.
_RIGHT = {"axial": (0, 1), "coronal": (0, 1), "sagittal": (1, 1)}
_DOWN = {"axial": (1, 1), "coronal": (2, -1), "sagittal": (2, -1)}


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture's place on the native grid.

    Attributes
    ----------
    name:
        "axial", "coronal", "sagittal", or "image" where the place in the patient is unknown.
    corner, right, down:
        Index ``(z, y, x)`` of the first pixel's centre, and steps from pixel to pixel.
    size:
        Pixels ``(height, width)``.
    pixel, unit:
        Side of one pixel in ``unit`` ("mm" or "px").
    marks:
        Letters at the left, right, top and bottom edge; empty strings where unknown.
    """

    name: str
    corner: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    size: tuple[int, int]
    pixel: float
    unit: str
    marks: tuple[str, str, str, str]

    def coordinates(self) -> NDArray[np.float64]:
        """Index ``(3, height, width)`` as (z, y, x) of every pixel."""
        rows = np.arange(self.size[0])[:, None]
        columns = np.arange(self.size[1])[None, :]
        return np.stack(
            [self.corner[i] + self.down[i] * rows + self.right[i] * columns for i in range(3)]
        )

    def sample(self, array: NDArray[Any], *, outside: float = 0.0) -> NDArray[np.float32]:
        """Values ``(height, width)`` of a native array ``(z, y, x)``, linear in between.

        Sheets lie along the grid, so each axis is interpolated by itself.
        """
        rows = self.corner[:, None] + self.down[:, None] * np.arange(self.size[0])
        columns = self.corner[:, None] + self.right[:, None] * np.arange(self.size[1])
        axis_down, axis_right = (int(np.abs(step).argmax()) for step in (self.down, self.right))
        depth = 3 - axis_down - axis_right
        plane, inside = _along(array, np.array([self.corner[depth]]), depth)
        if not inside[0]:
            return np.full(self.size, outside, dtype=np.float32)
        flat: NDArray[Any] = np.squeeze(plane, axis=depth)
        first, second = (0, 1) if axis_down < axis_right else (1, 0)
        flat, rows_in = _along(flat, rows[axis_down], first)
        flat, columns_in = _along(flat, columns[axis_right], second)
        turned = flat if first == 0 else flat.T
        within = rows_in[:, None] & columns_in[None, :]
        return np.where(within, turned, np.float32(outside)).astype(np.float32)

    def place(self, index: Sequence[float]) -> tuple[float, float]:
        """Where an index ``(z, y, x)`` falls: shares of width and height, 0 to 1."""
        steps = np.stack([self.down, self.right], axis=1)
        at = np.linalg.lstsq(steps, np.asarray(index) - self.corner, rcond=None)[0]
        return (float(at[1]) + 0.5) / self.size[1], (float(at[0]) + 0.5) / self.size[0]


def _along(
    array: NDArray[Any], at: NDArray[np.float64], axis: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Linear interpolation along one axis, and which places lie within the grid."""
    last = array.shape[axis] - 1
    inside = (at >= -0.5) & (at <= last + 0.5)
    clipped = np.clip(at, 0, last)
    low = np.floor(clipped).astype(int)
    high = np.minimum(low + 1, last)
    shape = [1] * array.ndim
    shape[axis] = len(at)
    share = (clipped - low).astype(np.float32).reshape(shape)
    first = array.take(low, axis=axis).astype(np.float32)
    second = array.take(high, axis=axis).astype(np.float32)
    return first + (second - first) * share, inside


def sample(
    array: NDArray[Any], coordinates: NDArray[np.float64], outside: float = 0.0
) -> NDArray[np.float32]:
    """Linear samples of ``array`` ``(z, y, x)`` at ``coordinates`` ``(3, ...)``.

    Only the box that the coordinates touch is read, so a picture costs what it shows.
    Within half a voxel of the border the border's value holds.
    """
    from scipy.ndimage import map_coordinates

    flat = coordinates.reshape(3, -1)
    last = np.asarray(array.shape, dtype=np.float64) - 1
    within = ((flat >= -0.5) & (flat <= last[:, None] + 0.5)).all(axis=0)
    out = np.full(flat.shape[1], outside, dtype=np.float32)
    if within.any():
        inner = np.clip(flat[:, within], 0, last[:, None])
        low = np.floor(inner.min(axis=1)).astype(int)
        high = np.ceil(inner.max(axis=1)).astype(int) + 1
        part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        out[within] = map_coordinates(
            part.astype(np.float32), inner - low[:, None], order=1, mode="nearest"
        )
    return out.reshape(coordinates.shape[1:])


def axes_of(geometry: Geometry) -> tuple[int, int, int] | None:
    """Patient axis (0 x, 1 y, 2 z) that each index axis runs along, or ``None``."""
    if geometry.direction is None:
        return None
    weight = np.abs(np.asarray(geometry.direction))
    return max(
        ((a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3),
        key=lambda order: sum(weight[axis, j] for j, axis in enumerate(order)),
    )


def planes(geometry: Geometry) -> tuple[str, ...]:
    """Names of the planes that can be shown; the one of the native slices comes first."""
    axes = axes_of(geometry)
    if axes is None or not geometry.is_spatial:
        return ("image",)
    native = _NAMES[axes[0]]
    if geometry.shape[0] == 1:
        return (native,)
    return (native, *(name for name in ("axial", "coronal", "sagittal") if name != native))


def cut(
    geometry: Geometry,
    plane: str,
    centre: Sequence[float],
    *,
    extent: float | None = None,
    box: Box | None = None,
    pixels: int = 320,
) -> Sheet:
    """The sheet of that plane through ``centre`` ``(z, y, x)``.

    Parameters
    ----------
    plane:
        One of :func:`planes`.
    extent:
        Side of a square picture around the centre in mm (pixels where spacing is unknown);
        ``None`` shows the whole plane, or what of it lies in ``box``.
    box:
        Lowest and highest index ``(z, y, x)`` to show; only without ``extent``.
    pixels:
        Largest side of the picture; a whole plane is never blown up beyond its own pixels.
    """
    axes = axes_of(geometry) or (2, 1, 0)
    dy, dx = geometry.spacing[1], geometry.spacing[2]
    known = dy is not None and dx is not None and (plane == "image" or geometry.is_spatial)
    steps = [step if known and step is not None else 1.0 for step in geometry.spacing]
    name = "axial" if plane == "image" else plane
    across, down = axes.index(_RIGHT[name][0]), axes.index(_DOWN[name][0])
    signs = [1.0, 1.0]
    marks = ("", "", "", "")
    if plane != "image" and geometry.direction is not None:
        direction = np.asarray(geometry.direction)
        signs = [
            float(np.sign(direction[axis, j]) * sign)
            for (axis, sign), j in ((_RIGHT[name], across), (_DOWN[name], down))
        ]
        right_letter = _LETTERS[_RIGHT[name][0]]
        down_letter = _LETTERS[_DOWN[name][0]]
        top, bottom = (down_letter[1], down_letter[0])
        if _DOWN[name][1] < 0:
            top, bottom = bottom, top
        marks = (right_letter[1], right_letter[0], top, bottom)
    shape = geometry.shape
    middle = np.asarray(centre, dtype=np.float64).copy()
    if extent is None:
        low, high = box or ((0, 0, 0), (shape[0] - 1, shape[1] - 1, shape[2] - 1))
        wide = (high[across] - low[across] + 1) * steps[across]
        tall = (high[down] - low[down] + 1) * steps[down]
        pixel = max(wide, tall) / min(
            pixels, math.ceil(max(wide, tall) / min(steps[across], steps[down]))
        )
        for axis in (across, down):
            middle[axis] = (low[axis] + high[axis]) / 2
    else:
        wide = tall = extent
        pixel = extent / pixels
    size = (max(1, round(tall / pixel)), max(1, round(wide / pixel)))
    right, below = np.zeros(3), np.zeros(3)
    right[across] = signs[0] * pixel / steps[across]
    below[down] = signs[1] * pixel / steps[down]
    corner = middle - right * (size[1] - 1) / 2 - below * (size[0] - 1) / 2
    return Sheet(plane, corner, right, below, size, pixel, "mm" if known else "px", marks)
