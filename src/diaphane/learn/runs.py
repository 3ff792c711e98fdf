"""The folder of a run: what lies where, and whether it can be gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diaphane.core.errors import OutputError, PlanError, UsageError
from diaphane.core.files import write_text
from diaphane.core.protocols import Progress
from diaphane.core.tables import write_table
from diaphane.learn.cases import CaseRow, Refused
from diaphane.learn.plans import Plan
from diaphane.learn.splits import Member

if TYPE_CHECKING:
    import torch

    from diaphane.bundle import AnyBundle
    from diaphane.learn.segmenting.plans import SegmentationPlan

    AnyPlan = Plan | SegmentationPlan


_BEGINNING = "beginning"

Say = Callable[[str], None]
"""Takes a line for a person."""


@dataclass(frozen=True)
class Voice:
    """How a run makes itself heard, its compute threads, and how many cases test its explanations."""

    threads: int
    progress: Progress
    say: Say
    probes: int = 32


def duration(seconds: float) -> str:
    """A span of time as a person says it, such as "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    ``figures`` are what the card states; ``refused`` cases took no part.
    """

    folder: Path
    plan: Plan | SegmentationPlan
    bundle: AnyBundle
    figures: Any
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @property
    def plan(self) -> Path:
        """``plan.yaml``."""
        return self.path / "plan.yaml"

    @property
    def state(self) -> Path:
        """``run.json``: status, versions, threads, and a hash of the dataset."""
        return self.path / "run.json"

    @property
    def current(self) -> Path:
        """State of the network at work, where there is one at a time."""
        return self.path / "checkpoint" / "current.safetensors"

    def learning(self, number: int) -> Path:
        """State of a network at work beside others."""
        return self.path / "checkpoint" / f"current-{number:03d}.safetensors"

    @property
    def choosing(self) -> Path:
        """Folder of what is known of the families while they are compared."""
        return self.path / "checkpoint" / "choosing"

    @property
    def encoder(self) -> Path:
        """Weights of the self-supervised encoder that the networks start from, if any."""
        return self.path / "checkpoint" / "encoder.safetensors"

    @property
    def families(self) -> Path:
        """``families.csv``: what the choice of a family was made from."""
        return self.path / "families.csv"

    @property
    def cache(self) -> Path:
        """Prepared cases that do not fit into memory; removed at the end."""
        return self.path / "cache"

    @property
    def metrics(self) -> Path:
        """``metrics.csv``."""
        return self.path / "metrics.csv"

    @property
    def bundle(self) -> Path:
        """Folder of the bundle."""
        return self.path / "bundle"

    def member(self, number: int) -> Path:
        """Weights of a finished network."""
        return self.path / "checkpoint" / f"member-{number:03d}.safetensors"

    def trained(self, number: int) -> Path:
        """Weights of a network that has learned and whose parts are yet to be weighed."""
        return self.path / "checkpoint" / f"trained-{number:03d}.safetensors"

    def read_state(self) -> dict[str, Any]:
        """Content of ``run.json``; empty when there is none.

        Raises
        ------
        PlanError
            It is damaged.
        """
        if not self.state.is_file():
            return {}
        try:
            state: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
        except ValueError as error:
            raise PlanError("The run's state is damaged.", path=self.state) from error
        return state

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write ``run.json`` in one step."""
        write_text(self.state, json.dumps(dict(state), indent=1, ensure_ascii=False) + "\n")

    def update_state(self, **changes: Any) -> dict[str, Any]:
        """Change some keys of ``run.json`` in one step; returns all of it."""
        state = {**self.read_state(), **changes}
        self.write_state(state)
        return state

    def sweep(self) -> None:
        """Remove what a killed process left half-written, and its cache."""
        for left in (*self.path.glob(".*.*"), *(self.path / "checkpoint").glob(".*.*")):
            shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(self.cache, ignore_errors=True)

    def begin(self) -> None:
        """Mark the folder as a run that is about to be written."""
        self.write_state({"status": _BEGINNING})

    @property
    def begun(self) -> bool:
        """Whether there is a run that can be gone on with."""
        return self.read_state().get("status") not in (None, _BEGINNING)

    def forsake(self) -> None:
        """Remove what was written for a run that did not come to begin."""
        for path in (self.path / "fingerprint.json", self.encoder, self.plan, self.state):
            path.unlink(missing_ok=True)
        for empty in (self.encoder.parent, self.path / "tensorboard", self.path):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()

    def open(self, *, resume: bool) -> dict[str, Any]:
        """Check that the folder may be written to; returns its state, empty for a fresh one.

        Raises
        ------
        OutputError
            It exists and is no run, or a run and ``resume`` is false, or a finished run.
        UsageError
            There is nothing to resume.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError("A file is in the way.", path=self.path)
        state = self.read_state()
        if resume:
            if not state:
                raise UsageError(
                    "There is no run to resume.", path=self.path, remedy="Leave --resume away."
                )
            self.sweep()
            if not self.begun:
                self.forsake()
                return {}
            return state
        if state:
            what = "a finished" if state.get("status") == "done" else "an unfinished"
            raise OutputError(
                f"There is {what} run already.",
                path=self.path,
                remedy="Go on with --resume, or choose another folder.",
            )
        if self.path.exists() and any(self.path.iterdir()):
            raise OutputError(
                "The folder exists and is not a run.",
                path=self.path,
                remedy="Choose a folder that does not exist yet.",
            )
        return {}


def dataset_hash(rows: Sequence[CaseRow]) -> str:
    """SHA-256 over voxels, labels and the grouping of all cases, in order; no names enter."""
    number: dict[str, int] = {}
    told = [
        [row.hash, sorted(row.labels.items()), number.setdefault(row.group, len(number)), row.split]
        for row in rows
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def write_splits(
    path: Path, rows: Sequence[CaseRow], splits: Sequence[str], members: Sequence[Member]
) -> None:
    """Write ``split.csv``: pseudonyms, split, and the fold that holds each case back."""
    fold = np.full(len(rows), -1)
    for member in members:
        fold[member.held] = member.fold
    several = len({member.fold for member in members}) > 1
    held = [(str(f) if several else "1") if f >= 0 else "" for f in fold.tolist()]
    header = ["case", "group", "split", "held_by_fold" if several else "calibrates"]
    told = zip(rows, splits, held, strict=True)
    write_table(path, header, ([row.key, row.group, *rest] for row, *rest in told))


def tell_refused(folder: RunFolder, refused: Sequence[Refused], say: Say) -> None:
    """Write a run's ``rejected.csv`` and say so, where there is anything to say."""
    if refused:
        write_refused(folder.path / "rejected.csv", refused)
        say(f"{len(refused)} cases cannot be used; see rejected.csv.")


def write_refused(path: Path, refused: Sequence[Refused]) -> None:
    """Write ``rejected.csv``; its names are as the user typed them."""
    rows = ([case.name, case.error.code, case.error.problem] for case in refused)
    write_table(path, ["file", "error", "problem"], rows)


def check_same(state: Mapping[str, Any], plan: AnyPlan, digest: str, path: Path) -> None:
    """Refuse to go on with another plan or another dataset.

    Raises
    ------
    PlanError
        Saying which of the two changed.
    """
    if state.get("plan") != plan_hash(plan):
        raise PlanError(
            "The plan changed since this run began.",
            path=path,
            remedy="Restore plan.yaml (and leave options that change it away), or start another "
            "run.",
        )
    if state.get("dataset") != digest:
        raise PlanError(
            "The dataset changed since this run began.",
            path=path,
            remedy="Restore it, or start another run.",
        )


def plan_hash(plan: AnyPlan) -> str:
    """SHA-256 of all decisions, reasons left out."""
    text = json.dumps(plan.model_dump(mode="json", exclude={"reasons"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def machine(device: torch.device) -> dict[str, str]:
    """What the last bit of a sum depends on, beside the threads: device, processor, versions."""
    import platform
    from importlib.metadata import version

    import torch

    named = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                named = line.partition(":")[2].strip()
                break
    found = {
        "device": device.type,
        "processor": f"{named}, {torch.backends.cpu.get_cpu_capability()}",
        "system": f"{platform.system()} {platform.machine()}",
        "torch": version("torch"),
        "numpy": version("numpy"),
        "diaphane": version("diaphane"),
    }
    if device.type == "cuda":
        found["processor"] += f"; {torch.cuda.get_device_name(device)}"
    return found


def check_machine(state: Mapping[str, Any], now: Mapping[str, str], path: Path) -> list[str]:
    """What differs between the machine of a run and this one, in words.

    Raises
    ------
    UsageError
        Anything differs, and the caller did not say that it may (``state["anywhere"]``).
    """
    then: Mapping[str, str] = state.get("machine") or {}
    gaps = [
        f"{key} was {then[key]} and is {now[key]}"
        for key in now
        if key in then and then[key] != now[key]
    ]
    if gaps and not state.get("anywhere"):
        raise UsageError(
            f"This run began elsewhere and would not go on bit for bit: {'; '.join(gaps)}.",
            path=path,
            remedy="Resume it there, or add --anywhere to go on all the same.",
        )
    return gaps
