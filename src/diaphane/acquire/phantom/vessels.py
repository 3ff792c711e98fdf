"""Random trees of vessels and bronchi that fill the lungs from the hila.

Each tree is grown by splitting in two: radii follow Murray's law (r0^3 = r1^3 + r2^3)
with uneven daughters, lengths about four to six radii, branching angles larger for
the thinner daughter (Kitaoka et al., J Appl Physiol 87:2207, 1999, in spirit).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Depth = Callable[[Vector], float]

_THINNEST = 0.45  # mm radius
_MOST = 900


@dataclass(frozen=True)
class Segment:
    """A tapering rod: ends (x, y, z) LPS mm and radius in mm at either end."""

    start: Vector
    end: Vector
    radii: tuple[float, float]


def grow_tree(
    root: Vector,
    toward: Vector,
    radius: float,
    depth: Depth,
    random: np.random.Generator,
    *,
    thinnest: float = _THINNEST,
) -> list[Segment]:
    """Grow one tree.

    Parameters
    ----------
    root, toward:
        Where it starts (mm) and the direction of its first segment.
    radius:
        Radius of the first segment in mm.
    depth:
        mm below the surface of the lung at a point, negative outside.
    random:
        Source of all choices.
    thinnest:
        Radius at which branches end, mm.
    """
    found: list[Segment] = []
    open_ends = deque([(root, _unit(toward), radius, True)])
    while open_ends and len(found) < _MOST:
        start, heading, size, first = open_ends.popleft()
        length = float(size * random.uniform(3.0, 6.0) + random.uniform(6.0, 14.0))
        end, heading = _step(start, heading, length, depth, random, free=first)
        inside = depth(end)
        if inside < 1.0 and not first:
            continue
        tip = size * 0.95
        found.append(Segment(start, end, (size, tip)))
        if tip <= thinnest or (inside < 3.0 and not first):
            continue
        uneven = float(random.uniform(0.35, 0.65))
        axis = _unit(np.cross(heading, random.normal(size=3)))
        for portion, sign in ((uneven, 1.0), (1.0 - uneven, -1.0)):
            child = tip * portion ** (1.0 / 3.0)
            angle = sign * np.radians(random.uniform(18.0, 34.0) + 30.0 * (0.5 - portion) * sign)
            turned = heading * np.cos(angle) + np.cross(axis, heading) * np.sin(angle)
            if child > thinnest:
                open_ends.append((end, _unit(turned), child, False))
    return found


def _step(
    start: Vector,
    heading: Vector,
    length: float,
    depth: Depth,
    random: np.random.Generator,
    *,
    free: bool,
) -> tuple[Vector, Vector]:
    """End of a segment: of a few jittered headings the one that stays deepest in the lung."""
    best, chosen = -np.inf, heading
    for spread in (0.10, 0.25, 0.45, 0.7):
        trial = _unit(heading + random.normal(scale=spread, size=3))
        inside = depth(start + trial * length)
        worth = min(inside, 8.0) - 8.0 * float(1.0 - trial @ heading)
        if worth > best:
            best, chosen = worth, trial
        if free or inside > 8.0:
            break
    return start + chosen * length, chosen


def _unit(v: Vector) -> Vector:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-9), dtype=np.float64)
