"""Size, shape and density of an outlined lesion on the grid it was outlined on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from diaphane.core.errors import InvalidVoxels
from diaphane.measure.outline import BoolArray, Calipers, calipers
from diaphane.measure.region import mesh_area_and_volume, sphericity

Index = tuple[float, float, float]
"""Position ``(z, y, x)`` in voxel indices, 0 at the centre of the first voxel."""


@dataclass(frozen=True)
class Measurements:
    """What can be measured of one lesion.

    Attributes
    ----------
    unit:
        ``mm``, or ``px`` when the spacing is not known: then lengths are in pixels and the volume
        counts voxels.
    long_axis, short_axis:
        Longest in-plane diameter of any axial section, and the longest width at right angles to it
        in that section.
    mean_diameter:
        Mean of the two, as Fleischner 2017 asks for (MacMahon, Radiology 284:228).
    long_axis_ends, short_axis_ends:
        End points ``((z, y, x), (z, y, x))`` in voxel indices, on outer pixel edges.
    slice_index:
        The section with the long axis.
    largest_slice:
        The section with the largest area (the first of equals).
    slice_range:
        First and last section, both included.
    volume:
        Voxels times the size of a voxel, in ``unit`` cubed.
    sphericity:
        Surface of the ball of equal volume over the surface of the mesh: 1 for a ball.
    centroid:
        Mean position of the voxels, in voxel indices.
    touches_edge:
        Whether the mask reaches the border of the grid in plane, or its first or last slice where
        there are several: the lesion may be cut.
    density_mean, density_std, density_min, density_max:
        Of the image inside the mask, in the unit of the image; None without an image.
    """

    unit: Literal["mm", "px"]
    long_axis: float
    short_axis: float
    mean_diameter: float
    long_axis_ends: tuple[Index, Index]
    short_axis_ends: tuple[Index, Index]
    slice_index: int
    largest_slice: int
    slice_range: tuple[int, int]
    volume: float
    sphericity: float
    centroid: Index
    touches_edge: bool
    density_mean: float | None
    density_std: float | None
    density_min: float | None
    density_max: float | None


def measure_mask(
    mask: BoolArray,
    spacing_mm: tuple[float, float, float] | None,
    image: npt.NDArray[np.generic] | None = None,
) -> Measurements:
    """Measure one lesion.

    Parameters
    ----------
    mask:
        ``(z, y, x)`` bool, not empty. Parts that do not touch are measured as one.
    spacing_mm:
        Voxel size ``(z, y, x)`` in mm, each above 0; None when unknown: nothing is assumed then,
        and the result is in pixels.
    image:
        ``(z, y, x)`` numbers, such as HU; None leaves the density out.

    Raises
    ------
    InvalidVoxels
        The mask is empty or not three-dimensional, the image has another shape or is not finite
        inside the mask, or a spacing is not positive.
    """
    if mask.ndim != 3 or not mask.any():
        raise InvalidVoxels("a lesion mask must be (z, y, x) with at least one voxel.")
    if spacing_mm is not None and not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise InvalidVoxels(f"voxel spacing must be positive, not {spacing_mm}.")
    if image is not None and image.shape != mask.shape:
        raise InvalidVoxels(f"image {image.shape} and mask {mask.shape} differ in shape.")
    spacing = (1.0, 1.0, 1.0) if spacing_mm is None else spacing_mm
    where = np.argwhere(mask)
    low, high = where.min(axis=0), where.max(axis=0)
    box = mask[tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))]
    z, axes = max(
        ((i, calipers(plane, spacing[1:])) for i, plane in enumerate(box) if plane.any()),
        key=lambda found: found[1].long_axis,
    )
    area, mesh = mesh_area_and_volume(box, spacing)
    density = _density(image, mask)
    first, last = int(low[0]), int(high[0])
    return Measurements(
        unit="px" if spacing_mm is None else "mm",
        long_axis=axes.long_axis,
        short_axis=axes.short_axis,
        mean_diameter=(axes.long_axis + axes.short_axis) / 2.0,
        long_axis_ends=_ends(axes, "long", first + z, low, spacing),
        short_axis_ends=_ends(axes, "short", first + z, low, spacing),
        slice_index=first + z,
        largest_slice=first + int(box.sum(axis=(1, 2)).argmax()),
        slice_range=(first, last),
        volume=float(len(where)) * float(np.prod(spacing)),
        sphericity=sphericity(area, mesh),
        centroid=_index(where.mean(axis=0)),
        touches_edge=_touches_edge(low, high, mask.shape),
        density_mean=density[0],
        density_std=density[1],
        density_min=density[2],
        density_max=density[3],
    )


def _ends(
    axes: Calipers,
    which: Literal["long", "short"],
    z: int,
    low: npt.NDArray[np.int64],
    spacing: tuple[float, float, float],
) -> tuple[Index, Index]:
    pair = axes.long_ends if which == "long" else axes.short_ends
    first, second = (
        (float(z), y / spacing[1] + float(low[1]), x / spacing[2] + float(low[2])) for y, x in pair
    )
    return first, second


def _touches_edge(
    low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], shape: tuple[int, ...]
) -> bool:
    return any(
        size > 1 and (int(a) == 0 or int(b) == size - 1)
        for a, b, size in zip(low, high, shape, strict=True)
    )


def _density(
    image: npt.NDArray[np.generic] | None, mask: BoolArray
) -> tuple[float | None, float | None, float | None, float | None]:
    if image is None:
        return None, None, None, None
    values = np.asarray(image[mask], dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidVoxels("the image is not finite inside the lesion mask.")
    return float(values.mean()), float(values.std()), float(values.min()), float(values.max())


def _index(position: npt.NDArray[np.float64]) -> Index:
    return float(position[0]), float(position[1]), float(position[2])
