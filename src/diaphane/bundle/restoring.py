"""The way back of probabilities: from planes of the recipe's grid to planes of the native one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diaphane.preprocess.passage import Passage, along_axes
from diaphane.preprocess.planewise import Planewise

Floats = NDArray[np.float32]


class WayBack(Protocol):
    """Takes planes in, gives native planes out as soon as they are known.

    ``across`` is the native axis that planes are stacked along, ``part`` the part of a plane
    that has values.
    """

    across: int
    part: tuple[slice, slice]

    def take(self, planes: Floats) -> Iterator[tuple[int, Floats]]:
        """Take in the next plane ``(L, h, w)``; yield native planes by number."""
        ...


def way_back(passage: Passage, axis: int, labels: int) -> WayBack:
    """The way along ``passage``, from planes of ``passage.before`` stacked along ``axis``."""
    if along_axes(passage.index) is not None:
        return Planewise(passage, axis)
    return _Oblique(passage, axis, labels)


class _Oblique:
    """Between grids that are oblique to each other every native plane needs many others.

    They wait in a file as float16, so that memory stays flat here too.
    """

    def __init__(self, passage: Passage, axis: int, labels: int) -> None:
        self.across = 0
        self.part = (slice(None), slice(None))
        self._passage = passage
        self._axis = axis
        self._next = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._all = np.memmap(self._file, np.float16, "w+", shape=(labels, *passage.before.shape))

    def take(self, planes: Floats) -> Iterator[tuple[int, Floats]]:
        np.moveaxis(self._all, self._axis + 1, 0)[self._next] = planes
        self._next += 1
        if self._next == self._passage.before.shape[self._axis]:
            yield from self._planes()

    def _planes(self) -> Iterator[tuple[int, Floats]]:
        from scipy.ndimage import map_coordinates

        depth, height, width = self._passage.after.shape
        last = np.asarray(self._passage.before.shape, dtype=np.float64)[:, None, None] - 1
        for k in range(depth):
            index = np.indices((1, height, width), dtype=np.float64)[:, 0]
            index[0] = k
            at = np.moveaxis(self._passage.to_before(np.moveaxis(index, 0, -1)), -1, 0)
            inside = ((at >= -0.5) & (at <= last + 0.5)).all(axis=0)
            values = np.zeros((len(self._all), height, width), dtype=np.float32)
            if inside.any():
                inner = np.clip(at[:, inside], 0, last[:, 0])
                low = np.floor(inner.min(axis=1)).astype(int)
                high = np.ceil(inner.max(axis=1)).astype(int) + 1
                box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
                for label, whole in zip(values, self._all, strict=True):
                    near = np.asarray(whole[box], dtype=np.float32)
                    label[inside] = map_coordinates(
                        near, inner - low[:, None], order=1, mode="nearest"
                    )
            yield k, values
