"""A plan fitted to the time and the memory at hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from diaphane.bundle.sliding import Lattice
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.looks import Looks
from diaphane.learn.segmenting.loop import Pupil, Task, patch_spec
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.splits import Member

if TYPE_CHECKING:
    from pathlib import Path

    from diaphane.learn.budget import Budget

_FEWEST = 1200
"""Steps that a network should have before time goes into further folds."""
_MOST = 12000
"""Steps beyond which little is learned."""
_LOOKS = 1.08
"""Looks and checkpoints on top of a step."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A plan whose steps are frozen, with its splits, and what is to be said aloud."""

    plan: SegmentationPlan
    splits: list[str]
    members: list[Member]
    said: tuple[str, ...] = ()


def fit_to_budget(
    plan: SegmentationPlan,
    store: MaskStore,
    members: list[Member],
    budget: Budget,
    device: torch.device,
) -> Fitted:
    """Measure a few steps, then set folds and steps so that the run ends in time.

    Judging is planned for as the forward passes that it takes, a third of a step's patch each.
    """
    each = measured_step(plan, store, members[0], device)
    held = sum(
        len(Lattice.over(store.kept[int(i)].shape, plan.patch, plan.overlap))
        for member in members
        for i in member.held
    )
    passes = held * 2 ** len(plan.mirror)
    judging = passes * each / (3 * plan.batch) * (1.0 if plan.folds > 1 else plan.calibration_share)
    reserve = min(0.4 * budget.seconds, 15.0 + 1.3 * judging) + 0.03 * budget.seconds
    folds, said = plan.folds, []
    if folds > 1:
        steps = budget.steps(_LOOKS * each, folds, reserve, most=_MOST)
        if steps < _FEWEST:
            folds = 1
            said.append(
                f"{plan.folds} networks would have {steps} steps each in the time allowed; one "
                "network learns instead, and a fifth of the cases is held back to judge it."
            )
    steps = budget.steps(_LOOKS * each, folds, reserve, most=_MOST)
    said.append(f"a step takes {each:.2f} s here: {steps} steps fit into the time allowed.")
    changed = plan.model_copy(
        update={
            "folds": folds,
            "steps": steps,
            "look_every": max(10, min(plan.look_every, steps // 8)),
            "time_budget": budget.seconds,
        }
    )
    return Fitted(changed, [], [], tuple(said))


def measured_step(
    plan: SegmentationPlan, store: MaskStore, member: Member, device: torch.device, count: int = 4
) -> float:
    """Seconds of a step on this machine, patches included; nothing is kept."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as room:
        looks = Looks(Path(room) / "metrics.csv", tuple(plan.labels))
        pupil = Pupil(Task(plan, store, _nowhere(Path(room)), looks, device), 0, member)
        seconds = []
        for _ in range(count):
            began = time.monotonic()
            pupil.one_step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.monotonic() - began)
    return float(np.median(seconds[1:]))


def _nowhere(room: Path) -> Path:
    return room / "none.safetensors"


def smaller(plan: SegmentationPlan, stride: tuple[int, int, int]) -> SegmentationPlan | None:
    """The plan with half the batch, else with half the patch; ``None`` when nothing is left."""
    if plan.batch > 1:
        return plan.model_copy(update={"batch": plan.batch // 2})
    size = [
        max(step, n // 2 // step * step) if n > 1 else n
        for n, step in zip(patch_spec(plan).size, stride, strict=True)
    ]
    if tuple(size) == plan.patch:
        return None
    return plan.model_copy(update={"patch": tuple(size)})
