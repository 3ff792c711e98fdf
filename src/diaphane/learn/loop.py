"""The training loop of one network.

Steps of the optimiser are the unit. What a step sees is a function of seed, step and case, so a
network that was stopped after any step goes on as if nothing had happened.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from diaphane.core.errors import Diverged
from diaphane.learn.augment import mix
from diaphane.learn.budget import Laps, Watch, annealing, last_step
from diaphane.learn.cases import Batch, CaseStore
from diaphane.learn.history import Chronicle, Epoch
from diaphane.learn.loading import Ahead, loading_threads
from diaphane.learn.network import (
    FIRST_SHARE,
    Loss,
    fuse,
    learnable,
    network_config,
    new_network,
    optimiser_of,
    renew_norms,
    start_apart,
)
from diaphane.learn.optimising import Average, clip, seed, take_up
from diaphane.learn.plans import Plan
from diaphane.learn.predicting import predict, quick_metric
from diaphane.learn.rhythm import Rhythm, out_of_memory
from diaphane.learn.splits import Member
from diaphane.learn.state import Position, Saved, Tensors, load_state, save_state
from diaphane.models import EvidenceNet

Told = Callable[[Epoch, int], None]
"""Called after every epoch, with the steps that this network may still take."""

_BETWEEN_SAVES = 1.0
"""Seconds, at least, between two saved states; more where saving is slow."""


def member_seed(plan: Plan, member: Member) -> int:
    """Seed of a network: a function of the split's seed, its fold and its own seed."""
    words = np.random.SeedSequence([plan.split.seed, member.fold, member.seed]).generate_state(1)
    return int(words[0]) >> 1


_SETTLED = 300  # steps after which running statistics have caught up


@dataclass(frozen=True, eq=False)
class Task:
    """What every network of a run has in common.

    Attributes
    ----------
    target:
        Of all cases in the store, as :class:`~diaphane.learn.network.Loss` takes them.
    state:
        File that holds the network at work; ``None`` keeps nothing.
    history:
        Told of every epoch, if there is one.
    threads:
        That compute; batches are made ahead by others.
    encoder:
        Weights that the encoder starts from.
    say:
        Told of what a person should know.
    """

    plan: Plan
    store: CaseStore
    target: torch.Tensor
    device: torch.device
    state: Path | None = None
    history: Chronicle | None = None
    threads: int = 1
    encoder: Mapping[str, torch.Tensor] | None = None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, eq=False)
class Step:
    """What one step learns from: case numbers, the batch, its targets."""

    cases: NDArray[np.int64]
    batch: Batch
    target: torch.Tensor


def fit_member(
    task: Task, number: int, member: Member, told: Told | None = None, watch: Watch | None = None
) -> tuple[EvidenceNet, Position]:
    """Train one network, going on from ``task.state`` when it is about this one.

    Parameters
    ----------
    watch:
        Decides when the learning rate must jump to its final annealing.

    Returns
    -------
    EvidenceNet
        The best averaged weights (the last without stopping cases), concepts centred, evaluation
        mode, on the CPU.
    Position
        Where training ended.

    Raises
    ------
    Diverged
        A loss or a gradient is not finite; the message names the case. The last state is kept.
    OutputError
        The disk is full. The last state is kept.
    """
    pupil = Pupil(task, number, member)
    if not pupil.parameters or _concepts_alone(task.plan):
        return pupil.net.cpu().eval(), pupil.position  # nothing is left to learn
    pupil.go_on()
    pupil.learn(told, watch or Watch())
    return pupil.finished(), pupil.position


def _concepts_alone(plan: Plan) -> bool:
    fit = plan.concept_fit
    return not plan.network.use_image and fit.first and fit.freeze


class Pupil:
    """One network while it learns."""

    def __init__(self, task: Task, number: int, member: Member) -> None:
        plan = task.plan
        self.task, self.plan, self.member = task, plan, member
        self.seed = member_seed(plan, member)
        self.rhythm = Rhythm.of(plan, len(member.fit))
        self.stop = self._bounded(member.stop)
        wanted = task.target[member.fit]
        self.loss = Loss(plan, wanted)
        self.concepts = task.store.concepts[member.fit]
        net = new_network(plan, self.seed, self.concepts, wanted, self.loss, encoder=task.encoder)
        self.net = net.to(task.device)
        self.concept_bias = start_apart(net, self.loss) if plan.apart else None
        self.parameters = learnable(self.net, plan)
        self.optimiser = optimiser_of(self.net, self.parameters, plan)
        self.followed = Average(self.net)
        self.best = {k: v.clone() for k, v in self.average.items()}
        self.position = Position(number)
        self.shadow = EvidenceNet(network_config(plan)).to(task.device).eval()
        self.waited = 0.0
        self._saved, self._save_cost = time.monotonic(), 0.0

    @property
    def average(self) -> Tensors:
        """The averaged weights."""
        return self.followed.tensors

    def go_on(self) -> None:
        """Take up what a stopped process left, if it is about this network."""
        task, number = self.task, self.position.member
        if task.state is not None and task.state.exists():
            saved = load_state(task.state)
            if saved.position.member == number:
                self.position = saved.position
                self.net.load_state_dict(saved.net)
                self.followed.set(saved.average)
                self.best = {k: v.to(task.device).clone() for k, v in saved.best.items()}
                take_up(self.optimiser, saved.optimiser)
        if task.history is not None:
            task.history.forget_after(number, self.position.epoch - 1)

    def save(self) -> None:
        """Write the state, in one step."""
        if self.task.state is None:
            return
        began = time.monotonic()
        weights = self.net.state_dict()
        save_state(
            self.task.state,
            Saved(self.position, weights, self.average, self.best,
                  self.optimiser.state_dict()["state"]),
        )  # fmt: skip
        self._saved = time.monotonic()
        self._save_cost = self._saved - began

    def learn(self, told: Told | None, watch: Watch) -> None:
        """Take all steps that are left, unless patience or time is over."""
        position, rhythm = self.position, self.rhythm
        began, laps = time.monotonic(), Laps(watch.pace)
        first, last = position.step, last_step(rhythm.steps, position.jump)
        if position.cut or self._patience_is_over():  # and the process that found so was killed
            last = first
        feeders = loading_threads(self.task.threads, self.task.device)
        with Ahead(self.make, first, last, workers=feeders) as ahead:
            for made in ahead:
                self.one_step(made)
                now, pace = time.monotonic(), laps.lap()
                if position.jump is None and watch.calls(position.step, rhythm.steps, pace):
                    position.jump = position.step
                    self.save()
                last = last_step(rhythm.steps, position.jump)
                if position.step < last and watch.over(pace):
                    position.cut = last = position.step
                if position.step % rhythm.look == 0 or position.step >= last:
                    self._close_epoch(told, now - began, last)
                    began = time.monotonic()
                    if self._patience_is_over():
                        break
                elif now - self._saved > max(_BETWEEN_SAVES, 50 * self._save_cost):
                    self.save()
                if position.step >= last:
                    break
            self.waited += ahead.waited

    def make(self, step: int) -> Step:
        """What a step learns from: a function of seed, step and cases alone."""
        epoch, first, last = self.rhythm.part(step)
        cases = self._order(epoch)[first:last]
        batch = self.task.store.batch(cases, self.seed, epoch)
        target = self.task.target[cases]
        if self.plan.mixup:
            random = np.random.default_rng([self.seed, 4, step])
            if self.plan.task == "multiclass":
                target = one_hot(target, len(self.plan.output_names)).float()
            image, target = mix(batch.image, target, self.plan.mixup, random)
            batch = replace(batch, image=image)
        return Step(cases, batch, target)

    def one_step(self, made: Step) -> None:
        """Follow the gradient of one batch, in pieces when memory does not hold it whole.

        Raises
        ------
        Diverged
            The loss or the gradient is not finite; weights are as they were.
        """
        position, plan = self.position, self.plan
        self.net.train()
        rate = plan.optimiser.learning_rate * annealing(
            position.step, self.rhythm.steps, position.jump, warmup=plan.optimiser.warmup
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        while True:
            try:
                value = self._gradient(made, position.pieces)
                break
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or 2 * position.pieces > len(made.cases):
                    raise
            self.optimiser.zero_grad()
            if self.task.device.type == "cuda":
                torch.cuda.empty_cache()
            position.pieces *= 2
            self.task.say(
                f"warning: memory does not hold a batch of {len(made.cases)} cases; it is cut "
                f"into {position.pieces} pieces whose gradients are added."
            )
        norm = clip(self.parameters, plan.optimiser.clip)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise self._diverged(made, "loss" if not math.isfinite(value) else "gradient")
        self.optimiser.step()
        position.step += 1
        position.total += value * len(made.cases)
        position.cases += len(made.cases)
        self.followed.follow(position.step, plan.optimiser.ema)

    def look(self) -> tuple[float, float | None]:
        """Loss and metric of the averaged weights on the stopping cases; remembers the best."""
        task, stop = self.task, self.stop
        self.shadow.load_state_dict(self.average)
        said = predict(self.shadow, task.store, stop, self.plan.batch, task.device)
        logit = said.logit
        if self.plan.apart:  # the image part alone is at work
            logit = said.parts[:, 1] + self.shadow.bias.detach().cpu().numpy()
        wanted = task.target[stop]
        wanted = wanted if self.plan.task == "multiclass" else wanted.double()
        loss = float(self.loss(torch.from_numpy(logit), wanted, plain=True))
        if loss < self.position.best_loss:
            self.position.best_loss, self.position.best_epoch = loss, self.position.epoch
            self.best = {k: v.clone() for k, v in self.average.items()}
        return loss, quick_metric(self.plan.task, logit, wanted.numpy())

    def finished(self) -> EvidenceNet:
        """The network that is kept."""
        chosen = bool(self.stop.size) and self.position.best_epoch >= 0
        self.net.load_state_dict(self.best if chosen else self.average)
        if self.position.step < _SETTLED:
            parts = (self.make(step).batch for step in range(min(32, 2 * self.rhythm.per_epoch)))
            renew_norms(self.net, (each.rows(slice(None), self.task.device) for each in parts))
        if self.concept_bias is not None:
            fuse(self.net, self.concept_bias, self.plan.concept_fit.image_share or FIRST_SHARE)
        self.net.centre_concepts(torch.from_numpy(self.concepts).to(self.task.device))
        return self.net.cpu().eval()

    def _gradient(self, made: Step, pieces: int) -> float:
        """Gradients of the batch's mean loss; returns that loss."""
        plan, net, device = self.plan, self.net, self.task.device
        words = np.random.SeedSequence([self.seed, 2, self.position.step]).generate_state(1)
        seed(int(words[0]), device)  # dropout
        mixed = torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else None
        self.optimiser.zero_grad()
        total = 0.0
        for rows in np.array_split(np.arange(len(made.cases)), pieces):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            fed = made.batch.rows(part, device)
            with mixed or nullcontext():
                logit, parts = net.score(fed.image, fed.mask, fed.length, fed.concepts)
            logit = logit - parts.sum(1) if plan.apart else logit
            value = self.loss(logit.float(), made.target[part].to(device))
            if net.shapes is not None and not plan.concept_fit.freeze:
                rough = plan.concept_fit.roughness / self.rhythm.cases
                value = value + rough * net.roughness()
            value = value * (len(rows) / len(made.cases))
            value.backward()
            total += float(value.detach())
        return total

    def _diverged(self, made: Step, what: str) -> Diverged:
        """The error that names the cases whose own loss is not finite."""
        blamed = []
        self.net.eval()
        with torch.inference_mode():
            for row, case in enumerate(made.cases):
                one = made.batch.rows(slice(row, row + 1), self.task.device)
                logit = self.net(one.image, one.mask, one.length, one.concepts).logit.float()
                wanted = made.target[row : row + 1].to(self.task.device)
                if not math.isfinite(float(self.loss(logit, wanted))):
                    blamed.append(self.task.store.rows[int(case)].key)
        named = f"case {', '.join(blamed[:8])}" + (" and others" if len(blamed) > 8 else "")
        if len(blamed) in (0, len(made.cases)):
            keys = [self.task.store.rows[int(case)].key for case in made.cases]
            named = f"no single case, in the batch of {', '.join(keys[:8])}"
            named += " and others" if len(keys) > 8 else ""
        return Diverged(
            f"The {what} of network {self.position.member + 1} is not finite at step "
            f"{self.position.step + 1}: {named}.",
            path=None if self.task.state is None else self.task.state.parent,
            remedy="Look at that case, or lower optimiser.learning_rate in the plan and begin "
            "another run. The last good state is kept.",
        )

    def _close_epoch(self, told: Told | None, seconds: float, last: int) -> None:
        """Look, write down, save, tell."""
        began = time.monotonic()
        position = self.position
        self.net.eval()
        stop_loss, metric = self.look() if self.stop.size else (None, None)
        done = Epoch(
            position.member, self.member.fold, self.member.seed, position.epoch, position.step,
            position.total / max(1, position.cases), stop_loss, metric,
            self.optimiser.param_groups[0]["lr"], seconds + time.monotonic() - began,
        )  # fmt: skip
        position.epoch += 1
        position.total, position.cases = 0.0, 0
        if self.task.history is not None:
            self.task.history.add(done)
        self.save()
        if told is not None:
            told(done, last - position.step)

    def _patience_is_over(self) -> bool:
        """Whether the stopping cases have not improved for long enough."""
        if not self.stop.size or self.position.jump is not None:
            return False
        share = min(1.0, self.plan.stopping.patience / self.plan.epochs)
        waited = (self.position.epoch - 1 - self.position.best_epoch) * self.rhythm.look
        return waited >= share * self.rhythm.steps

    def _bounded(self, stop: NDArray[np.int64]) -> NDArray[np.int64]:
        """So many stopping cases that looking takes about a tenth of the time at most."""
        most = max(100, int(0.3 * self.rhythm.look * self.plan.batch))
        if len(stop) <= most:
            return stop
        return np.sort(np.random.default_rng([self.seed, 3]).permutation(stop)[:most])

    @functools.lru_cache(maxsize=4)  # noqa: B019 - lives as long as its network learns
    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Fitting cases in the order of an epoch."""
        random = np.random.default_rng([self.seed, 1, epoch])
        return np.asarray(random.permutation(self.member.fit), dtype=np.int64)
