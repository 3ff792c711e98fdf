"""Carrying a map that arrives plane by plane, so that it is never held whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import RecipeError
from diaphane.preprocess.passage import Floats, Lerp, Passage, along_axes, lerp_plane, within

Planes = NDArray[np.float32]


class Planewise:
    """Linear interpolation onto a parallel grid, from planes that arrive in order.

    Gives what :func:`~diaphane.preprocess.passage.carry` gives, with two planes in memory.

    Parameters
    ----------
    passage:
        From the grid that arrives to the grid that is wanted.
    axis:
        Axis of the arriving grid that planes are stacked along.

    Attributes
    ----------
    across:
        Axis of the wanted grid that planes are stacked along there.
    part:
        Which part of a wanted plane lies on the arriving grid; the rest has no value.

    Raises
    ------
    RecipeError
        The two grids are oblique to each other.
    """

    def __init__(self, passage: Passage, axis: int = 0) -> None:
        axes = along_axes(passage.index)
        if axes is None:
            raise RecipeError("The grids are oblique to each other.")
        places: list[Floats] = []
        for new, old in enumerate(axes):
            step, start = float(passage.index[old, new]), float(passage.index[old, 3])
            places.append(np.arange(passage.after.shape[new], dtype=np.float64) * step + start)
        sizes = [passage.before.shape[old] for old in axes]
        valid = [within(place, size) for place, size in zip(places, sizes, strict=True)]
        lerps = [
            Lerp.at(place[part], size)
            for place, part, size in zip(places, valid, sizes, strict=True)
        ]
        self.across = axes.index(axis)
        first, second = (new for new in range(3) if new != self.across)
        self.part = (valid[first], valid[second])
        self._turned = axes[first] > axes[second]
        self._rows, self._columns = lerps[first], lerps[second]
        self._next = 0
        self._before: Planes | None = None
        # By the last plane that a wanted one needs: (its number, weight of that last plane).
        self._due: dict[int, list[tuple[int, float]]] = {}
        self._used: set[int] = set()
        along, offset = lerps[self.across], valid[self.across].start
        for k in range(along.low.size):
            low, high, weight = int(along.low[k]), int(along.high[k]), float(along.weight[k])
            due = high if weight else low
            self._used |= {low, due}
            self._due.setdefault(due, []).append((k + offset, weight if due != low else 1.0))

    def take(self, planes: Planes) -> Iterator[tuple[int, Planes]]:
        """Take in the next plane ``(K, h, w)``; yield wanted ones as number and ``(K, h', w')``.

        Every wanted plane that lies on the arriving grid is given once, none else. Values are
        those of :attr:`part` only, and must not be changed.
        """
        number, self._next = self._next, self._next + 1
        if number not in self._used:
            self._before = None
            return
        there = np.stack([self._in_plane(plane) for plane in planes])
        for wanted, weight in self._due.get(number, ()):
            if weight == 1.0 or self._before is None:
                yield wanted, there
                continue
            between = there - self._before
            between *= np.float32(weight)
            between += self._before
            yield wanted, between
        self._before = there

    def _in_plane(self, plane: Planes) -> Planes:
        turned = plane.T if self._turned else plane
        return lerp_plane(turned, self._rows, self._columns)
