"""Learning what is normal: ``diaphane anomaly fit``.

Only normal images are given. Their patches' descriptors become a memory
(:mod:`diaphane.bundle.anomaly`), which needs no torch to be used.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.bundle import InputSpec, PreparedCase, prepare_case
from diaphane.bundle.anomaly import (
    AnomalyFacts,
    Descriptors,
    Detector,
    Memory,
    load_detector,
    score_of,
    standardised,
    write_detector,
)
from diaphane.bundle.patches import nearest_distance, spread_core
from diaphane.core.errors import DatasetError, DiaphaneError, OutputError, PlanError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.learn.cases import Refused
from diaphane.learn.pretrained import PretrainedEncoder, load_encoder, start_from
from diaphane.learn.pretraining import open_unlabelled, plan_input
from diaphane.learn.shipping import versions
from diaphane.learn.splits import first_appearance
from diaphane.models import EvidenceNet
from diaphane.models.export import OPSET
from diaphane.preprocess import Recipe

Floats = NDArray[np.float32]

_LEAST = 6
"""Fewest normal cases."""
_MOST_ROWS = 12_000
"""Patches that the memory is chosen from."""


@dataclass(frozen=True)
class FitOptions:
    """How a memory is made.

    Attributes
    ----------
    encoder:
        Folder of an encoder whose features are kept; the fixed filter bank if ``None``.
    memory:
        Patches kept.
    side:
        Whole images are brought to this height and width; outlined ones keep their frame.
    folds:
        Parts of the normals, by group; each is scored by a memory of the others.
    everything:
        Take cases of the validation and test parts too.
    options:
        How DICOM is read; inputs that are scored must be read likewise.
    """

    encoder: Path | None = None
    memory: int = 1500
    side: int = 96
    folds: int = 4
    seed: int = 0
    name: str = "normal"
    everything: bool = False
    threads: int | None = None
    stack: bool | None = None
    options: ReadOptions = AS_IS


@dataclass(frozen=True, eq=False)
class Fitted:
    """The detector, its folder, scores of held-out normals in order of the cases, refused cases."""

    folder: Path
    detector: Detector
    scores: Floats
    refused: tuple[Refused, ...]


@dataclass(frozen=True, eq=False)
class Look:
    """Descriptors of a case ``(T, h, w, d)``, and which cells count ``(T, h, w)``."""

    cells: Floats
    inside: NDArray[np.bool_]

    def rows(self, mean: Floats, spread: Floats, place: float) -> Floats:
        """Standardised descriptors ``(n, D)`` of the cells that count."""
        return standardised(self.cells, mean, spread, place)[self.inside]


def fit_anomaly(
    normals: str | Path,
    out: str | Path,
    options: FitOptions | None = None,
    *,
    progress: Progress = silent,
) -> Fitted:
    """Remember normal images.

    Every image given counts as normal, whatever its label.

    Raises
    ------
    OutputError
        ``out`` exists.
    DatasetError
        Fewer than six normal cases, or all of one group.
    """
    chosen = options or FitOptions()
    folder = Path(out)
    if folder.exists():
        raise OutputError("The folder exists already.", path=folder, remedy="Choose a new one.")
    opened = open_unlabelled(Path(normals), stack=chosen.stack, options=chosen.options)
    entries = [e for e in opened.entries if chosen.everything or e.split in (None, "train")]
    opened = replace(opened, entries=tuple(entries))
    threads = chosen.threads or os.cpu_count() or 1
    encoder = None if chosen.encoder is None else load_encoder(chosen.encoder)
    if encoder is not None:
        spec, recipe = encoder.facts.input, Recipe.from_dict(encoder.facts.recipe)
        if encoder.facts.network.mask_channel:
            raise PlanError("The encoder reads a mask, and normal images have none to be read.")
    else:
        spec, recipe = _input(*plan_input(opened, threads=threads, progress=progress)[:2], chosen)
    graph = None if encoder is None else _graph(encoder)
    descriptors = Descriptors(graph, threads)
    looks: list[Look] = []
    groups: list[str] = []
    refused: list[Refused] = []
    for number, entry in enumerate(entries, start=1):
        try:
            prepared: PreparedCase = prepare_case(entry.load(), spec, recipe)
        except DiaphaneError as error:
            refused.append(Refused(entry.name, error))
            continue
        cells = descriptors(prepared)
        looks.append(Look(cells, descriptors.inside(prepared, cells)))
        groups.append(entry.group)
        progress("reading_cases", 0.5 * number / len(entries))
    fold = folds_of(groups, chosen.folds, chosen.seed)
    place = 1.0 if spec.mask == "none" else 0.0
    memory, scores = remember(looks, fold, place, chosen, progress)
    facts = AnomalyFacts(
        name=chosen.name,
        input=spec,
        recipe=recipe.to_dict(),
        features="filters" if graph is None else "encoder",
        place=place,
        cases=len(looks),
        held_out=len(scores),
        folds=int(fold.max()) + 1,
        seed=chosen.seed,
        encoder_sha256=None if encoder is None else encoder.facts.sha256,
        versions=versions(),
    )
    write_detector(folder, facts, memory, graph)
    return Fitted(folder, load_detector(folder, threads=threads), scores, tuple(refused))


def folds_of(groups: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """Fold ``(n,)`` of each case; groups are whole, and folds about as large.

    Raises
    ------
    DatasetError
        Too few cases or groups.
    """
    if len(groups) < _LEAST:
        raise DatasetError(
            f"{len(groups)} normal cases are too few to know what is normal.",
            remedy=f"Give at least {_LEAST}; some dozens are better.",
        )
    number = first_appearance(groups)
    count = int(number.max()) + 1
    if count < 2:
        raise DatasetError(
            "All cases belong to one group, so none can be held out.",
            remedy="Add patients, or correct the group column.",
        )
    order = np.random.default_rng(seed).permutation(count)
    return np.asarray(order[number] % min(folds, count), dtype=np.int64)


def remember(
    looks: Sequence[Look],
    fold: NDArray[np.int64],
    place: float,
    chosen: FitOptions,
    progress: Progress = silent,
) -> tuple[Memory, Floats]:
    """The memory of all cases, calibrated on cases that a part's memory had not seen."""
    count = int(fold.max()) + 1
    scores = np.empty(len(looks), dtype=np.float32)
    distances: list[Floats] = []
    for number in range(count):
        others = np.flatnonzero(fold != number)
        mean, spread, rows = _core(looks, others, place, chosen)
        for case in np.flatnonzero(fold == number).tolist():
            far = nearest_distance(looks[case].rows(mean, spread, place), rows)
            scores[case] = score_of(far)
            distances.append(far)
        progress("learning_what_is_normal", 0.5 + 0.4 * (number + 1) / count)
    mean, spread, rows = _core(looks, np.arange(len(looks)), place, chosen)
    hot = np.percentile(np.concatenate(distances), [50.0, 99.9]).astype(np.float32)
    return Memory(rows, mean, spread, np.sort(scores), hot), scores


def _core(
    looks: Sequence[Look],
    cases: NDArray[np.int64],
    place: float,
    chosen: FitOptions,
) -> tuple[Floats, Floats, Floats]:
    """Mean and spread of descriptors, and the memory's rows, of some cases."""
    bare = np.concatenate([looks[i].cells[looks[i].inside] for i in cases.tolist()])
    mean = bare.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = bare.std(axis=0, dtype=np.float64)
    spread = np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-9)).astype(np.float32)
    rows = np.concatenate([looks[i].rows(mean, spread, place) for i in cases.tolist()])
    random = np.random.default_rng([chosen.seed, len(cases)])
    if len(rows) > _MOST_ROWS:
        rows = rows[np.sort(random.choice(len(rows), _MOST_ROWS, replace=False))]
    return mean, spread, rows[spread_core(rows, chosen.memory, chosen.seed)]


def _input(spec: InputSpec, recipe: Recipe, chosen: FitOptions) -> tuple[InputSpec, Recipe]:
    """A plan's input, with whole images at one side for all."""
    bare = spec.model_copy(update={"concepts": (), "given_concepts": ()})
    if spec.mask != "none":
        return bare, recipe
    steps = [step for step in recipe.to_dict()["steps"] if "resize" not in step]
    side = [chosen.side, chosen.side]
    known = Recipe.from_dict(
        {"version": 1, "name": "normal", "steps": [*steps, {"resize": {"size": side}}]}
    )
    return bare.model_copy(update={"size": (chosen.side, chosen.side)}), known


def _graph(encoder: PretrainedEncoder) -> bytes:
    """The encoder as ONNX: ``image (T, C, H, W)`` to ``features (T, D, h, w)``."""
    net = EvidenceNet(encoder.facts.config)
    start_from(net, encoder.weights)
    assert net.encoder is not None
    spec = encoder.facts.input
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "encoder.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing checks shapes in Python
            torch.onnx.export(
                net.encoder.eval(),
                (torch.zeros(2, spec.channels, *spec.size),),
                str(path),
                input_names=["image"],
                output_names=["features"],
                dynamic_axes={"image": {0: "slices"}, "features": {0: "slices"}},
                opset_version=OPSET,
                dynamo=False,
            )
        return path.read_bytes()
