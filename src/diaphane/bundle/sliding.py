"""A network of patches goes over an image of any size, slab by slab.

Windows are placed evenly, as in nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z):
as many as keep at least the wanted overlap, the first and last flush with the image. Where
windows overlap their logits are averaged with Gaussian weights, sigma an eighth of the patch.
Windows lie on a lattice, so the weights are made to sum to 1 along each axis by itself, and the
sum of weighted patches is the average: nothing is divided afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.pieces import Pieces
from diaphane.bundle.segmentation import Axis, PatchSpec
from diaphane.core.errors import BundleCorrupt, UsageError
from diaphane.core.protocols import Runner

Floats = NDArray[np.float32]
Triple = tuple[int, int, int]

TOGETHER = 1 << 16
"""Voxels that go through the network at once: smaller patches are put together up to this,
since a call of the network has a cost of its own; larger ones go alone, as that is no slower."""

_AXES: dict[Axis, int] = {"z": 0, "y": 1, "x": 2}


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where windows lie, and with which weights.

    Attributes
    ----------
    size:
        ``(D, H, W)`` of a window.
    starts:
        By axis: first voxel of each window; negative where a small image is padded.
    weights:
        By axis: ``(windows, size)`` float32; over the windows that hold a voxel they sum to 1.
    """

    shape: Triple
    size: Triple
    starts: tuple[list[int], list[int], list[int]]
    weights: tuple[Floats, Floats, Floats]

    @classmethod
    def over(cls, shape: Triple, size: Triple, overlap: float) -> Lattice:
        """Windows of ``size`` over an image of ``shape``, neighbours sharing ``overlap``."""
        starts = [window_starts(n, p, overlap) for n, p in zip(shape, size, strict=True)]
        weights = [_weights(s, n, p) for s, n, p in zip(starts, shape, size, strict=True)]
        return cls(
            shape, size, (starts[0], starts[1], starts[2]), (weights[0], weights[1], weights[2])
        )

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def batches(self, axis: int) -> list[list[Triple]]:
        """Window numbers ``(i, j, k)``, ascending along ``axis``, as they are run together."""
        i, j, k = (range(len(s)) for s in self.starts)
        order: list[Triple] = sorted(product(i, j, k), key=lambda w: w[axis])
        count = max(1, TOGETHER // int(np.prod(self.size)))
        return [order[i : i + count] for i in range(0, len(order), count)]

    def depth(self, axis: int) -> int:
        """Planes along ``axis`` that must be held at once."""
        starts = self.starts[axis]
        spans = (starts[b[-1][axis]] - starts[b[0][axis]] for b in self.batches(axis))
        return min(self.shape[axis], self.size[axis] + max(spans))

    def held(self, axis: int, classes: int) -> int:
        """Bytes of the logits that are held at once when going along ``axis``."""
        plane = int(np.prod(self.shape)) // self.shape[axis]
        return 4 * classes * self.depth(axis) * plane


def window_starts(length: int, size: int, overlap: float) -> list[int]:
    """First voxel of each window along an axis."""
    if length <= size:
        return [-((size - length) // 2)]
    step = max(1.0, size * (1.0 - overlap))
    count = int(np.ceil((length - size) / step - 1e-9)) + 1
    return [int(v) for v in np.round(np.linspace(0, length - size, count))]


def slide(
    image: NDArray[Any] | Pieces,
    patch: PatchSpec,
    runner: Runner,
    *,
    overlap: float | None = None,
    mirror: bool | Sequence[Axis] | None = None,
    axis: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Floats]:
    """Logits of the whole image, in slabs along ``axis``.

    Parameters
    ----------
    image:
        ``(C, z, y, x)``; read patch by patch and converted to float32.
    patch:
        Size, padding, and the defaults of ``overlap`` and ``mirror``.
    runner:
        ``{"image": (N, C, D, H, W) float32}`` to ``{"logit": (N, K, D, H, W)}``; the answer is
        written to.
    overlap:
        Instead of the patch's own.
    mirror:
        ``False`` shows patches as they are, ``True`` or ``None`` also mirrored along the patch's
        own axes; or axes.
    axis:
        Slabs are given in ascending order along it.
    progress:
        Told the share of windows that are done.

    Yields
    ------
    ndarray
        ``(planes, K, a, b)`` float32: the next planes along ``axis``, over the two other axes in
        order. Valid until the next slab is asked for.

    Raises
    ------
    UsageError
        The overlap is not from 0 to below 1.
    BundleCorrupt
        The network gives another shape than it was given.
    """
    share = patch.overlap if overlap is None else overlap
    if not 0 <= share < 1:
        raise UsageError(f"Overlap is from 0 to below 1, not {share:g}.")
    lattice = Lattice.over(_triple(image.shape[1:]), patch.size, share)
    flips = _flips(patch.mirror if mirror is None or mirror is True else mirror or ())
    sweep = _Sweep(image, patch, runner, lattice, flips, axis)
    shape = [n for a, n in enumerate(lattice.shape) if a != axis]
    depth = lattice.depth(axis)
    starts = lattice.starts[axis]
    held: Floats | None = None
    first, done = 0, 0
    for batch in lattice.batches(axis):
        begin = max(0, starts[batch[0][axis]])
        if held is not None and begin > first:
            yield held[: begin - first]
            _shift(held, begin - first)
            first = begin
        logits = sweep.logits(batch)
        if held is None:
            held = np.zeros((depth, logits.shape[1], *shape), dtype=np.float32)
        for window, found in zip(batch, logits, strict=True):
            sweep.add(held, first, window, found)
        done += len(batch)
        if progress is not None:
            progress(done / len(lattice))
    assert held is not None
    yield held[: lattice.shape[axis] - first]


@dataclass(frozen=True, eq=False)
class _Sweep:
    """One going over an image: what is read, what runs, and along which axis."""

    image: NDArray[Any] | Pieces
    patch: PatchSpec
    runner: Runner
    lattice: Lattice
    flips: list[tuple[int, ...]]
    axis: int

    def logits(self, batch: Sequence[Triple]) -> Floats:
        """Logits ``(N, K, D, H, W)`` of some windows, averaged over the mirrorings."""
        cut = np.full(
            (len(batch), len(self.image), *self.patch.size), self.patch.pad, dtype=np.float32
        )
        for row, window in zip(cut, batch, strict=True):
            there, here = _places(self.lattice, window)
            row[:, *here] = self.image[:, *there]
        total: Floats | None = None
        for axes in self.flips:
            seen = np.ascontiguousarray(np.flip(cut, axes)) if axes else cut
            found = np.asarray(self.runner({"image": seen})["logit"], dtype=np.float32)
            if found.ndim != 5 or found.shape[2:] != self.patch.size or len(found) != len(cut):
                raise BundleCorrupt(
                    f"model.onnx gives {found.shape} for a patch of {cut.shape}, not its classes "
                    "voxel by voxel."
                )
            turned = np.flip(found, axes) if axes else found
            if total is None:
                total = turned if turned.flags.writeable else np.array(turned)
            else:
                total += turned
        assert total is not None
        if len(self.flips) > 1:
            total *= np.float32(1.0 / len(self.flips))
        return total

    def add(self, held: Floats, first: int, window: Triple, logits: Floats) -> None:
        """Add a window's weighted logits ``(K, D, H, W)`` to the planes from ``first`` on."""
        there, here = _places(self.lattice, window)
        part = logits[:, *here]
        if len(self.lattice) > 1:
            # In place and one axis after the other: a fresh array a patch would cost more.
            for axis, (lines, n, inside) in enumerate(
                zip(self.lattice.weights, window, here, strict=True)
            ):
                if len(lines) > 1:
                    part *= lines[n][inside].reshape([-1 if a == axis else 1 for a in range(3)])
        rows = slice(there[self.axis].start - first, there[self.axis].stop - first)
        plane = [where for a, where in enumerate(there) if a != self.axis]
        held[rows, :, *plane] += np.moveaxis(part, self.axis + 1, 0)


def _places(lattice: Lattice, window: Triple) -> tuple[list[slice], list[slice]]:
    """Where a window lies in the image, and that part within the window."""
    there, here = [], []
    for starts, number, size, length in zip(
        lattice.starts, window, lattice.size, lattice.shape, strict=True
    ):
        start = starts[number]
        low, high = max(start, 0), min(start + size, length)
        there.append(slice(low, high))
        here.append(slice(low - start, high - start))
    return there, here


def _shift(held: Floats, planes: int) -> None:
    """Move planes to the front and clear the freed ones, without a second copy."""
    rest = len(held) - planes
    for k in range(rest):
        held[k] = held[k + planes]
    held[max(rest, 0) :] = 0


def _weights(starts: Sequence[int], length: int, size: int) -> Floats:
    at = np.arange(size) - (size - 1) / 2
    bell = np.exp(-0.5 * (at / (size / 8)) ** 2)
    total = np.zeros(length)
    for start in starts:
        low, high = max(start, 0), min(start + size, length)
        total[low:high] += bell[low - start : high - start]
    out = np.zeros((len(starts), size), dtype=np.float32)
    for row, start in enumerate(starts):
        low, high = max(start, 0), min(start + size, length)
        out[row, low - start : high - start] = bell[low - start : high - start] / total[low:high]
    return out


def _flips(axes: Sequence[Axis]) -> list[tuple[int, ...]]:
    """Every set of axes of ``(N, C, D, H, W)`` to mirror, none first."""
    places = sorted(_AXES[a] + 2 for a in axes)
    return list(chain.from_iterable(combinations(places, n) for n in range(len(places) + 1)))


def _triple(shape: Sequence[int]) -> Triple:
    z, y, x = shape
    return int(z), int(y), int(x)
