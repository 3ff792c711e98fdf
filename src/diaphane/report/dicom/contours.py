"""Masks as closed outlines: the mask comes back when the outline is filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""``(n, 2)`` as ``(y, x)`` in pixel indices; the first point is not repeated."""

Numbers = NDArray[np.int64]


def outlines(mask: NDArray[np.bool_]) -> list[Points]:
    """One outline for every connected part of a plane; holes are reached by a keyhole.

    Outlines run halfway between the centres of pixels inside and outside, so that every centre
    inside the mask is inside the outline and no other is. A hole is joined to its part by a
    channel of no width, walked there and back, as DICOM asks of CLOSED_PLANAR (PS3.3 C.8.8.6.3);
    it runs along a row, from the leftmost point of the hole to the next border. The time grows
    with the length of the borders, however many parts and holes there are.

    Parameters
    ----------
    mask:
        Bool ``(y, x)``. Parts are connected by their edges.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return []
    corner = np.array([side.start for side in boxes[0]], dtype=np.float64)
    inside = np.pad(mask[boxes[0]], 1)
    points, after, owner = _borders(inside)
    ring, _ = _walked(after)
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    turns = _turns(points[before], points, points[after])
    doors, holes = _channels(inside, points, ring)
    turns[doors] = turns[holes] = True

    # A channel walks its two ends twice: door, hole, round it, hole again, door again.
    n, extra = len(points), len(doors)
    holes_again, doors_again = n + np.arange(extra), n + extra + np.arange(extra)
    after = np.concatenate([after, doors_again, np.empty(extra, np.int64)])
    after[before[holes]] = holes_again
    after[doors_again] = after[doors]
    after[doors] = holes
    again = np.concatenate([np.arange(n), holes, doors])

    way, place = _walked(after)
    kept = np.flatnonzero(turns[again])
    kept = kept[np.lexsort((place[kept], way[kept]))]
    starts = np.flatnonzero(np.diff(way[kept])) + 1
    found = np.split(points[again[kept]] - 1 + corner, starts)
    parts, _ = ndimage.label(inside)
    firsts = kept[np.concatenate([[0], starts])]
    return [found[i] for i in np.argsort(parts.ravel()[owner[again[firsts]]])]


def _borders(inside: NDArray[np.bool_]) -> tuple[Points, Numbers, Numbers]:
    """Points between pixels inside and outside, the one that follows each, its pixel inside.

    Going round four neighbouring pixels, a line enters between one outside and one inside, and
    leaves between the last inside and the next outside: parts that touch by a corner stay apart.
    The neighbouring four, where it goes on, see the latter as the former.

    Returns
    -------
    points: ``(n, 2)``; after: index of the next point; owner: flat index of the pixel inside.
    """
    high, wide = inside.shape
    size = high * wide
    corners = [inside[:-1, :-1], inside[:-1, 1:], inside[1:, 1:], inside[1:, :-1]]
    flat = np.arange(size).reshape(high, wide)[:-1, :-1]
    # Between (y, x) and (y, x + 1) lies y * wide + x; between (y, x) and (y + 1, x), size more.
    between = [flat, flat + size + 1, flat + wide, flat + size]
    pixel = [flat, flat + 1, flat + wide + 1, flat + wide]
    here, there, owners = [], [], []
    for k in range(4):
        second, third, fourth = ((k + i) % 4 for i in (1, 2, 3))
        enters = ~corners[k] & corners[second]
        here.append(between[k][enters])
        owners.append(pixel[second][enters])
        leaves = np.where(
            ~corners[third],
            between[second],
            np.where(~corners[fourth], between[third], between[fourth]),
        )
        there.append(leaves[enters])
    borders, owner = np.concatenate(here), np.concatenate(owners)
    number = np.empty(2 * size, np.int64)
    number[borders] = np.arange(len(borders))
    y, x = np.divmod(borders % size, wide)
    below = borders >= size
    return np.stack([y + below * 0.5, x + ~below * 0.5], 1), number[np.concatenate(there)], owner


def _walked(after: Numbers) -> tuple[Numbers, Numbers]:
    """Which closed way each point lies on (its lowest point), and how far from that one's end."""
    first, jump = np.arange(len(after)), after
    for _ in range(len(after).bit_length()):
        first, jump = np.minimum(first, first[jump]), jump[jump]
    ends = first == np.arange(len(after))
    jump = np.where(ends, np.arange(len(after)), after)
    left = np.where(ends, 0, 1)
    for _ in range(len(after).bit_length()):
        left, jump = left + left[jump], jump[jump]
    return first, -left


def _turns(before: Points, here: Points, after: Points) -> NDArray[np.bool_]:
    """Whether the way turns at a point; all lie on halves, so that products are exact."""
    into, out = here - before, after - here
    return np.asarray(into[:, 0] * out[:, 1] != into[:, 1] * out[:, 0])


def _channels(inside: NDArray[np.bool_], points: Points, ring: Numbers) -> tuple[Numbers, Numbers]:
    """For every hole the next border to the left in its row, and its own leftmost point there.

    The row between them lies inside, and that border belongs to another ring that reaches further
    left: the outer one, or a hole that is itself joined. No two channels share a point.
    """
    order = np.lexsort((points[:, 0], points[:, 1], ring))
    leftmost = order[np.concatenate([[True], np.diff(ring[order]) != 0])]
    y, x = points[leftmost].astype(np.int64).T
    holes = leftmost[inside[y, x]]
    beside = np.flatnonzero(points[:, 0] % 1 == 0)
    beside = beside[np.lexsort((points[beside, 1], points[beside, 0]))]
    rank = np.empty(len(points), np.int64)
    rank[beside] = np.arange(len(beside))
    return beside[rank[holes] - 1], holes


def simplified(outline: Points, tolerance: float = 0.5) -> Points:
    """With fewer points, nowhere further off than ``tolerance`` pixels: to be drawn, not filled."""
    from skimage.measure import approximate_polygon

    closed: Any = np.concatenate([outline, outline[:1]])
    return np.asarray(approximate_polygon(closed, tolerance), dtype=np.float64)[:-1]
