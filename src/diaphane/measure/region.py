"""One outlined region of a stack, with the parts that several concepts share computed once.

A ``Region`` is the place where pixels become numbers: its properties are lazy, so asking for one
concept costs only what this concept needs. Lengths are in pixels and slices, intensities in the
unit of the image that was given.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage import measure as sk

from diaphane.measure.outline import (
    BoolArray,
    Calipers,
    FloatArray,
    boundary,
    calipers,
    convex_hull,
    edge_points,
    polygon_area,
    widest,
)

GREY_LEVELS = 16
"""Levels of the co-occurrence texture, spread over the fixed range 0..1 of the image."""


class Region:
    """An image stack and the mask of the thing in it, cropped to the mask's box.

    Parameters
    ----------
    image:
        ``(T, H, W)`` float.
    mask:
        ``(T, H, W)`` bool, not empty.
    """

    def __init__(self, image: npt.NDArray[np.float32], mask: BoolArray) -> None:
        box = tuple(
            slice(int(found[0]), int(found[-1]) + 1)
            for axes in ((1, 2), (0, 2), (0, 1))
            for found in (np.flatnonzero(mask.any(axis=axes)),)
        )
        self.mask: BoolArray = np.pad(mask[box], ((0, 0), (1, 1), (1, 1)))
        self.image: FloatArray = np.pad(image[box].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
        self.image[~self.mask] = 0.0

    @cached_property
    def areas(self) -> FloatArray:
        """Pixels of each slice of the box, ``(T,)``."""
        return np.asarray(self.mask.sum(axis=(1, 2)), dtype=np.float64)

    @cached_property
    def largest(self) -> BoolArray:
        """The plane ``(H, W)`` with the largest section (the first one of equals)."""
        return np.asarray(self.mask[int(self.areas.argmax())])

    @cached_property
    def axes(self) -> Calipers:
        """Calipers of the section with the longest diameter (the first one of equals)."""
        reach = widest(self.mask)
        near = np.flatnonzero(reach[:, 1] >= reach[:, 0].max() - 1e-9)
        return max((calipers(self.mask[i]) for i in near), key=lambda found: found.long_axis)

    @cached_property
    def hull_area(self) -> float:
        """Area of the convex hull of the largest section, in pixels."""
        return polygon_area(convex_hull(edge_points(self.largest)))

    @cached_property
    def perimeter(self) -> float:
        """Crofton perimeter of the largest section in pixels (four directions)."""
        return float(sk.perimeter_crofton(self.largest, directions=4))

    @cached_property
    def radii(self) -> FloatArray:
        """Distances of the largest section's boundary pixels from its centroid, in pixels."""
        y, x = np.nonzero(self.largest)
        edge = np.argwhere(boundary(self.largest))
        return np.asarray(np.hypot(edge[:, 0] - y.mean(), edge[:, 1] - x.mean()) + 0.5)

    @cached_property
    def depth(self) -> FloatArray:
        """In-plane distance of each pixel to the nearest pixel outside, 0 outside, ``(T, H, W)``."""
        # Other slices are put out of reach; every slice has pixels outside, for the box is padded.
        apart = (2.0 * sum(self.mask.shape), 1.0, 1.0)
        return np.asarray(ndimage.distance_transform_edt(self.mask, sampling=apart))

    @cached_property
    def values(self) -> FloatArray:
        """Intensities inside the mask, ``(N,)``."""
        return self.image[self.mask]

    @cached_property
    def rim(self) -> FloatArray:
        """Intensities of the outermost layer of pixels, ``(N,)``."""
        return self.image[self.mask & (self.depth < 1.5)]

    @cached_property
    def core(self) -> FloatArray:
        """Intensities deeper than half of each slice's greatest depth, ``(N,)``."""
        limit = self.depth.max(axis=(1, 2), keepdims=True) / 2.0
        deep = self.mask & (self.depth > np.minimum(limit, self.depth.max() - 1e-9))
        return np.asarray(self.image[deep])

    @cached_property
    def steps(self) -> FloatArray:
        """Intensity gained per pixel of depth between neighbours both inside, ``(N,)``.

        Positive where the region brightens inwards. Only steps that start in the rim count.
        """
        gains = []
        for axis in (1, 2):
            for sign in (1, -1):
                other = np.roll(self.mask, -sign, axis)
                deeper = np.roll(self.depth, -sign, axis) > self.depth + 0.25
                at = self.mask & other & deeper & (self.depth < 1.5)
                gains.append((np.roll(self.image, -sign, axis) - self.image)[at])
        return np.concatenate(gains)

    @cached_property
    def pairs(self) -> FloatArray:
        """Grey levels of in-plane neighbours both inside, ``(N, 2)``, levels 0..15."""
        levels = np.clip(np.floor(self.image * GREY_LEVELS), 0, GREY_LEVELS - 1)
        found = []
        for a, b in (
            ((slice(None), slice(1, None), slice(None)), (slice(None), slice(-1), slice(None))),
            ((slice(None), slice(None), slice(1, None)), (slice(None), slice(None), slice(-1))),
        ):
            both = self.mask[a] & self.mask[b]
            found.append(np.stack([levels[a][both], levels[b][both]], axis=1))
        return np.concatenate(found)

    @cached_property
    def inner(self) -> FloatArray:
        """Intensities of pixels that do not touch the outline, ``(N,)``; may be empty."""
        return self.image[self.mask & (self.depth >= 1.5)]

    @cached_property
    def local_contrast(self) -> float:
        """Mean absolute difference of neighbours both off the outline; 0 when there are none."""
        deep = self.mask & (self.depth >= 1.5)
        found = []
        for axis in (1, 2):
            both = deep & np.roll(deep, -1, axis)
            found.append(np.abs(np.roll(self.image, -1, axis) - self.image)[both])
        joined = np.concatenate(found)
        return float(joined.mean()) if joined.size else 0.0

    @cached_property
    def opened(self) -> float:
        """Share of the largest section that an opening by a disc of half its depth removes."""
        plane = self.largest
        depth = ndimage.distance_transform_edt(plane)
        radius = max(1.0, float(depth.max()) / 2.0)
        eroded = depth > radius
        back = ndimage.distance_transform_edt(~eroded) <= radius
        return 1.0 - float((plane & back).sum()) / float(plane.sum())

    @cached_property
    def surface(self) -> tuple[float, float]:
        """Mesh ``(area, volume)`` of the mask in pixels, slices counted as one pixel high."""
        return mesh_area_and_volume(self.mask, (1.0, 1.0, 1.0))


def mesh_area_and_volume(
    mask: BoolArray, spacing: tuple[float, float, float]
) -> tuple[float, float]:
    """Area and enclosed volume of the marching-cubes surface of a mask.

    Parameters
    ----------
    mask:
        ``(z, y, x)`` bool, not empty.
    spacing:
        voxel size ``(z, y, x)``; the results are in its square and cube.

    Lewiner's marching cubes at level 0.5 on the padded mask (J Graph Tools 8:1, 2003).
    """
    points, faces, _, _ = sk.marching_cubes(
        np.pad(mask, 1).astype(np.float32), level=0.5, spacing=spacing
    )
    corners = points[faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = float(np.linalg.norm(cross, axis=1).sum() / 2.0)
    volume = float(abs(np.einsum("ij,ij->i", corners[:, 0], cross).sum()) / 6.0)
    return area, volume


def sphericity(area: float, volume: float) -> float:
    """Surface of the ball of a volume over a surface, ``pi^(1/3) (6 V)^(2/3) / A``; 1 for a ball."""
    return float(np.pi ** (1.0 / 3.0) * (6.0 * volume) ** (2.0 / 3.0) / area)
