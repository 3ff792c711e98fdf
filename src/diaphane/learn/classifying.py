"""A classification run: read, settle, train, judge, ship, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.core.case import Case
from diaphane.core.errors import DatasetError, PlanError
from diaphane.learn.budget import Budget
from diaphane.learn.cache import Cache
from diaphane.learn.cases import CaseStore, read_cases, require_cases, targets
from diaphane.learn.choosing import write_families
from diaphane.learn.concept_sets import with_concepts
from diaphane.learn.dividing import divide, reported, trial_of
from diaphane.learn.history import Epoch
from diaphane.learn.judging import HeldOut, Judgement, held_out, judge
from diaphane.learn.loop import Task
from diaphane.learn.members import Members
from diaphane.learn.plans import Plan
from diaphane.learn.predicting import predict, some
from diaphane.learn.pretrained import read_weights
from diaphane.learn.runs import (
    Run,
    RunFolder,
    Voice,
    check_same,
    dataset_hash,
    machine,
    plan_hash,
    tell_refused,
    write_splits,
)
from diaphane.learn.scores import write_predictions
from diaphane.learn.settled import Settled
from diaphane.learn.settling import Desk, settle
from diaphane.learn.sharing import share_out
from diaphane.learn.shipping import Making, make_bundle, salt_of, versions
from diaphane.learn.splits import Member
from diaphane.learn.telling import tell
from diaphane.models import Ensemble, EvidenceNet, save_checkpoint
from diaphane.preprocess import Recipe

if TYPE_CHECKING:
    from diaphane.acquire import Dataset


@dataclass(frozen=True)
class Wishes:
    """What was asked of a run beside its plan.

    Attributes
    ----------
    family:
        "auto" or the name of one of the plan's families.
    folds_fixed:
        Whether the number of folds was asked for.
    threads_free:
        Whether the number of threads was not.
    said:
        What the planner said, for the report.
    watch:
        Told of every epoch.
    """

    family: str = "auto"
    folds_fixed: bool = True
    threads_free: bool = False
    said: tuple[str, ...] = ()
    watch: Callable[[Epoch], None] | None = None


def train_classification(
    opened: Dataset,
    plan: Plan,
    folder: RunFolder,
    state: dict[str, Any],
    *,
    voice: Voice,
    device: torch.device,
    budget: Budget | None = None,
    wishes: Wishes | None = None,
) -> Run:
    """Train, judge and ship a classifier; ``learn.train`` calls it.

    Parameters
    ----------
    state:
        Content of ``run.json``; empty for a fresh run.
    budget:
        The time that the run may take. A resumed run keeps its number of steps; a budget given
        again sets its deadline.

    Raises
    ------
    DatasetError
        A training part has one class only, a group in two splits, too few groups.
    PlanError
        The plan cannot be built, or plan or dataset changed since the run that is resumed.
    Diverged
        A loss is not finite.
    """
    asked = wishes or Wishes()
    work = _Work(opened, plan, folder, voice=voice, device=device, budget=budget, wishes=asked)
    try:
        return work.run(state)
    finally:
        work.close()


class _Work:
    """One run at work."""

    def __init__(
        self,
        dataset: Dataset,
        plan: Plan,
        folder: RunFolder,
        *,
        voice: Voice,
        device: torch.device,
        budget: Budget | None,
        wishes: Wishes,
    ) -> None:
        self.dataset, self.plan, self.folder, self.device = dataset, plan, folder, device
        self.voice, self.budget, self.wishes = voice, budget, wishes
        self.salt = salt_of(plan, plan.split.seed)
        self.began = time.monotonic() if budget is None else budget.began
        self.before = 0.0
        self.cache = Cache(folder.cache)
        self.stores: dict[str, CaseStore] = {}
        self.settled = Settled(threads=voice.threads, probes=voice.probes)

    def close(self) -> None:
        """Remove the cache."""
        self.cache.close()

    def run(self, state: dict[str, Any]) -> Run:
        """Do all that is not done yet."""
        folder, say = self.folder, self.voice.say
        self.before = float(state.get("seconds") or 0.0)
        self._take_up(state)
        store = self._store(self.plan)
        target = targets(self.plan, store)
        digest = dataset_hash(store.rows)
        if state:
            check_same(state, self.plan, digest, folder.path)
            folder.update_state(status="running")
        else:
            self._require_division(store, target)
            self.plan.write(folder.plan)
            folder.write_state(self._first_state(digest, len(store)))
        task = Task(
            self.plan, store, target, self.device,
            threads=self.voice.threads, encoder=self._encoder(), say=say,
        )  # fmt: skip
        if not state.get("settled"):
            self._settle(task)
        torch.set_num_threads(self.settled.threads)
        plan, store = self.plan, self._store(self.plan)
        task = replace(task, plan=plan, store=store, threads=self.settled.threads)
        splits, members = divide(plan, store, target)
        folder.update_state(members=len(members))
        write_splits(folder.path / "split.csv", store.rows, splits, members)
        tell_refused(folder, store.refused, say)

        nets = Members(
            task, members, folder, self.voice, self.settled, self.budget, self.wishes.watch,
            self._seconds,
        ).train()  # fmt: skip
        held, judgement, scored = self._judge(nets, members, task)
        plan = self.plan
        write_predictions(folder.path / "predictions.csv", plan, store, judgement)
        making = Making(plan, nets, members, store, splits, judgement, self.salt)
        bundle = make_bundle(
            making, folder.bundle, self._probes(store, scored if len(scored) else held.cases),
            seed=plan.split.seed,
            progress=lambda stage, share: self.voice.progress(stage, 0.97 + 0.03 * share),
        )  # fmt: skip
        folder.update_state(seconds=self._seconds())
        tell(making, bundle, folder)
        shutil.rmtree(folder.choosing, ignore_errors=True)
        for number in range(len(nets)):
            folder.trained(number).unlink(missing_ok=True)
        folder.update_state(status="done", seconds=self._seconds())
        return Run(folder.path, plan, bundle, judgement.figures, tuple(store.refused))

    def _take_up(self, state: dict[str, Any]) -> None:
        """What was settled before, in a resumed run; also when it was killed while writing it."""
        if not state:
            return
        reasons = dict(state.get("reasons") or {})
        self.plan = self.plan.model_copy(update={"reasons": reasons})
        kept = state.get("settled")
        if not kept:
            return
        self.settled = Settled(**kept)
        if plan_hash(self.plan) == state.get("planned") != state.get("plan"):
            self.plan = self.settled.apply(self.plan)
            self.plan.write(self.folder.plan)

    def _require_division(self, store: CaseStore, target: torch.Tensor) -> None:
        """Refuse what cannot be divided, before anything is written."""
        try:
            divide(self.plan, store, target)
        except DatasetError as error:
            if not store.refused:
                raise
            first = store.refused[0].error
            raise DatasetError(
                f"{error.problem} {len(store.refused)} cases cannot be used, the first: "
                f"{first.problem}",
                remedy=first.remedy or error.remedy,
            ) from error

    def _first_state(self, digest: str, cases: int) -> dict[str, Any]:
        here = plan_hash(self.plan)
        return {
            "status": "running",
            "plan": here,
            "planned": here,
            "dataset": digest,
            "cases": cases,
            "threads": self.voice.threads,
            "device": self.device.type,
            "machine": machine(self.device),
            "versions": versions(),
            "time_budget": None if self.budget is None else self.budget.seconds,
            "said": list(self.wishes.said),
            "reasons": dict(self.plan.reasons),
            "seconds": self._seconds(),
            "annealed_early_at": {},
        }

    def _settle(self, task: Task) -> None:
        """Choose and measure; then freeze it, in ``run.json`` first."""
        store, target, folder = task.store, task.target, self.folder

        def networks(plan: Plan) -> tuple[list[Member], int]:
            members = divide(plan, store, target)[1]
            return members, len(reported(len(store), members))

        desk = Desk(
            task, networks, lambda plan: trial_of(plan, store, target), self._store, folder,
            self.voice, self.budget, self.wishes.family, self.wishes.folds_fixed,
            self.wishes.threads_free,
        )  # fmt: skip
        self.settled, tried = settle(desk)
        if tried:
            write_families(folder.families, tried)
        self.plan = self.settled.apply(self.plan)
        folder.update_state(
            settled=asdict(self.settled),
            plan=plan_hash(self.plan),
            reasons=dict(self.plan.reasons),
            threads=self.settled.threads,
            steps=self.plan.steps,
            seconds=self._seconds(),
        )
        self.plan.write(folder.plan)

    def _store(self, plan: Plan) -> CaseStore:
        """Prepared cases as a plan wants them; read again only when it sees them differently."""
        how = plan.augmentation
        key = repr((plan.input, plan.recipe, how if how.versions else 0))
        if key not in self.stores:
            every = {"concepts": self.plan.input.concepts}
            if plan.input.model_copy(update=every) == self.plan.input and self.stores:
                self.stores[key] = with_concepts(self._store(self.plan), plan)
            else:
                self.stores[key] = self._read(plan)
        store = self.stores[key]
        return store if store.how == how else replace(store, how=how)

    def _read(self, plan: Plan) -> CaseStore:
        labelled = tuple(
            e for e in self.dataset.entries
            if not e.labels or any(e.labels.get(c) for c in plan.label_columns)
        )  # fmt: skip
        store = read_cases(
            replace(self.dataset, entries=labelled), plan.input, Recipe.from_dict(plan.recipe),
            plan.augmentation, salt=self.salt, seed=plan.split.seed, threads=self.voice.threads,
            cache=self.cache,
            progress=lambda stage, share: self.voice.progress(stage, 0.1 * share),
        )  # fmt: skip
        require_cases(store.rows, store.refused, "No case of the dataset can be used.")
        return store

    def _judge(
        self,
        nets: Sequence[EvidenceNet],
        members: Sequence[Member],
        task: Task,
    ) -> tuple[HeldOut, Judgement, NDArray[np.int64]]:
        """Scores of cases that the networks did not see, what follows from them, and which."""
        plan, most, seed = self.plan, self.settled.most, self.plan.split.seed
        store, target = task.store, task.target
        self.voice.progress("judging", 0.97)
        bounded = [replace(m, held=some(m.held, most, seed)) for m in members]
        held = held_out(nets, bounded, store, plan, self.device)
        if plan.shares_out:
            share, held = share_out(task, nets, bounded, held)
            for number, net in enumerate(nets):
                save_checkpoint(net, self.folder.member(number))
            text = f"the image has {share:.0%} of the score, which serves best on held-out cases"
            self.voice.say(f"Image and concepts learned apart: {text}.")
            reasons = {**plan.reasons, "concept_fit": f"image and concepts learned apart; {text}"}
            self.plan = plan = plan.model_copy(update={"reasons": reasons})
            self.folder.update_state(image_share=share, reasons=reasons)
            plan.write(self.folder.plan)
        everything = reported(len(store), members)
        scored = some(everything, most, seed)
        if len(scored) < len(everything):
            self.voice.say(
                f"note: the budget lets {len(scored)} of {len(everything)} cases be scored; they "
                "are drawn by seed. 'diaphane evaluate' scores all."
            )
        logit: NDArray[np.float64] | None = None
        if len(scored):
            ensemble = Ensemble(list(nets), plan.views).to(self.device).eval()
            logit = predict(ensemble, store, scored, plan.batch, self.device).logit
            ensemble.cpu()
        return held, judge(plan, store, target, held, scored=scored, scored_logit=logit), scored

    def _probes(self, store: CaseStore, cases: NDArray[np.int64]) -> list[Case]:
        """Some cases read again, drawn by seed."""
        keys = {store.rows[int(i)].key for i in cases}
        entries = [e for e in self.dataset.entries if e.key in keys]
        order = np.random.default_rng(self.plan.split.seed).permutation(len(entries))
        return [entries[int(i)].load() for i in sorted(order[: self.settled.probes])]

    def _encoder(self) -> dict[str, torch.Tensor] | None:
        """Weights that the plan's encoder starts from, out of the run folder.

        Raises
        ------
        PlanError
            The plan names an encoder that is not there.
        """
        ref, path = self.plan.encoder, self.folder.encoder
        if ref is None:
            return None
        if not path.is_file():
            raise PlanError(
                f"The plan starts from the encoder '{ref.name}', which is not given.",
                remedy="Name its folder with --encoder.",
            )
        return read_weights(path.read_bytes(), ref.sha256, path)

    def _seconds(self) -> float:
        """Time that the run has taken in all its sessions."""
        return round(self.before + time.monotonic() - self.began, 2)
