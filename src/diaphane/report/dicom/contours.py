"""Masks as closed outlines: the mask comes back when the outline is filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""``(n, 2)`` as ``(y, x)`` in pixel indices; the first point is not repeated."""


def outlines(mask: NDArray[np.bool_]) -> list[Points]:
    """One outline for every connected part of a plane; holes are reached by a keyhole.

    Outlines run halfway between the centres of pixels inside and outside, so that every centre
    inside the mask is inside the outline and no other is. A hole is joined to its part by a
    channel of no width, walked there and back, as DICOM asks of CLOSED_PLANAR (PS3.3 C.8.8.6.3).

    Parameters
    ----------
    mask:
        Bool ``(y, x)``. Parts are connected by their edges.
    """
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        shift = np.array([b.start for b in box], dtype=np.float64)
        found.append(_joined(_rings(parts[box] == number)) + shift)
    return found


def _rings(part: NDArray[np.bool_]) -> list[Points]:
    """Outer ring, then holes, each once round and without needless points."""
    from skimage.measure import find_contours

    rings = [
        _straightened(ring[:-1] - 1)
        for ring in find_contours(np.pad(part, 1).astype(np.float32), 0.5)
    ]
    return sorted(rings, key=lambda ring: -abs(_area(ring)))


def _straightened(ring: Points) -> Points:
    """Without the points that lie on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return ring[np.abs(turns) > 1e-9]


def _area(ring: Points) -> float:
    y, x = ring[:, 0], ring[:, 1]
    return float(np.sum(y * np.roll(x, -1) - x * np.roll(y, -1))) / 2


def _joined(rings: list[Points]) -> Points:
    """One closed way round the outer ring and, by channels, round every hole."""
    way = rings[0]
    for hole in rings[1:]:
        gaps = np.linalg.norm(way[:, None] - hole[None], axis=2)
        i, j = np.unravel_index(int(gaps.argmin()), gaps.shape)
        turned = np.roll(hole, -int(j), axis=0)
        way = np.concatenate([way[: i + 1], turned, turned[:1], way[i:]])
    return way


def simplified(outline: Points, tolerance: float = 0.5) -> Points:
    """With fewer points, nowhere further off than ``tolerance`` pixels: to be drawn, not filled."""
    from skimage.measure import approximate_polygon

    closed: Any = np.concatenate([outline, outline[:1]])
    return np.asarray(approximate_polygon(closed, tolerance), dtype=np.float64)[:-1]
