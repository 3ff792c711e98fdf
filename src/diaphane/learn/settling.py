"""What is decided at the last moment, on the machine at hand, and then frozen: family, steps, folds.

Everything that the clock had a say in stands in ``plan.yaml`` and ``run.json`` before the first
step, so that a stopped run goes on as the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from diaphane.learn.budget import Budget
from diaphane.learn.cases import CaseStore
from diaphane.learn.choosing import Short, Trial, Tried, choose_family, reason_for
from diaphane.learn.concept_sets import choose_concepts
from diaphane.learn.loop import Task
from diaphane.learn.pacing import (
    Arrangement,
    Load,
    Pace,
    affordable_cases,
    affordable_probes,
    best_arrangement,
    export_time,
    measure_arranged,
    reserve,
    work_after,
)
from diaphane.learn.plans import Plan
from diaphane.learn.rhythm import Rhythm
from diaphane.learn.runs import RunFolder, Voice
from diaphane.learn.settled import Settled
from diaphane.learn.splits import Member

_FEWEST = 100
"""Steps below which a short run says nothing about a family."""
_SHARE = 0.25
"""Of the time, or of the steps, that choosing a family takes at most."""
_MUCH = 0.7
"""Share of the first family's time a step below which another one is much faster."""


@dataclass(frozen=True, eq=False)
class Desk:
    """What settling needs to know and to do.

    Attributes
    ----------
    task:
        With the plan as it was made.
    divide:
        Networks of a plan, and how many cases are reported on besides.
    trial:
        The cases to choose a family on, given a plan.
    store_of:
        Prepared cases for the plan of a family.
    family:
        "auto", or the name that was asked for.
    folds_fixed, threads_free:
        Whether the number of folds was asked for; whether threads were not.
    arranged:
        How networks share the cores.
    paces:
        What was measured so far, by family, in that arrangement.
    """

    task: Task
    divide: Callable[[Plan], tuple[list[Member], int]]
    trial: Callable[[Plan], Trial]
    store_of: Callable[[Plan], CaseStore]
    folder: RunFolder
    voice: Voice
    budget: Budget | None
    family: str = "auto"
    folds_fixed: bool = True
    threads_free: bool = False
    arranged: Arrangement = field(default_factory=Arrangement)
    paces: dict[str | None, Pace] = field(default_factory=dict)

    def pace(self, plan: Plan) -> Pace:
        """How fast the plan's network is."""
        if plan.chosen not in self.paces:
            task = replace(self.task, plan=plan, store=self.store_of(plan))
            member = self.divide(plan)[0][0]
            self.paces[plan.chosen] = measure_arranged(
                task, member, self.arranged, budget=self.budget
            )
        exports = max(pace.export for pace in self.paces.values()) or export_time(plan)
        self.paces[plan.chosen] = replace(self.paces[plan.chosen], export=exports)
        return self.paces[plan.chosen]


@dataclass(frozen=True)
class _Fit:
    """What fits into a budget, with so many folds, and networks of so many seeds in each."""

    folds: int
    seeds: tuple[int, ...]
    steps: int
    wanted: int
    work: float
    reserve: float
    probes: int
    most: int
    pace: Pace

    @property
    def enough(self) -> bool:
        """Whether a network can learn something in these steps."""
        return self.steps >= min(self.wanted, max(_FEWEST, self.wanted // 3))


def settle(desk: Desk) -> tuple[Settled, list[Tried]]:
    """Arrange the cores, choose the family, measure, and fit steps and folds to the budget.

    The number of folds comes first, since it says which cases a family may be chosen on.

    Returns
    -------
    Settled
        What to apply to the plan.
    list of Tried
        The comparison of families, empty without one.
    """
    budget, begun = desk.budget, desk.task.plan
    desk, settled = _with_concepts(desk)
    plan = desk.task.plan
    first = _first_family(plan)
    desk = _arranged(desk, first)
    folds = plan.split.folds
    if budget is not None:
        share = 1.0 - _SHARE if len(plan.families) > 1 else 1.0
        folds = _fit(desk, first, _options(desk, first), budget, share).folds
        if folds != plan.split.folds:
            desk = replace(desk, task=replace(desk.task, plan=_divided(plan, folds)))
    family, tried, reason = _family(desk)
    settled = replace(
        settled, family=family, threads=desk.arranged.threads, at_once=desk.arranged.at_once,
        probes=desk.voice.probes,
    )  # fmt: skip
    if reason:
        settled = replace(settled, reasons={**settled.reasons, "families": reason})
    if budget is None:
        return settled, tried
    final = settled.apply(desk.task.plan)
    options = [final.seeds] if folds > 1 else [*_twins(desk, final), final.seeds]
    fit = _fit(desk, final, [(folds, seeds) for seeds in options], budget, 1.0)
    return _frozen(desk, begun, settled, fit, budget), tried


def _with_concepts(desk: Desk) -> tuple[Desk, Settled]:
    """The desk with the set of concepts that suits the data, and what that changes."""
    plan = desk.task.plan
    if not plan.concept_sets:
        return desk, Settled()
    found = choose_concepts(desk.task, desk.trial(_first_family(plan)))
    desk.voice.say(f"Concepts: {found.reason}.")
    settled = Settled(concepts=found.concepts, reasons={"concept_sets": found.reason})
    decided = settled.apply(plan)
    task = replace(desk.task, plan=decided, store=desk.store_of(decided))
    return replace(desk, task=task), settled


def _arranged(desk: Desk, first: Plan) -> Desk:
    """How networks share the cores: measured under a budget, else as many at once as there are."""
    members = desk.divide(first)[0]
    threads, device = desk.voice.threads, desk.task.device
    alone = len(members) == 1 and len(first.seeds) == 1
    networks = threads if alone and desk.budget is not None else len(members)
    if desk.budget is not None and desk.threads_free:
        task = replace(desk.task, plan=first, store=desk.store_of(first))
        arranged, pace = best_arrangement(task, members[0], networks, threads, desk.budget)
        desk.paces[first.chosen] = pace
    else:
        arranged = Arrangement.of(networks, threads, device)
    if arranged.at_once > 1:
        desk.voice.say(f"{arranged.at_once} networks can learn side by side.")
    elif arranged.threads < threads:
        desk.voice.say(f"One thread computes: {threads} are not faster here.")
    torch.set_num_threads(arranged.threads)
    return replace(desk, task=replace(desk.task, threads=arranged.threads), arranged=arranged)


def _options(desk: Desk, plan: Plan) -> list[tuple[int, tuple[int, ...]]]:
    """Folds and seeds to try in turn: as planned, then fewer, no place left empty."""
    folds, places = plan.split.folds, desk.arranged.at_once
    if desk.folds_fixed or folds == 1:
        return [(folds, plan.seeds)]
    full = [k - k % places if k > places else k for k in (folds, 3) if k > 1]
    return [(k, plan.seeds) for k in dict.fromkeys([k for k in full if k > 1] + [1])]


def _twins(desk: Desk, plan: Plan) -> list[tuple[int, ...]]:
    """Seeds of as many networks as learn side by side, where one alone was planned."""
    if len(plan.seeds) > 1 or desk.arranged.at_once == 1:
        return []
    return [tuple(plan.seeds[0] + n for n in range(desk.arranged.at_once))]


def _fit(
    desk: Desk,
    plan: Plan,
    options: Sequence[tuple[int, tuple[int, ...]]],
    budget: Budget,
    share: float,
) -> _Fit:
    """The first option for which enough steps fit into a share of the time, or the last."""
    pace = desk.pace(plan)
    found: _Fit | None = None
    for folds, seeds in options:
        own = _divided(plan, folds, seeds)
        members, scored = desk.divide(own)
        most = affordable_cases(pace, own, len(members), budget)
        load = Load.of(own, members, scored, most)
        probes = affordable_probes(pace, load, budget, desk.voice.probes)
        work = work_after(pace, load, probes)
        kept = reserve(work, budget)
        wanted = Rhythm.of(own, len(members[0].fit)).steps
        each = pace.step * desk.arranged.rounds(len(members)) / share
        found = _Fit(
            folds, seeds, budget.steps(each, 1, kept, most=wanted), wanted, work, kept, probes,
            most, pace,
        )  # fmt: skip
        if found.enough:
            break
    assert found is not None
    return found


def _frozen(desk: Desk, plan: Plan, settled: Settled, fit: _Fit, budget: Budget) -> Settled:
    """Write down what fits, and say it."""
    all_fit = "all planned steps fit into the budget"
    some_fit = f"{fit.steps} of {fit.wanted} planned steps fit into the budget"
    reasons = {
        "steps": f"a step of {plan.batch} cases takes {1000 * fit.pace.step:.0f} ms here; "
        f"{all_fit if fit.steps >= fit.wanted else some_fit} beside {fit.reserve:.0f} s for "
        "judging, export and report"
    }
    changes: dict[str, Any] = {"steps": fit.steps, "time_budget": budget.seconds}
    if fit.seeds != plan.seeds:
        changes["seeds"] = list(fit.seeds)
        reasons["seeds"] = f"{len(fit.seeds)} networks learn side by side in the time of one"
    if fit.folds != plan.split.folds:
        changes["split"] = {**plan.split.model_dump(mode="json"), "folds": fit.folds}
        reasons["split"] = (
            f"{fit.folds} instead of {plan.split.folds} folds fit into the budget"
            if fit.folds > 1
            else "the budget is too short for folds; one network, and a part held back by group"
        )
        desk.voice.say(f"note: {reasons['split']}.")
    desk.voice.say(f"{fit.steps} steps per network: {reasons['steps']}.")
    rounds = desk.arranged.rounds(max(1, fit.folds) * len(fit.seeds))
    if fit.reserve + fit.steps * rounds * fit.pace.step > budget.left():
        desk.voice.say("warning: the time budget is too short for this dataset; it will be passed.")
    return replace(
        settled, changes=changes, reasons={**settled.reasons, **reasons}, probes=fit.probes,
        most=fit.most, pace=fit.pace.step, work=fit.work, reserve=fit.reserve,
    )  # fmt: skip


def _family(desk: Desk) -> tuple[str | None, list[Tried], str]:
    """The family, the comparison, and one sentence."""
    plan = desk.task.plan
    if not plan.families:
        return None, [], ""
    names = list(plan.families)
    if desk.family != "auto":
        return desk.family, [], "asked for"
    if len(names) == 1:
        return names[0], [], ""
    short = _short_schedule(desk)
    if short is None:
        name = _quickest(desk) if desk.budget is not None else names[0]
        reason = f"{name}: too little time or too few cases to compare it with the others"
        desk.voice.say(f"note: the network is {reason}.")
        return name, [], reason
    desk.voice.say(
        f"Choosing among {', '.join(names)}: {short.folds} folds of "
        f"{', '.join(str(short.steps[name]) for name in names)} steps."
    )
    tried = choose_family(
        desk.task, desk.trial(_first_family(plan)), short, store_of=desk.store_of, room=desk.folder.choosing,
        at_once=desk.arranged.at_once,
        progress=lambda stage, share: desk.voice.progress(stage, 0.1 + 0.2 * share),
    )  # fmt: skip
    reason = reason_for(tried)
    desk.voice.say(f"Network: {reason}.")
    return next(row.name for row in tried if row.chosen), tried, reason


def _quickest(desk: Desk) -> str:
    """The first family, or one that is much faster, which short of time is the better one."""
    steps = {name: desk.paces[name].step for name in desk.task.plan.families if name in desk.paces}
    first = next(iter(desk.task.plan.families))
    quickest = min(steps, key=lambda name: steps[name], default=first)
    return quickest if steps.get(quickest, 0.0) < _MUCH * steps.get(first, 0.0) else first


def _short_schedule(desk: Desk) -> Short | None:
    """Folds and steps of the choice: frozen when there were some, ``None`` when they are too few."""
    frozen = desk.folder.read_state().get("choosing")
    if frozen is not None:
        return Short(int(frozen["folds"]), dict(frozen["steps"]))
    plan = desk.task.plan
    trial = desk.trial(_first_family(plan))
    groups = len(np.unique(trial.group[trial.pool]))
    rarest = np.bincount(trial.stratum[trial.pool] + 1)
    if groups < 6 or rarest[rarest > 0].min() < 6:
        return None
    members, _ = desk.divide(_first_family(plan))
    wanted = {
        name: Rhythm.of(plan.family(name), len(members[0].fit)).steps for name in plan.families
    }
    count = len(plan.families)
    found: dict[int, dict[str, int]] = {}
    if desk.budget is None:
        for folds in (3, 2):
            share = _SHARE * len(members) / (count * folds)
            found[folds] = {name: int(share * steps) for name, steps in wanted.items()}
    else:
        budget = desk.budget
        room = _SHARE * budget.left()
        began = budget.left()
        paces: dict[str, Pace] = {}
        for name in plan.families:
            paces[name] = desk.pace(plan.family(name))
            if began - budget.left() > 0.5 * room:
                return None
        room -= began - budget.left()
        for folds in (3, 2):
            each = 0.85 * room / desk.arranged.rounds(count * folds)
            scoring = len(trial.pool) / folds
            found[folds] = {
                name: int((each - scoring * pace.case) / max(1e-9, pace.step))
                for name, pace in paces.items()
            }
    for folds, steps in found.items():
        enough = {name: min(steps[name], wanted[name] // 2) for name in steps}
        if min(enough.values()) >= _FEWEST:
            desk.folder.update_state(choosing={"folds": folds, "steps": enough})
            return Short(folds, enough)
    return None


def _first_family(plan: Plan) -> Plan:
    return plan.family(next(iter(plan.families))) if plan.families else plan


def _divided(plan: Plan, folds: int, seeds: tuple[int, ...] | None = None) -> Plan:
    split = {**plan.split.model_dump(mode="json"), "folds": folds}
    return plan.with_changes({"split": split, "seeds": list(seeds or plan.seeds)})
