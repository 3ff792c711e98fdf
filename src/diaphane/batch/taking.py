"""Which cases are taken, where an evaluation may write, and what it leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diaphane.acquire import Dataset, Entry, open_inputs
from diaphane.batch.tables import Refusal
from diaphane.bundle import Seen
from diaphane.core.errors import DatasetError, DiaphaneError, InputError, UsageError
from diaphane.core.evaluation import Evaluation
from diaphane.core.options import ReadOptions

SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True)
class EvaluationSummary:
    """What ``evaluate`` found and wrote. ``seen`` counts cases that training saw."""

    evaluation: Evaluation
    out: Path
    seen: int
    unlike_training: int
    refused: tuple[Refusal, ...]
    rejected: Path | None
    notes: tuple[str, ...] = ()


def take_inputs(
    inputs: Sequence[str | Path], *, sequences: bool, stack: bool | None, options: ReadOptions
) -> tuple[list[Entry], list[Refusal]]:
    """Cases of all inputs, and those that cannot be opened; arguments as in ``open_inputs``.

    Where cases of several inputs have one name, it gets its input in front.
    """
    found: list[tuple[str, Entry]] = []
    refused: list[Refusal] = []
    for given in inputs:
        try:
            opened = open_inputs([given], sequences=sequences, stack=stack, options=options)
        except InputError as error:
            refused.append(Refusal.of(str(given), error))
        else:
            found += [(str(given), entry) for entry in opened.entries]
    inside = Counter(name for name, _ in {(entry.name, given) for given, entry in found})
    return [
        entry
        if inside[entry.name] == 1 or entry.name.startswith(given)
        else replace(entry, name=f"{given}/{entry.name}")
        for given, entry in found
    ], refused


def require_split(split: str) -> None:
    """Refuse a split that is none."""
    if split not in SPLITS:
        raise UsageError(f"There is no split '{split}'.", remedy=f"Use {', '.join(SPLITS)}.")


def require_free(folder: Path, dataset: str | Path) -> None:
    """Refuse to write among a data set's own files, or over the report of a run or a study.

    Raises
    ------
    UsageError
        Naming the folder.
    """
    remedy = "Give a folder of its own: --out DIR"
    if folder.resolve() == Path(dataset).resolve():
        raise UsageError("This is the data set itself.", path=folder, remedy=remedy)
    if (folder / "report.html").exists() and not (folder / "metrics.json").exists():
        raise UsageError("The folder holds another report.", path=folder, remedy=remedy)


def take_entries(
    opened: Dataset, seen: Seen, split: str, path: str | Path
) -> tuple[Sequence[Entry], bool]:
    """Entries to read, and whether the bundle's stored split must choose among them.

    ``seen`` is what the bundle's manifest remembers.

    Raises
    ------
    DatasetError
        Nobody says which cases the split has.
    """
    if split == "all":
        return opened.entries, False
    if opened.has_splits:
        own = opened.of_split(split)
        if not own:
            there = Counter(e.split for e in opened.entries if e.split is not None)
            raise DatasetError(
                f"The data set has no split '{split}'.",
                path=path,
                remedy=f"It has: {', '.join(f'{k} ({n})' for k, n in sorted(there.items()))}.",
            )
        return own, False
    if not (seen.train or seen.val or seen.calibration or seen.test):
        raise DatasetError(
            f"Neither the data set nor the bundle says which cases are '{split}'.",
            path=path,
            remedy="Use --split all.",
        )
    return opened.entries, True


def nothing_used(
    refused: Sequence[Refusal],
    rejected: Path | None,
    split: str,
    path: str | Path,
    *,
    stored: bool,
) -> DiaphaneError:
    """The error of an evaluation without a single case."""
    if refused:
        first = refused[0]
        return DatasetError(
            f"No case could be used; the first of {len(refused)}: {first.problem}",
            path=path,
            remedy=f"All are listed in {rejected}." if rejected else first.remedy or None,
        )
    assert stored
    return DatasetError(
        f"The data set has no splits, and the bundle knows none of its cases as '{split}'.",
        path=path,
        remedy="Use --split all.",
    )
