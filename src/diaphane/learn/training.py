"""One command from a dataset to a bundle."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diaphane.bundle.manifest import AS_STORED, Reading
from diaphane.core.errors import Interrupted, PlanError, UsageError
from diaphane.core.protocols import Progress, silent
from diaphane.learn.budget import Budget
from diaphane.learn.classifying import Wishes, train_classification
from diaphane.learn.facts import Fingerprint
from diaphane.learn.fingerprint import check_labels, fingerprint
from diaphane.learn.leaks import keep_together, warnings
from diaphane.learn.planning import AnyPlan, named, names_of, read_plan, with_concepts
from diaphane.learn.planning import plan as make_plan
from diaphane.learn.plans import Plan
from diaphane.learn.rhythm import reproducible
from diaphane.learn.runs import Run, RunFolder, Say, Voice, check_machine, machine
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.shipping import versions
from diaphane.learn.tasks import asked_positive
from diaphane.models import pick_device

if TYPE_CHECKING:
    from diaphane.acquire import Dataset


@dataclass(frozen=True)
class TrainOptions:
    """How to run, beside the plan.

    Attributes
    ----------
    resume:
        Go on with an interrupted run.
    folds, epochs, seed, name, positive:
        Override the plan; ``None`` leaves it.
    concepts:
        Concepts of the manifest that enter the model.
    group_regex:
        What in a case's name is its group.
    reading:
        ``tilt``, ``spacing`` and ``units`` of reading DICOM that differ from the plan's.
    families:
        "auto" chooses among the plan's families, a name takes that one.
    encoder:
        Folder of a self-supervised encoder to start from.
    time_budget:
        Seconds that all of it may take; ``began`` is when it began, in seconds of
        ``time.monotonic``, now if ``None``.
    device:
        "auto", "cpu" or "cuda".
    threads:
        Compute threads, all cores if ``None``. A resumed run keeps those it began with.
    stack:
        Whether a folder of images is one stack.
    probes:
        Cases on which the shipped graph and its explanations are tested, at most.
    anywhere:
        Resume also where machine or versions differ, not bit for bit.
    tensorboard:
        Write event files, too.
    """

    resume: bool = False
    folds: int | None = None
    epochs: int | None = None
    seed: int | None = None
    name: str | None = None
    positive: str | None = None
    concepts: tuple[str, ...] = ()
    group_regex: str | None = None
    reading: Mapping[str, str] = field(default_factory=dict)
    families: str = "auto"
    encoder: Path | None = None
    time_budget: float | None = None
    began: float | None = None
    device: str = "auto"
    threads: int | None = None
    stack: bool | None = None
    probes: int = 32
    anywhere: bool = False
    tensorboard: bool = False


def nothing(text: str) -> None:
    """A :data:`~diaphane.learn.runs.Say` that says nothing."""


def train(
    dataset: str | Path,
    out: str | Path,
    plan: AnyPlan | str | Path | None = None,
    options: TrainOptions | None = None,
    *,
    progress: Progress = silent,
    say: Say = nothing,
) -> Run:
    """Train, judge and ship a model.

    Parameters
    ----------
    dataset:
        Anything with labels or masks that ``acquire.open_dataset`` reads.
    out:
        Folder of the run; must not exist unless the run is resumed.
    plan:
        A plan or its file; made from the dataset if ``None``.
    progress, say:
        Share done, and a line per epoch.

    Raises
    ------
    OutputError
        ``out`` exists and is not resumed, or the disk is full.
    DatasetError
        No label, one class only, a group in two splits, too few groups.
    PlanError
        The plan is wrong, or changed since the run that is resumed.
    UsageError
        The run that is resumed began on another machine or with other versions.
    Diverged
        The loss is not finite; the last good state is kept.
    Interrupted
        Ctrl-C; the run can be resumed.
    """
    chosen = options or TrainOptions()
    began = time.monotonic() if chosen.began is None else chosen.began
    budget = None if chosen.time_budget is None else Budget(chosen.time_budget, began)
    folder = RunFolder(Path(out))
    state = folder.open(resume=chosen.resume)
    device = pick_device(chosen.device)
    threads = chosen.threads or os.cpu_count() or 1
    if state:
        threads = _take_over(state, folder, device, chosen, say)
    voice = Voice(threads, progress, say, chosen.probes)
    try:
        with reproducible(threads):
            opened, decided, wishes = _decide(Path(dataset), folder, plan, chosen, voice)
            if isinstance(decided, SegmentationPlan):
                from diaphane.learn.segmenting.training import train_segmentation

                first = {
                    "machine": machine(device), "versions": versions(), "said": list(wishes.said),
                    "reasons": dict(decided.reasons),
                }  # fmt: skip
                return train_segmentation(
                    opened, decided, folder, state or first, voice, device, budget,
                    folds_fixed=wishes.folds_fixed,
                )  # fmt: skip
            return train_classification(
                opened, decided, folder, state,
                voice=voice, device=device, budget=budget, wishes=wishes,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        if folder.begun:
            folder.update_state(status="interrupted")
            raise Interrupted(
                "Stopped; what was learned is kept.",
                path=folder.path,
                remedy="Go on with the same command and --resume.",
            ) from error
        raise
    finally:
        if not folder.begun:
            folder.forsake()


def _take_over(
    state: dict[str, Any],
    folder: RunFolder,
    device: torch.device,
    chosen: TrainOptions,
    say: Say,
) -> int:
    """The threads of the run that is resumed, after a look at the machine."""
    here = machine(device)
    gaps = check_machine({**state, "anywhere": chosen.anywhere}, here, folder.path)
    if gaps:
        say(f"warning: not bit for bit: {'; '.join(gaps)}.")
        moved = [*state.get("continued_on", []), here]
        folder.update_state(continued_on=moved)
    threads = int(state.get("threads") or chosen.threads or os.cpu_count() or 1)
    if chosen.threads not in (None, threads):
        say(f"note: the run began with {threads} threads and keeps them.")
    return threads


def _decide(
    path: Path,
    folder: RunFolder,
    plan: AnyPlan | str | Path | None,
    chosen: TrainOptions,
    voice: Voice,
) -> tuple[Dataset, AnyPlan, Wishes]:
    """The dataset, the plan with what the options override, and what was asked for beside."""
    from diaphane.acquire import open_dataset

    resumed = chosen.resume and folder.plan.is_file()
    given: AnyPlan | None = None
    if resumed and plan is None:
        given = read_plan(folder.plan)
    elif plan is not None:
        given = read_plan(Path(plan)) if isinstance(plan, str | Path) else plan
    regex = chosen.group_regex or getattr(given, "group_regex", None)
    before = AS_STORED if given is None else given.reading.model_dump(mode="json")
    reading = Reading.stated({**before, **chosen.reading})
    opened = open_dataset(path, stack=chosen.stack, group_regex=regex, options=reading.options)
    said: list[str] = []
    facts: Fingerprint | None = None
    if given is None:
        made = make_plan(
            path, positive=chosen.positive, name=chosen.name, stack=chosen.stack,
            concepts=chosen.concepts, group_regex=chosen.group_regex, reading=chosen.reading,
            time_budget=chosen.time_budget, estimated=False, threads=voice.threads,
            progress=voice.progress,
        )  # fmt: skip
        said, facts, decided = list(made.said), made.fingerprint, made.plan
    else:
        decided = given
        if isinstance(given, Plan):
            check_labels(opened)
            _require_columns(given, opened)
        if not resumed:
            facts, _ = fingerprint(
                opened, threads=voice.threads, progress=voice.progress,
                near=chosen.time_budget is None,
            )  # fmt: skip
            said = warnings(facts)
    if decided.reading != reading:
        decided = decided.with_changes({"reading": reading.model_dump(mode="json")})
    decided = _overridden(decided, chosen, opened, given=given is not None and not resumed)
    if not resumed:
        folder.begin()
    if isinstance(decided, Plan) and chosen.encoder is not None and not resumed:
        from diaphane.learn.pretrained import adopt, load_encoder

        encoder = load_encoder(chosen.encoder)
        decided, words = adopt(decided, encoder)
        said += words
        encoder.write_weights(folder.encoder)
    names = names_of(opened)
    for line in said:
        voice.say(named(line, names))
    if facts is not None:
        facts.write(folder.path / "fingerprint.json")
    opened = keep_together(opened, folder.path / "fingerprint.json")
    known = decided.families if isinstance(decided, Plan) else {}
    if chosen.families not in ("auto", *known) and not resumed:
        raise PlanError(
            f"The plan has no family '{chosen.families}'.",
            remedy=f"It has {', '.join(known) or 'none'}.",
        )
    watch = None
    if chosen.tensorboard:
        from diaphane.learn.tensorboard import event_writer

        watch = event_writer(folder.path / "tensorboard")
    wishes = Wishes(
        family=chosen.families,
        folds_fixed=chosen.folds is not None or given is not None,
        threads_free=chosen.threads is None,
        said=tuple(said),
        watch=watch,
    )
    return opened, decided, wishes


def _overridden(decided: AnyPlan, chosen: TrainOptions, opened: Dataset, *, given: bool) -> AnyPlan:
    """The plan with what the options change; ``given`` plans also take positive and concepts."""
    changes: dict[str, object] = {}
    if chosen.name is not None:
        changes["name"] = chosen.name
    if isinstance(decided, SegmentationPlan):
        _require_for_masks(chosen)
        wanted = {"folds": chosen.folds, "seed": chosen.seed}
        changes |= {key: value for key, value in wanted.items() if value is not None}
        return decided.with_changes(changes) if changes else decided
    if given and chosen.concepts:
        decided = with_concepts(decided, opened, chosen.concepts)
    split = decided.split.model_dump(mode="json")
    if chosen.folds is not None:
        split["folds"] = chosen.folds
    if chosen.seed is not None:
        split["seed"] = chosen.seed
    if split != decided.split.model_dump(mode="json"):
        changes["split"] = split
    if chosen.epochs is not None and chosen.epochs != decided.epochs:
        changes |= {"epochs": chosen.epochs, "steps": None}
    if chosen.positive is not None and given:
        if not decided.positive:
            raise UsageError("--positive is for two classes; this plan has more.")
        asked = asked_positive(chosen.positive, decided.label_columns, decided.classes)
        changes["positive"] = {**decided.positive, **asked}
    return decided.with_changes(changes) if changes else decided


def _require_columns(plan: Plan, opened: Dataset) -> None:
    """Refuse a plan for other label columns than the dataset has."""
    lost = [column for column in plan.label_columns if column not in opened.label_columns]
    if lost:
        raise PlanError(
            f"plan key 'label_columns': the dataset has no label '{lost[0]}'.",
            remedy=f"It has: {', '.join(opened.label_columns) or 'none'}.",
        )


def _require_for_masks(chosen: TrainOptions) -> None:
    """Refuse what only a plan of labels can obey."""
    asked = {
        "--epochs": chosen.epochs,
        "--encoder": chosen.encoder,
        "--positive": chosen.positive,
        "--concept": chosen.concepts or None,
        "--tensorboard": chosen.tensorboard or None,
    }
    wrong = [option for option, value in asked.items() if value is not None]
    if wrong:
        raise UsageError(
            f"{wrong[0]} is for labels; this dataset has masks only.",
            remedy="Leave it out; the key 'steps' of plan.yaml says how long is trained.",
        )
