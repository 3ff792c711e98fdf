"""The training loop of one segmentation network."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.bundle.segmentation import PatchSpec
from diaphane.bundle.sliding import Lattice, slide
from diaphane.core.errors import Diverged
from diaphane.learn.budget import Laps, Watch, annealing, last_step
from diaphane.learn.loading import Ahead, loading_threads
from diaphane.learn.optimising import Average, adamw, clip, seed, take_up
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.looks import Look, Looks
from diaphane.learn.segmenting.losses import segmentation_loss
from diaphane.learn.segmenting.network import TorchRunner, dense, dense_network, network_config
from diaphane.learn.segmenting.patches import Sampler
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.splits import Member
from diaphane.learn.state import Position, Saved, load_state, save_state
from diaphane.models.segment import SegmentNet
from diaphane.models.segment_files import as_shipped

Say = Callable[[Look, int], None]
"""Called after every look, with the steps that this network may still take."""
_LOOK_SHARE = 0.05
"""Largest share of the network's time that looks take."""


class TooLarge(Exception):
    """A step does not fit into memory; answered with a smaller batch or patch, never shown."""


@dataclass(frozen=True, eq=False)
class Task:
    """What every network of a run has in common; ``state`` holds the network at work."""

    plan: SegmentationPlan
    store: MaskStore
    state: Path
    looks: Looks
    device: torch.device


def member_seed(plan: SegmentationPlan, member: Member) -> int:
    """Seed of a network: a function of the plan's seed and the fold."""
    words = np.random.SeedSequence([plan.seed, member.fold, member.seed]).generate_state(1)
    return int(words[0]) >> 1


def patch_spec(plan: SegmentationPlan) -> PatchSpec:
    """How networks of the plan go over an image."""
    return PatchSpec(
        channels=plan.channels, size=plan.patch, overlap=plan.overlap, mirror=plan.mirror,
        pad=plan.pad,
    )  # fmt: skip


def fit_member(
    task: Task,
    number: int,
    member: Member,
    watch: Watch | None = None,
    say: Say | None = None,
) -> tuple[SegmentNet, int | None]:
    """Train one network, going on from ``task.state`` when it is about this one.

    Returns
    -------
    tuple
        The averaged weights, in evaluation mode, on the CPU; and the step at which a nearing
        deadline forced the final annealing, if it did.

    Raises
    ------
    Diverged
        The loss or a gradient is not finite; the state of the last look is kept.
    TooLarge
        A step does not fit into memory.
    """
    pupil = Pupil(task, number, member)
    pupil.go_on()
    plan, position = task.plan, pupil.position
    began, looking, losses = time.monotonic(), 0.0, []
    clock, laps = watch or Watch(), Laps()
    feeders = loading_threads(torch.get_num_threads(), task.device)
    with Ahead(pupil.batch, position.step, plan.steps, workers=feeders) as batches:
        coming = iter(batches)
        while not position.cut and position.step < last_step(plan.steps, position.jump):
            losses.append(pupil.one_step(next(coming)))
            pace = laps.lap() + looking / plan.look_every
            if position.jump is None and clock.calls(position.step, plan.steps, pace):
                position.jump = position.step
            ends = position.step >= last_step(plan.steps, position.jump)
            if not ends and clock.over(pace):
                position.cut, ends = position.step, True
            if position.step % plan.look_every == 0 or ends:
                stopped = time.monotonic()
                look = Look(
                    number, member.fold, position.step, float(np.mean(losses)), pupil.look(),
                    pupil.rate(position.step - 1), time.monotonic() - began,
                )  # fmt: skip
                task.looks.add(look)
                pupil.save()
                losses = []
                if say is not None:
                    say(look, last_step(plan.steps, position.jump) - position.step)
                looking = min(looking or float("inf"), time.monotonic() - stopped)
                laps.skip()
    return pupil.finished(), position.jump


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of one step: their ``cases``, ``image`` ``(N, C, D, H, W)``, ``mask`` ``(N, D, H, W)``."""

    cases: tuple[int, ...]
    image: torch.Tensor
    mask: torch.Tensor


class Pupil:
    """One network while it learns."""

    def __init__(self, task: Task, number: int, member: Member) -> None:
        plan = task.plan
        self.task, self.plan, self.member = task, plan, member
        self.seed = member_seed(plan, member)
        torch.manual_seed(self.seed)
        self.net = dense_network(SegmentNet(network_config(plan))).to(task.device)
        self.sampler = Sampler(plan, task.store, member.fit, self.seed)
        self.parameters = list(self.net.parameters())
        decays = [p for p in self.parameters if p.ndim > 1]
        others = [p for p in self.parameters if p.ndim <= 1]
        self.optimiser = adamw(
            [
                {"params": decays, "weight_decay": plan.optimiser.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            plan.optimiser.learning_rate,
            task.device,
        )
        self.average = Average(self.net)
        self.shadow = dense_network(SegmentNet(network_config(plan))).to(task.device).eval()
        self.position = Position(number)

    def rate(self, step: int) -> float:
        """Learning rate at a step from 0."""
        plan = self.plan
        factor = annealing(step, plan.steps, self.position.jump, warmup=plan.optimiser.warmup)
        return plan.optimiser.learning_rate * factor

    def go_on(self) -> None:
        """Take up what a stopped process left, if it is about this network."""
        task, number = self.task, self.position.member
        if task.state.exists():
            saved = load_state(task.state)
            if saved.position.member == number:
                self.position = saved.position
                self.net.load_state_dict(saved.net)
                self.average.set(saved.average)
                take_up(self.optimiser, saved.optimiser)
        task.looks.forget_after(number, self.position.step)

    def save(self) -> None:
        """Write the state, in one step."""
        save_state(
            self.task.state,
            Saved(
                self.position, self.net.state_dict(), self.average.tensors, {},
                self.optimiser.state_dict()["state"],
            ),
        )  # fmt: skip

    def batch(self, step: int) -> Batch:
        """The patches of a step, a function of the step alone."""
        size, count = self.plan.patch, self.plan.batch
        patches = [self.sampler.patch(step * count + i, size) for i in range(count)]
        return Batch(
            tuple(patch.case for patch in patches),
            dense(torch.stack([patch.image for patch in patches])),
            torch.stack([patch.mask for patch in patches]),
        )

    def one_step(self, batch: Batch | None = None) -> float:
        """One step of the optimiser on its batch; returns the loss.

        Raises
        ------
        Diverged, TooLarge
            See :func:`fit_member`.
        """
        task, plan, position = self.task, self.plan, self.position
        fed = self.batch(position.step) if batch is None else batch
        image, mask = fed.image.to(task.device), fed.mask.to(task.device)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(position.step)
        cuda = task.device.type == "cuda"
        self.net.train()
        seed((self.seed + 7919 * (position.step + 1)) % 2**31, task.device)  # dropout
        try:
            with torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext():
                logits = self.net.levels(image)
            value = segmentation_loss(logits, mask, plan.optimiser.dice_share)
            self.optimiser.zero_grad()
            torch.autograd.backward(value)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or _memory_ran_out(error):
                raise TooLarge from error
            raise
        norm = clip(self.parameters, plan.optimiser.clip)
        loss = float(value.detach())
        if not np.isfinite(loss) or not np.isfinite(norm):
            keys = sorted({task.store.rows[case].key for case in fed.cases})
            raise Diverged(
                f"The loss is no longer a number, at step {position.step + 1} of network "
                f"{position.member + 1}, with cases {', '.join(keys)}.",
                path=task.state,
                remedy="Look at these cases, or lower optimiser.learning_rate in the plan; what "
                "was learned before is kept.",
            )
        self.optimiser.step()
        position.step += 1
        self.average.follow(position.step, plan.optimiser.ema)
        return loss

    def look(self) -> dict[str, float | None]:
        """Dice by label of the averaged weights, on as many held-out cases as time allows."""
        plan, store = self.plan, self.task.store
        self.shadow.load_state_dict(self.average.tensors)
        spec = patch_spec(plan).model_copy(update={"overlap": 0.0, "mirror": ()})
        # A step costs about three forward passes per patch.
        room = max(1, int(_LOOK_SHARE * 3 * plan.batch * plan.look_every))
        runner = TorchRunner(self.shadow, self.task.device)
        both = np.zeros((len(plan.labels), 2))
        for case in self.member.held:
            kept = store.kept[int(case)]
            room -= len(Lattice.over(kept.shape, spec.size, 0.0))
            if room < 0 and both.any():
                break
            index = label_index(kept.image, spec, runner)
            for label in range(1, len(plan.labels) + 1):
                one, other = index == label, kept.mask == label
                both[label - 1] += 2 * int((one & other).sum()), int(one.sum() + other.sum())
            if room < 0:
                break
        return {
            name: float(top / bottom) if bottom else None
            for name, (top, bottom) in zip(plan.labels, both, strict=True)
        }

    def finished(self) -> SegmentNet:
        """The averaged network."""
        net = SegmentNet(network_config(self.plan))
        net.load_state_dict(as_shipped(self.average.tensors))
        return net.eval()


def label_index(
    image: NDArray[np.generic], spec: PatchSpec, runner: TorchRunner
) -> NDArray[np.uint16]:
    """The most likely label ``(z, y, x)`` of each voxel of the prepared image."""
    slabs = [slab.argmax(1).astype(np.uint16) for slab in slide(image, spec, runner)]
    return np.concatenate(slabs)


def _memory_ran_out(error: RuntimeError) -> bool:
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in said for words in ("out of memory", "can't allocate memory", "not enough memory")
    )
