"""Learning from images without labels: ``diaphane pretrain``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diaphane.bundle import InputSpec
from diaphane.core.errors import (
    DatasetError,
    Diverged,
    EmptyInput,
    InputError,
    OutputError,
    UsageError,
)
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.learn.augment import Augmentation
from diaphane.learn.budget import Budget, Laps, annealing, last_step
from diaphane.learn.cases import CaseStore, Refused, read_cases
from diaphane.learn.fingerprint import fingerprint, is_segmentation
from diaphane.learn.plans import NetworkPlan, Plan
from diaphane.learn.pretrained import (
    REPORT,
    Method,
    PretrainedEncoder,
    encoder_config,
    write_encoder,
)
from diaphane.learn.rhythm import reproducible
from diaphane.learn.selfsupervised import Agreement, Masked, Reader, Views
from diaphane.learn.shipping import versions
from diaphane.models import EvidenceNet, pick_device
from diaphane.preprocess import Recipe

if TYPE_CHECKING:
    from diaphane.acquire import Dataset

Say = Callable[[str], None]
_LEAST = 8
"""Fewest slices from which anything is learned."""
_MOST_STEPS = 20_000
_ORDER, _DRAW = 21, 22  # streams of random numbers
_LEARNING_RATE, _WEIGHT_DECAY, _CLIP = 2e-3, 0.02, 2.0


@dataclass(frozen=True)
class PretrainOptions:
    """How to learn without labels.

    Attributes
    ----------
    method:
        "masked" or "agreement"; see :mod:`diaphane.learn.selfsupervised`.
    plan:
        Plan whose input, recipe and network the encoder shall have; decided from the images if
        ``None``.
    seconds:
        Time that the whole may take; the steps that fit are counted before the first one.
    began:
        When it began, in seconds of ``time.monotonic``; with the call if ``None``.
    steps:
        That many steps instead, whatever they take.
    batch:
        Slices a step.
    everything:
        Learn from cases of the validation and test parts too.
    name:
        Of the encoder; the dataset's if ``None``.
    options:
        How DICOM is read; ``None``: as the plan says, if there is one.
    """

    method: Method = "masked"
    plan: Plan | None = None
    seconds: float = 600.0
    began: float | None = None
    steps: int | None = None
    batch: int = 64
    everything: bool = False
    seed: int = 0
    name: str = "encoder"
    device: str = "auto"
    threads: int | None = None
    stack: bool | None = None
    options: ReadOptions | None = None


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What came of it: the folder, the encoder, the loss of each step, and cases not used."""

    folder: Path
    encoder: PretrainedEncoder
    losses: NDArray[np.float64]
    refused: tuple[Refused, ...]


def unsaid(text: str) -> None:
    """A :data:`Say` that says nothing."""


def pretrain(
    dataset: str | Path,
    out: str | Path,
    options: PretrainOptions | None = None,
    *,
    progress: Progress = silent,
    say: Say = unsaid,
) -> Pretrained:
    """Teach an encoder from images alone; labels, if there are any, are not looked at.

    Parameters
    ----------
    dataset:
        A dataset, or a folder of images.
    out:
        Folder of the encoder; must not exist.

    Raises
    ------
    OutputError
        ``out`` exists.
    DatasetError
        Fewer than eight slices can be read.
    Diverged
        The loss is no number.
    """
    chosen = options or PretrainOptions()
    if chosen.seconds <= 0 or chosen.batch < 2:
        raise UsageError("The time must be above 0 and a batch at least 2.")
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError("The folder exists already.", path=folder, remedy="Choose a new one.")
    began = time.monotonic() if chosen.began is None else chosen.began
    budget = Budget(chosen.seconds, began)
    threads = chosen.threads or os.cpu_count() or 1
    with reproducible(threads):
        reading = AS_IS if chosen.plan is None else chosen.plan.reading.options
        opened = open_unlabelled(
            Path(dataset), stack=chosen.stack, options=chosen.options or reading
        )
        opened = _training_part(opened, say, everything=chosen.everything)
        store, recipe, network = _prepared(opened, chosen, threads, progress)
        net, losses, facts = learn_encoder(store, network, chosen, budget, progress)
        facts.update(
            name=chosen.name,
            recipe=recipe.to_dict(),
            salt=_salt(chosen),
            seen=sorted(row.hash for row in store.rows),
        )
        encoder = write_encoder(folder, facts, net)
    _report(folder / REPORT, encoder, losses)
    return Pretrained(folder, encoder, losses, tuple(store.refused))


def learn_encoder(
    store: CaseStore,
    network: NetworkPlan,
    chosen: PretrainOptions,
    budget: Budget,
    progress: Progress = silent,
) -> tuple[nn.Module, NDArray[np.float64], dict[str, Any]]:
    """The encoder that prepared cases teach, the loss of each step, and facts about it."""
    places = np.array(
        [(case, z) for case, row in enumerate(store.rows) for z in range(row.slices)]
    ).reshape(-1, 2)
    if len(places) < _LEAST:
        raise DatasetError(
            f"{len(places)} images are too few to learn from without labels.",
            remedy=f"Give at least {_LEAST}.",
        )
    config = encoder_config(network, store.spec)
    torch.manual_seed(chosen.seed)
    encoder = EvidenceNet(config).encoder
    assert encoder is not None
    device = pick_device(chosen.device)
    task = _task(encoder, chosen.method, store.spec, network, outlined=store.outlined).to(device)
    pupil = _Pupil(task, store, places, chosen, device)
    steps, watch = chosen.steps, None
    if steps is None:
        reserve = 2.0 + 0.02 * chosen.seconds
        steps = budget.steps(pupil.pace(), 1, reserve, most=_MOST_STEPS)
        watch = budget.watch(1, reserve)
    began, laps, jump, step = time.monotonic(), Laps(), None, 0
    losses: list[float] = []
    while step < last_step(steps, jump):
        losses.append(pupil.step(step, annealing(step, steps, jump, warmup=0.1)))
        step += 1
        pace = laps.lap()
        if watch is not None and jump is None and watch.calls(step, steps, pace):
            jump = step
        progress("learning_without_labels", step / last_step(steps, jump))
    curve = np.asarray(losses)
    tenth = max(1, len(curve) // 10)
    facts: dict[str, Any] = {
        "input": store.spec,
        "network": network,
        "method": chosen.method,
        "seed": chosen.seed,
        "steps": len(losses),
        "batch": pupil.batch,
        "loss": (float(curve[:tenth].mean()), float(curve[-tenth:].mean())),
        "seconds": round(time.monotonic() - began, 1),
        "cases": len(store),
        "slices": len(places),
        "versions": versions(),
    }
    return encoder.cpu().eval(), curve, facts


def open_unlabelled(
    path: Path, *, stack: bool | None = None, options: ReadOptions = AS_IS
) -> Dataset:
    """A dataset or a folder of images, whatever its labels.

    Raises
    ------
    InputError
        There is nothing to read.
    """
    from diaphane.acquire import open_dataset, open_inputs

    try:
        return open_dataset(path, stack=stack, options=options)
    except EmptyInput:
        raise
    except InputError:  # labels that are wrong do not matter here
        return open_inputs([path], sequences=False, stack=stack, options=options)


def plan_input(
    dataset: Dataset, *, threads: int, progress: Progress = silent
) -> tuple[InputSpec, Recipe, NetworkPlan]:
    """What a plan would decide about these images, whose labels nobody looks at.

    Masks of a segmentation set are labels too, so its images are taken whole.
    """
    from diaphane.learn.deciding import decide_input

    facts, _ = fingerprint(dataset, labelled=False, near=False, threads=threads, progress=progress)
    if is_segmentation(dataset):
        facts = replace(facts, masks=False)
    network, spec, steps, _ = decide_input(facts)
    recipe = Recipe.from_dict({"version": 1, "name": "planned", "steps": steps})
    known = InputSpec.model_validate_json(json.dumps(spec))
    return known, recipe, NetworkPlan.model_validate_json(json.dumps(network))


def _training_part(opened: Dataset, say: Say, *, everything: bool) -> Dataset:
    """Without the validation and test cases, so that figures on them stay honest."""
    kept = tuple(e for e in opened.entries if everything or e.split in (None, "train"))
    if len(kept) < len(opened.entries):
        say(f"{len(opened.entries) - len(kept)} cases outside the train part are not looked at.")
    return replace(opened, entries=kept)


def _prepared(
    opened: Dataset, chosen: PretrainOptions, threads: int, progress: Progress
) -> tuple[CaseStore, Recipe, NetworkPlan]:
    def first(stage: str, share: float) -> None:
        progress(stage, 0.1 * share)

    if chosen.plan is not None:
        spec, recipe = chosen.plan.input, Recipe.from_dict(chosen.plan.recipe)
        network = chosen.plan.network
    else:
        spec, recipe, network = plan_input(opened, threads=threads, progress=first)
    sliced = {"encoder": "2d", "depth_strides": []}
    known = {k: v for k, v in sliced.items() if k in NetworkPlan.model_fields}
    flat = NetworkPlan(**{**network.model_dump(), **known})
    bare = spec.model_copy(update={"concepts": (), "given_concepts": ()})
    store = read_cases(
        opened, bare, recipe, Augmentation(), salt=_salt(chosen), seed=chosen.seed,
        threads=threads, progress=first,
    )  # fmt: skip
    if not len(store):
        why = str(store.refused[0].error) if store.refused else None
        raise DatasetError("No case of the dataset can be used.", remedy=why)
    return store, recipe, flat


def _salt(chosen: PretrainOptions) -> str:
    return hashlib.sha256(f"{chosen.name}/{chosen.seed}".encode()).hexdigest()[:16]


def _task(
    encoder: nn.Module, method: Method, spec: InputSpec, network: NetworkPlan, *, outlined: bool
) -> nn.Module:
    views = Views(rotation=180.0 if outlined else 15.0, flip_y=outlined, outlined=outlined)
    reader = Reader(encoder, takes_mask=network.mask_channel)
    width = network.widths[-1]
    if method == "agreement":
        return Agreement(reader, width, views)
    calm = replace(views, area=0.6, gamma=0.25, contrast=0.2, brightness=0.08, noise=0.025)
    stride = math.prod(network.strides)
    cell = max(2, round(max(spec.size) / 8))
    return Masked(reader, width, calm, channels=spec.channels, stride=stride, cell=cell)


class _Pupil:
    """An encoder while it learns; every step is a function of the seed and its number."""

    def __init__(
        self,
        task: nn.Module,
        store: CaseStore,
        places: NDArray[np.int64],
        chosen: PretrainOptions,
        device: torch.device,
    ) -> None:
        self.task, self.store, self.places, self.device = task, store, places, device
        self.seed = chosen.seed
        self.batch = min(chosen.batch, len(places))
        self.optimiser = torch.optim.AdamW(
            task.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.99)
        )

    def step(self, number: int, factor: float) -> float:
        """Learn from one batch; returns its loss.

        Raises
        ------
        Diverged
            The loss is no number.
        """
        self.task.train()
        image, mask = self._batch(number)
        for group in self.optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * factor
        random = torch.Generator().manual_seed(_word(self.seed, _DRAW, number))
        loss = self.task(image, mask, random)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"The loss of step {number + 1} is no number.")
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.task.parameters(), _CLIP)
        self.optimiser.step()
        return value

    def pace(self) -> float:
        """Seconds of a step, measured; nothing is learned."""
        weights = {k: v.detach().clone() for k, v in self.task.state_dict().items()}
        seconds = []
        for number in range(4):
            began = time.monotonic()
            self.step(number, 0.0)
            seconds.append(time.monotonic() - began)
        self.task.load_state_dict(weights)
        self.optimiser = torch.optim.AdamW(
            self.task.parameters(),
            lr=_LEARNING_RATE,
            weight_decay=_WEIGHT_DECAY,
            betas=(0.9, 0.99),
        )
        return float(np.mean(seconds[1:]))

    def _batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Slices ``(B, C, H, W)`` and masks ``(B, H, W)`` of a step."""
        per_epoch = len(self.places) // self.batch
        epoch, place = divmod(number, per_epoch)
        order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.places))
        images, masks = [], []
        for case, z in self.places[order[place * self.batch : (place + 1) * self.batch]]:
            sample = self.store.sample(int(case))
            images.append(sample.image[z])
            masks.append(sample.mask[z])
        image, mask = torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))
        return image.to(self.device), mask.to(self.device)


def _word(*values: int) -> int:
    return int(np.random.SeedSequence(values).generate_state(1)[0])


def _report(path: Path, encoder: PretrainedEncoder, losses: NDArray[np.float64]) -> None:
    from diaphane.report import write_encoder_report

    facts = encoder.facts
    window = max(1, len(losses) // 100)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    write_encoder_report(
        path,
        facts.model_dump(mode="json", exclude={"seen", "salt", "recipe"}),
        [(float(i + window), float(v)) for i, v in enumerate(smooth)],
    )
