"""How long things take on this machine, and what fits into a time budget."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from diaphane.learn.budget import Budget
from diaphane.learn.loading import Ahead, loading_threads
from diaphane.learn.loop import Pupil, Task
from diaphane.learn.network import network_config
from diaphane.learn.plans import Plan
from diaphane.learn.predicting import FEATURES, predict
from diaphane.learn.splits import Member

_WARM, _TIMED = 2, 12
"""Steps before and under the clock."""
_LONGEST = 2.0
"""Seconds that timing takes at most, a step more or less; a hundredth of a shorter budget."""
_PROBE_PASSES = 70
"""Passes through the graph that testing the explanation of one case takes."""


@dataclass(frozen=True)
class Pace:
    """What was measured.

    Attributes
    ----------
    step:
        Seconds of one step of the optimiser, with looks at stopping cases and saving.
    case:
        Seconds to score one case by one network in one view.
    export:
        Seconds to write one network as a graph.
    waited:
        Share of the time for which the network waited for batches.
    """

    step: float
    case: float
    export: float = 0.0
    waited: float = 0.0


def measure(
    task: Task,
    member: Member,
    *,
    export: bool = False,
    budget: Budget | None = None,
    hopeless: float = float("inf"),
) -> Pace:
    """Take a few steps with the real network and real batches, and forget them.

    Parameters
    ----------
    member:
        The first network's cases.
    export:
        Write a graph, too.
    budget:
        The shorter it is, the shorter is this.
    hopeless:
        Seconds of a step beyond which more of them need not be timed.
    """
    longest = _LONGEST if budget is None else min(_LONGEST, 0.01 * budget.seconds)
    pupil = Pupil(replace(task, state=None, history=None), 0, member)
    step, waited = 0.0, 0.0
    if pupil.parameters:
        last = min(_WARM + _TIMED, max(_WARM + 1, pupil.rhythm.steps))
        at = time.perf_counter()
        ends: list[float] = []
        with Ahead(pupil.make, 0, last, workers=loading_threads(task.threads)) as ahead:
            for number, made in enumerate(ahead):
                pupil.one_step(made)
                _wait_for(task.device)
                if number + 1 == _WARM:
                    waited = ahead.waited
                if number == 1 and time.perf_counter() - at > hopeless:
                    return Pace(float("inf"), float("inf"))
                at = time.perf_counter()
                if number + 1 >= _WARM:
                    ends.append(at)
                if len(ends) > 1 and at - ends[0] > longest:
                    break
        step = _faster_half(ends)
        waited = (ahead.waited - waited) / max(1e-9, ends[-1] - ends[0])
    few = member.fit[: 2 * task.plan.batch]
    pupil.shadow.load_state_dict(pupil.average)
    predict(pupil.shadow, task.store, few[: task.plan.batch], task.plan.batch, task.device)
    began = time.perf_counter()
    predict(pupil.shadow, task.store, few, task.plan.batch, task.device)
    case = (time.perf_counter() - began) / max(1, len(few))
    looking = len(pupil.stop) * case / pupil.rhythm.look
    return Pace(1.02 * step + looking, case, export_time(task.plan) if export else 0.0, waited)


def _faster_half(ends: Sequence[float]) -> float:
    """Seconds a step, in the faster half of those between ``ends``.

    A moment in which others use the processor must not shorten the whole training; a machine that
    stays slower is what the early annealing is for.
    """
    middle = len(ends) // 2
    halves = [ends[: middle + 1], ends[middle:]] if len(ends) > 4 else [ends]
    return min((half[-1] - half[0]) / max(1, len(half) - 1) for half in halves)


def best_threads(task: Task, member: Member, most: int, budget: Budget) -> tuple[int, Pace]:
    """Threads with which a step is fastest, all or one, and the pace with them.

    Small networks gain nothing from a second thread, and lose where others use the processor.
    """
    counts = {most, 1} if task.device.type == "cpu" else {most}
    before = torch.get_num_threads()
    found: dict[int, Pace] = {}
    try:
        for threads in sorted(counts):
            torch.set_num_threads(threads)
            known = 2.0 * found[1].step if found else float("inf")
            found[threads] = measure(
                replace(task, threads=threads), member, budget=budget, hopeless=known
            )
    finally:
        torch.set_num_threads(before)
    best = 1 if 1 in found and found[1].step < 0.95 * found[most].step else most
    return best, found[best]


def export_time(plan: Plan) -> float:
    """Seconds to write one network as a graph."""
    from diaphane.models import Ensemble, EvidenceNet, export_onnx

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as room:
        export_onnx(
            Ensemble([EvidenceNet(network_config(plan))], plan.views), Path(room) / "model.onnx"
        )
    return time.perf_counter() - began


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Load:
    """What is to be done after training, in cases.

    Attributes
    ----------
    held, fit:
        Cases that all networks together score and take features of.
    scored:
        Cases of the reported part, which every network scores.
    members, views:
        Networks, and views of each.
    """

    held: int
    fit: int
    scored: int
    members: int
    views: int

    @classmethod
    def of(cls, plan: Plan, members: Sequence[Member], scored: int, most: int | None) -> Load:
        """The load of a run whose judging takes ``most`` cases of a part at most."""

        def bound(count: int) -> int:
            return count if most is None else min(count, most)

        return cls(
            sum(bound(len(m.held)) for m in members),
            sum(min(FEATURES, len(m.fit)) for m in members),
            bound(scored),
            len(members),
            len(plan.views),
        )


def reserve(pace: Pace, load: Load, budget: Budget, probes: int) -> float:
    """Seconds to keep for all that follows training.

    Judging and tests of the explanations follow from the time of one case; writing, checking and
    loading the graph from the time of one export; report and figures have a flat share.
    """
    judging = pace.case * load.views * (load.held + load.fit + load.scored * load.members)
    probing = _probe_time(pace, load) * probes
    graph = pace.export * (2.0 + 0.8 * load.members)
    return 1.2 * (judging + probing + graph) + 2.0 + 0.04 * budget.seconds


def affordable_probes(pace: Pace, load: Load, budget: Budget, most: int) -> int:
    """Cases to test the explanations on: a twentieth of the budget, 2 at least."""
    return int(max(2, min(most, 0.05 * budget.seconds / max(1e-9, _probe_time(pace, load)))))


def affordable_cases(pace: Pace, plan: Plan, members: int, budget: Budget) -> int:
    """Cases of a part that judging takes at most: a tenth of the budget, 200 at least."""
    each = pace.case * len(plan.views) * members
    return int(max(200, 0.05 * budget.seconds / max(1e-9, each)))


def _probe_time(pace: Pace, load: Load) -> float:
    return _PROBE_PASSES * pace.case * load.members * load.views
