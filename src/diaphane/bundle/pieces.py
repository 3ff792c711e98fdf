"""A prepared image that is made piece by piece, where the whole would take too much memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

if TYPE_CHECKING:
    from diaphane.preprocess import Recipe

POINTWISE = frozenset({"clip", "window", "rescale_intensity"})
"""Steps that look at nothing but a voxel's own value, and so may be done on any piece alone."""


def divided(recipe: Recipe) -> tuple[Recipe, Recipe]:
    """The recipe up to its last step that needs the whole image, and the pointwise rest."""
    from diaphane.preprocess import Recipe

    steps = recipe.steps
    cut = len(steps)
    while cut and steps[cut - 1].name in POINTWISE:
        cut -= 1
    return Recipe(steps[:cut]), Recipe(steps[cut:])


@dataclass(frozen=True, eq=False)
class Pieces:
    """An image ``(C, z, y, x)`` whose last, pointwise steps are done on what is asked for.

    Attributes
    ----------
    volume:
        The image before those steps.
    rest:
        The steps.
    """

    volume: Volume
    rest: Recipe

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, z, y, x)``."""
        return (self.volume.channels, *self.volume.shape)

    def __len__(self) -> int:
        return self.volume.channels

    def __getitem__(self, where: tuple[slice, ...]) -> NDArray[Any]:
        voxels = self.volume.voxels
        piece = np.asarray((voxels if voxels.ndim == 4 else voxels[None])[where])
        z, y, x = piece.shape[1:]
        volume = self.volume.with_voxels(piece, Geometry((z, y, x)))
        done = self.rest.apply(volume).volume.voxels
        return np.asarray(done)
