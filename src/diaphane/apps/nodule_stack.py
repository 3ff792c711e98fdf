"""A nodule on a CT, as a stack that looks like the training crops of ``lung-nodule``.

The recipe is data, with its reasons: ``data/ct_to_lidc_stack.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from diaphane.core.case import Case
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.diagnose import Region
from diaphane.preprocess import Recipe

FRAME = 64
"""Height and width of a training crop in pixels."""

_MARGIN_MM = 4.0  # of native voxels around the outline, for interpolation at its border


@dataclass(frozen=True, eq=False)
class NoduleStack:
    """A nodule as the training set shows nodules.

    Attributes
    ----------
    voxels:
        ``(t, 64, 64)`` uint8; 0 outside the outline, 1 to 255 inside.
    geometry:
        Where the stack lies in the patient.
    cut:
        Whether the outline reaches beyond the frame.
    """

    voxels: NDArray[np.uint8]
    geometry: Geometry
    cut: bool

    def case(self, key: str) -> Case:
        """A case for a bundle. Like a training stack it states no spacing."""
        z, y, x = self.voxels.shape
        grid = Geometry((z, y, x))
        image = Volume(self.voxels, grid, "CT")
        mask = Volume((self.voxels > 0).astype(np.uint8), grid, "CT")
        return Case(key=key, volumes={"image": image}, mask=mask)

    def to_native(self, native: Geometry) -> NDArray[np.float64]:
        """4x4 matrix from a stack index ``(t, y, x, 1)`` to a native one ``(z, y, x, 1)``."""
        matrix = np.linalg.inv(native.affine) @ self.geometry.affine
        return np.asarray(matrix, dtype=np.float64)


@cache
def stack_recipe() -> Recipe:
    """The recipe ``data/ct_to_lidc_stack.yaml``."""
    text = (files(__package__) / "data" / "ct_to_lidc_stack.yaml").read_text(encoding="utf-8")
    return Recipe.from_text(text)


def nodule_stack(volume: Volume, region: Region) -> NoduleStack:
    """The stack of an outlined nodule.

    Parameters
    ----------
    volume:
        The scan in HU, placed in the patient.
    region:
        The nodule on its grid.

    Notes
    -----
    The outline is resampled linearly and cut at one half; where a nodule thinner than the new
    grid would vanish, the new voxels nearest to its own are taken.
    """
    recipe = stack_recipe()
    image, outline = _around(volume, region)
    grey = recipe.apply(image)
    smooth = Recipe(recipe.steps[:2]).apply(outline.with_voxels(outline.voxels * np.float32(1.0)))
    inside = np.asarray(smooth.volume.voxels) > 0.5
    if not inside.any():
        at = np.rint(grey.trace.to_prepared(np.argwhere(outline.voxels)))
        limit = np.asarray(inside.shape) - 1
        inside[tuple(np.clip(at, 0, limit).astype(np.intp).T)] = True
    values = np.clip(np.rint(np.asarray(grey.volume.voxels)), 1, 255).astype(np.uint8)
    stack = np.where(inside, values, np.uint8(0))
    return _framed(stack, grey.volume.geometry)


def _around(volume: Volume, region: Region) -> tuple[Volume, Volume]:
    """Image and outline in the region's box plus a margin, within the scan."""
    steps = volume.geometry.spacing_mm
    low, high = [], []
    for box, step, size in zip(region.box, steps, volume.shape, strict=True):
        margin = int(np.ceil(_MARGIN_MM / step))
        low.append(max(0, box.start - margin))
        high.append(min(size, box.stop + margin))
    start = (low[0], low[1], low[2])
    shape = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
    grid = volume.geometry.crop(start, shape)
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    mask = np.zeros(shape, dtype=np.uint8)
    inner = tuple(slice(b.start - a, b.stop - a) for a, b in zip(low, region.box, strict=True))
    mask[inner] = region.mask
    image = Volume(volume.voxels[cut], grid, volume.modality, volume.unit)
    return image, Volume(mask, grid, volume.modality)


def _framed(stack: NDArray[np.uint8], grid: Geometry) -> NoduleStack:
    """Slices that show the outline, in frames centred on its box."""
    shown = np.flatnonzero(stack.any(axis=(1, 2)))
    rows = np.flatnonzero(stack.any(axis=(0, 2)))
    columns = np.flatnonzero(stack.any(axis=(0, 1)))
    if not shown.size:
        empty = np.zeros((1, FRAME, FRAME), dtype=np.uint8)
        return NoduleStack(empty, grid.crop((0, 0, 0), (1, FRAME, FRAME)), cut=False)
    depth = int(shown[-1]) + 1 - int(shown[0])
    start = [int(shown[0])]
    start += [(int(a[0]) + int(a[-1]) + 1 - FRAME) // 2 for a in (rows, columns)]
    voxels = np.zeros((depth, FRAME, FRAME), dtype=np.uint8)
    source, target = [], []
    for begin, size in zip(start[1:], stack.shape[1:], strict=True):
        low, high = max(begin, 0), min(begin + FRAME, size)
        source.append(slice(low, high))
        target.append(slice(low - begin, high - begin))
    part = stack[start[0] : start[0] + depth]
    voxels[:, target[0], target[1]] = part[:, source[0], source[1]]
    return NoduleStack(
        voxels,
        grid.crop((start[0], start[1], start[2]), (depth, FRAME, FRAME)),
        cut=bool(max(np.ptp(rows), np.ptp(columns)) + 1 > FRAME),
    )
