"""Sheared or unevenly spaced planes onto an upright, even grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STILL = 0.05  # pixels: smaller shifts over a whole stack are rounding
_EXACT = 1e-3  # of a plane or pixel


@dataclass(frozen=True)
class Resampling:
    """Where each plane lies on the target grid, whose axes are those of the planes.

    Attributes
    ----------
    shape:
        The grid ``(z, y, x)``: wide enough for every plane wherever it was shifted to.
    depths:
        Each plane's fractional z index, rising from 0.
    shifts:
        Each plane's first pixel as fractional ``(y, x)`` index, none below 0.
    low:
        First pixel of the grid in pixels ``(y, x)`` from that of the first plane.
    """

    shape: tuple[int, int, int]
    depths: tuple[float, ...]
    shifts: tuple[tuple[float, float], ...]
    low: tuple[float, float]

    @classmethod
    def onto(
        cls,
        shape: tuple[int, int, int],
        depths: NDArray[np.float64] | None,
        shifts: NDArray[np.float64],
    ) -> Resampling:
        """The grid for planes of ``shape`` at ``depths`` (in steps; ``None`` where they are even),
        shifted by pixels ``(n, 2)``.
        """
        moves = np.ptp(shifts, axis=0) > _STILL
        shifts = np.where(moves, shifts, 0.0)
        low = shifts.min(axis=0)
        shifts = shifts - low
        wide = np.ceil(shifts.max(axis=0) - _EXACT).astype(int)
        places = np.arange(shape[0], dtype=np.float64) if depths is None else depths
        count = int(places[-1] + _EXACT) + 1
        return cls(
            (count, shape[1] + int(wide[0]), shape[2] + int(wide[1])),
            tuple(float(depth) for depth in places),
            tuple((float(y), float(x)) for y, x in shifts),
            (float(low[0]), float(low[1])),
        )

    @property
    def nearest(self) -> tuple[int, ...]:
        """The plane nearest to each slice of the grid."""
        depths = np.asarray(self.depths)
        return tuple(int(np.abs(depths - z).argmin()) for z in range(self.shape[0]))

    @property
    def repairs(self) -> tuple[str, ...]:
        """What is repaired: "tilt", "spacing" or both."""
        tilted = any(max(shift) > 0 for shift in self.shifts)
        uneven = self.depths != tuple(float(z) for z in range(self.shape[0]))
        return ("tilt",) * tilted + ("spacing",) * uneven

    def apply(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Voxels ``(z, y, x)`` or ``(c, z, y, x)`` of the planes, on the grid, of the same type.

        Linear between neighbouring pixels and planes; outside is the smallest value of all.
        """
        if voxels.ndim == 4:
            channels: NDArray[Any] = np.stack([self.apply(channel) for channel in voxels])
            return channels
        fill = voxels.min()
        out = np.empty(self.shape, voxels.dtype)
        whole = voxels.dtype.kind in "iu"
        depths = np.asarray(self.depths)
        for z in range(self.shape[0]):
            upper = min(int(np.searchsorted(depths, z - _EXACT)), len(depths) - 1)
            found = self._placed(voxels, upper, fill)
            weight = 0.0
            if depths[upper] - z > _EXACT and upper:
                weight = float((depths[upper] - z) / (depths[upper] - depths[upper - 1]))
                found = found * (1 - weight) + self._placed(voxels, upper - 1, fill) * weight
            out[z] = np.rint(found) if whole else found
        return out

    def _placed(self, voxels: NDArray[Any], plane: int, fill: Any) -> NDArray[np.float64]:
        """One plane ``(y, x)`` on the grid, shifted in its own plane."""
        shifted: NDArray[np.float64] = voxels[plane].astype(np.float64)
        for axis in (0, 1):
            shifted = _shift(shifted, self.shifts[plane][axis], self.shape[axis + 1], axis, fill)
        return shifted


def _shift(
    plane: NDArray[np.float64], by: float, size: int, axis: int, fill: Any
) -> NDArray[np.float64]:
    """``plane`` moved by a fractional number of pixels along ``axis`` into ``size`` of them."""
    whole = int(np.floor(by + _EXACT))
    part = by - whole
    moved = np.moveaxis(plane, axis, 0)
    count = len(moved)
    out = np.full((size, *moved.shape[1:]), fill, dtype=np.float64)
    if part < _EXACT:
        out[whole : whole + count] = moved
    else:  # value at i of the grid lies between i - by, rounded down and up
        out[whole + 1 : whole + count] = moved[:-1] * part + moved[1:] * (1 - part)
    turned: NDArray[np.float64] = np.moveaxis(out, 0, axis)
    return turned
