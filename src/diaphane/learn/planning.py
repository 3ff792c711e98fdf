"""From a fingerprint to a plan: every decision with its reason."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane.core.errors import PlanError, UsageError
from diaphane.core.files import write_bytes
from diaphane.core.protocols import Progress, silent
from diaphane.learn.cases import Refused
from diaphane.learn.fingerprint import Fingerprint, fingerprint
from diaphane.learn.plans import Plan

_LIKELY_POSITIVE = (
    "malignant", "cancer", "tumour", "tumor", "disease", "abnormal", "positive", "pos", "present",
    "yes", "true", "pneumonia", "lesion", "1",
)  # fmt: skip
_OUTLINE_CONCEPTS = (
    "log_area", "solidity", "elongation", "median_intensity", "intensity_spread", "margin_step",
)  # fmt: skip
_STEPS = 1500
"""Steps of the optimiser that a small network needs on a small set."""


@dataclass(frozen=True)
class Planned:
    """A plan, what it was made from, and what is to be said aloud."""

    plan: Plan
    fingerprint: Fingerprint
    refused: tuple[Refused, ...]
    said: tuple[str, ...]


def plan(
    dataset: str | Path,
    out: str | Path | None = None,
    *,
    positive: str | None = None,
    name: str | None = None,
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
        Of the bundle.

    Raises
    ------
    DatasetError
        No label, one class only, or no case that can be read.
    UsageError
        ``positive`` is not a class of the dataset.
    """
    import os

    from diaphane.acquire import open_dataset

    opened = open_dataset(dataset, stack=stack)
    facts, refused = fingerprint(opened, threads=threads or os.cpu_count() or 1, progress=progress)
    values, said = decide(facts, positive=positive, name=name or _name_of(Path(dataset)))
    made = Plan.from_dict(values)
    if out is not None:
        folder = Path(out)
        facts.write(folder / "fingerprint.json")
        write_bytes(folder / "plan.yaml", made.to_yaml().encode())
    return Planned(made, facts, tuple(refused), tuple(said))


def decide(
    facts: Fingerprint, *, positive: str | None, name: str
) -> tuple[dict[str, Any], list[str]]:
    """Plan values for a fingerprint, and sentences about guesses; pure.

    Raises
    ------
    UsageError
        ``positive`` is not a class.
    PlanError
        Several label columns, one of which has more than two classes.
    """
    why: dict[str, str] = {}
    said = [f"note: {note}" for note in facts.notes]
    apart = [t for t in facts.duplicates if not t.same_group]
    if apart:
        said.append(
            f"warning: {len(apart)} pairs of cases hold the same image under different "
            f"groups, for example {apart[0].one} and {apart[0].other}."
        )
    columns = tuple(facts.classes)
    classes = {c: list(facts.class_order.get(c) or facts.classes[c]) for c in columns}
    classes = {c: [v for v in names if v in facts.classes[c]] for c, names in classes.items()}
    task = "multilabel" if len(columns) > 1 else "binary"
    if len(columns) == 1 and len(classes[columns[0]]) > 2:
        task = "multiclass"
    for column in columns:
        if task == "multilabel" and len(classes[column]) != 2:
            raise PlanError(
                f"With several label columns each needs two classes; '{column}' has "
                f"{len(classes[column])}.",
                remedy="Train on that column alone.",
            )
    why["task"] = f"{len(columns)} label column(s), " + "; ".join(
        f"{c}: " + ", ".join(f"{k} {v}" for k, v in facts.classes[c].items()) for c in columns
    )
    chosen: dict[str, str] = {}
    if task != "multiclass":
        asked = _asked(positive, columns, classes)
        for column in columns:
            chosen[column] = asked.get(column) or _guess(facts.classes[column], classes[column])
            if column not in asked:
                said.append(
                    f"positive class of '{column}' is guessed: '{chosen[column]}' "
                    "(choose with --positive)."
                )
            classes[column] = sorted(classes[column], key=lambda v: v == chosen[column])
        how = "asked for" if asked else "guessed; sensitivity is for this class"
        why["positive"] = how
    elif positive is not None:
        raise UsageError("--positive is for two classes; this dataset has more.")

    network, spec, steps = _input(facts, why)
    rows = facts.splits.get("train", 0) or facts.cases
    batch = 32 if rows >= 1000 else max(4, min(16, rows // 8))
    epochs = int(
        min(80, max(12, math.ceil(_STEPS * min(1.0, batch / 16) / max(1.0, rows / batch))))
    )
    counts = [n for c in columns for n in facts.classes[c].values()]
    rare = min(counts) / max(1, facts.cases)
    why["imbalance"] = f"the rarest class has {rare:.0%} of the cases"
    why["epochs"] = f"about {_STEPS} steps of {batch} cases"
    why["stopping"] = "the best epoch is chosen on a grouped part of the training cases"
    if facts.splits:
        why["split"] = "the dataset's own splits are kept: " + ", ".join(
            f"{k} {v}" for k, v in facts.splits.items()
        )
    else:
        why["split"] = "the dataset has no splits: 70/15/15 by group, unless folds are asked for"
    outlined = spec["mask"] == "foreground"
    measured = bool(spec["concepts"])
    values: dict[str, Any] = {
        "name": name,
        "title": name,
        "intended_use": "Research. Not a medical device.",
        "task": task,
        "label_columns": list(columns),
        "classes": classes,
        "positive": chosen,
        "input": spec,
        "recipe": {"version": 1, "name": "planned", "steps": steps},
        "network": network,
        "concept_fit": {"first": measured, "freeze": measured},
        "optimiser": {"image_gain": 0.3 if measured else 1.0},
        "epochs": epochs,
        "batch": batch,
        "imbalance": "weights" if rare < 0.2 / max(1, len(columns)) else "none",
        "augmentation": {
            "flip_x": True,
            "flip_y": outlined,
            "transpose": outlined,
            "rotation": 180.0 if outlined else 10.0,
            "scale": 0.14 if outlined else 0.1,
            "shift": 0.0 if outlined else 0.05,
            "thinning": 0.2 if outlined else 0.0,
            "brightness": 0.06,
            "contrast": 0.0 if outlined else 0.15,
            "gamma": 0.2,
            "noise": 0.0 if outlined else 0.02,
            "versions": 4 if measured else 0,
        },
        "stopping": {"share": 0.15 if rows >= 60 else 0.25, "patience": max(8, epochs // 3)},
        "views": ["as_is", "flip_x"],
        "reasons": why,
    }
    why["augmentation"] = (
        "outlined images have no upright side" if outlined else "images keep their upright side"
    )
    return values, said


def _input(
    facts: Fingerprint, why: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Network, input spec and recipe steps."""
    single = facts.slices["high"] == 1
    mask = "given" if facts.masks else "foreground" if facts.outlined else "none"
    steps: list[dict[str, Any]] = []
    channels = facts.channels if facts.coloured else 1
    if channels == 1 and facts.unit != "HU":
        steps.append({"grey": {}})  # files saved as colour are read like the others
    if facts.unit == "HU":
        steps.append({"window": {"level": -200.0, "width": 1200.0}})
        why["recipe"] = "CT in HU: one window from lung to soft tissue"
    elif facts.eight_bit:
        steps.append({"rescale_intensity": {"in_low": 0.0, "in_high": 255.0}})
        why["recipe"] = "8-bit values to 0..1"
    else:
        steps.append({"percentile": {"low": 1.0, "high": 99.0}})
        why["recipe"] = "arbitrary units: each image from its 1st to 99th percentile"
    if mask == "none":
        side = _side(max(facts.height["median"], facts.width["median"]), 128)
        if (facts.height["low"], facts.width["low"]) != (side, side) or (
            facts.height["high"], facts.width["high"]
        ) != (side, side):  # fmt: skip
            steps.append({"resize": {"size": [side, side]}})
    else:
        assert facts.mask_extent is not None
        margin = 1.0 if mask == "foreground" else 1.25
        extent = max(facts.mask_extent) * margin
        side = _side(extent, 96)
        if extent > 1.5 * side:
            factor = side / extent
            steps.append({"resize": {"longest": _longest(facts, factor)}})
    small = side <= 48
    network: dict[str, Any] = {
        "widths": [16, 32, 48] if small else [16, 24, 32, 48],
        "strides": [1, 2, 2] if single and side <= 32 else [2, 2, 1] if small else [2, 2, 2, 1],
        "hidden": 24 if single else 16,
        "sequence": "rows" if single else "slices",
        "dropout": 0.2,
    }
    why["network"] = (
        "single images: the recurrent network reads the rows of the feature map"
        if single
        else "the recurrent network reads the slices"
    )
    why["input"] = {
        "given": "cases have masks: cropped to the mask, which is what is judged",
        "foreground": "images are black outside an outline, so the foreground is what is judged",
        "none": "no masks: the whole image is judged",
    }[mask]
    spec = {
        "kind": "image" if single else "sequence",
        "channels": channels,
        "size": [side, side],
        "max_slices": 1 if single else int(min(32, max(8, facts.slices["median"] * 2))),
        "mask": mask,
        "concepts": list(_OUTLINE_CONCEPTS) if mask != "none" and channels == 1 else [],
    }
    return network, spec, steps


def _side(extent: float, most: int) -> int:
    """A multiple of 8 that holds ``extent`` pixels, 16 to ``most``."""
    return int(min(most, max(16, math.ceil(extent / 8) * 8)))


def _longest(facts: Fingerprint, factor: float) -> int:
    return max(16, round(max(facts.height["median"], facts.width["median"]) * factor))


def _asked(
    positive: str | None, columns: tuple[str, ...], classes: Mapping[str, list[str]]
) -> dict[str, str]:
    """Positive class by column as the user gave it."""
    if positive is None:
        return {}
    asked: dict[str, str] = {}
    if len(columns) == 1 and positive in classes[columns[0]]:
        return {columns[0]: positive}
    for part in positive.split(","):
        column, equals, value = part.partition("=")
        if not equals:
            column, value = columns[0], part
        if column not in classes or value not in classes[column]:
            known = "; ".join(f"{c}: {', '.join(classes[c])}" for c in columns)
            raise UsageError(f"'{part}' is not a class of the dataset.", remedy=f"It has {known}.")
        asked[column] = value
    return asked


def _guess(counts: Mapping[str, int], order: list[str]) -> str:
    """A name that says so, else the rarer class, else the last one."""
    for wanted in _LIKELY_POSITIVE:
        for value in order:
            if value.lower() == wanted:
                return value
    return min(reversed(order), key=lambda value: counts[value])


def _name_of(path: Path) -> str:
    """A bundle name from a dataset's own name."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", path.name.removesuffix(".npz").lower()).strip("-._")
    return plain[:64] or "model"
