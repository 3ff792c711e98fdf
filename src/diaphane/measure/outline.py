"""Geometry of a planar outline: calipers, perimeter and radial profile of one 2-D mask.

Every outline is described by the middles of the outer pixel edges, so a rectangle of ``a x b``
pixels measures exactly ``a`` by ``b`` along its sides (pixel centres would lose one pixel, corners
would add a diagonal). Axis order is ``(y, x)`` throughout, lengths are in the unit of ``spacing``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Calipers:
    """Longest diameter of an outline and the longest width at right angles to it.

    Attributes
    ----------
    long_axis:
        length of the longest diameter, above 0.
    short_axis:
        length of the longest chord of the convex hull perpendicular to it.
    long_ends:
        its two end points ``((y, x), (y, x))`` in the unit of ``spacing``.
    short_ends:
        the end points of the perpendicular chord.
    """

    long_axis: float
    short_axis: float
    long_ends: tuple[tuple[float, float], tuple[float, float]]
    short_ends: tuple[tuple[float, float], tuple[float, float]]


def edge_points(mask: BoolArray) -> FloatArray:
    """Middles of the outer pixel edges of each row and column, ``(N, 2)`` as ``(y, x)`` in pixels.

    Parameters
    ----------
    mask:
        one plane ``(H, W)``, not empty.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    top = mask[:, columns].argmax(axis=0)
    bottom = mask.shape[0] - 1 - mask[::-1, columns].argmax(axis=0)
    return np.concatenate(
        [
            np.stack([rows, left - 0.5], axis=1),
            np.stack([rows, right + 0.5], axis=1),
            np.stack([top - 0.5, columns], axis=1),
            np.stack([bottom + 0.5, columns], axis=1),
        ]
    ).astype(np.float64)


def convex_hull(points: FloatArray) -> FloatArray:
    """Convex hull of planar points, ``(V, 2)`` in counter-clockwise order.

    Andrew's monotone chain (Inf Process Lett 9:216, 1979); collinear points are dropped.
    """
    ordered = sorted({(float(a), float(b)) for a, b in points})
    if len(ordered) <= 2:
        return np.array(ordered, dtype=np.float64)

    def chain(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for point in sequence:
            while len(kept) >= 2 and _turn(kept[-2], kept[-1], point) <= 0.0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]), dtype=np.float64)


def polygon_area(polygon: FloatArray) -> float:
    """Area enclosed by a polygon ``(V, 2)`` (shoelace formula), never negative."""
    nxt = np.roll(polygon, -1, axis=0)
    return float(abs(np.sum(polygon[:, 0] * nxt[:, 1] - nxt[:, 0] * polygon[:, 1])) / 2.0)


def calipers(mask: BoolArray, spacing: tuple[float, float] = (1.0, 1.0)) -> Calipers:
    """Longest diameter of a planar mask and its longest perpendicular chord.

    Parameters
    ----------
    mask:
        one plane ``(H, W)``, not empty.
    spacing:
        pixel size ``(y, x)``; the result is in its unit.

    The long axis is the largest distance of two outline points; the short axis is measured on the
    convex hull at right angles to it, as RECIST 1.1 does (Eisenhauer, Eur J Cancer 45:228, 2009).
    """
    hull = convex_hull(edge_points(mask) * np.asarray(spacing, dtype=np.float64))
    offsets = hull[:, None, :] - hull[None, :, :]
    squared = np.einsum("ijk,ijk->ij", offsets, offsets)
    first, second = np.unravel_index(int(squared.argmax()), squared.shape)
    start, end = hull[first], hull[second]
    length = float(np.sqrt(squared[first, second]))
    along = (end - start) / length
    across = np.array([-along[1], along[0]])
    u, v = (hull - start) @ along, (hull - start) @ across
    upper, lower = _chains(u, v)
    positions = np.unique(u)
    heights = np.interp(positions, *upper), np.interp(positions, *lower)
    best = int((heights[0] - heights[1]).argmax())
    chord = [start + positions[best] * along + h[best] * across for h in (heights[1], heights[0])]
    return Calipers(
        long_axis=length,
        short_axis=float(heights[0][best] - heights[1][best]),
        long_ends=(_pair(start), _pair(end)),
        short_ends=(_pair(chord[0]), _pair(chord[1])),
    )


def widest(masks: BoolArray) -> FloatArray:
    """Bounds of the longest diameter of each plane of ``(T, H, W)`` in pixels: ``(T, 2)``.

    The outline's points are looked at in 16 directions, so that a diameter lies at most half a step
    beside one of them. 0 and 0 for an empty plane.
    """
    angles = np.arange(16) * np.pi / 16
    y, x = np.sin(angles), np.cos(angles)
    high = np.full((masks.shape[0], 16), -np.inf)
    low = -high
    for axis, along, across in ((2, y, x), (1, x, y)):
        line = np.arange(masks.shape[3 - axis])[:, None] * along
        first = masks.argmax(axis=axis)[..., None] - 0.5
        last = masks.shape[axis] - 0.5 - np.flip(masks, axis).argmax(axis=axis)[..., None]
        filled = np.asarray(masks.any(axis=axis))[..., None]
        for ends in (line + first * across, line + last * across):
            np.maximum(high, np.where(filled, ends, -np.inf).max(axis=1), out=high)
            np.minimum(low, np.where(filled, ends, np.inf).min(axis=1), out=low)
    width = np.maximum((high - low).max(axis=1), 0.0)
    return np.stack([width, width / np.cos(np.pi / 32)], axis=1)


def boundary(mask: BoolArray) -> BoolArray:
    """Pixels of a planar mask with at least one of their four neighbours outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inside, dtype=np.bool_)


def _turn(o: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def _chains(
    u: FloatArray, v: FloatArray
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Upper and lower hull chains as ``(u ascending, v)``; both run from end to end."""
    chains = []
    for sign in (1.0, -1.0):
        side = sign * v >= -1e-9
        order = np.lexsort((v[side], u[side]))
        chains.append((u[side][order], v[side][order]))
    return chains[0], chains[1]


def _pair(point: FloatArray) -> tuple[float, float]:
    return float(point[0]), float(point[1])
