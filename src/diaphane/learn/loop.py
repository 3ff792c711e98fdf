"""The training loop of one network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.learn.cases import Batch, CaseStore
from diaphane.learn.history import Epoch, History
from diaphane.learn.network import (
    Loss,
    fuse,
    learnable,
    learning_rate,
    network_config,
    new_network,
    start_apart,
)
from diaphane.learn.plans import Plan
from diaphane.learn.splits import Member
from diaphane.learn.state import Position, Saved, Tensors, load_state, save_state
from diaphane.models import Ensemble, EvidenceNet

Say = Callable[[Epoch, int], None]
"""Called after every epoch, with the epochs that this network may still take."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of n cases.

    ``logit (n, K)``, ``features (n, M, D)``, ``parts (n, 2, K)``: bias with concepts, and image.
    """

    logit: NDArray[np.float64]
    features: NDArray[np.float32]
    parts: NDArray[np.float64]


@contextmanager
def reproducible(threads: int | None) -> Iterator[None]:
    """Deterministic algorithms and a fixed thread count inside; everything as before after."""
    import os

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    if threads is not None:
        torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True), which would import a compiler first.
    torch.set_deterministic_debug_mode("error")
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])


def member_seed(plan: Plan, member: Member) -> int:
    """Seed of a network: a function of the split's seed, its fold and its own seed."""
    words = np.random.SeedSequence([plan.split.seed, member.fold, member.seed]).generate_state(1)
    return int(words[0]) >> 1


@dataclass(frozen=True, eq=False)
class Task:
    """What every network of a run has in common.

    ``target`` is of all cases in the store, as :class:`~diaphane.learn.network.Loss` takes them;
    ``state`` is the file that holds the network at work.
    """

    plan: Plan
    store: CaseStore
    target: torch.Tensor
    state: Path
    history: History
    device: torch.device


def fit_member(task: Task, number: int, member: Member, say: Say | None = None) -> EvidenceNet:
    """Train one network, going on from ``task.state`` when it is about this one.

    Returns
    -------
    EvidenceNet
        The best averaged weights (the last without stopping cases), concepts centred, evaluation
        mode, on the CPU.
    """
    plan = task.plan
    pupil = _Pupil(task, number, member)
    if not pupil.parameters or _concepts_alone(plan):
        return pupil.net.cpu().eval()  # nothing is left to learn
    pupil.go_on()
    while pupil.position.epoch < plan.epochs and not pupil.patience_is_over():
        began = time.monotonic()
        mean = pupil.one_epoch()
        stop_loss, metric = pupil.look() if member.stop.size else (None, None)
        done = Epoch(
            number, member.fold, member.seed, pupil.position.epoch, mean, stop_loss, metric,
            pupil.optimiser.param_groups[0]["lr"], time.monotonic() - began,
        )  # fmt: skip
        pupil.position.epoch += 1
        task.history.add(done)
        pupil.save()
        if say is not None:
            say(done, plan.epochs - pupil.position.epoch)
    return pupil.finished()


def _concepts_alone(plan: Plan) -> bool:
    fit = plan.concept_fit
    return not plan.network.use_image and fit.first and fit.freeze


class _Pupil:
    """One network while it learns."""

    def __init__(self, task: Task, number: int, member: Member) -> None:
        plan = task.plan
        self.task, self.plan, self.member = task, plan, member
        self.seed = member_seed(plan, member)
        wanted = task.target[member.fit]
        self.loss = Loss(plan, wanted)
        self.concepts = task.store.concepts[member.fit]
        net = new_network(plan, self.seed, self.concepts, wanted, self.loss)
        self.net = net.to(task.device)
        self.concept_bias = start_apart(net, self.loss) if plan.apart else None
        self.parameters = learnable(self.net, plan)
        self.optimiser = _optimiser(self.parameters, plan)
        self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        self.best = {k: v.clone() for k, v in self.average.items()}
        self.position = Position(number)
        self.shadow = EvidenceNet(network_config(plan)).to(task.device).eval()

    def go_on(self) -> None:
        """Take up what a stopped process left, if it is about this network."""
        task, number = self.task, self.position.member
        if task.state.exists():
            saved = load_state(task.state)
            if saved.position.member == number:
                self.position = saved.position
                self.net.load_state_dict(saved.net)
                self.average = {k: v.to(task.device) for k, v in saved.average.items()}
                self.best = {k: v.to(task.device) for k, v in saved.best.items()}
                groups = self.optimiser.state_dict()["param_groups"]
                self.optimiser.load_state_dict({"state": saved.optimiser, "param_groups": groups})
        task.history.forget_after(number, self.position.epoch - 1)

    def save(self) -> None:
        """Write the state, in one step."""
        weights = self.net.state_dict()
        save_state(
            self.task.state,
            Saved(self.position, weights, self.average, self.best,
                  self.optimiser.state_dict()["state"]),
        )  # fmt: skip

    def patience_is_over(self) -> bool:
        """Whether the stopping cases have not improved for long enough."""
        waited = self.position.epoch - 1 - self.position.best_epoch
        return bool(self.member.stop.size) and waited >= self.plan.stopping.patience

    def one_epoch(self) -> float:
        """Go once over the fitting cases; returns the mean loss."""
        task, plan, net, position = self.task, self.plan, self.net, self.position
        net.train()
        order = np.random.default_rng([self.seed, 1, position.epoch]).permutation(self.member.fit)
        torch.manual_seed((self.seed + 7919 * (position.epoch + 1)) % 2**31)  # dropout
        steps = plan.epochs * math.ceil(len(order) / plan.batch)
        cuda = task.device.type == "cuda"
        mixed = torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext()
        total = 0.0
        for first in range(0, len(order), plan.batch):
            cases = order[first : first + plan.batch]
            samples = [task.store.changed(int(c), self.seed, position.epoch) for c in cases]
            fed = Batch.of(samples, task.device)
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(plan, position.step, steps)
            with mixed:
                out = net(fed.image, fed.mask, fed.length, fed.concepts)
            logit = out.logit - out.concepts.sum(1) if plan.apart else out.logit
            value = self.loss(logit.float(), task.target[cases].to(task.device))
            if net.shapes is not None and not plan.concept_fit.freeze:
                value = value + plan.concept_fit.roughness / len(order) * net.roughness()
            self.optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, plan.optimiser.clip)
            self.optimiser.step()
            position.step += 1
            total += float(value.detach()) * len(cases)
            decay = min(plan.optimiser.ema, (1 + position.step) / (10 + position.step))
            _follow(self.average, net, decay)
        net.eval()
        return total / len(order)

    def look(self) -> tuple[float, float | None]:
        """Loss and metric of the averaged weights on the stopping cases; remembers the best."""
        task, stop = self.task, self.member.stop
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
        self.net.load_state_dict(self.best if self.member.stop.size else self.average)
        if self.concept_bias is not None:
            fuse(self.net, self.concept_bias, self.plan.concept_fit.image_share)
        self.net.centre_concepts(torch.from_numpy(self.concepts).to(self.task.device))
        return self.net.cpu().eval()


def predict(
    net: EvidenceNet | Ensemble,
    store: CaseStore,
    cases: NDArray[np.int64],
    batch: int,
    device: torch.device,
) -> Outputs:
    """Score unchanged cases, in the order given."""
    logits, features, parts = [], [], []
    with torch.inference_mode():
        for first in range(0, len(cases), batch):
            samples = [store.sample(int(case)) for case in cases[first : first + batch]]
            fed = Batch.of(samples, device)
            out = net(fed.image, fed.mask, fed.length, fed.concepts)
            image = out.maps.sum(dim=(1, 2, 3))
            logits.append(out.logit.double().cpu().numpy())
            features.append(out.features.float().cpu().numpy())
            both = torch.stack([out.logit - image, image], dim=1)
            parts.append(both.double().cpu().numpy())
    return Outputs(np.concatenate(logits), np.concatenate(features), np.concatenate(parts))


def quick_metric(task: str, logit: NDArray[Any], target: NDArray[Any]) -> float | None:
    """Area under the ROC curve, mean over outputs; ``None`` where no output has both classes."""
    from sklearn.metrics import roc_auc_score

    values = []
    for k in range(logit.shape[1]):
        truth = (target == k).astype(float) if task == "multiclass" else target[:, k]
        known = np.isfinite(truth)
        if len(np.unique(truth[known])) == 2:
            values.append(float(roc_auc_score(truth[known], logit[known, k])))
    return float(np.mean(values)) if values else None


def _optimiser(parameters: Sequence[torch.nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": plan.optimiser.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.optimiser.learning_rate, betas=(0.9, 0.99))


def _follow(average: Tensors, net: EvidenceNet, decay: float) -> None:
    """Move the averaged weights towards the network's."""
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1.0 - decay)
            else:
                average[name].copy_(value)
