"""From a fingerprint to the values of a classification plan, each with its reason; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from diaphane.core.errors import UsageError
from diaphane.learn import settings
from diaphane.learn.concept_sets import sets_of
from diaphane.learn.costing import nominal_seconds
from diaphane.learn.facts import Fingerprint
from diaphane.learn.framing import Framing, frame
from diaphane.learn.settings import Situation
from diaphane.learn.tasks import task_of
from diaphane.measure import CONCEPTS

_SETTLED = {
    "optimiser": "AdamW, warm-up and cosine, averaged weights: the same for every dataset",
    "smoothing": "labels of medical images are seldom quite sure",
    "seeds": "one network a fold",
    "views": "each case is looked at in the ways that augmentation allows; logits are averaged",
    "set_level": "prediction sets hold the true class so often",
}
PATIENCE = 3600.0
"""Seconds that a default schedule takes at most on two cores, by the cost model."""
_TRAINING = 0.75
"""Share of a time budget that training takes, beside choosing a family, judging and export."""
_CROSSED = 2000
"""Training cases below which networks are cross-validated."""


def decide(
    facts: Fingerprint,
    *,
    positive: str | None = None,
    name: str = "model",
    concepts: Sequence[str] = (),
    time_budget: float | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Plan values for a fingerprint, and sentences about guesses.

    Parameters
    ----------
    positive:
        As in :func:`diaphane.learn.plan`.
    concepts:
        ``concept:`` columns that enter.
    time_budget:
        Seconds that training may take.

    Raises
    ------
    UsageError
        ``positive`` is not a class, or a concept is not a column.
    PlanError
        Several label columns, one of which has more than two classes.
    DatasetError
        One of two classes has a single case.
    """
    why: dict[str, str] = {}
    said: list[str] = []
    values = task_of(facts, positive, why, said)
    framing, situation, network = _seen(facts, values, time_budget, why)
    require_concepts(facts.given_concepts, concepts, measured=bool(framing.spec["concepts"]))
    spec = {**framing.spec, "given_concepts": list(concepts)}
    if concepts:
        why["input"] += "; given concepts: " + ", ".join(concepts)
    elif facts.given_concepts:
        said.append(
            "note: the dataset has the concepts " + ", ".join(facts.given_concepts) + ", which "
            "enter only when named (--concept)."
        )
    values |= {
        "name": name,
        "title": name,
        "intended_use": "Research. Not a medical device.",
        "input": spec,
        "recipe": {"version": 1, "name": "planned", "steps": framing.steps},
        "network": network,
        "families": settings.families(situation),
        "concept_sets": sets_of(spec["concepts"], settings.CONCEPT_SETS),
        **_schedule(facts, situation, network, time_budget, why),
        "augmentation": settings.augmentation(situation, time_budget),
        **settings.further(situation),
    }  # fmt: skip
    if concepts and not situation.measured:
        values["concept_fit"] = settings.CONCEPT_FIT
    if concepts or situation.measured:
        why["concept_fit"] = (
            "image and concepts learn apart; the share of each is what serves best on cases that no "
            "network saw"
        )
    why["families"] = "compared by cross-validation on the training cases: " + ", ".join(
        values["families"]
    )
    why["augmentation"] = _of_symmetries(facts)
    if values["stopping"]["share"] == 0:
        why["stopping"] = "all steps are taken: the cosine ends the training, no case is held back"
    else:
        why["stopping"] = "the best epoch is chosen on a grouped part of the training cases"
    return {**values, "reasons": why}, said


def decide_input(
    facts: Fingerprint,
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], dict[str, str]]:
    """Network, input spec, steps of the recipe and reasons, whatever the labels are."""
    why: dict[str, str] = {}
    framing, _, network = _seen(facts, {}, None, why)
    return network, dict(framing.spec), list(framing.steps), why


def require_concepts(there: Sequence[str], concepts: Sequence[str], *, measured: bool) -> None:
    """Refuse concepts that the dataset has no column for.

    Raises
    ------
    UsageError
        Naming the first one, and listing what there is.
    """
    for wanted in concepts:
        if wanted not in there:
            raise UsageError(
                f"The dataset has no concept '{wanted}'.",
                remedy=f"It has: {', '.join(there) or 'none'} (columns 'concept:NAME' of labels.csv).",
            )
        if measured and wanted in CONCEPTS:
            raise UsageError(
                f"The concept '{wanted}' has the name of one that is measured here.",
                remedy=f"Rename its column, to 'concept:{wanted} as told' for example.",
            )
    if len(set(concepts)) < len(concepts):
        raise UsageError("A concept is named twice.")


def learning_cases(facts: Fingerprint) -> int:
    """Cases that networks learn from: train, and val where there is a test part."""
    if not facts.splits:
        return facts.cases
    return facts.splits.get("train", 0) + (
        facts.splits.get("val", 0) if "test" in facts.splits else 0
    )


def _seen(
    facts: Fingerprint, values: Mapping[str, Any], time_budget: float | None, why: dict[str, str]
) -> tuple[Framing, Situation, dict[str, Any]]:
    """What the network sees, the situation for the tables, and the network."""
    kind = "image" if facts.slices["high"] == 1 else "sequence"
    cases = max(1, learning_cases(facts))
    most = settings.LARGEST[kind]
    if cases > settings.MANY:
        most = min(most, settings.LARGEST_OF_MANY)
    while True:
        framing = frame(facts, most=most)
        found = facts.symmetries
        spacing = facts.spacing
        through = None if None in spacing else (spacing[0] or 1.0) / (spacing[2] or 1.0)
        situation = Situation(
            kind=kind,
            cases=cases,
            size=(framing.spec["size"][0], framing.spec["size"][1]),
            slices=min(facts.slices["median"], framing.spec["max_slices"]),
            isotropic=through is None or through <= 2.0,
            channels=framing.spec["channels"],
            outlined=framing.spec["mask"] == "foreground",
            measured=bool(framing.spec["concepts"]),
            flip_x=found is None or found.flip_x,
            flip_y=found is not None and found.flip_y,
            transpose=found is not None and found.transpose,
        )
        network = settings.network(situation)
        smaller = [side for side in settings.SIDES if side < max(situation.size)]
        if not smaller or max(situation.size) <= 64 or not values:
            break
        needed = _nominal(facts, situation, network)
        if time_budget is None and 0.5 * needed <= PATIENCE:
            break
        if time_budget is not None and needed <= _TRAINING * time_budget:
            break
        most = smaller[-1]
        why["size"] = "smaller than the images, so that enough steps fit into the time"
    why |= framing.why
    if "size" in why:
        why["input"] += f"; {why.pop('size')}"
    why["network"] = (
        "single images: a 2-D network; its peer reads the rows of the feature map with an RNN"
        if kind == "image"
        else "a 2-D network reads each slice, an RNN the sequence of them"
    )
    return framing, situation, network


def _nominal(facts: Fingerprint, situation: Situation, network: Mapping[str, Any]) -> float:
    """Seconds of the steps of the tables, over all folds."""
    step = nominal_seconds(network, situation.size, situation.channels, situation.slices)
    folds = _folds(facts)
    return folds * settings.steps(situation) * settings.batch(situation) * step


def _folds(facts: Fingerprint) -> int:
    """Five where training cases are few; fewer where even groups are."""
    cases = learning_cases(facts)
    if cases >= _CROSSED:
        return 1
    groups = min(cases, facts.groups)
    return 5 if groups >= 10 else 3 if groups >= 6 else 2 if groups >= 4 else 1


def _schedule(
    facts: Fingerprint,
    situation: Situation,
    network: Mapping[str, Any],
    time_budget: float | None,
    why: dict[str, str],
) -> dict[str, Any]:
    """Batch, steps and epochs, split, and weights of classes."""
    batch, steps = settings.batch(situation), settings.steps(situation)
    folds = _folds(facts)
    each = nominal_seconds(network, situation.size, situation.channels, situation.slices)
    fitting = int(PATIENCE / max(1e-9, folds * batch * each))
    why["batch"] = f"for {situation.cases} training cases"
    why["steps"] = f"what {situation.cases} cases need by experience"
    if fitting < steps and time_budget is None:
        steps = max(200, fitting)
        why["steps"] = f"{steps} steps take about an hour on two cores; more would help"
    if time_budget is not None:
        why["steps"] = "fitted to the time budget when training starts, measured on that machine"
    epochs = max(1, math.ceil(steps * batch / max(1, situation.cases)))
    why["epochs"] = f"{epochs} epochs hold {steps} steps of {batch} cases"
    why["split"] = _of_split(facts, folds)
    scarce = min(
        found * len(classes) / max(1, facts.cases)
        for classes in facts.classes.values()
        for found in classes.values()
    )
    why["imbalance"] = f"the rarest class has {scarce:.0%} of an even share" + (
        ": it counts more" if scarce < 0.4 else ""
    )
    return {
        "epochs": epochs,
        "steps": None if time_budget is not None else steps,
        "time_budget": time_budget,
        "batch": batch,
        "imbalance": "weights" if scarce < 0.4 else "none",
        "split": {"folds": folds},
    }


def _of_split(facts: Fingerprint, folds: int) -> str:
    if not facts.splits:
        text = "the dataset has no splits: "
        return text + (
            f"{folds} folds by group, each held back once, whose networks are fused"
            if folds > 1
            else "70/15/15 by group"
        )
    parts = ", ".join(f"{name} {count}" for name, count in facts.splits.items())
    how = f"; {folds} folds within the training part" if folds > 1 else ""
    return f"the dataset's own splits are kept: {parts}{how}"


def _of_symmetries(facts: Fingerprint) -> str:
    if facts.symmetries is None:
        return "images keep their upright side"
    measured = facts.symmetries.reasons
    return "; ".join(f"{name}: {text}" for name, text in measured.items())
