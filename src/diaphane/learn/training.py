"""One command from a dataset to a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.bundle import Bundle
from diaphane.core.case import Case
from diaphane.core.errors import DatasetError, Interrupted
from diaphane.core.protocols import Progress, silent
from diaphane.evaluate import Classification
from diaphane.learn.cases import CaseStore, Refused, read_cases, targets
from diaphane.learn.fingerprint import check_labels
from diaphane.learn.history import Epoch, History
from diaphane.learn.judging import held_out, judge
from diaphane.learn.loop import Task, fit_member, predict, reproducible
from diaphane.learn.planning import plan as make_plan
from diaphane.learn.plans import Plan
from diaphane.learn.runs import (
    RunFolder,
    check_same,
    dataset_hash,
    plan_hash,
    write_refused,
    write_splits,
)
from diaphane.learn.shipping import Making, make_bundle, salt_of, versions
from diaphane.learn.splits import (
    Member,
    check_groups,
    draw_splits,
    first_appearance,
    members_of,
    strata,
)
from diaphane.models import Ensemble, EvidenceNet, load_checkpoint, pick_device, save_checkpoint
from diaphane.preprocess import Recipe

if TYPE_CHECKING:
    from diaphane.acquire import Dataset

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainOptions:
    """How to run, beside the plan.

    Attributes
    ----------
    resume:
        Go on with an interrupted run.
    folds, epochs, seed, name, positive:
        Override the plan; ``None`` leaves it.
    device:
        "auto", "cpu" or "cuda".
    threads:
        Compute threads, all cores if ``None``. A resumed run keeps those it began with.
    stack:
        Whether a folder of images is one stack.
    probes:
        Cases on which the shipped graph and its explanations are tested.
    """

    resume: bool = False
    folds: int | None = None
    epochs: int | None = None
    seed: int | None = None
    name: str | None = None
    positive: str | None = None
    device: str = "auto"
    threads: int | None = None
    stack: bool | None = None
    probes: int = 32


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    ``figures`` are what the card states; ``refused`` cases took no part.
    """

    folder: Path
    plan: Plan
    bundle: Bundle
    figures: Classification | None
    refused: tuple[Refused, ...]


def nothing(text: str) -> None:
    """A :data:`Say` that says nothing."""


def train(
    dataset: str | Path,
    out: str | Path,
    plan: Plan | str | Path | None = None,
    options: TrainOptions | None = None,
    *,
    progress: Progress = silent,
    say: Say = nothing,
) -> Run:
    """Train, judge and ship a model.

    Parameters
    ----------
    dataset:
        Anything with labels that ``acquire.open_dataset`` reads.
    out:
        Folder of the run; must not exist unless the run is resumed.
    plan:
        A plan or its file; made from the dataset if ``None``.
    progress, say:
        Share done, and a line per epoch.

    Raises
    ------
    OutputError
        ``out`` exists and is not resumed.
    DatasetError
        No label, one class only, a group in two splits, too few groups.
    PlanError
        The plan is wrong, or changed since the run that is resumed.
    Interrupted
        Ctrl-C; the run can be resumed.
    """
    chosen = options or TrainOptions()
    folder = RunFolder(Path(out))
    state = folder.open(resume=chosen.resume)
    device = pick_device(chosen.device)
    threads = int(state.get("threads") or chosen.threads or os.cpu_count() or 1)
    voice = _Voice(threads, progress, say, chosen.probes)
    started = False
    try:
        with reproducible(threads):
            opened, decided = _decide(Path(dataset), folder, plan, chosen, voice)
            work = _Work(folder, decided, opened, device, voice)
            started = True
            return work.run(state)
    except KeyboardInterrupt as error:
        if started and folder.state.is_file():
            folder.write_state({**folder.read_state(), "status": "interrupted"})
            raise Interrupted(
                "Stopped; what was learned is kept.",
                path=folder.path,
                remedy="Go on with the same command and --resume.",
            ) from error
        raise


def _decide(
    path: Path,
    folder: RunFolder,
    plan: Plan | str | Path | None,
    chosen: TrainOptions,
    voice: _Voice,
) -> tuple[Dataset, Plan]:
    """The dataset, and the plan with what the options override."""
    from diaphane.acquire import open_dataset

    opened = open_dataset(path, stack=chosen.stack)
    check_labels(opened)
    if chosen.resume and folder.plan.is_file() and plan is None:
        return opened, Plan.read(folder.plan)
    if plan is None:
        made = make_plan(
            path, positive=chosen.positive, name=chosen.name, stack=chosen.stack,
            threads=voice.threads, progress=voice.progress,
        )  # fmt: skip
        for line in made.said:
            voice.say(line)
        decided = made.plan
    else:
        decided = plan if isinstance(plan, Plan) else Plan.read(Path(plan))
    changes: dict[str, object] = {}
    split = decided.split.model_dump(mode="json")
    if chosen.folds is not None:
        split["folds"] = chosen.folds
    if chosen.seed is not None:
        split["seed"] = chosen.seed
    if split != decided.split.model_dump(mode="json"):
        changes["split"] = split
    if chosen.epochs is not None:
        changes["epochs"] = chosen.epochs
    if chosen.name is not None:
        changes["name"] = chosen.name
    if chosen.positive is not None and plan is not None:
        changes["positive"] = {decided.label_columns[0]: chosen.positive}
    return opened, decided.with_changes(changes) if changes else decided


@dataclass(frozen=True)
class _Voice:
    """How a run makes itself heard, its threads, and how many cases test its explanations."""

    threads: int
    progress: Progress
    say: Say
    probes: int


class _Work:
    """One run at work."""

    def __init__(
        self, folder: RunFolder, plan: Plan, dataset: Dataset, device: torch.device, voice: _Voice
    ) -> None:
        self.folder, self.plan, self.dataset, self.device = folder, plan, dataset, device
        self.threads, self.progress, self.say = voice.threads, voice.progress, voice.say
        self.probes = voice.probes
        self.salt = salt_of(plan)

    def run(self, state: dict[str, object]) -> Run:
        """Read, split, train, judge, ship."""
        plan, folder = self.plan, self.folder
        store = self._read()
        target = targets(plan, store)
        digest = dataset_hash(store)
        if state:
            check_same(state, plan, digest, folder.path)
        splits, members = self._split(store, target)
        now: dict[str, object] = {
            "status": "running",
            "plan": plan_hash(plan),
            "dataset": digest,
            "cases": len(store),
            "members": len(members),
            "threads": self.threads,
            "device": self.device.type,
            "versions": versions(),
        }
        if not state:
            plan.write(folder.plan)
        folder.write_state(now)
        write_splits(folder.path / "split.csv", store, splits, members)
        if store.refused:
            write_refused(folder.path / "rejected.csv", store.refused)
            self.say(f"{len(store.refused)} cases cannot be used; see rejected.csv.")

        nets = self._train(store, target, members)
        self.progress("judging", 0.97)
        held = held_out(nets, members, store, plan, self.device)
        used = {int(i) for m in members for i in (*m.fit, *m.stop, *m.held)}
        scored = np.array([i for i in range(len(store)) if i not in used], dtype=np.int64)
        logit: NDArray[np.float64] | None = None
        if len(scored):
            ensemble = Ensemble(list(nets), plan.views).to(self.device).eval()
            logit = predict(ensemble, store, scored, plan.batch, self.device).logit
            ensemble.cpu()
        judgement = judge(plan, store, target, held, scored=scored, scored_logit=logit)
        making = Making(plan, nets, members, store, splits, judgement, self.salt)
        bundle = make_bundle(
            making, folder.bundle, self._probes(store, scored if len(scored) else held.cases),
            seed=plan.split.seed,
            progress=lambda stage, share: self.progress(stage, 0.97 + 0.03 * share),
        )  # fmt: skip
        self._report(making, bundle)
        folder.current.unlink(missing_ok=True)
        folder.write_state({**now, "status": "done"})
        return Run(folder.path, plan, bundle, judgement.figures, tuple(store.refused))

    def _read(self) -> CaseStore:
        plan = self.plan
        labelled = tuple(
            e for e in self.dataset.entries
            if not e.labels or any(e.labels.get(c) for c in plan.label_columns)
        )  # fmt: skip
        store = read_cases(
            replace(self.dataset, entries=labelled), plan.input, Recipe.from_dict(plan.recipe),
            plan.augmentation, salt=self.salt, seed=plan.split.seed, threads=self.threads,
            progress=lambda stage, share: self.progress(stage, 0.1 * share),
        )  # fmt: skip
        if not len(store):
            first = store.refused[0].error if store.refused else None
            raise DatasetError(
                "No case of the dataset can be used.", remedy=None if first is None else str(first)
            )
        return store

    def _split(self, store: CaseStore, target: torch.Tensor) -> tuple[list[str], list[Member]]:
        plan = self.plan
        stratum = strata(target.numpy())
        if plan.task == "binary":
            stratum = strata(target.numpy()[:, 0])
        group = first_appearance([row.group for row in store.rows])
        given = [row.split for row in store.rows]
        check_groups(given, [row.group for row in store.rows])
        if any(given):
            splits = [split or "unused" for split in given]
        elif plan.split.folds > 1:
            splits = ["train"] * len(store)
        else:
            splits = draw_splits(stratum, group, plan.split.seed)
        members = members_of(
            splits, stratum, group,
            folds=plan.split.folds, fold_seed=plan.split.seed, seeds=plan.seeds,
            stopping_share=plan.stopping.share,
            calibration_share=plan.split.calibration_share,
        )  # fmt: skip
        for member in members:
            if len(np.unique(stratum[member.fit])) < 2:
                raise DatasetError(
                    "A training part has one class only.",
                    remedy="Add cases of the rare class, or use fewer folds.",
                )
        return splits, members

    def _train(
        self, store: CaseStore, target: torch.Tensor, members: Sequence[Member]
    ) -> list[EvidenceNet]:
        history = History(self.folder.metrics)
        task = Task(self.plan, store, target, self.folder.current, history, self.device)
        nets: list[EvidenceNet] = []
        seconds: list[float] = []
        for number, member in enumerate(members):
            path = self.folder.member(number)
            if path.is_file():
                net = load_checkpoint(path)
                assert isinstance(net, EvidenceNet)
                nets.append(net)
                continue

            def after(epoch: Epoch, left: int, number: int = number) -> None:
                seconds.append(epoch.seconds)
                mean = float(np.mean(seconds[-20:]))
                waiting = (left + self.plan.epochs * (len(members) - number - 1)) * mean
                line = _line(epoch, number, len(members), self.plan.epochs, waiting)
                done = (number + epoch.epoch / self.plan.epochs) / len(members)
                self.progress(line, 0.1 + 0.87 * done)
                self.say(line)

            net = fit_member(task, number, member, after)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(net, path)
            nets.append(net)
        return nets

    def _report(self, making: Making, bundle: Bundle) -> None:
        """Write ``report.html``."""
        from dataclasses import asdict

        from diaphane.report import write_run_report

        judgement, store = making.judgement, making.store
        counts: dict[str, dict[str, int]] = {}
        for name in sorted(set(making.splits)):
            rows = [r for r, s in zip(store.rows, making.splits, strict=True) if s == name]
            counts[name] = {"cases": len(rows), "groups": len({row.group for row in rows})}
        figures = judgement.figures
        about = {k: v for k, v in judgement.about.items() if isinstance(v, int | float)}
        notes = [f"{len(store.refused)} cases could not be used."] if store.refused else []
        write_run_report(
            self.folder.path / "report.html",
            plan=self.plan.model_dump(mode="json", exclude={"reasons"}),
            epochs=[asdict(epoch) for epoch in History(self.folder.metrics).epochs],
            split=counts,
            evaluation=None
            if figures is None
            else figures.evaluation(str(judgement.about["split"])),
            bundle=bundle.ref(),
            calibration=about,
            faithfulness=bundle.manifest.faithfulness,
            notes=notes,
        )

    def _probes(self, store: CaseStore, cases: NDArray[np.int64]) -> list[Case]:
        """Some cases read again, drawn by seed."""
        keys = {store.rows[int(i)].key for i in cases}
        entries = [e for e in self.dataset.entries if e.key in keys]
        order = np.random.default_rng(self.plan.split.seed).permutation(len(entries))
        return [entries[int(i)].load() for i in sorted(order[: self.probes])]


def _line(epoch: Epoch, number: int, members: int, epochs: int, waiting: float) -> str:
    """One line for a person: where training is, and how long it will take."""
    which = f"network {number + 1}/{members} (fold {epoch.fold + 1}), " if members > 1 else ""
    text = f"{which}epoch {epoch.epoch + 1}/{epochs}: loss {epoch.loss:.3f}"
    if epoch.stop_loss is not None:
        text += f", held-out loss {epoch.stop_loss:.3f}"
    if epoch.stop_metric is not None:
        text += f", AUC {epoch.stop_metric:.3f}"
    left = f"{waiting / 60:.0f} min" if waiting >= 90 else f"{waiting:.0f} s"
    return f"{text}; at most {left} left"
