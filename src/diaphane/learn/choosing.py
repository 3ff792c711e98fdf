"""Which family of networks suits a dataset: short runs, cross-validated on the training cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as safetensors_bytes

from diaphane.core.files import write_bytes
from diaphane.core.tables import write_table
from diaphane.evaluate import Bootstrap
from diaphane.learn.loop import Task, fit_member
from diaphane.learn.network import Loss
from diaphane.learn.plans import Plan
from diaphane.learn.predicting import predict, some
from diaphane.learn.side_by_side import Job, Message, Send, side_by_side
from diaphane.learn.splits import Index, Member, grouped_folds

_SCORED = 2000
"""Held-out cases of a fold that are scored at most."""
_ROUNDS = 500
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Short:
    """The short schedule: folds, and steps of each family's network in each fold."""

    folds: int
    steps: Mapping[str, int]


@dataclass(frozen=True)
class Tried:
    """What one family was worth.

    ``auc`` is the mean over folds of the area under the ROC curve (mean over outputs) with its 95 %
    interval; ``difference`` is against the first family, ``noise`` its standard error, paired.
    """

    name: str
    auc: float
    low: float
    high: float
    loss: float
    folds: int
    cases: int
    steps: int
    seconds: float
    difference: float
    noise: float
    chosen: bool


@dataclass(frozen=True, eq=False)
class Trial:
    """The cases to choose on, and how their labels and groups lie.

    Attributes
    ----------
    pool:
        Case numbers; no case that figures will be reported on.
    stratum, group:
        Of all cases of the store.
    """

    pool: Index
    stratum: Index
    group: Index

    def members(self, folds: int, plan: Plan) -> list[Member]:
        """One network per fold, which trains to the end of its schedule."""
        seed = plan.split.seed
        code = np.unique(self.group[self.pool], return_inverse=True)[1].astype(np.int64)
        fold = grouped_folds(self.stratum[self.pool], code, folds, seed + 101)
        none = np.empty(0, dtype=np.int64)
        return [
            Member(
                k, plan.seeds[0], np.sort(self.pool[fold != k]), none,
                some(np.sort(self.pool[fold == k]), _SCORED, seed + k),
            )
            for k in range(folds)
        ]  # fmt: skip


def choose_family(
    task: Task,
    trial: Trial,
    short: Short,
    *,
    store_of: Callable[[Plan], Any],
    room: Path,
    at_once: int,
    progress: Callable[[str, float], None],
) -> list[Tried]:
    """Train every family briefly on each fold and compare them, paired by case.

    Parameters
    ----------
    task:
        With the plan that lists the families, the first being the default.
    store_of:
        Prepared cases for a family's plan.
    room:
        Folder for what is done, so that a stopped run need not do it again.
    at_once:
        Networks that learn side by side.
    progress:
        Told of the network at work and the share done.

    Returns
    -------
    list of Tried
        In the plan's order. A later family is chosen only when it is better than the first by more
        than one standard error of their paired difference.
    """
    plan = task.plan
    members = trial.members(short.folds, plan)
    kept = {
        (name, member.fold): room / f"family-{number}-fold-{member.fold}.safetensors"
        for number, name in enumerate(plan.families)
        for member in members
    }

    def job_of(name: str, member: Member) -> Job:
        wanted = plan.family(name)
        own = wanted.with_changes({"steps": short.steps[name], "stopping": {"share": 0.0}})
        done = kept[name, member.fold]
        at_work = replace(
            task, plan=own, store=store_of(own), history=None,
            state=done.with_name(f"current-{done.name}"),
        )  # fmt: skip

        def job(send: Send) -> Message:
            began = time.monotonic()
            send({"begins": True})
            net, _position = fit_member(at_work, 0, member)
            said = predict(net.to(task.device), at_work.store, member.held, own.batch, task.device)
            seconds = np.array([time.monotonic() - began])
            told = {"logit": said.logit, "seconds": seconds}
            write_bytes(done, safetensors_bytes(told), durable=True)
            return {}

        return job

    waiting = {
        f"{name}, fold {member.fold + 1}": job_of(name, member)
        for name in plan.families
        for member in members
        if not _read(kept[name, member.fold])
    }
    begun: list[str] = []

    def hear(name: str, _: Message) -> None:
        progress(f"choosing a family: {name}", len(begun) / len(waiting))
        begun.append(name)

    side_by_side(waiting, at_once, hear, threads=task.threads)
    found = {key: _read(path) for key, path in kept.items()}
    scores = {n: [found[n, m.fold]["logit"] for m in members] for n in plan.families}
    seconds = {n: sum(float(found[n, m.fold]["seconds"][0]) for m in members) for n in scores}
    return compare_families(task, trial, scores, members=members, short=short, seconds=seconds)


def compare_families(
    task: Task,
    trial: Trial,
    scores: Mapping[str, Sequence[Floats]],
    *,
    members: Sequence[Member],
    short: Short,
    seconds: Mapping[str, float],
) -> list[Tried]:
    """Figures of the families and the choice, from their logits by fold."""
    plan, target = task.plan, task.target
    held = np.concatenate([m.held for m in members])
    bounds = np.cumsum([0, *(len(m.held) for m in members)])
    groups = np.unique(trial.group[held], return_inverse=True)[1].astype(np.intp)
    rounds = np.concatenate(list(Bootstrap(_ROUNDS, seed=plan.split.seed).weights(groups)))
    whole = np.ones((1, len(held)))

    def measured(weights: Floats, parts: Sequence[Floats]) -> Floats:
        each = [
            _auc(plan.task, target[m.held].numpy(), part, weights[:, bounds[k] : bounds[k + 1]])
            for k, (m, part) in enumerate(zip(members, parts, strict=True))
        ]
        with np.errstate(invalid="ignore"):
            known = np.isfinite(each)
            total = np.where(known, each, 0.0).sum(0)
            return np.where(known.any(0), total / np.maximum(1, known.sum(0)), 0.5)

    value = {name: float(measured(whole, parts)[0]) for name, parts in scores.items()}
    draws = {name: measured(rounds, parts) for name, parts in scores.items()}
    first, *others = list(scores)
    gap = {name: value[name] - value[first] for name in scores}
    noise = {name: float(np.std(draws[name] - draws[first])) for name in scores}
    better = [name for name in others if gap[name] > noise[name]]
    chosen = max(better, key=lambda name: value[name]) if better else first
    loss = Loss(plan, target[trial.pool])
    rows = []
    for name, parts in scores.items():
        logit = torch.from_numpy(np.concatenate(list(parts)))
        wanted = target[held]
        wanted = wanted if plan.task == "multiclass" else wanted.double()
        low, high = np.percentile(draws[name], [2.5, 97.5])
        figures = (value[name], float(low), float(high), float(loss(logit, wanted, plain=True)))
        size = (len(members), len(held), short.steps[name], seconds[name])
        rows.append(Tried(name, *figures, *size, gap[name], noise[name], name == chosen))
    return rows


def write_families(path: Path, tried: Sequence[Tried]) -> None:
    """Write ``families.csv``."""
    names = [
        "name", "auc", "low", "high", "loss", "folds", "cases", "steps", "seconds", "difference",
        "noise", "chosen",
    ]  # fmt: skip
    cells = ([getattr(row, name) for name in names] for row in tried)
    rows = (
        [f"{c:.5g}" if isinstance(c, float) else int(c) if isinstance(c, bool) else c for c in row]
        for row in cells
    )
    write_table(path, names, rows)


def reason_for(tried: Sequence[Tried]) -> str:
    """One sentence: what was compared, by how much they differ, and the noise of that."""
    parts = [
        f"{row.name} AUC {row.auc:.3f}"
        + (f" ({row.difference:+.3f}, standard error {row.noise:.3f})" if number else "")
        for number, row in enumerate(tried)
    ]
    chosen = next(row for row in tried if row.chosen)
    return (
        f"{chosen.name}, by cross-validation on {chosen.cases} training cases in {chosen.folds} "
        f"folds: {'; '.join(parts)}; the first stays unless another is better by more than one "
        "standard error; cross-validated figures of the run are on the same cases, so choosing makes "
        "them a little too good"
    )


def _auc(task: str, target: NDArray[Any], logit: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve ``(rounds,)``, mean over the outputs where it is defined."""
    from diaphane.evaluate.weighted import auc

    if task == "multiclass":
        shifted = np.exp(logit - logit.max(axis=1, keepdims=True))
        logit = shifted / shifted.sum(axis=1, keepdims=True)
    each = []
    for k in range(logit.shape[1]):
        truth = (target == k).astype(np.float64) if task == "multiclass" else target[:, k]
        known = np.isfinite(truth)
        if len(np.unique(truth[known])) == 2:
            each.append(auc(truth[known], logit[known, k], weights[:, known]))
    if not each:
        return np.full(len(weights), np.nan)
    table = np.stack(each)
    finite = np.isfinite(table)
    total = np.where(finite, table, 0.0).sum(0) / np.maximum(1, finite.sum(0))
    return np.where(finite.any(0), total, np.nan)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """What is done already; nothing when the file is missing or damaged."""
    try:
        return dict(load_file(path)) if path.is_file() else {}
    except (OSError, SafetensorError):
        return {}
