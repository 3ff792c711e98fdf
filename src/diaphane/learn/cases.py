"""Prepared cases in memory: read once, kept small, handed out changed or as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.bundle import InputSpec, case_hash, prepare_case
from diaphane.core.case import Case
from diaphane.core.errors import DatasetError, DiaphaneError, NotApplicable, PlanError
from diaphane.core.protocols import Progress, silent
from diaphane.core.volume import Volume
from diaphane.learn.augment import (
    Augmentation,
    Sample,
    Turn,
    augment_batch,
    draw_shade,
    draw_turn,
    shade,
    turn,
)
from diaphane.learn.cache import Cache
from diaphane.learn.plans import Plan

if TYPE_CHECKING:
    from diaphane.acquire import Dataset, Entry
    from diaphane.preprocess import Recipe

Array = NDArray[Any]
_TURN, _SHADE = 11, 12  # streams of random numbers


@dataclass(frozen=True, eq=False)
class Kept:
    """A sample in as few bytes as it can be kept in without harm.

    Images from 0 to 1 in steps of 1/255 are kept as uint8, others as float32; versions made by
    augmentation may round to uint8 or float16.
    """

    image: Array
    mask: Array
    concepts: NDArray[np.float32]

    @classmethod
    def of(cls, sample: Sample, cache: Cache, *, exact: bool) -> Kept:
        """Pack into the cache; ``exact`` keeps every value within 1e-6."""
        image, mask = sample.image, sample.mask
        packed: Array = image if exact else image.astype(np.float16)
        if image.size and image.min() >= 0.0 and image.max() <= 1.0:
            steps = np.round(image * 255.0)
            if not exact or float(np.abs(steps / 255.0 - image).max()) < 1e-6:
                packed = steps.astype(np.uint8)
        marked = mask.astype(np.uint8)
        whole = bool((marked == mask).all())
        packed = np.ascontiguousarray(packed)
        kept = np.ascontiguousarray(marked if whole else mask)
        return cls(cache.keep(packed), cache.keep(kept), sample.concepts)

    def open(self) -> Sample:
        """Unpack to float32."""
        if self.image.dtype == np.uint8:
            image = self.image.astype(np.float32) / np.float32(255.0)
        else:
            image = self.image.astype(np.float32)
        return Sample(image, self.mask.astype(np.float32), self.concepts)


@dataclass(frozen=True, eq=False)
class CaseRow:
    """What a run remembers of a case beside its pixels; no path and no identity."""

    key: str
    group: str
    labels: dict[str, str]
    split: str | None
    hash: str
    slices: int


@dataclass(frozen=True)
class Refused:
    """A case that could not be used: its name as the user wrote it, and the error."""

    name: str
    error: DiaphaneError


@dataclass(eq=False)
class CaseStore:
    """All prepared cases of a run, in the dataset's order."""

    spec: InputSpec
    how: Augmentation
    rows: list[CaseRow] = field(default_factory=list)
    plain: list[Kept] = field(default_factory=list)
    versions: list[list[Kept]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def outlined(self) -> bool:
        """Whether images are 0 outside their mask."""
        return self.spec.mask == "foreground"

    @property
    def concepts(self) -> NDArray[np.float32]:
        """Concepts of the unchanged cases ``(n, J)``."""
        return np.stack([kept.concepts for kept in self.plain])

    def sample(self, case: int) -> Sample:
        """A case as a bundle sees it."""
        return self.plain[case].open()

    def changed(self, case: int, seed: int, epoch: int) -> Sample:
        """A case as one epoch of training sees it: a function of seed, epoch and case."""
        return self.all_changed([case], seed, epoch)[0]

    def all_changed(
        self, cases: Sequence[int] | NDArray[np.int64], seed: int, epoch: int
    ) -> list[Sample]:
        """Cases as one epoch of training sees them; each is the same whatever its company."""
        numbers = [int(case) for case in cases]
        randoms = [np.random.default_rng([seed, _SHADE, epoch, case]) for case in numbers]
        if not self.versions or not any(self.versions[case] for case in numbers):
            samples = [self.plain[case].open() for case in numbers]
            return augment_batch(samples, self.how, randoms, outlined=self.outlined)
        made = []
        for case, random in zip(numbers, randoms, strict=True):
            if not self.versions[case]:
                alone = [self.plain[case].open()]
                made += augment_batch(alone, self.how, [random], outlined=self.outlined)
                continue
            take = int(random.integers(0, len(self.versions[case])))
            plain = random.random() < self.how.plain
            sample = (self.plain[case] if plain else self.versions[case][take]).open()
            change = draw_shade(self.how, random, sample.image.shape[1])
            made.append(shade(sample, change, outlined=self.outlined))
        return made

    def batch(self, cases: Sequence[int] | NDArray[np.int64], seed: int, epoch: int) -> Batch:
        """Cases as one epoch of training sees them, on the CPU."""
        return Batch.of(self.all_changed(cases, seed, epoch))


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples as the network takes them; see ``EvidenceNet.forward``."""

    image: torch.Tensor
    mask: torch.Tensor
    length: torch.Tensor
    concepts: torch.Tensor

    @classmethod
    def of(cls, samples: Sequence[Sample], device: torch.device | None = None) -> Batch:
        """Pad samples to the longest one."""
        steps = max(len(sample.mask) for sample in samples)
        channels, height, width = samples[0].image.shape[1:]
        # Torch aligns its memory alike every time, and so sums alike to the last bit.
        image = torch.zeros(len(samples), steps, channels, height, width)
        mask = torch.zeros(len(samples), steps, height, width)
        for row, sample in enumerate(samples):
            image[row, : len(sample.mask)].numpy()[...] = sample.image
            mask[row, : len(sample.mask)].numpy()[...] = sample.mask
        length = torch.tensor([len(sample.mask) for sample in samples], dtype=torch.int64)
        concepts = torch.from_numpy(np.stack([sample.concepts for sample in samples])).clone()
        parts = (image, mask, length, concepts)
        return cls(*(part if device is None else part.to(device) for part in parts))

    def rows(self, part: slice, device: torch.device) -> Batch:
        """Some of the cases, on a device."""
        whole = (self.image, self.mask, self.length, self.concepts)
        return Batch(*(each[part].to(device) for each in whole))


def read_cases(
    dataset: Dataset,
    spec: InputSpec,
    recipe: Recipe,
    how: Augmentation,
    *,
    salt: str,
    seed: int,
    threads: int = 1,
    cache: Cache | None = None,
    progress: Progress = silent,
) -> CaseStore:
    """Read and prepare every case of a dataset once; ``cache`` keeps them, in memory by default.

    Cases that cannot be read or prepared are set aside in ``refused``; the rest goes on. Versions
    (see ``Augmentation.versions``) are a function of seed, version and case alone.
    """
    store = CaseStore(spec, how)
    entries = list(dataset.entries)
    held = cache or Cache()

    def one(number: int) -> tuple[Entry, CaseRow, Kept, list[Kept]] | Refused:
        entry = entries[number]
        try:
            case = entry.load()
            prepared = prepare_case(case, spec, recipe)
        except DiaphaneError as error:
            return Refused(entry.name, error)
        sample = Sample(prepared.image, prepared.mask, prepared.concepts)
        others = [
            _version(case, store, recipe, held, np.random.default_rng([seed, _TURN, v, number]))
            for v in range(how.versions)
        ]
        row = CaseRow(
            key=entry.key,
            group=entry.group,
            labels=dict(entry.labels),
            split=entry.split,
            hash=case_hash(case, salt),
            slices=prepared.length,
        )
        return entry, row, Kept.of(sample, held, exact=True), [k for k in others if k is not None]

    for number, result in enumerate(_in_order(one, len(entries), threads)):
        progress("reading_cases", (number + 1) / len(entries))
        if isinstance(result, Refused):
            store.refused.append(result)
            continue
        _, row, plain, versions = result
        store.rows.append(row)
        store.plain.append(plain)
        if how.versions:
            store.versions.append(versions)
    return store


def require_cases(rows: Sequence[CaseRow], refused: Sequence[Refused], problem: str) -> None:
    """Go on only with a case.

    Raises
    ------
    DatasetError
        There is none; the remedy is the first case's error.
    """
    if not rows:
        raise DatasetError(problem, remedy=str(refused[0].error) if refused else None)


def targets(plan: Plan, store: CaseStore) -> torch.Tensor:
    """Targets of all cases as the loss takes them.

    Raises
    ------
    PlanError
        A label is not among the plan's classes.
    """
    rows = []
    for row in store.rows:
        values = []
        for column in plan.label_columns:
            value = row.labels.get(column)
            if value and value not in plan.classes[column]:
                raise PlanError(f"plan key 'classes.{column}' does not name '{value}'.")
            if plan.task == "multiclass":
                values.append(float(plan.classes[column].index(value or "")))
            else:
                values.append(float(value == plan.positive[column]) if value else float("nan"))
        rows.append(values)
    table = torch.tensor(rows, dtype=torch.float32)
    return table[:, 0].long() if plan.task == "multiclass" else table


def _in_order(work: Callable[[int], Any], count: int, threads: int) -> Any:
    if threads <= 1:
        return map(work, range(count))
    pool = ThreadPoolExecutor(threads)

    def results() -> Any:
        with pool:
            yield from pool.map(work, range(count))

    return results()


def _version(
    case: Case, store: CaseStore, recipe: Recipe, cache: Cache, random: np.random.Generator
) -> Kept | None:
    """One changed version of a case, prepared; ``None`` when nothing of it is left."""
    change = draw_turn(store.how, case.volume.shape[0], random)
    try:
        changed = turned_case(case, change, outlined=store.outlined)
        prepared = prepare_case(changed, store.spec, recipe)
    except NotApplicable:
        return None
    sample = Sample(prepared.image, prepared.mask, prepared.concepts)
    return Kept.of(sample, cache, exact=False)


def turned_case(case: Case, change: Turn, *, outlined: bool) -> Case:
    """A case turned, scaled and thinned on its native grid, mask included.

    The fixed point is the middle of the mask's box, or of the frame without a mask. All volumes
    must share one grid, as channels do. Slices that the mask no longer touches stay.
    """
    volumes = list(case.volumes.values())
    stack = np.concatenate([_channels(volume) for volume in volumes], axis=1)
    if case.mask is not None:
        inside = (np.asarray(case.mask.voxels) > 0).astype(np.float32)
    elif outlined:
        inside = np.asarray(np.any(stack > 0, axis=1), dtype=np.float32)
    else:
        inside = np.ones((stack.shape[0], *stack.shape[2:]), dtype=np.float32)
    rows, columns = np.flatnonzero(inside.any((0, 2))), np.flatnonzero(inside.any((0, 1)))
    centre = None
    if rows.size:
        centre = (float(rows[0] + rows[-1]) / 2.0, float(columns[0] + columns[-1]) / 2.0)
    image, mask = turn(stack, inside, change, outlined=outlined, centre=centre)
    changed: dict[str, Volume] = {}
    first = 0
    for name, volume in case.volumes.items():
        voxels = np.moveaxis(image[:, first : first + volume.channels], 1, 0)
        first += volume.channels
        changed[name] = _thinned(volume, voxels if volume.voxels.ndim == 4 else voxels[0], change)
    new_mask = case.mask
    if case.mask is not None:
        new_mask = _thinned(case.mask, (mask > 0.5).astype(np.uint8), change)
    return replace(case, volumes=changed, mask=new_mask)


def _channels(volume: Volume) -> NDArray[np.float32]:
    voxels = volume.voxels if volume.voxels.ndim == 4 else volume.voxels[None]
    return np.moveaxis(voxels, 0, 1).astype(np.float32)


def _thinned(volume: Volume, voxels: Array, change: Turn) -> Volume:
    """The volume with new voxels on the grid of every ``step``-th slice."""
    geometry = volume.geometry
    step = geometry.spacing[0]
    spacing = (None if step is None else step * change.step, *geometry.spacing[1:])
    grid = replace(geometry, shape=voxels.shape[-3:], spacing=spacing)
    return volume.with_voxels(voxels, grid)
