"""A memory of what is normal: scores and localises what is unlike it. No torch.

After PatchCore (Roth et al., CVPR 2022): descriptors of patches of normal images are kept, thinned
so that they lie far apart; a new patch's distance to its nearest neighbour among them says how
unlike normal it is. A case's score is told as its place among held-out normals.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as safetensors_bytes

from diaphane.bundle.archive import SUMS, sums_of
from diaphane.bundle.manifest import InputSpec
from diaphane.bundle.patches import (
    filter_bank,
    nearest_distance,
    neighbourhood,
    places,
)
from diaphane.bundle.prepare import PreparedCase, prepare_case
from diaphane.bundle.run import OnnxRunner
from diaphane.core.case import Case
from diaphane.core.errors import BundleCorrupt, BundleNotFound
from diaphane.core.files import replacing
from diaphane.core.volume import Volume

if TYPE_CHECKING:
    from diaphane.preprocess import Recipe

Floats = NDArray[np.float32]

FACTS, MEMORY, ENCODER = "anomaly.json", "memory.safetensors", "encoder.onnx"
_TENSORS = ("memory", "mean", "spread", "scores", "hot")
LIMIT = 0.95
"""Quantile among held-out normals from which a case is called unlike normal."""
_TOP = 0.02
"""Share of a case's patches, the most unlike ones, whose mean is its score."""


class AnomalyFacts(BaseModel):
    """Content of ``anomaly.json``.

    Attributes
    ----------
    features:
        "filters" (a fixed bank) or "encoder" (a graph that learned without labels).
    place:
        Weight of a patch's place in the frame; 0 where images have no upright side.
    cases, held_out:
        Normal cases in the memory, and those whose scores calibrate it (out of fold).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    input: InputSpec
    recipe: dict[str, Any]
    features: Literal["filters", "encoder"]
    place: float = Field(ge=0)
    cases: int = Field(ge=2)
    held_out: int = Field(ge=2)
    folds: int = Field(ge=2)
    seed: int
    encoder_sha256: str | None = None
    versions: dict[str, str]


@dataclass(frozen=True, eq=False)
class Memory:
    """Descriptors of normal patches.

    Attributes
    ----------
    memory:
        ``(m, D)``, standardised, a patch's place in the last two columns if it counts.
    mean, spread:
        Of normal descriptors, ``(d,)`` each.
    scores:
        Scores ``(n,)`` of held-out normals, ascending.
    hot:
        Median and 99.9th percentile of held-out normal patches' distances ``(2,)``.
    """

    memory: Floats
    mean: Floats
    spread: Floats
    scores: Floats
    hot: Floats

    def distances(self, cells: Floats, place: float) -> Floats:
        """Distance to the memory ``(T, h, w)`` of descriptors ``(T, h, w, d)``."""
        rows = standardised(cells, self.mean, self.spread, place)
        flat = nearest_distance(rows.reshape(-1, rows.shape[-1]), self.memory)
        return flat.reshape(cells.shape[:3])

    def quantile(self, score: float) -> float:
        """Share of normals that score lower, 0 to below 1."""
        return float(np.searchsorted(self.scores, score) / (len(self.scores) + 1))

    @property
    def limit(self) -> float:
        """Quantile from which a case is unlike normal: :data:`LIMIT`, or above all if they are few."""
        return min(LIMIT, len(self.scores) / (len(self.scores) + 1))


@dataclass(frozen=True, eq=False)
class Anomaly:
    """How unlike normal a case is.

    Attributes
    ----------
    score:
        Mean distance of its most unlike patches.
    quantile:
        Share of held-out normals that score lower.
    unlike:
        Whether it lies at or above the limit.
    heat:
        On the native grid ``(z, y, x)``: 0 for the usual distance of a normal patch, 1 where
        hardly one in a thousand normal patches is as far from the memory.
    peak:
        Native index ``(z, y, x)`` of the hottest place.
    """

    key: str
    score: float
    quantile: float
    unlike: bool
    heat: Volume
    peak: tuple[int, int, int]


class Detector:
    """A loaded memory; made by :func:`load_detector`."""

    def __init__(
        self, facts: AnomalyFacts, memory: Memory, encoder: bytes | None, threads: int | None
    ) -> None:
        self.facts, self.memory, self.encoder, self.threads = facts, memory, encoder, threads

    @functools.cached_property
    def recipe(self) -> Recipe:
        """Preprocessing, the same as when the memory was made."""
        from diaphane.preprocess import Recipe

        return Recipe.from_dict(self.facts.recipe)

    @functools.cached_property
    def descriptors(self) -> Descriptors:
        """What turns slices into descriptors."""
        return Descriptors(self.encoder, self.threads)

    def look(self, case: Case) -> Anomaly:
        """Score a case and show where it is unlike normal.

        Raises
        ------
        InputError
            The case cannot be prepared.
        """
        prepared = prepare_case(case, self.facts.input, self.recipe)
        cells = self.descriptors(prepared)
        inside = self.descriptors.inside(prepared, cells)
        distance = self.memory.distances(cells, self.facts.place)
        score = score_of(distance[inside])
        raw = self._native(np.where(inside, distance, 0.0).astype(np.float32), prepared)
        z, y, x = (int(i) for i in np.unravel_index(int(raw.voxels.argmax()), raw.shape))
        heat = raw.with_voxels(np.clip(raw.voxels, 0.0, 1.0).astype(np.float32))
        quantile = self.memory.quantile(score)
        return Anomaly(case.key, score, quantile, quantile >= self.memory.limit, heat, (z, y, x))

    def _native(self, distance: Floats, prepared: PreparedCase) -> Volume:
        """Heat from 0, not yet bounded above, on the case's own grid."""
        from scipy.ndimage import map_coordinates

        low, high = (float(v) for v in self.memory.hot)
        heat = np.maximum((distance - low) / max(high - low, 1e-9), 0.0)
        steps, height, width = prepared.mask.shape
        rows = (np.arange(height) + 0.5) * distance.shape[1] / height - 0.5
        columns = (np.arange(width) + 0.5) * distance.shape[2] / width - 0.5
        grid = np.meshgrid(rows, columns, indexing="ij")
        fine = np.stack([map_coordinates(plane, grid, order=1, mode="nearest") for plane in heat])
        fine *= prepared.mask
        whole = np.zeros(prepared.grid.shape, dtype=np.float32)
        y, x = prepared.frame
        top, left = max(y, 0), max(x, 0)
        bottom, right = min(y + height, whole.shape[1]), min(x + width, whole.shape[2])
        part = fine[:, top - y : bottom - y, left - x : right - x]
        for step, z in enumerate(prepared.picked[:steps]):
            whole[z, top:bottom, left:right] = part[step]
        return self.recipe.undo(
            Volume(whole, prepared.grid, "OT"), prepared.trace, interpolation="linear"
        )


class Descriptors:
    """Patches of prepared slices as numbers: the filter bank, or an encoder's graph."""

    def __init__(self, encoder: bytes | None, threads: int | None = None) -> None:
        self._runner = None
        if encoder is not None:
            self._runner = OnnxRunner(
                encoder, threads, path=ENCODER, takes=("image",), gives=("features",)
            )

    def __call__(self, prepared: PreparedCase) -> Floats:
        """Descriptors ``(T, h, w, d)``."""
        if self._runner is None:
            return neighbourhood(filter_bank(prepared.image))
        found = self._runner({"image": prepared.image.astype(np.float32)})["features"]
        return neighbourhood(np.ascontiguousarray(np.moveaxis(found, 1, -1)))

    @staticmethod
    def inside(prepared: PreparedCase, cells: Floats) -> NDArray[np.bool_]:
        """Which cells ``(T, h, w)`` lie mostly in the mask; all, where none does."""
        from scipy.ndimage import zoom

        height, width = prepared.mask.shape[1:]
        factors = (1.0, cells.shape[1] / height, cells.shape[2] / width)
        share = zoom(prepared.mask, factors, order=1, grid_mode=True, mode="nearest")
        found = np.asarray(share[:, : cells.shape[1], : cells.shape[2]] > 0.5)
        return found if found.any() else np.ones_like(found)


def standardised(cells: Floats, mean: Floats, spread: Floats, place: float) -> Floats:
    """Descriptors ``(T, h, w, d)`` in standard deviations over the root of d, and their place."""
    rows = (cells - mean) / (spread * np.float32(np.sqrt(len(mean))))
    if place <= 0:
        return np.asarray(rows, dtype=np.float32)
    where = place * np.broadcast_to(places(cells.shape[1], cells.shape[2]), (*cells.shape[:3], 2))
    return np.concatenate([rows, where], axis=-1).astype(np.float32)


def score_of(distance: Floats) -> float:
    """Mean of the largest distances, of one patch in fifty."""
    count = max(1, round(_TOP * distance.size))
    return float(np.partition(distance.ravel(), -count)[-count:].mean())


def write_detector(
    folder: Path, facts: AnomalyFacts, memory: Memory, encoder: bytes | None
) -> None:
    """Write the folder in one step, with its hashes."""
    text = json.dumps(facts.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    tensors = {
        name: np.ascontiguousarray(getattr(memory, name), dtype=np.float32) for name in _TENSORS
    }
    files = {FACTS: text.encode(), MEMORY: bytes(safetensors_bytes(tensors))}
    if encoder is not None:
        files[ENCODER] = encoder
    files[SUMS] = sums_of(files)
    with replacing(folder) as beside:
        beside.mkdir()
        for name, data in files.items():
            (beside / name).write_bytes(data)


def load_detector(folder: str | Path, *, threads: int | None = None) -> Detector:
    """Read and verify the folder of a memory.

    Raises
    ------
    BundleNotFound
        The folder holds none.
    BundleCorrupt
        A file is missing, changed or damaged.
    """
    place = Path(folder)
    if not (place / FACTS).is_file() or not (place / SUMS).is_file():
        raise BundleNotFound(
            "This is not a folder of 'diaphane anomaly fit'.",
            path=place,
            remedy="Make one with: diaphane anomaly fit NORMALS --out DIR",
        )
    files = _checked(place)
    try:
        facts = AnomalyFacts.model_validate_json(files[FACTS])
        tensors = tensors_of(files[MEMORY])
        memory = Memory(**{name: tensors[name] for name in _TENSORS})
    except (ValidationError, SafetensorError, KeyError, ValueError) as error:
        raise BundleCorrupt("The memory cannot be read.", path=place) from error
    width = memory.mean.size + (2 if facts.place > 0 else 0)
    fits = memory.memory.ndim == 2 and memory.memory.shape[1] == width
    whole = all(np.isfinite(tensors[name]).all() for name in _TENSORS)
    if not (
        fits and whole and memory.hot.shape == (2,) and memory.spread.shape == memory.mean.shape
    ):
        raise BundleCorrupt("The memory's tensors do not fit each other.", path=place)
    if facts.features == "encoder" and ENCODER not in files:
        raise BundleCorrupt(f"{ENCODER} is missing.", path=place)
    return Detector(facts, memory, files.get(ENCODER), threads)


def _checked(place: Path) -> Mapping[str, bytes]:
    """Files named in ``SHA256SUMS``, each with the hash that stands there."""
    files: dict[str, bytes] = {}
    for line in (place / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if name not in (FACTS, MEMORY, ENCODER):
            raise BundleCorrupt(f"{SUMS} names a file that does not belong here.", path=place)
        try:
            files[name] = (place / name).read_bytes()
        except OSError as error:
            raise BundleCorrupt(f"{name} is missing.", path=place) from error
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleCorrupt(f"{name} does not match its hash.", path=place)
    return files
