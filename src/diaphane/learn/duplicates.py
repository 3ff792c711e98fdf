"""Cases that hold the same picture, or nearly so: they must not lie on two sides of a split.

Near-duplicates are found in two steps. Thumbnails, less the dataset's mean thumbnail (all chests
look alike), are compared by correlation; a projection on their principal axes leaves out, without
loss, most of the n^2 pairs. Likely pairs are read again and compared in their fine structure: the
correlation of what differs from its surroundings, each place by its own contrast, so that neither
a common frame nor brightness decides. A copy that was cropped, turned or mirrored is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.case import Case
from diaphane.core.errors import DiaphaneError
from diaphane.core.protocols import Progress, silent
from diaphane.learn.looking import block_means

Floats = NDArray[np.float32]

_ALIKE = 0.9
"""Least correlation of two thumbnails, less the mean one, for a closer look."""
_SAME = 0.7
"""Least correlation of fine structure of near-duplicates; more where few places are compared."""
_REST = 0.15
"""Share of the spread of thumbnails that the first comparison leaves out."""
_BLOCK = 2048
_CLOSER = 4000
"""Most pairs for a closer look; the most alike ones."""
_FINE = (8, 64, 64)
"""Largest grid of a closer look."""


@dataclass(frozen=True, eq=False)
class Look:
    """What is compared of a case; ``load`` reads it again for the closer look."""

    key: str
    group: str
    labels: tuple[tuple[str, str], ...]
    split: str | None
    digest: str
    thumbnail: NDArray[np.uint8]
    load: Callable[[], Case] = field(repr=False)


@dataclass(frozen=True)
class Twin:
    """Two cases that hold the same picture.

    Attributes
    ----------
    one, other:
        Keys of the cases.
    alike:
        1 for the same voxels, else the correlation of their fine structure.
    same_label, same_group:
        Whether labels and groups agree.
    splits:
        The split of each as the dataset says, or ``None``.
    """

    one: str
    other: str
    alike: float
    same_label: bool
    same_group: bool
    splits: tuple[str | None, str | None]

    @property
    def crosses(self) -> bool:
        """Whether the dataset's own splits separate them."""
        return None not in self.splits and self.splits[0] != self.splits[1]


def exact_twins(looks: Sequence[Look]) -> tuple[Twin, ...]:
    """Cases with the same voxels: each with the first of its kind, in the order of keys."""
    first: dict[str, Look] = {}
    found = []
    for this in sorted(looks, key=lambda look: look.key):
        other = first.setdefault(this.digest, this)
        if other is not this:
            found.append(_twin(other, this, 1.0))
    return tuple(found)


def near_twins(
    looks: Sequence[Look], *, threads: int = 1, progress: Progress = silent
) -> tuple[Twin, ...]:
    """Cases with nearly the same picture and other voxels, the most alike first.

    Of cases with the same voxels only the first is compared.
    """
    firsts = {look.digest: look for look in sorted(looks, key=lambda look: look.key, reverse=True)}
    single = sorted(firsts.values(), key=lambda look: look.key)
    pairs: list[tuple[float, int, int]] = []
    for size in sorted({look.thumbnail.size for look in single}):
        places = [i for i, look in enumerate(single) if look.thumbnail.size == size]
        table = np.stack([single[i].thumbnail.ravel() for i in places])
        pairs += [(r, places[a], places[b]) for r, a, b in likely_pairs(table, progress)]
    pairs = sorted(pairs, reverse=True)[:_CLOSER]
    if not pairs:
        return ()
    wanted = sorted({i for _, a, b in pairs for i in (a, b)})

    def fine(place: int) -> Floats | None:
        try:
            return _signature(single[place].load())
        except DiaphaneError:
            return None

    with ThreadPoolExecutor(max(1, threads)) as pool:
        close = dict(zip(wanted, pool.map(fine, wanted), strict=True))
    found = []
    for number, (_, a, b) in enumerate(pairs):
        progress("near_duplicates", (number + 1) / len(pairs))
        one, other = close[a], close[b]
        alike, compared = (
            (0.0, 0) if one is None or other is None else _fine_correlation(one, other)
        )
        if compared and alike >= min(0.98, _SAME + 2.0 / float(np.sqrt(compared))):
            found.append(_twin(single[a], single[b], round(alike, 4)))
    return tuple(sorted(found, key=lambda twin: (-twin.alike, twin.one, twin.other)))


def likely_pairs(
    table: NDArray[np.uint8], progress: Progress = silent
) -> list[tuple[float, int, int]]:
    """Pairs of rows ``(n, d)`` that correlate above 0.9 once the mean row is taken off."""
    count = len(table)
    rows = table.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    spread = np.linalg.norm(rows, axis=1)
    plain = spread < 1e-6  # one grey: nothing to compare
    rows /= np.where(plain, 1.0, spread)[:, None]
    if count >= 20:  # of few images the mean is the images themselves
        rows -= rows[~plain].mean(axis=0) if (~plain).any() else 0.0
    norm = np.linalg.norm(rows, axis=1)
    plain |= norm < 1e-3
    rows /= np.where(plain, 1.0, norm)[:, None]
    rows[plain] = 0.0
    # By Cauchy and Schwarz the rest adds at most the product of its norms: no pair is lost.
    energy, axes = np.linalg.eigh(rows.T @ rows)
    left_out = np.cumsum(energy) < _REST * max(float(energy.sum()), 1e-12)
    small = rows @ axes[:, int(left_out.sum()) :]
    rest = np.sqrt(np.maximum((rows**2).sum(axis=1) - (small**2).sum(axis=1), 0.0))
    short = np.hstack([small, rest[:, None]]).astype(np.float32)
    found: list[tuple[float, int, int]] = []
    for begin in range(0, count, _BLOCK):
        progress("near_duplicates", begin / count)
        for other in range(begin, count, _BLOCK):
            bound = short[begin : begin + _BLOCK] @ short[other : other + _BLOCK].T
            a, b = np.nonzero(bound > _ALIKE)
            later = a + begin < b + other
            a, b = a[later] + begin, b[later] + other
            usable = ~(plain[a] | plain[b])
            a, b = a[usable], b[usable]
            r = _products(rows, a, b)
            keep = np.flatnonzero(r > _ALIKE)
            found += [(float(r[i]), int(a[i]), int(b[i])) for i in keep]
            if len(found) > 4 * _CLOSER:
                found = sorted(found, reverse=True)[:_CLOSER]
    return found


def join_groups(
    groups: Sequence[str], digests: Sequence[str], pairs: Iterable[tuple[int, int]] = ()
) -> list[str]:
    """Groups such that cases with the same voxels, and further pairs, are of one group.

    Parameters
    ----------
    groups, digests:
        Of each case.
    pairs:
        Indices of cases that belong together besides.

    Returns
    -------
    list
        The group of each case: the one that appears first among those joined.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    order = {name: number for number, name in reversed(list(enumerate(groups)))}

    def join(one: str, other: str) -> None:
        low, high = sorted((root(one), root(other)), key=lambda name: order[name])
        parent[high] = low

    first: dict[str, str] = {}
    for group, digest in zip(groups, digests, strict=True):
        join(first.setdefault(digest, group), group)
    for a, b in pairs:
        join(groups[a], groups[b])
    return [root(group) for group in groups]


def _twin(one: Look, other: Look, alike: float) -> Twin:
    return Twin(
        one.key,
        other.key,
        alike,
        same_label=one.labels == other.labels,
        same_group=one.group == other.group,
        splits=(one.split, other.split),
    )


def _products(rows: Floats, a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """Dot products of pairs of rows, a part at a time."""
    parts = [
        np.einsum("ij,ij->i", rows[a[i : i + 65536]], rows[b[i : i + 65536]])
        for i in range(0, len(a), 65536)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def _signature(case: Case) -> Floats:
    """The first volume's mean over channels on a grid of at most 8 x 64 x 64."""
    voxels = case.volume.voxels
    voxels = voxels if voxels.ndim == 4 else voxels[None]
    z, y, x = (min(n, m) for n, m in zip(voxels.shape[1:], _FINE, strict=True))
    thin = block_means(voxels, (z, *voxels.shape[2:])).mean(axis=0)
    return _shrunk(np.asarray(thin, dtype=np.float32), y, x)


def _shrunk(image: Floats, height: int, width: int) -> Floats:
    """``(z, y, x)`` by areas to ``(z, height, width)``; pixels are shared where they are cut."""
    down, across = _areas(image.shape[1], height), _areas(image.shape[2], width)
    return np.asarray(down @ image @ across.T, dtype=np.float32)


def _areas(length: int, wanted: int) -> Floats:
    """``(wanted, length)``: which share of each pixel a larger one is the mean of."""
    edges = np.linspace(0.0, length, wanted + 1)
    first, last = edges[:-1, None], edges[1:, None]
    place = np.arange(length)
    part = np.clip(np.minimum(last, place + 1) - np.maximum(first, place), 0.0, None)
    return np.asarray(part * (wanted / length), dtype=np.float32)


def _fine_correlation(one: Floats, other: Floats) -> tuple[float, int]:
    """Correlation of fine structure, and over how many places of the common grid."""
    z, y, x = (min(n, m) for n, m in zip(one.shape, other.shape, strict=True))
    first, second = (
        _fine(_shrunk(block_means(s[None], (z, *s.shape[1:]))[0], y, x)) for s in (one, other)
    )
    there = np.isfinite(first) & np.isfinite(second)
    places = int(there.sum())
    if places < 16:
        return 0.0, 0
    a, b = first[there].astype(np.float64), second[there].astype(np.float64)
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return (float((a * b).sum() / scale) if scale else 0.0), places


def _fine(image: Floats) -> Floats:
    """What differs from its surroundings ``(z, y, x)``, by the local contrast; NaN where flat."""
    from scipy import ndimage

    width = (0.0, 1.5, 1.5)
    rest = image - ndimage.gaussian_filter(image, width)
    local = np.sqrt(ndimage.gaussian_filter(rest * rest, (0.0, 3.0, 3.0)))
    floor = 0.02 * float(image.std())
    return np.where(local > floor, rest / np.maximum(local, 1e-12), np.nan).astype(np.float32)
