"""A plan fitted to the time and the memory at hand."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diaphane.bundle.sliding import Lattice
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.looks import Looks
from diaphane.learn.segmenting.loop import Pupil, Task, patch_spec
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.shipping import plain_segmenter
from diaphane.learn.splits import Member

if TYPE_CHECKING:
    from diaphane.learn.budget import Budget

_FEWEST = 1200
"""Steps that a network should have before time goes into further folds."""
_MOST = 12000
"""Steps beyond which little is learned."""
_LOOKS = 1.08
"""Looks and checkpoints on top of a step."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A plan whose steps are frozen, and what is to be said aloud.

    ``reserve`` is the time for all that follows training, and ``after`` that for what follows
    judging, in seconds.
    """

    plan: SegmentationPlan
    said: tuple[str, ...] = ()
    reserve: float = 0.0
    after: float = 0.0


def fit_to_budget(
    plan: SegmentationPlan,
    store: MaskStore,
    members: list[Member],
    budget: Budget,
    device: torch.device,
    *,
    folds_fixed: bool = False,
) -> Fitted:
    """Measure a few steps and an export, then set folds and steps so that the run ends in time.

    Judging is planned for as the forward passes that it takes, a third of a step's patch each.
    Where it would take more than a quarter of the time, windows overlap less and are not
    mirrored; and at least ten cases are planned for in any case.
    """
    each, export = measured(plan, store, members[0], device, most=0.1 * budget.seconds)
    said = []
    judged = _judged(store, members)
    lighter: list[dict[str, Any]] = [
        {},
        {"overlap": min(plan.overlap, 0.25)},
        {"overlap": min(plan.overlap, 0.25), "mirror": ()},
    ]
    for changes in lighter:
        plan = plan.model_copy(update=changes)
        case = 0.5 + 1.2 * each * _windows(plan, store, judged) / (3 * plan.batch)
        if case * len(judged) <= 0.25 * budget.seconds:
            break
    if changes:
        said.append(
            f"windows overlap by {plan.overlap:.0%}"
            + ("" if plan.mirror else " and are not mirrored")
            + ": all else would take too much of the time allowed."
        )
    judging = min(case * len(judged), max(0.25 * budget.seconds, 10 * case))
    judging = min(judging, 0.45 * budget.seconds)
    folds = plan.folds
    if folds > 1 and not folds_fixed:
        after = 8.0 + 2.5 * export * (folds + 1)
        steps = budget.steps(_LOOKS * each, folds, judging + after, most=_MOST)
        if steps < _FEWEST:
            folds = 1
            said.append(
                f"{plan.folds} networks would have {steps} steps each in the time allowed; one "
                "network learns instead, and a fifth of the cases is held back to judge it."
            )
    after = 8.0 + 2.5 * export * (folds + 1)
    if folds < plan.folds:
        judging = min(judging, case * max(1.0, 0.25 * len(judged)))
    steps = budget.steps(_LOOKS * each, folds, judging + after, most=_MOST)
    if steps * folds * _LOOKS * each + judging + after > budget.left():
        said.append(
            f"a step takes {each:.2f} s here. warning: the time budget is too short for this "
            "dataset; it will be passed."
        )
    else:
        said.append(f"a step takes {each:.2f} s here: {steps} steps fit into the time allowed.")
    # A look takes one case or more; it shall be a twentieth of the time between looks.
    look = _windows(plan.model_copy(update={"overlap": 0.0, "mirror": ()}), store, judged)
    rare = int(np.ceil(look / (0.05 * 3 * plan.batch)))
    changed = plan.model_copy(
        update={
            "folds": folds,
            "steps": steps,
            "look_every": max(10, rare, min(plan.look_every, steps // 8)),
            "time_budget": budget.seconds,
        }
    )
    return Fitted(changed, tuple(said), judging + after, after)


def _judged(store: MaskStore, members: list[Member]) -> list[int]:
    """Cases that are outlined after training: held back, or of a part that took no part."""
    held = {int(i) for member in members for i in member.held}
    fitted = {int(i) for member in members for i in member.fit}
    return sorted(held | (set(range(len(store))) - fitted))


def _windows(plan: SegmentationPlan, store: MaskStore, cases: list[int]) -> float:
    """Forward passes of a patch that a median case takes."""
    if not cases:
        return 0.0
    counts = [len(Lattice.over(store.kept[i].shape, plan.patch, plan.overlap)) for i in cases]
    return float(np.median(counts)) * float(2 ** len(plan.mirror))


def measured(
    plan: SegmentationPlan,
    store: MaskStore,
    member: Member,
    device: torch.device,
    *,
    count: int = 5,
    most: float = float("inf"),
) -> tuple[float, float]:
    """Seconds of a step on this machine, patches included, and of an export; nothing is kept.

    ``count`` steps are taken, or two where they take more than ``most`` seconds.
    """
    with tempfile.TemporaryDirectory() as room:
        looks = Looks(Path(room) / "metrics.csv", tuple(plan.labels))
        task = Task(plan, store, Path(room) / "none.safetensors", looks, device)
        pupil = Pupil(task, 0, member)
        seconds: list[float] = []
        while len(seconds) < count and (len(seconds) < 2 or sum(seconds) < most):
            began = time.monotonic()
            pupil.one_step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.monotonic() - began)
        began = time.monotonic()
        plain_segmenter(plan, pupil.finished(), Path(room) / "bundle")
        export = time.monotonic() - began
    # The quickest one: a busy moment must not shorten the whole training.
    return min(seconds[1:]), export


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
