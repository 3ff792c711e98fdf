"""What a preprocessing step is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from diaphane.core.volume import Volume
from diaphane.preprocess.passage import Interpolation, Passage, carry


class Applied(NamedTuple):
    """What a step leaves behind.

    ``passage`` is ``None`` when the grid stayed as it was.
    """

    volume: Volume
    mask: Volume | None
    passage: Passage | None


@runtime_checkable
class Step(Protocol):
    """One step of a recipe: a frozen dataclass whose fields are the recipe's keys.

    A step never changes what it is given, and gives the same result for the same input.
    """

    name: ClassVar[str]

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step; ``mask`` (labels on the same grid) travels along."""
        ...


class IntensityStep(ABC):
    """Changes values, not the grid; a subclass gives :meth:`values`."""

    name: ClassVar[str]

    @abstractmethod
    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The volume with new values on the same grid."""

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step; the mask stays as it is."""
        del threads
        return Applied(self.values(volume, mask), mask, None)


class GridStep(ABC):
    """Moves voxels to another grid; a subclass gives :meth:`passage`.

    The image is interpolated as the step's ``interpolation`` says, the mask always nearest.
    """

    name: ClassVar[str]

    @abstractmethod
    def passage(self, volume: Volume, mask: Volume | None) -> Passage:
        """The way from the volume's grid to the new one."""

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step to volume and mask."""
        way = self.passage(volume, mask)
        parameters: dict[str, Any] = vars(self)
        how: Interpolation = parameters.get("interpolation", "linear")
        moved = carry(volume, way, how, fill=parameters.get("fill"), threads=threads)
        labels = None if mask is None else carry(mask, way, "nearest", fill=0.0)
        return Applied(moved, labels, way)
