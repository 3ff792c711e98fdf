"""Steps that move whole voxels: crop, pad, turn, fewer slices. Values are copied."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar, Literal

import numpy as np

from diaphane.core.errors import GeometryError, RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess.passage import Passage, Shape, axis_passage, carry
from diaphane.preprocess.step import GridStep

OptionalShape = tuple[int | None, int | None, int | None]

# LPS unit vector (x, y, z) of each letter: where an index axis points as it grows.
_LETTERS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}


def crop(volume: Volume, start: Shape, shape: Shape) -> Volume:
    """The box of size ``shape`` that begins at index ``start``, both ``(z, y, x)``.

    Raises
    ------
    RecipeError
        When the box leaves the image.
    """
    return carry(volume, crop_passage(volume.geometry, start, shape))


def crop_passage(before: Geometry, start: Shape, shape: Shape) -> Passage:
    """Passage of :func:`crop`."""
    ends = zip(start, shape, before.shape, strict=True)
    if any(a < 0 or n < 1 or a + n > size for a, n, size in ends):
        raise RecipeError(f"The box from {start} of size {shape} leaves a grid of {before.shape}.")
    return _shifted(before, start, shape)


def pad(volume: Volume, before: Shape, after: Shape, fill: float | None = None) -> Volume:
    """Voxels of value ``fill`` added before and after each axis ``(z, y, x)``.

    ``fill`` is -1024 for HU and 0 otherwise unless given.
    """
    return carry(volume, pad_passage(volume.geometry, before, after), fill=fill)


def pad_passage(grid: Geometry, before: Shape, after: Shape) -> Passage:
    """Passage of :func:`pad`."""
    if min(*before, *after) < 0:
        raise RecipeError(f"Padding must not be negative: {before}, {after}.")
    (z, y, x), (z0, y0, x0), (z1, y1, x1) = grid.shape, before, after
    return _shifted(grid, (-z0, -y0, -x0), (z + z0 + z1, y + y0 + y1, x + x0 + x1))


def crop_or_pad(volume: Volume, shape: OptionalShape, fill: float | None = None) -> Volume:
    """Size ``shape`` around the same centre; ``None`` leaves an axis as it is.

    Where an odd number of voxels goes, the one more goes at the end; where it comes, at the
    end too.
    """
    return carry(volume, crop_or_pad_passage(volume.geometry, shape), fill=fill)


def crop_or_pad_passage(before: Geometry, shape: OptionalShape) -> Passage:
    """Passage of :func:`crop_or_pad`."""
    z, y, x = (
        have if want is None else want for have, want in zip(before.shape, shape, strict=True)
    )
    if min(z, y, x) < 1:
        raise RecipeError(f"A size must be at least 1, not {shape}.")
    starts = [
        (have - want) // 2 if have >= want else -((want - have) // 2)
        for have, want in zip(before.shape, (z, y, x), strict=True)
    ]
    return _shifted(before, (starts[0], starts[1], starts[2]), (z, y, x))


def orient(volume: Volume, axes: str = "LPS") -> Volume:
    """Turn and flip by whole axes so that x, y, z point as ``axes`` says.

    "LPS": x grows to the patient's Left, y to Posterior, z to Superior; an oblique image
    goes to the nearest such order and stays oblique.

    Raises
    ------
    GeometryError
        When the image does not say how it lies in the patient.
    """
    return carry(volume, orient_passage(volume.geometry, axes))


def orient_passage(before: Geometry, axes: str = "LPS") -> Passage:
    """Passage of :func:`orient`."""
    wanted = _axes(axes)
    if before.direction is None:
        raise GeometryError(
            "The image does not say how it lies in the patient, so it cannot be turned."
        )
    agreement = wanted @ np.asarray(before.direction)  # (new axis, old axis), both z, y, x
    best = max(
        permutations(range(3)), key=lambda p: sum(abs(agreement[new, p[new]]) for new in range(3))
    )
    scale, offset = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    for new, old in enumerate(best):
        if agreement[new, old] < 0:
            scale[new], offset[old] = -1.0, before.shape[old] - 1.0
    old_axes = (best[0], best[1], best[2])
    return axis_passage(
        before,
        (before.shape[best[0]], before.shape[best[1]], before.shape[best[2]]),
        axes=old_axes,
        scale=(scale[0], scale[1], scale[2]),
        offset=(offset[0], offset[1], offset[2]),
    )


def crop_foreground(
    volume: Volume,
    mask: Volume | None = None,
    *,
    threshold: float | None = None,
    margin: int = 0,
    margin_mm: float | None = None,
) -> Volume:
    """The smallest box around the foreground, plus a margin, within the image.

    Foreground is what lies above ``threshold`` in any channel; without a threshold the
    mask, and without a mask what is not zero. ``margin`` is in voxels, ``margin_mm`` in mm.

    Raises
    ------
    RecipeError
        When there is no foreground.
    MissingSpacing
        When the margin is in mm and the spacing unknown.
    """
    return carry(volume, foreground_passage(volume, mask, threshold, margin, margin_mm))


def foreground_passage(
    volume: Volume,
    mask: Volume | None,
    threshold: float | None,
    margin: int,
    margin_mm: float | None,
) -> Passage:
    """Passage of :func:`crop_foreground`."""
    voxels = volume.voxels if threshold is not None or mask is None else mask.voxels
    inside = voxels > threshold if threshold is not None else voxels != 0
    if inside.ndim == 4:
        inside = inside.any(axis=0)
    margins = [margin] * 3
    if margin_mm is not None:
        steps = volume.geometry.spacing_mm
        margins = [margin + int(np.ceil(margin_mm / step - 1e-9)) for step in steps]
    starts, sizes = [], []
    for axis in range(3):
        filled = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if not filled.size:
            raise RecipeError("There is no foreground to crop to.")
        first = max(0, int(filled[0]) - margins[axis])
        last = min(volume.shape[axis], int(filled[-1]) + 1 + margins[axis])
        starts.append(first)
        sizes.append(last - first)
    return _shifted(
        volume.geometry, (starts[0], starts[1], starts[2]), (sizes[0], sizes[1], sizes[2])
    )


def thin_slices(volume: Volume, every: int, start: int = 0) -> Volume:
    """Every ``every``-th slice, beginning with ``start``."""
    return carry(volume, thin_passage(volume.geometry, every, start))


def thin_passage(before: Geometry, every: int, start: int = 0) -> Passage:
    """Passage of :func:`thin_slices`."""
    z, y, x = before.shape
    if every < 1 or not 0 <= start < z:
        raise RecipeError(f"Cannot take every {every}-th of {z} slices from {start}.")
    kept = -(-(z - start) // every)
    return axis_passage(
        before, (kept, y, x), scale=(float(every), 1.0, 1.0), offset=(float(start), 0.0, 0.0)
    )


def limit_slices(volume: Volume, most: int, keep: Literal["even", "centre"] = "even") -> Volume:
    """At most ``most`` slices.

    "even" takes every n-th slice with the smallest n that fits, as central as can be;
    "centre" takes the middle ones next to each other.
    """
    return carry(volume, limit_passage(volume.geometry, most, keep))


def limit_passage(before: Geometry, most: int, keep: Literal["even", "centre"] = "even") -> Passage:
    """Passage of :func:`limit_slices`."""
    z = before.shape[0]
    if most < 1:
        raise RecipeError(f"At least one slice must stay, not {most}.")
    if keep == "centre":
        return crop_or_pad_passage(before, (min(z, most), None, None))
    every = -(-z // most)
    kept = -(-z // every)
    return thin_passage(before, every, (z - 1 - (kept - 1) * every) // 2)


def _shifted(before: Geometry, start: Shape, shape: Shape) -> Passage:
    z, y, x = start
    return axis_passage(before, shape, offset=(float(z), float(y), float(x)))


def _axes(axes: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Wanted directions as rows in index order (z, y, x)."""
    letters = axes.upper()
    groups = ["LR", "PA", "SI"]
    if len(letters) != 3 or sorted(
        next((i for i, g in enumerate(groups) if c in g), -1) for c in letters
    ) != [0, 1, 2]:
        raise RecipeError(
            f"'{axes}' does not name three axes of a patient.", remedy="For example LPS or RAS."
        )
    return np.array([_LETTERS[c] for c in reversed(letters)], dtype=np.float64)


@dataclass(frozen=True)
class Crop(GridStep):
    """See :func:`crop`."""

    start: Shape
    shape: Shape
    name: ClassVar[str] = "crop"

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to the box."""
        del mask
        return crop_passage(volume.geometry, self.start, self.shape)


@dataclass(frozen=True)
class Pad(GridStep):
    """See :func:`pad`."""

    before: Shape
    after: Shape
    fill: float | None = None
    name: ClassVar[str] = "pad"

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to the larger grid."""
        del mask
        return pad_passage(volume.geometry, self.before, self.after)


@dataclass(frozen=True)
class CropOrPad(GridStep):
    """See :func:`crop_or_pad`."""

    shape: OptionalShape
    fill: float | None = None
    name: ClassVar[str] = "crop_or_pad"

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to the grid of that size."""
        del mask
        return crop_or_pad_passage(volume.geometry, self.shape)


@dataclass(frozen=True)
class Orient(GridStep):
    """See :func:`orient`."""

    axes: str = "LPS"
    name: ClassVar[str] = "orient"

    def __post_init__(self) -> None:
        _axes(self.axes)

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to the turned grid."""
        del mask
        return orient_passage(volume.geometry, self.axes)


@dataclass(frozen=True)
class CropForeground(GridStep):
    """See :func:`crop_foreground`."""

    threshold: float | None = None
    margin: int = 0
    margin_mm: float | None = None
    name: ClassVar[str] = "crop_foreground"

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to the box."""
        return foreground_passage(volume, mask, self.threshold, self.margin, self.margin_mm)


@dataclass(frozen=True)
class ThinSlices(GridStep):
    """See :func:`thin_slices`."""

    every: int
    start: int = 0
    name: ClassVar[str] = "thin_slices"

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to fewer slices."""
        del mask
        return thin_passage(volume.geometry, self.every, self.start)


@dataclass(frozen=True)
class LimitSlices(GridStep):
    """See :func:`limit_slices`."""

    most: int
    keep: Literal["even", "centre"] = "even"
    name: ClassVar[str] = "limit_slices"

    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way to fewer slices."""
        del mask
        return limit_passage(volume.geometry, self.most, self.keep)
