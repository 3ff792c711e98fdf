"""Steps that interpolate: resample in mm, resize in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from diaphane.core.errors import MissingSpacing, RecipeError
from diaphane.core.geometry import Geometry, Spacing
from diaphane.core.volume import Array, Volume
from diaphane.preprocess.passage import (
    Interpolation,
    Passage,
    Shape,
    axis_passage,
    carry,
    passage_to,
)
from diaphane.preprocess.step import Applied, GridStep


def resample(
    volume: Volume,
    target: Spacing | float | Geometry,
    interpolation: Interpolation = "linear",
    *,
    fill: float | None = None,
    threads: int | None = None,
) -> Volume:
    """The volume at another spacing, or on another grid.

    Parameters
    ----------
    volume:
        Image or labels.
    target:
        Spacing ``(dz, dy, dx)`` in mm, where ``None`` leaves an axis as it is; one number
        for all three; or a :class:`Geometry` in the same patient space.
    interpolation:
        "linear", "nearest" (for labels) or "bspline" (cubic).
    fill:
        Value outside the image: -1024 for HU, 0 otherwise, unless given.
    threads:
        Threads of the linear kernel; all cores by default.

    Raises
    ------
    MissingSpacing
        When the spacing of an axis to be changed, or the place in the patient, is unknown.
    """
    if isinstance(target, Geometry):
        way = passage_to(volume.geometry, target)
    else:
        way = spacing_passage(volume.geometry, target)
    return carry(volume, way, interpolation, fill=fill, threads=threads)


def spacing_passage(before: Geometry, spacing: Spacing | float) -> Passage:
    """Passage to the grid of that spacing which shares its centre with ``before``.

    The number of voxels is the extent (voxel edge to voxel edge) over the spacing, rounded.
    """
    wanted = (spacing, spacing, spacing) if isinstance(spacing, int | float) else spacing
    shape, scale, offset = [], [], []
    for have, want, size in zip(before.spacing, wanted, before.shape, strict=True):
        if want is None:
            shape.append(size)
            scale.append(1.0)
        elif not (np.isfinite(want) and want > 0):
            raise RecipeError(f"Spacing must be positive and finite, not {want:g}.")
        elif have is None:
            raise MissingSpacing(
                f"A spacing of {want:g} mm is asked for, and the image does not state its own.",
                remedy="Convert it to a format that holds spacing, or use 'resize' instead.",
            )
        else:
            shape.append(max(1, round(size * have / want)))
            scale.append(want / have)
        offset.append((size - 1 - (shape[-1] - 1) * scale[-1]) / 2)
    return axis_passage(
        before,
        (shape[0], shape[1], shape[2]),
        scale=(scale[0], scale[1], scale[2]),
        offset=(offset[0], offset[1], offset[2]),
    )


def resize(
    volume: Volume,
    size: tuple[int, int] | None = None,
    *,
    longest: int | None = None,
    interpolation: Interpolation = "linear",
) -> Volume:
    """Every slice at another size in pixels ``(rows, columns)``.

    "linear" is antialiased: when shrinking, the triangle filter grows with the step, so that
    no detail between pixels is lost or aliased. Float32, except "nearest", which keeps the
    voxel type. ``longest`` gives the longer side instead and keeps the proportions.

    Raises
    ------
    RecipeError
        When neither or both of ``size`` and ``longest`` are given.
    """
    way = resize_passage(volume.geometry, size, longest)
    if interpolation != "linear" or way.after.shape == volume.shape:
        return carry(volume, way, interpolation)
    rows, columns = way.after.shape[1:]
    flat = volume.voxels.reshape(-1, *volume.shape[1:])
    planes = np.stack([_shrink(plane, rows, columns) for plane in flat])
    return volume.with_voxels(planes.reshape(*volume.voxels.shape[:-2], rows, columns), way.after)


def _shrink(plane: Array, rows: int, columns: int) -> Array:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR))


def resize_passage(before: Geometry, size: tuple[int, int] | None, longest: int | None) -> Passage:
    """Passage of :func:`resize`."""
    z, y, x = before.shape
    if (size is None) == (longest is None):
        raise RecipeError("Resizing needs a size or the longest side, and not both.")
    if size is not None:
        rows, columns = size
    else:
        share = float(longest or 0) / max(y, x)
        rows, columns = max(1, round(y * share)), max(1, round(x * share))
    if min(rows, columns) < 1 or (longest is not None and longest < 1):
        raise RecipeError(f"A size must be at least 1 pixel, not {size or longest}.")
    dy, dx = y / rows, x / columns
    return axis_passage(
        before, (z, rows, columns), scale=(1.0, dy, dx), offset=(0.0, (dy - 1) / 2, (dx - 1) / 2)
    )


@dataclass(frozen=True)
class Resample(GridStep):
    """See :func:`resample`, to a spacing in mm."""

    spacing: Spacing
    interpolation: Interpolation = "linear"
    fill: float | None = None
    name: ClassVar[str] = "resample"

    def __post_init__(self) -> None:
        if any(s is not None and not (np.isfinite(s) and s > 0) for s in self.spacing):
            raise RecipeError(f"Spacing must be positive and finite, not {self.spacing}.")

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to the grid of that spacing."""
        del mask
        return spacing_passage(volume.geometry, self.spacing)


@dataclass(frozen=True)
class ResampleGrid(GridStep):
    """See :func:`resample`, to a grid given as :meth:`Geometry.to_dict` writes it."""

    grid: Mapping[str, Any]
    interpolation: Interpolation = "linear"
    fill: float | None = None
    name: ClassVar[str] = "resample_grid"

    def __post_init__(self) -> None:
        self._geometry()

    def _geometry(self) -> Geometry:
        try:
            return Geometry.from_dict(dict(self.grid))
        except (KeyError, TypeError, ValueError) as error:
            raise RecipeError(f"The grid is not a geometry: {error}.") from error

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to that grid."""
        del mask
        return passage_to(volume.geometry, self._geometry())


@dataclass(frozen=True)
class Resize:
    """See :func:`resize`."""

    size: tuple[int, int] | None = None
    longest: int | None = None
    interpolation: Interpolation = "linear"
    name: ClassVar[str] = "resize"

    def __post_init__(self) -> None:
        shape: Shape = (1, 1, 1)
        resize_passage(Geometry(shape), self.size, self.longest)

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Resize the image antialiased, the mask by its nearest pixels."""
        del threads
        way = resize_passage(volume.geometry, self.size, self.longest)
        moved = resize(volume, self.size, longest=self.longest, interpolation=self.interpolation)
        labels = None if mask is None else carry(mask, way, "nearest", fill=0.0)
        return Applied(moved, labels, way)
