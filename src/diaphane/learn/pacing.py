"""How long things take on this machine, and what fits into a time budget."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from diaphane.learn.budget import Budget
from diaphane.learn.loading import Ahead, loading_threads
from diaphane.learn.loop import Pupil, Task
from diaphane.learn.network import network_config
from diaphane.learn.plans import Plan
from diaphane.learn.predicting import FEATURES, predict
from diaphane.learn.side_by_side import Message, Send, can_fork, side_by_side
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
        feeders = loading_threads(task.threads, task.device)
        with Ahead(pupil.make, 0, last, workers=feeders) as ahead:
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


@dataclass(frozen=True)
class Arrangement:
    """How networks share the cores: so many at once, each with so many compute threads."""

    at_once: int = 1
    threads: int = 1

    @classmethod
    def of(cls, networks: int, threads: int, device: torch.device) -> Arrangement:
        """As many networks at once as there are threads, where that can be."""
        at_once = max(1, min(networks, threads)) if can_fork(device) else 1
        return cls(at_once, max(1, threads // at_once))

    def rounds(self, networks: int) -> int:
        """How often all places are filled until so many networks are done."""
        return math.ceil(networks / self.at_once)


def measure_arranged(
    task: Task,
    member: Member,
    arranged: Arrangement,
    *,
    budget: Budget | None = None,
    hopeless: float = float("inf"),
) -> Pace:
    """As :func:`measure`, while as many others do the same as will in training."""
    task = replace(task, threads=arranged.threads)
    if arranged.at_once == 1:
        before = torch.get_num_threads()
        torch.set_num_threads(arranged.threads)
        try:
            return measure(task, member, budget=budget, hopeless=hopeless)
        finally:
            torch.set_num_threads(before)

    def job(_: Send) -> Message:
        return asdict(measure(task, member, budget=budget, hopeless=hopeless))

    jobs = {f"measurement {n + 1}": job for n in range(arranged.at_once)}
    said = side_by_side(jobs, arranged.at_once, lambda *_: None, threads=arranged.threads)
    paces = [Pace(**each) for each in said.values()]
    return replace(paces[0], step=statistics.fmean(p.step for p in paces))


def best_arrangement(
    task: Task, member: Member, networks: int, threads: int, budget: Budget
) -> tuple[Arrangement, Pace]:
    """The arrangement with which networks learn fastest: all threads for one, one, or side by side.

    Small networks gain nothing from a second thread, and lose where others use the processor; two
    of them side by side nearly double what is learned in an hour.

    Parameters
    ----------
    networks:
        That may be at work at once.
    """
    asked = {Arrangement(1, 1), Arrangement(1, threads)} if task.device.type == "cpu" else {
        Arrangement(1, threads)
    }  # fmt: skip
    asked.add(Arrangement.of(networks, threads, task.device))
    found: dict[Arrangement, Pace] = {}
    for arranged in sorted(asked, key=lambda a: (a.threads, a.at_once)):
        known = min((2.0 * p.step for p in found.values()), default=float("inf"))
        found[arranged] = measure_arranged(task, member, arranged, budget=budget, hopeless=known)
    best = min(found, key=lambda a: (found[a].step / a.at_once, a.threads))
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


def work_after(pace: Pace, load: Load, probes: int) -> float:
    """Seconds that what follows training takes, as far as it can be measured.

    Judging and tests of the explanations follow from the time of one case; writing, checking and
    loading the graph from the time of one export.
    """
    judging = pace.case * load.views * (load.held + load.fit + load.scored * load.members)
    probing = _probe_time(pace, load) * probes
    graph = pace.export * (2.0 + 0.8 * load.members)
    return judging + probing + graph


def reserve(work: float, budget: Budget) -> float:
    """Seconds to keep for all that follows training; report and figures have a flat share."""
    return 1.2 * work + 2.0 + 0.03 * budget.seconds


def affordable_probes(pace: Pace, load: Load, budget: Budget, most: int) -> int:
    """Cases to test the explanations on: a twentieth of the budget, 2 at least."""
    return int(max(2, min(most, 0.05 * budget.seconds / max(1e-9, _probe_time(pace, load)))))


def affordable_cases(pace: Pace, plan: Plan, members: int, budget: Budget) -> int:
    """Cases of a part that judging takes at most: a tenth of the budget, 200 at least."""
    each = pace.case * len(plan.views) * members
    return int(max(200, 0.05 * budget.seconds / max(1e-9, each)))


def _probe_time(pace: Pace, load: Load) -> float:
    return _PROBE_PASSES * pace.case * load.members * load.views
