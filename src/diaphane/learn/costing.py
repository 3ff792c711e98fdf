"""What a plan costs: time by timed steps of its network, memory by what a step keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diaphane.learn.network import network_config
from diaphane.learn.plans import Plan
from diaphane.learn.runs import duration
from diaphane.learn.segmenting.network import dense, dense_network
from diaphane.learn.segmenting.network import network_config as segmenter_config
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.models import EvidenceNet
from diaphane.models.segment import SegmentNet

_PACE = 1.2e10
"""Multiplications a second of two cores, forward and backward together, by experience."""
_TRIED = 200_000
"""Most values of a trial batch; larger ones are scaled from it."""
_LONGEST = 0.5
"""Seconds of trial steps before no more are begun."""


@dataclass(frozen=True)
class Cost:
    """What training takes on this machine.

    Attributes
    ----------
    step:
        Seconds of one core that a step of the optimiser takes.
    steps:
        Of one network; ``None`` where a time budget decides.
    networks:
        To be trained one after another.
    memory:
        Bytes: weights, one step, and prepared cases of 8 bits.
    """

    step: float
    steps: int | None
    networks: int
    memory: float

    def space(self) -> str:
        """How much memory, for people."""
        return f"about {self.memory / 1e9:.1f} GB of memory"

    def time(self) -> str:
        """How long, for people."""
        each = f"{self.step:.2f} s" if self.step >= 0.1 else f"{1000 * self.step:.0f} ms"
        text = f"a step takes {each} of one core here, changes of images left out"
        if self.steps is not None:
            whole = self.steps * self.networks * self.step
            text += (
                f"; {self.steps} steps of {self.networks} "
                f"network{'s' if self.networks > 1 else ''}: about {duration(whole)}"
            )
        return text


def multiplications(
    network: Mapping[str, Any], size: tuple[int, int], channels: int, slices: float
) -> float:
    """Of one case, forward: the convolutions of the encoder."""
    widths, strides = list(network["widths"]), list(network["strides"])
    deep = network.get("encoder", "2d") == "3d"
    depth_strides = list(network.get("depth_strides") or [1] * len(widths))
    depths = list(network.get("depths") or [1] * len(widths))
    taps = 27 if deep else 9
    places = float(prod(size)) * max(1.0, slices)
    total, before = 0.0, channels
    if network.get("stem"):
        total += places * taps * before * network["stem"]
        before = network["stem"]
    for width, stride, step, depth in zip(widths, strides, depth_strides, depths, strict=True):
        places = max(1.0, places / (stride * stride * (step if deep else 1)))
        total += (
            places * taps * width * (before + width * (2 * depth - 1)) + places * before * width
        )
        before = width
    return total


def nominal_seconds(
    network: Mapping[str, Any], size: tuple[int, int], channels: int, slices: float
) -> float:
    """Seconds of a training step per case on two cores by the cost model; no machine enters."""
    return 3.0 * multiplications(network, size, channels, slices) / _PACE + 2e-4


def estimate(plan: Plan | SegmentationPlan, *, cases: int) -> Cost:
    """Time and memory of training, from a few steps of the plan's network on random values.

    Parameters
    ----------
    cases:
        That are kept in memory.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trial = _trial(plan)
            each = trial.run(max(1, min(plan.batch, int(_TRIED // trial.values))))
            memory = _memory(plan, trial)
    finally:
        torch.set_num_threads(before)
    if isinstance(plan, SegmentationPlan):
        networks, steps = plan.folds, None if plan.time_budget is not None else plan.steps
    else:
        networks, steps = plan.split.folds * len(plan.seeds), plan.steps
        memory += cases * trial.values * (1.0 + plan.augmentation.versions)
    return Cost(each * plan.batch, steps, networks, memory)


def step_memory(plan: Plan | SegmentationPlan) -> float:
    """Bytes that the weights and one training step take, by what a small step keeps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _memory(plan, _trial(plan))


def machine_memory() -> float:
    """Bytes of memory that this process may use: the machine's, or its control group's if less."""
    whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(place).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            whole = min(whole, float(text))
    return whole


@dataclass(frozen=True, eq=False)
class _Trial:
    """A network and how to make it work: ``forward(cases, small)`` returns something to descend."""

    net: nn.Module
    values: float
    small_values: float
    forward: Callable[[int, bool], torch.Tensor]

    def run(self, cases: int) -> float:
        """Seconds of one core per case, of the fastest of a few steps."""

        def step() -> float:
            start = time.process_time()
            self.net.zero_grad()
            self.forward(cases, False).backward()
            with torch.no_grad():
                for weight in self.net.parameters():
                    if weight.grad is not None:
                        weight.sub_(weight.grad, alpha=1e-6)
            return time.process_time() - start

        self.forward(2, True)
        began, times = time.process_time(), [step()]
        while len(times) < 4 and time.process_time() - began < _LONGEST:
            times.append(step())
        return min(times) / cases

    def kept(self) -> float:
        """Bytes per value of the input that a forward pass keeps for the backward one."""
        seen: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self.forward(2, True)
        return sum(seen.values()) / (2 * self.small_values)


def _memory(plan: Plan | SegmentationPlan, trial: _Trial) -> float:
    weights = sum(p.numel() for p in trial.net.parameters()) * 4.0
    # Weights, gradients, two moments and the average; kept values, and as much again in passing.
    return 5.0 * weights + plan.batch * trial.values * (trial.kept() * 1.5 + 8.0)


def _trial(plan: Plan | SegmentationPlan) -> _Trial:
    return _segmenter(plan) if isinstance(plan, SegmentationPlan) else _classifier(plan)


def _classifier(plan: Plan) -> _Trial:
    config = network_config(plan)
    height, width = (min(size, 2 * config.stride) for size in config.image_size)
    some = replace(config, image_size=(height, width))
    net, small_net = EvidenceNet(config).train(), EvidenceNet(some).train()
    channels, length = plan.input.channels, plan.input.max_slices
    few = min(length, 4)

    def forward(cases: int, small: bool) -> torch.Tensor:
        height, width = (some if small else config).image_size
        slices = few if small else length
        image = torch.rand(cases, slices, channels, height, width)
        mask = torch.ones(cases, slices, height, width)
        given = torch.zeros(cases, config.n_concepts)
        out = (small_net if small else net)(image, mask, torch.full((cases,), slices), given)
        logit: torch.Tensor = out.logit
        return logit.square().mean()

    return _Trial(
        net,
        float(length * channels * prod(config.image_size)),
        float(few * channels * prod(some.image_size)),
        forward,
    )


def _segmenter(plan: SegmentationPlan) -> _Trial:
    config = segmenter_config(plan)
    net = SegmentNet(config).train()
    dense_network(net)
    some = [
        min(size, step * ceil(16 / step)) if size > 1 else 1
        for size, step in zip(plan.patch, config.total_stride, strict=True)
    ]

    def forward(cases: int, small: bool) -> torch.Tensor:
        image = dense(torch.rand(cases, plan.channels, *(some if small else plan.patch)))
        return torch.stack([level.square().mean() for level in net.levels(image)]).sum()

    return _Trial(
        net, float(plan.channels * prod(plan.patch)), float(plan.channels * prod(some)), forward
    )
