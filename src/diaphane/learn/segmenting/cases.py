"""Prepared cases with their masks: read once, kept small, cut into patches."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import case_hash
from diaphane.core.case import Case
from diaphane.core.errors import DatasetError, DiaphaneError, NotApplicable
from diaphane.core.geometry import Geometry
from diaphane.core.protocols import Progress, silent
from diaphane.core.volume import Volume
from diaphane.learn.cases import CaseRow, Refused, _in_order
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.preprocess import Recipe

if TYPE_CHECKING:
    from diaphane.acquire import Dataset, Entry

Array = NDArray[Any]
Spacing = tuple[float, float, float] | None

MEMORY = 2_000_000_000
"""Bytes of prepared cases that are kept in memory; the rest lies in a file beside the run."""
_PLACES = 2000
_STREAM = 21


@dataclass(frozen=True, eq=False)
class Kept:
    """A prepared case.

    Attributes
    ----------
    image:
        ``(C, z, y, x)`` float32, or float16 where the set is large.
    mask:
        ``(z, y, x)``: 0 background, l the l-th label.
    places:
        By label number: ``(n, 3)`` voxels of it, a sample of at most 2000.
    spacing:
        Of the prepared grid in mm, ``None`` where unknown.
    native:
        The case's own grid.
    """

    image: Array
    mask: Array
    places: dict[int, NDArray[np.int32]]
    spacing: Spacing
    native: Geometry

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        z, y, x = self.mask.shape
        return z, y, x


@dataclass(eq=False)
class MaskStore:
    """All cases of a run that have a mask, in the data set's order.

    ``room`` holds what does not fit into memory, and goes when the store does.
    """

    rows: list[CaseRow] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    room: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)


class _Shelf:
    """Keeps arrays in memory up to a limit, and in files of a temporary folder beyond it."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.files = 0

    def keep(self, array: Array) -> Array:
        """The array, read-only, wherever it lies now."""
        self.used += array.nbytes
        if self.used <= self.limit:
            return array
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="diaphane-cases-")
        path = Path(self.folder.name) / f"{self.files}.npy"
        self.files += 1
        np.save(path, array)
        kept: Array = np.load(path, mmap_mode="r")
        return kept


def read_masked(
    dataset: Dataset,
    plan: SegmentationPlan,
    *,
    salt: str,
    threads: int = 1,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> MaskStore:
    """Read and prepare every case with a mask once; what cannot be used is set aside."""
    recipe = Recipe.from_dict(plan.recipe)
    entries = [entry for entry in dataset.entries if entry.has_mask]
    store, shelf = MaskStore(), _Shelf(memory)

    def one(number: int) -> tuple[CaseRow, Kept] | Refused:
        entry = entries[number]
        try:
            case = entry.load()
            kept = prepare_masked(case, plan, recipe, seed=number)
        except DiaphaneError as error:
            return Refused(entry.name, error)
        row = CaseRow(
            key=entry.key, group=entry.group, labels={}, split=entry.split,
            hash=case_hash(case, salt), slices=kept.shape[0],
        )  # fmt: skip
        return row, kept

    for number, result in enumerate(_in_order(one, len(entries), threads)):
        progress("reading_cases", (number + 1) / max(1, len(entries)))
        if isinstance(result, Refused):
            store.refused.append(result)
            continue
        row, kept = result
        store.rows.append(row)
        store.entries.append(entries[number])
        store.kept.append(replace(kept, image=shelf.keep(kept.image), mask=shelf.keep(kept.mask)))
    store.room = shelf.folder
    return store


def prepare_masked(case: Case, plan: SegmentationPlan, recipe: Recipe, *, seed: int) -> Kept:
    """A case on the recipe's grid.

    Raises
    ------
    DatasetError
        The mask holds a value that the plan does not name.
    NotApplicable
        No mask, other channels, or other grids than the plan's.
    """
    volume = joined(case)
    if case.mask is None or case.mask.shape != volume.shape:
        raise NotApplicable("The case has no mask on the grid of its image.")
    known = np.array([0, *plan.labels.values()])
    values = np.unique(case.mask.voxels)
    unknown = values[~np.isin(values, known)]
    if unknown.size:
        raise DatasetError(
            f"The mask holds the value {int(unknown[0])}, which the plan does not name.",
            remedy="Name it in dataset.json or labels.json, or correct the mask.",
        )
    done = recipe.apply(volume, case.mask)
    assert done.mask is not None
    image = np.asarray(done.volume.voxels, dtype=np.float32)
    image = image if image.ndim == 4 else image[None]
    if len(image) != plan.channels:
        raise NotApplicable(
            f"The image has {len(image)} channels, the network takes {plan.channels}."
        )
    values = np.asarray(done.mask.voxels)
    mask = np.zeros(values.shape, dtype=np.uint8 if len(known) < 256 else np.uint16)
    for number, value in enumerate(plan.labels.values(), start=1):
        mask[values == value] = number
    spacing = done.volume.geometry.spacing
    steps = None if None in spacing else (spacing[0], spacing[1], spacing[2])
    if image.nbytes > 64_000_000:
        image = image.astype(np.float16)  # a step of 0.001 near one standard deviation
    return Kept(image, mask, _places(mask, len(plan.labels), seed), steps, volume.geometry)  # type: ignore[arg-type]  # None is excluded


def joined(case: Case) -> Volume:
    """The volumes of a case as channels of one, without NaN or infinite voxels.

    Raises
    ------
    NotApplicable
        They lie on different grids.
    """
    several: Sequence[Volume] = tuple(case.volumes.values())
    first = several[0]
    if len(several) == 1:
        return first.require_finite()
    if any(v.shape != first.shape for v in several[1:]):
        raise NotApplicable("The case's images are on different grids; this network takes one.")
    parts = [v.voxels if v.voxels.ndim == 4 else v.voxels[None] for v in several]
    return first.with_voxels(np.concatenate(parts)).require_finite()


def _places(mask: Array, labels: int, seed: int) -> dict[int, NDArray[np.int32]]:
    """A sample of voxels of each label that is there."""
    found = {}
    random = np.random.default_rng([_STREAM, seed])
    for label in range(1, labels + 1):
        flat = np.flatnonzero(mask == label)
        if not flat.size:
            continue
        if flat.size > _PLACES:
            flat = np.sort(random.choice(flat, _PLACES, replace=False))
        found[label] = np.stack(np.unravel_index(flat, mask.shape), 1).astype(np.int32)
    return found
