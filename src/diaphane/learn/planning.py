"""From a dataset to a plan: fingerprint, decisions with reasons, estimate, and what is said aloud."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diaphane.bundle.manifest import AS_STORED, Reading
from diaphane.core.case import Identity
from diaphane.core.errors import PlanError
from diaphane.core.files import write_bytes
from diaphane.core.protocols import Progress, silent
from diaphane.learn.cases import Refused
from diaphane.learn.checking import check_plan, read_plan
from diaphane.learn.costing import Cost, estimate
from diaphane.learn.deciding import decide, decide_input, require_concepts
from diaphane.learn.facts import Fingerprint
from diaphane.learn.fingerprint import fingerprint
from diaphane.learn.leaks import warnings
from diaphane.learn.plans import Plan
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.settings import CONCEPT_FIT
from diaphane.privacy.dicom.words import identifiers_of

if TYPE_CHECKING:
    from diaphane.acquire import Dataset
    from diaphane.acquire.dataset import Parts

__all__ = [
    "AnyPlan",
    "Planned",
    "check_plan",
    "decide",
    "decide_input",
    "estimate",
    "named",
    "plan",
    "read_plan",
    "with_concepts",
]

AnyPlan = Plan | SegmentationPlan

_KEY = re.compile(r"\bC-[0-9a-f]{16}\b")


@dataclass(frozen=True)
class Planned:
    """A plan, what it was made from, and what is to be said aloud.

    ``said`` and ``fingerprint`` know cases by their pseudonyms; ``names`` gives the user's own name
    by pseudonym, for the user's terminal only (see :func:`named`).
    """

    plan: AnyPlan
    fingerprint: Fingerprint
    refused: tuple[Refused, ...]
    said: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict, repr=False)


def plan(
    dataset: str | Path,
    out: str | Path | None = None,
    *,
    positive: str | None = None,
    name: str | None = None,
    concepts: Sequence[str] = (),
    group_regex: str | None = None,
    reading: Mapping[str, str] = AS_STORED,
    time_budget: float | None = None,
    estimated: bool = True,
    stack: bool | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Planned:
    """Look at a dataset and decide how to learn from it.

    Parameters
    ----------
    dataset:
        Anything that ``acquire.open_dataset`` reads.
    out:
        Folder for ``plan.yaml`` and ``fingerprint.json``; nothing is written if ``None``.
    positive:
        Positive class; guessed and said aloud if ``None``. With several label columns
        ``COLUMN=CLASS``, separated by commas.
    name:
        Of the bundle; ``None``: that of the dataset's folder, or "model" when the folder's tells
        a patient, as far as the cases state who they are.
    concepts:
        Names of ``concept:`` columns that enter the model.
    group_regex:
        What in a case's name is its group; see ``acquire.open_dataset``.
    reading:
        What differs in how DICOM is read: ``tilt``, ``spacing`` or ``units``, as the plan has them.
    time_budget:
        Seconds that training may take.
    estimated:
        Whether time and memory are measured on this machine, as reasons of ``steps`` and ``batch``.

    Raises
    ------
    DatasetError
        Neither labels nor masks, one class only, no case that can be read, or names that
        ``group_regex`` does not match.
    UsageError
        ``positive`` is not a class of the dataset, or a concept is not a column.
    PlanError
        Several label columns, one of which has more than two classes.
    """
    from diaphane.acquire import open_dataset

    stated = Reading.stated(reading)
    opened = open_dataset(dataset, stack=stack, group_regex=group_regex, options=stated.options)
    workers = threads or os.cpu_count() or 1
    people = _People()
    facts, refused = fingerprint(people.told_by(opened), threads=workers, progress=progress)
    progress("planning", 0.9)
    called = name or _name_of(Path(dataset))
    neutral = name is None and people.are_named_in(called)
    made, said = plan_of(
        facts, positive=positive, name="model" if neutral else called, concepts=concepts,
        group_regex=group_regex, time_budget=time_budget,
    )  # fmt: skip
    if neutral:
        said.append(
            "note: the folder names a patient, so the model is called 'model'; --name names it"
        )
    made = made.model_copy(update={"reading": stated})
    if estimated:
        cost = estimate(made, cases=facts.cases)
        made = made.model_copy(update={"reasons": _with_cost(made.reasons, cost)})
    if out is not None:
        folder = Path(out)
        facts.write(folder / "fingerprint.json")
        write_bytes(folder / "plan.yaml", made.to_yaml().encode())
    return Planned(made, facts, tuple(refused), tuple(said), names_of(opened))


def plan_of(
    facts: Fingerprint,
    *,
    positive: str | None = None,
    name: str = "model",
    concepts: Sequence[str] = (),
    group_regex: str | None = None,
    time_budget: float | None = None,
) -> tuple[AnyPlan, list[str]]:
    """The plan for a fingerprint, and sentences to say; pure.

    Raises
    ------
    DiaphaneError
        As :func:`plan`.
    """
    said = [f"note: {note}" for note in facts.notes] + warnings(facts)
    if facts.segmentation is not None:
        from diaphane.learn.segmenting import decide_segmentation

        if positive is not None or concepts:
            raise PlanError("--positive and --concept are for labels; this dataset has masks only.")
        values, more = decide_segmentation(facts, name=name)
        values = {**values, "group_regex": group_regex, "time_budget": time_budget}
        made: AnyPlan = SegmentationPlan.from_dict(values)
    else:
        values, more = decide(
            facts, positive=positive, name=name, concepts=concepts, time_budget=time_budget
        )
        made = Plan.from_dict({**values, "group_regex": group_regex})
    check_plan(made)
    return made, said + more


def with_concepts(plan: Plan, facts: Fingerprint | Dataset, concepts: Sequence[str]) -> Plan:
    """The plan with these ``concept:`` columns entering instead of its own.

    Raises
    ------
    UsageError
        Unknown names; it lists what there is.
    """
    if isinstance(facts, Fingerprint):
        there = facts.given_concepts
    else:
        there = tuple(sorted({name for e in facts.entries for name in e.concepts}))
    require_concepts(there, concepts, measured=bool(plan.input.concepts))
    spec = {**plan.input.model_dump(mode="json"), "given_concepts": list(concepts)}
    changes: dict[str, object] = {"input": spec}
    if concepts and not plan.input.concept_names:
        fit = plan.concept_fit.model_dump(mode="json")
        changes["concept_fit"] = {**fit, **CONCEPT_FIT}
    return plan.with_changes(changes)


def _with_cost(reasons: Mapping[str, str], cost: Cost) -> dict[str, str]:
    """Reasons that also say what training takes on this machine."""
    found = dict(reasons)
    for key, text in (("steps", cost.time()), ("batch", cost.space())):
        found[key] = f"{found[key]}; {text}" if found.get(key) else text
    return found


def names_of(dataset: Dataset) -> dict[str, str]:
    """The user's own name of each case by pseudonym, for the user's terminal only."""
    return {entry.key: entry.name for entry in dataset.entries}


def named(line: str, names: Mapping[str, str]) -> str:
    """A sentence with the user's own names in place of pseudonyms, for the user's terminal only."""
    return _KEY.sub(lambda match: names.get(match[0], match[0]), line)


class _People:
    """Whom the cases of a dataset name, gathered while they are read."""

    def __init__(self) -> None:
        self._seen: list[Identity] = []

    def told_by(self, dataset: Dataset) -> Dataset:
        """The same dataset; whose a case is, is noted when it is read."""
        entries = (replace(e, read=partial(self._read, e.read)) for e in dataset.entries)
        return replace(dataset, entries=tuple(entries))

    def _read(self, read: Callable[[], Parts]) -> Parts:
        parts = read()
        if parts.identity is not None:
            self._seen.append(parts.identity)
        return parts

    def are_named_in(self, text: str) -> bool:
        """Whether a text holds a name or number of one of them."""
        names = {who.patient_name for who in self._seen}
        numbers = {number for who in self._seen for number in (who.patient_id, who.accession)}
        return identifiers_of(names, numbers, ()).told_by(text)


def _name_of(path: Path) -> str:
    """A bundle name from a dataset's own name."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", path.name.removesuffix(".npz").lower()).strip("-._")
    return plain[:64] or "model"
