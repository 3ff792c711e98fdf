"""Signed distances of the solids that a chest is made of.

Every function returns mm to the surface, negative inside, as float32; one value per
pixel of an axial slice. Distances of ellipses are exact on the axes and within a few
percent elsewhere, which is enough for a partial-volume edge of one voxel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def ellipse(x: Field, y: Field, a: float, b: float, square: float = 0.0) -> Field:
    """Ellipse of half axes ``a``, ``b`` (mm) about the origin, on the way to a rectangle.

    ``square`` is 0 for an ellipse and 1 for the superellipse of power 4. Empty when
    a half axis is not above 1 mm.
    """
    if a <= 1.0 or b <= 1.0:
        return np.full(np.broadcast_shapes(x.shape, y.shape), 1e3, dtype=np.float32)
    u, v = (x / np.float32(a)) ** 2, (y / np.float32(b)) ** 2
    level = np.sqrt(u + v)
    if square > 0.0:
        level *= np.float32(1.0 - square)
        level += np.float32(square) * np.sqrt(np.sqrt(u * u + v * v))
    radial = np.sqrt(x * x + y * y)
    return np.asarray(radial - radial / np.maximum(level, np.float32(1e-3)), dtype=np.float32)


def disc(x: Field, y: Field, radius: float) -> Field:
    """Circle about the origin."""
    return np.asarray(np.sqrt(x * x + y * y) - np.float32(radius), dtype=np.float32)


def joined(a: Field, b: Field, blend: float) -> Field:
    """Union whose seam is rounded over ``blend`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / np.float32(blend), 0.0, 1.0)
    return np.asarray(b + (a - b) * h - np.float32(blend) * h * (1.0 - h), dtype=np.float32)


def without(a: Field, b: Field) -> Field:
    """``a`` minus ``b``."""
    return np.maximum(a, -b)


def share(distance: Field, edge: float) -> Field:
    """How much of a voxel lies inside: 1 within, 0 outside, linear over ``edge`` mm."""
    return np.asarray(np.clip(0.5 - distance / np.float32(edge), 0.0, 1.0), dtype=np.float32)


def paint(hu: Field, distance: Field, density: float | Field, edge: float) -> None:
    """Put ``density`` (HU) inside ``distance`` onto ``hu``, in place."""
    hu += share(distance, edge) * (np.float32(1.0) * density - hu)


def inside_capsule(
    points: tuple[Field, Field, Field],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radii: tuple[float, float],
) -> Field:
    """Rod from ``start`` to ``end`` (x, y, z mm) with a radius at either end."""
    along = end - start
    length2 = max(float(along @ along), 1e-6)
    x, y, z = (p - np.float32(s) for p, s in zip(points, start, strict=True))
    t = (x * np.float32(along[0]) + y * np.float32(along[1]) + z * np.float32(along[2])) / length2
    t = np.clip(t, 0.0, 1.0).astype(np.float32)
    gap = np.sqrt(
        (x - t * np.float32(along[0])) ** 2
        + (y - t * np.float32(along[1])) ** 2
        + (z - t * np.float32(along[2])) ** 2
    )
    return np.asarray(gap - (radii[0] + t * (radii[1] - radii[0])), dtype=np.float32)
