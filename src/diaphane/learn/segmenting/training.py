"""From a data set with masks to a segmentation bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from diaphane.core.errors import PlanError
from diaphane.learn.cases import require_cases
from diaphane.learn.runs import (
    Run,
    RunFolder,
    Voice,
    check_same,
    dataset_hash,
    duration,
    plan_hash,
    tell_refused,
    write_splits,
)
from diaphane.learn.segmenting.cases import MaskStore, read_masked
from diaphane.learn.segmenting.fitting import fit_to_budget, smaller
from diaphane.learn.segmenting.judging import judge
from diaphane.learn.segmenting.looks import Look, Looks
from diaphane.learn.segmenting.loop import Task, TooLarge, fit_member
from diaphane.learn.segmenting.network import network_config
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.shipping import Making, make_segmenter
from diaphane.learn.segmenting.splitting import split_cases
from diaphane.learn.segmenting.telling import tell
from diaphane.learn.shipping import salt_of
from diaphane.learn.splits import Member
from diaphane.models.segment import SegmentNet
from diaphane.models.segment_files import load_segmenter_weights, save_segmenter_weights

if TYPE_CHECKING:
    from diaphane.acquire import Dataset
    from diaphane.learn.budget import Budget


def train_segmentation(  # noqa: PLR0917 - in the order in which learn.train has them
    opened: Dataset,
    plan: SegmentationPlan,
    folder: RunFolder,
    state: dict[str, Any],
    voice: Voice,
    device: torch.device,
    budget: Budget | None = None,
    *,
    folds_fixed: bool = False,
) -> Run:
    """Train, judge and ship a segmentation model; ``learn.train`` calls it.

    Parameters
    ----------
    state:
        Content of ``run.json``; empty for a fresh run.
    budget:
        The time that the run may take; sets the number of steps before the first one.
    folds_fixed:
        Somebody asked for the plan's folds, so a budget does not lower them.

    Raises
    ------
    DatasetError
        No case with a mask can be used, or a group lies in two splits.
    PlanError
        The plan cannot be built, or plan or data changed since the run that is resumed.
    Diverged
        Training came to numbers that are none.
    """
    before = torch.get_deterministic_debug_mode()
    if device.type == "cuda":
        # Some 3-D operations have no deterministic form there; bit for bit is a promise of CPUs.
        torch.set_deterministic_debug_mode("default")
    try:
        work = _Work(opened, plan, folder, voice=voice, device=device, budget=budget)
        work.folds_fixed = folds_fixed
        return work.run(state)
    finally:
        torch.set_deterministic_debug_mode(before)


class _Work:
    """One run at work."""

    def __init__(
        self,
        dataset: Dataset,
        plan: SegmentationPlan,
        folder: RunFolder,
        *,
        voice: Voice,
        device: torch.device,
        budget: Budget | None,
    ) -> None:
        self.dataset, self.plan, self.folder = dataset, plan, folder
        self.voice, self.device, self.budget = voice, device, budget
        self.salt = salt_of(plan, plan.seed)
        self.taken: tuple[int, ...] = ()
        self.folds_fixed = False
        self.began = time.monotonic()
        self.state: dict[str, Any] = {}
        # Of a resumed run; a fresh one measures.
        self.reserve = 0.0 if budget is None else 0.25 * budget.seconds
        self.after = 0.3 * self.reserve

    def run(self, state: dict[str, Any]) -> Run:
        """Read, split, train, judge, ship."""
        folder, say = self.folder, self.voice.say
        network_config(self.plan)
        store = self._read()
        digest = dataset_hash(store.rows)
        if state.get("plan"):
            check_same(state, self.plan, digest, folder.path)
        splits, members = split_cases(self.plan, store)
        if state.get("plan"):
            self.state = {**state, "status": "running"}
        else:
            splits, members = self._freeze(store, splits, members)
            self.plan.write(folder.plan)
            self.state = {
                **state, "status": "running", "plan": plan_hash(self.plan), "dataset": digest,
                "cases": len(store), "members": len(members), "threads": self.voice.threads,
                "device": self.device.type, "steps": self.plan.steps,
                "time_budget": self.plan.time_budget, "annealed_early_at": None, "seconds": 0.0,
            }  # fmt: skip
        folder.write_state(self.state)
        write_splits(folder.path / "split.csv", store.rows, splits, members)
        tell_refused(folder, store.refused, say)
        nets = self._train(store, members)
        self.voice.progress("judging", 0.9)
        judgement = judge(
            self.plan, store, nets, members, splits, threads=self.voice.threads,
            progress=lambda stage, share: self.voice.progress(stage, 0.9 + 0.08 * share),
            deadline=None if self.budget is None else self.budget.ends - self.after,
        )  # fmt: skip
        judged = len(judgement.scored.cases)
        if judged < judgement.wanted:
            say(f"{judged} of {judgement.wanted} held-out cases were judged in the time allowed.")
        making = Making(self.plan, nets, members, store, splits, judgement, self.salt, self.taken)
        bundle = make_segmenter(making, folder.bundle)
        seconds = float(self.state.get("seconds") or 0.0) + time.monotonic() - self.began
        self.state = {**self.state, "seconds": round(seconds, 1)}
        tell(making, bundle, folder, self.state)
        folder.current.unlink(missing_ok=True)
        folder.write_state({**self.state, "status": "done"})
        return Run(folder.path, self.plan, bundle, judgement.evaluation, tuple(store.refused))

    def _read(self) -> MaskStore:
        store = read_masked(
            self.dataset, self.plan, salt=self.salt, threads=self.voice.threads,
            progress=lambda stage, share: self.voice.progress(stage, 0.05 * share),
        )  # fmt: skip
        require_cases(store.rows, store.refused, "No case with a mask can be used.")
        return store

    def _freeze(
        self, store: MaskStore, splits: list[str], members: list[Member]
    ) -> tuple[list[str], list[Member]]:
        """Fit steps, and if need be folds and windows, to the time that is left."""
        if self.budget is None:
            return splits, members
        fitted = fit_to_budget(
            self.plan, store, members, self.budget, self.device, folds_fixed=self.folds_fixed
        )
        for line in fitted.said:
            self.voice.say(line)
        self.plan = fitted.plan
        self.reserve, self.after = fitted.reserve, fitted.after
        return split_cases(self.plan, store)

    def _train(self, store: MaskStore, members: Sequence[Member]) -> list[SegmentNet]:
        nets: list[SegmentNet] = []
        looks = Looks(self.folder.metrics, tuple(self.plan.labels))
        for number, member in enumerate(members):
            path = self.folder.member(number)
            if path.is_file():
                nets.append(load_segmenter_weights(path))
                continue
            while True:
                task = Task(self.plan, store, self.folder.current, looks, self.device)
                watch = None
                if self.budget is not None:
                    left = len(members) - number
                    watch = self.budget.watch(left, self.reserve, work=0.9 * self.reserve)
                try:
                    net, jump = fit_member(task, number, member, watch, self._after(len(members)))
                    break
                except TooLarge as error:
                    self._shrink(error)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_segmenter_weights(net, path)
            nets.append(net)
            if jump is not None:
                self.voice.say(f"the deadline neared: training was brought to its end at {jump}.")
            seconds = float(self.state.get("seconds") or 0.0) + time.monotonic() - self.began
            self.began = time.monotonic()
            early = jump if self.state.get("annealed_early_at") is None else None
            self.state = {
                **self.state, "seconds": round(seconds, 1),
                "annealed_early_at": self.state.get("annealed_early_at") if early is None else early,
            }  # fmt: skip
            self.folder.write_state(self.state)
        self.taken = tuple(
            max((look.step for look in looks.all if look.member == number), default=0)
            for number in range(len(members))
        )
        return nets

    def _shrink(self, error: TooLarge) -> None:
        """A smaller batch or patch, said aloud and written down; the network starts afresh."""
        less = smaller(self.plan, network_config(self.plan).total_stride)
        if less is None:
            raise PlanError(
                "A single patch of the smallest size does not fit into memory.",
                remedy="Use smaller network.widths, or a machine with more memory.",
            ) from error
        self.voice.say(
            f"out of memory: batch {self.plan.batch} -> {less.batch}, patch "
            f"{list(self.plan.patch)} -> {list(less.patch)}; this network starts again."
        )
        self.plan = less
        self.folder.current.unlink(missing_ok=True)
        self.plan.write(self.folder.plan)
        self.state = {**self.state, "plan": plan_hash(self.plan)}
        self.folder.write_state(self.state)

    def _after(self, members: int) -> Any:
        """Says how a look went."""

        def said(look: Look, left: int) -> None:
            which = f"network {look.member + 1}/{members}, " if members > 1 else ""
            dice = "" if look.dice is None else f", held-out Dice {look.dice:.3f}"
            line = f"{which}step {look.step}/{self.plan.steps}: loss {look.loss:.3f}{dice}"
            each = look.seconds / max(1, look.step)
            waiting = (left + self.plan.steps * (members - look.member - 1)) * each
            line += f"; about {duration(waiting)} left"
            share = (look.member + 1 - left / self.plan.steps) / members
            self.voice.progress(line, 0.05 + 0.85 * share)
            self.voice.say(line)

        return said
