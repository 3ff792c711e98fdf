"""The outline of one nodule or mass, grown from a seed.

Half way between the density of its core and of the lung around it (Kostis et al.,
IEEE TMI 22:1259, 2003), connected to the seed, inside the closed lung (so the pleura
and the mediastinum are cut by the smoothed surface of the lung), then opened so that
vessels thinner than the nodule fall off (Kuhnigk et al., IEEE TMI 25:417, 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from diaphane.anatomy.grids import Even, Float, Mask, Triple, Upright, bounds
from diaphane.anatomy.lungs import Lungs
from diaphane.core.errors import InputError
from diaphane.core.volume import Volume

Point = NDArray[np.float64]

_LOWEST, _HIGHEST = -650.0, -250.0  # HU; bounds of the threshold
_PARENCHYMA = -850.0
_CUT = 0.55  # vessels up to this share of the nodule's radius fall off
_LARGEST_CUT = 6.0  # mm; thicker than any vessel outside the hila
_RIM = 0.35  # how far spicules of a large mass are kept, of its radius above the largest cut
_REACH_MM = 60.0  # largest radius that a seed is grown to
_SUB_MM = 1.0


@dataclass(frozen=True)
class Grown:
    """A nodule on a patch of an even grid.

    Attributes
    ----------
    mask:
        The nodule ``(z, y, x)``.
    soft:
        All soft tissue of the lung that is connected to the seed, vessels included.
    inscribed_mm:
        Radius of the largest ball inside ``mask``.
    threshold:
        HU that separated it from the lung.
    """

    mask: Mask
    soft: Mask
    inscribed_mm: float
    threshold: float


def grow(hu: Float, hull: Mask, seed: tuple[int, int, int], step: float, radius: float) -> Grown:
    """The nodule at ``seed`` in a patch.

    Parameters
    ----------
    hu, hull:
        Patch of an even grid ``(z, y, x)``: density in HU, and the closed lung.
    seed:
        Index in the patch.
    step:
        mm per voxel.
    radius:
        Expected radius in mm: how far the densest place and the core are looked for.
    """
    empty = np.zeros(hull.shape, dtype=bool)
    away = _square_away(hull.shape, seed) * np.float32(step * step)
    near = (away <= max(step, 0.5 * radius) ** 2) & hull
    if not near.any():
        return Grown(empty, empty, 0.0, _HIGHEST)
    core = float(np.percentile(hu[near], 80.0))
    lung = hu[(away <= (2.5 * radius + 4.0) ** 2) & hull & (hu < -700.0)]
    base = float(np.median(lung)) if lung.size else _PARENCHYMA
    threshold = float(np.clip(0.5 * (core + base), _LOWEST, _HIGHEST))
    dense = (hu > threshold) & hull
    labels, _ = ndimage.label(dense)
    hits = np.bincount(labels[near & dense])
    if hits.size < 2:
        return Grown(empty, empty, 0.0, threshold)
    number = int(hits[1:].argmax()) + 1
    soft = np.asarray(labels == number, dtype=bool)
    # Nothing below looks beyond the box of the component.
    box = ndimage.find_objects(labels)[number - 1]
    part = soft[box]
    # The pleura is no edge of the ball that is inscribed; the free surface is.
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=step)[1:-1, 1:-1, 1:-1]
    at = (away[box] <= max(step, radius) ** 2) & part
    peak = float(depth[at].max()) if at.any() else 0.0
    cut = min(_CUT * peak, _LARGEST_CUT)
    if cut <= step:
        mask = soft & (away <= (2.0 * max(radius, 2.0)) ** 2)
        return Grown(mask, soft, peak, threshold)
    inner, _ = ndimage.label(depth > cut)
    inside = np.where(at, depth, 0.0)
    owner = int(inner[np.unravel_index(int(inside.argmax()), inside.shape)])
    # The spiculated rim of a mass belongs to it; a stub of vessel that comes along is small.
    span = cut + max(0.5 * step, _RIM * (peak - _LARGEST_CUT))
    margin = int(span / step) + 1
    patch = bounds(inner == owner, (margin, margin, margin))
    gap = ndimage.distance_transform_edt(inner[patch] != owner, sampling=step)
    mask = np.zeros_like(soft)
    mask[box][patch] = part[patch] & (gap <= span)
    return Grown(mask, soft, peak, threshold)


def _square_away(shape: tuple[int, ...], centre: tuple[int, int, int]) -> Float:
    """Squared distance from an index, in voxels."""
    z, y, x = (
        (np.arange(n, dtype=np.float32) - np.float32(c)) ** 2
        for n, c in zip(shape, centre, strict=True)
    )
    return np.asarray(z[:, None, None] + y[:, None] + x, dtype=np.float32)


def segment_nodule(
    volume: Volume, seed_index: ArrayLike, lungs: Lungs, radius_mm: float | None = None
) -> Mask:
    """Mask of the nodule or mass at a point, on the native grid.

    Parameters
    ----------
    volume:
        The scan, in HU.
    seed_index:
        Native index (z, y, x), fractional; of a candidate, or a reader's own point.
    lungs:
        Of :func:`diaphane.anatomy.segment_lungs` on the same scan.
    radius_mm:
        Expected radius; ``None`` finds it from the scan.

    Returns
    -------
    ``(z, y, x)`` bool; empty when there is nothing denser than lung at the point.

    Raises
    ------
    InputError
        When the point is outside the scan or farther than 10 mm from both lungs.
    """
    at = np.asarray(seed_index, dtype=np.float64)
    if not volume.geometry.contains(at):
        raise InputError(f"The point {tuple(np.round(at, 1))} is outside the scan.")
    upright = Upright.of(volume.geometry)
    inside = upright.view(lungs.mask) > 0
    hu = upright.view(np.asarray(volume.voxels))
    place = upright.index(at)
    if _gap_to(inside, place, upright.spacing) > 10.0:
        raise InputError("The point is not in or beside a lung.")
    reach = 25.0 if radius_mm is None else min(_REACH_MM, 2.0 * radius_mm + 10.0)
    while True:
        patch = _Patch.around(hu, inside, place, upright.spacing, reach)
        grown = patch.grown(place, radius_mm)
        if not _touches_frame(grown.mask) or reach >= _REACH_MM:
            break
        reach = min(_REACH_MM, 1.6 * reach)
    result = np.zeros(upright.shape, dtype=bool)
    if grown.mask.any():
        result[patch.box] = _to_native(grown, patch.even, hu, inside, patch.box)
    return upright.back(result)


@dataclass(frozen=True)
class _Patch:
    """A box of the upright scan sampled on an even grid: density and closed lung."""

    box: tuple[slice, slice, slice]
    even: Even
    hu: Float
    hull: Mask

    @classmethod
    def around(cls, hu: Float, inside: Mask, place: Point, spacing: Triple, reach: float) -> _Patch:
        """Box of ``reach`` mm around an upright index."""
        box = _box_around(place, reach, spacing, hu.shape)
        even = Even.over(box, spacing, max(_SUB_MM, reach / 30.0))
        return cls(box, even, even.sample(hu), even.sample(inside) > 0.5)

    def grown(self, place: Point, radius: float | None) -> Grown:
        """The nodule at an upright index."""
        z, y, x = (
            int(np.clip(round(float(c)), 0, n - 1))
            for c, n in zip(self.even.index(place), self.even.shape, strict=True)
        )
        step = self.even.spacing[0]
        known = _radius_at(self.hu, self.hull, (z, y, x), step) if radius is None else radius
        return grow(self.hu, self.hull, (z, y, x), step, known)


def _radius_at(hu: Float, hull: Mask, seed: tuple[int, int, int], step: float) -> float:
    """Distance from the seed to where the tissue becomes lung, or from lung to the nearest tissue."""
    dense = (hu > -500.0) & hull
    far = np.sqrt(_square_away(hu.shape, seed)) * step
    free = far[hull & ~dense]
    if dense[seed]:
        return max(2.0, float(free.min()) if free.size else 10.0)
    near = far[dense]
    return max(2.0, min(6.0, float(near.min()) + 2.0)) if near.size else 2.0


def _to_native(
    grown: Grown, even: Even, hu: Float, inside: Mask, box: tuple[slice, slice, slice]
) -> Mask:
    """The mask on the native voxels of ``box``: near the grown one, and dense there too."""
    shape = tuple(b.stop - b.start for b in box)
    at = [(np.arange(n) / s) for n, s in zip(shape, even.step, strict=True)]
    grid = np.meshgrid(*at, indexing="ij")
    soft = ndimage.map_coordinates(grown.mask.astype(np.float32), grid, order=1, mode="nearest")
    return np.asarray((soft > 0.5) & inside[box] & (hu[box] > grown.threshold - 150.0), dtype=bool)


def _box_around(
    place: Point, reach: float, spacing: Triple, shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    ends = []
    for at, step, size in zip(place, spacing, shape, strict=True):
        half = reach / step
        low = int(np.clip(np.floor(at - half), 0, size - 1))
        ends.append(slice(low, int(np.clip(np.ceil(at + half) + 1, low + 1, size))))
    return ends[0], ends[1], ends[2]


def _touches_frame(mask: Mask) -> bool:
    return any(bool(mask.take(end, axis=axis).any()) for axis in range(3) for end in (0, -1))


def _gap_to(inside: Mask, place: Point, spacing: Triple) -> float:
    """Distance in mm from an upright index to the nearest lung voxel within 15 mm; infinite beyond."""
    box = _box_around(place, 15.0, spacing, inside.shape)
    found = np.argwhere(inside[box])
    if found.size == 0:
        return float("inf")
    start = np.asarray([b.start for b in box], dtype=np.float64)
    return float(np.linalg.norm((found + start - place) * np.asarray(spacing), axis=1).min())
