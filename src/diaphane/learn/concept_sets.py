"""Which measured concepts suit a dataset: additive models, cross-validated on the training cases.

More is not better: a concept that tells nothing costs a few hundredths where cases are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from diaphane.learn.cases import CaseStore, Kept
from diaphane.learn.choosing import Trial
from diaphane.learn.loop import Task, member_seed
from diaphane.learn.network import Loss, new_network
from diaphane.learn.plans import Plan

_FOLDS = 5
_FEWEST = 30
"""Cases below which the first set is taken unseen."""


@dataclass(frozen=True)
class Chosen:
    """A set of concepts, and one sentence about the choice."""

    concepts: tuple[str, ...]
    reason: str


def choose_concepts(task: Task, trial: Trial) -> Chosen:
    """The set of ``plan.concept_sets`` whose additive model alone has the least held-out loss.

    A later set is chosen only when its loss per case is less than the first one's by more than one
    standard error of their difference, paired by case.

    Parameters
    ----------
    task:
        Whose store holds all concepts of the sets.
    trial:
        The cases to choose on.
    """
    plan = task.plan
    names = list(plan.concept_sets)
    first = names[0]
    groups = len(np.unique(trial.group[trial.pool]))
    rarest = np.bincount(trial.stratum[trial.pool] + 1)
    if groups < _FEWEST or rarest[rarest > 0].min() < 2 * _FOLDS:
        return Chosen(
            plan.concept_sets[first], f"{first}: too few cases to compare sets of concepts"
        )
    lost = {name: _losses(task, trial, plan.concept_sets[name]) for name in names}
    gain = {name: lost[first] - each for name, each in lost.items()}
    noise = {name: float(g.std() / np.sqrt(len(g))) for name, g in gain.items()}
    better = [name for name in names if gain[name].mean() > noise[name]]
    chosen = max(better, key=lambda name: float(gain[name].mean())) if better else first
    told = ", ".join(f"{name} {each.mean():.3f}" for name, each in lost.items())
    return Chosen(
        plan.concept_sets[chosen],
        f"{chosen}, by the held-out loss of concepts alone on {len(lost[first])} training cases: {told}",
    )


def with_concepts(store: CaseStore, plan: Plan) -> CaseStore:
    """The same cases with some of their concepts, those of the plan."""
    there = store.spec.concept_names
    columns = [there.index(name) for name in plan.input.concept_names]

    def less(kept: Kept) -> Kept:
        return replace(kept, concepts=np.ascontiguousarray(kept.concepts[columns]))

    return replace(
        store,
        spec=plan.input,
        plain=[less(kept) for kept in store.plain],
        versions=[[less(kept) for kept in made] for made in store.versions],
    )


def sets_of(concepts: Sequence[str], sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The sets that ``concepts`` hold, and all of them together."""
    found = {name: list(each) for name, each in sets.items() if set(each) <= set(concepts)}
    return {**found, "all": list(concepts)} if found else {}


def _losses(
    task: Task, trial: Trial, concepts: Sequence[str]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Loss of each case of the pool ``(n,)`` by an additive model of other folds' cases."""
    plan = task.plan
    spec = {**plan.input.model_dump(mode="json"), "concepts": list(concepts)}
    alone = {**plan.network.model_dump(mode="json"), "use_image": False}
    own = plan.with_changes({"input": spec, "network": alone, "concept_sets": {}, "families": {}})
    table = with_concepts(task.store, own).concepts
    loss = np.zeros(len(table))
    for member in trial.members(_FOLDS, own):
        wanted = task.target[member.fit]
        rule = Loss(own, wanted)
        net = new_network(own, member_seed(own, member), table[member.fit], wanted, rule)
        assert net.shapes is not None
        with torch.inference_mode():
            for case in member.held:
                logit = net.bias + net.shapes(torch.from_numpy(table[case : case + 1])).sum(1)
                one = task.target[case : case + 1]
                loss[case] = float(rule(logit, one, plain=True))
    return loss[trial.pool]
