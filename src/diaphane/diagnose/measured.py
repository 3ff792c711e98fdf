"""A mask on the native grid -> where it lies and how big it is, as findings carry it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import InvalidVoxels
from diaphane.core.finding import Diameter, Location, Measurement
from diaphane.core.volume import Volume
from diaphane.measure import Measurements, measure_mask

Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Pair = tuple[tuple[float, float, float], tuple[float, float, float]]

HU = "[hnsf'U]"
"""UCUM's Hounsfield unit."""


@dataclass(frozen=True, eq=False)
class Region:
    """A mask, kept as the box that holds it, with what was measured of it.

    Attributes
    ----------
    box:
        Slices ``(z, y, x)`` on the native grid.
    mask:
        Bool, the size of ``box``.
    measures:
        On the native grid, in mm where the spacing is known, else in pixels.
    """

    box: Box
    mask: Mask
    measures: Measurements

    @classmethod
    def of(cls, mask: Mask, volume: Volume) -> Region:
        """Measure a mask ``(z, y, x)`` on the grid of ``volume``.

        Raises
        ------
        InvalidVoxels
            When the mask is empty.
        """
        if not mask.any():
            raise InvalidVoxels("A region needs at least one voxel.")
        spacing = volume.geometry.spacing
        known = None if None in spacing else volume.geometry.spacing_mm
        box = mask_box(mask)
        # A voxel of margin, so that only the border of the scan itself counts as an edge.
        wide = tuple(
            slice(max(0, b.start - 1), min(n, b.stop + 1))
            for b, n in zip(box, mask.shape, strict=True)
        )
        image = volume.voxels[wide] if volume.voxels.ndim == 3 else None
        measures = measure_mask(mask[wide], known, image)
        return cls(box, mask[box].copy(), _moved(measures, wide))

    def covers(self, index: NDArray[np.float64]) -> bool:
        """Whether the voxel at a native index ``(z, y, x)`` belongs to the mask."""
        at = [round(float(i)) - b.start for i, b in zip(index, self.box, strict=True)]
        inside = all(0 <= i < n for i, n in zip(at, self.mask.shape, strict=True))
        return inside and bool(self.mask[tuple(at)])

    def overlap(self, other: Region) -> float:
        """Share of the smaller mask that lies in the other one, 0 to 1."""
        pairs = list(zip(self.box, other.box, strict=True))
        low = [max(a.start, b.start) for a, b in pairs]
        high = [min(a.stop, b.stop) for a, b in pairs]
        if any(h <= n for h, n in zip(high, low, strict=True)):
            return 0.0
        mine, theirs = (
            r.mask[
                tuple(
                    slice(n - b.start, h - b.start)
                    for n, h, b in zip(low, high, r.box, strict=True)
                )
            ]
            for r in (self, other)
        )
        smaller = min(np.count_nonzero(self.mask), np.count_nonzero(other.mask))
        return float(np.count_nonzero(mine & theirs)) / smaller

    def paint(self, labels: NDArray[np.uint16], value: int) -> None:
        """Write ``value`` into ``labels`` wherever the mask is set."""
        labels[self.box][self.mask] = value


def _moved(measures: Measurements, box: tuple[slice, ...]) -> Measurements:
    """Measurements within a box, with their indices on the whole grid."""
    z, y, x = (b.start for b in box)

    def index(at: tuple[float, float, float]) -> tuple[float, float, float]:
        return at[0] + z, at[1] + y, at[2] + x

    def ends(pair: Pair) -> Pair:
        return index(pair[0]), index(pair[1])

    first, last = measures.slice_range
    return replace(
        measures,
        long_axis_ends=ends(measures.long_axis_ends),
        short_axis_ends=ends(measures.short_axis_ends),
        slice_index=measures.slice_index + z,
        largest_slice=measures.largest_slice + z,
        slice_range=(first + z, last + z),
        centroid=index(measures.centroid),
    )


def mask_box(mask: Mask) -> Box:
    """Smallest box that holds a mask, as slices ``(z, y, x)``."""
    z = np.flatnonzero(mask.any(axis=(1, 2)))
    y = np.flatnonzero(mask[z[0] : z[-1] + 1].any(axis=(0, 2)))
    x = np.flatnonzero(mask[z[0] : z[-1] + 1].any(axis=(0, 1)))
    a, b, c = (slice(int(i[0]), int(i[-1]) + 1) for i in (z, y, x))
    return a, b, c


def measurements(region: Region, unit: str) -> tuple[Measurement, ...]:
    """Size, shape and density; ``unit`` is what the image measures ("HU" or "1")."""
    m = region.measures
    found = [
        Measurement("long_axis", m.long_axis, m.unit),
        Measurement("short_axis", m.short_axis, m.unit),
        Measurement("mean_diameter", m.mean_diameter, m.unit),
        Measurement("volume", m.volume, f"{m.unit}3"),
        Measurement("sphericity", m.sphericity, "1"),
    ]
    if m.density_mean is not None and m.density_std is not None:
        if unit == "HU":
            found.append(Measurement("mean_density", m.density_mean, HU))
            found.append(Measurement("std_density", m.density_std, HU))
        else:
            found.append(Measurement("mean_intensity", m.density_mean, unit))
    return tuple(found)


def diameters(region: Region) -> tuple[Diameter, Diameter]:
    """Long and short axis with their end points."""
    m = region.measures
    return (
        Diameter(*m.long_axis_ends, m.long_axis, m.unit),
        Diameter(*m.short_axis_ends, m.short_axis, m.unit),
    )


def location(
    region: Region,
    volume: Volume,
    instance_numbers: tuple[int | None, ...] = (),
    anatomy: dict[str, str] | None = None,
) -> Location:
    """Place of a region: box, centre, slice of the largest section and its image number."""
    m = region.measures
    z = m.largest_slice
    return Location(
        box=_corners(region.box),
        centre_index=m.centroid,
        centre_mm=_patient(volume, m.centroid),
        key_slice=z,
        instance_number=instance_numbers[z] if z < len(instance_numbers) else None,
        anatomy=anatomy or {},
    )


def point_location(
    index: tuple[float, float, float],
    volume: Volume,
    instance_numbers: tuple[int | None, ...] = (),
    anatomy: dict[str, str] | None = None,
) -> Location:
    """Place of a single voxel, where nothing could be outlined."""
    at = [min(max(round(i), 0), n - 1) for i, n in zip(index, volume.shape, strict=True)]
    box = tuple(slice(i, i + 1) for i in at)
    return Location(
        box=_corners((box[0], box[1], box[2])),
        centre_index=index,
        centre_mm=_patient(volume, index),
        key_slice=at[0],
        instance_number=instance_numbers[at[0]] if at[0] < len(instance_numbers) else None,
        anatomy=anatomy or {},
    )


def _corners(box: Box) -> tuple[int, int, int, int, int, int]:
    z, y, x = box
    return z.start, y.start, x.start, z.stop, y.stop, x.stop


def _patient(
    volume: Volume, index: tuple[float, float, float]
) -> tuple[float, float, float] | None:
    if not volume.geometry.is_spatial:
        return None
    x, y, z = volume.geometry.to_patient(index)
    return float(x), float(y), float(z)
