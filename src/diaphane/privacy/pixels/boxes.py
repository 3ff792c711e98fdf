"""Rectangles of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle to blank.

    Attributes
    ----------
    top, left, bottom, right:
        Pixels, from 0, half open.
    reason:
        "text"; "outside_region": outside the regions of an ultrasound image; "template": where
        this device is known to write.
    frame:
        Index of the one frame that it is for; ``None`` for all.
    """

    top: int
    left: int
    bottom: int
    right: int
    reason: str = "text"
    frame: int | None = None

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns, as an index."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, rows: int, columns: int) -> Box | None:
        """The part inside a picture of this size; ``None`` when there is none."""
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = min(rows, self.bottom), min(columns, self.right)
        if top >= bottom or left >= right:
            return None
        return Box(top, left, bottom, right, self.reason, self.frame)


def painted(boxes: Iterable[Box], rows: int, columns: int) -> Mask:
    """Mask of what the boxes cover."""
    mask = np.zeros((rows, columns), np.bool_)
    for box in boxes:
        mask[box.place] = True
    return mask


def rectangles(mask: Mask) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, bottom, right of rectangles that cover the mask exactly, without overlap.

    Rows that look alike go together, so few edges give few rectangles.
    """
    if not len(mask):
        return
    changes = np.flatnonzero((mask[1:] != mask[:-1]).any(axis=1)) + 1
    edges = [0, *(int(k) for k in changes), len(mask)]
    for top, bottom in pairwise(edges):
        row = np.concatenate(([False], mask[top], [False]))
        starts_and_ends = np.flatnonzero(row[1:] != row[:-1])
        for left, right in starts_and_ends.reshape(-1, 2):
            yield top, int(left), bottom, int(right)
