"""What is to be learned, from the label columns: task, order of the classes, the positive one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from diaphane.batch.truth import likely_positive
from diaphane.core.errors import DatasetError, PlanError, UsageError
from diaphane.learn.facts import Fingerprint

_GRADED = ("none", "no", "minimal", "mild", "moderate", "severe", "very severe", "extreme")
_ROMAN = ("0", "i", "ii", "iii", "iv", "v", "vi")
_GRADE = re.compile(r"(?:grade|stage|score|level|g|t|kl|bi-?rads|pi-?rads)[ _-]*(\d+|[ivx]+)")


def task_of(
    facts: Fingerprint, positive: str | None, why: dict[str, str], said: list[str]
) -> dict[str, Any]:
    """Task, columns, classes and the positive one, as a plan has them.

    Parameters
    ----------
    positive:
        As in :func:`diaphane.learn.plan`.
    why, said:
        Get the reasons by key, and sentences about guesses.

    Raises
    ------
    UsageError
        ``positive`` is not a class.
    PlanError
        Several label columns, one of which has more than two classes.
    DatasetError
        One of two classes has cases of one patient only.
    """
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
                remedy=f"Keep 'label:{column}' alone, or leave it out: call what is not to be learnt "
                "otherwise ('subgroup:' reports by it).",
            )
        single = [v for v, groups in facts.class_groups[column].items() if groups == 1]
        if task == "binary" and single:
            raise DatasetError(
                f"The class '{single[0]}' of '{column}' has cases of one patient only, who cannot "
                "both teach and test.",
                remedy="Add cases of that class; ten patients are few.",
            )
    why["task"] = f"{len(columns)} label column(s), " + "; ".join(
        f"{c}: " + ", ".join(f"{k} {v}" for k, v in facts.classes[c].items()) for c in columns
    )
    chosen: dict[str, str] = {}
    ordinal = False
    if task == "multiclass":
        if positive is not None:
            raise UsageError("--positive is for two classes; this dataset has more.")
        ordinal = _ordinal(facts, columns[0], classes, why, said)
    else:
        asked = asked_positive(positive, columns, classes)
        for column in columns:
            chosen[column] = asked.get(column) or _guess(facts.classes[column], classes[column])
            if column not in asked:
                said.append(
                    f"positive class of '{column}' is guessed: '{chosen[column]}' "
                    "(choose with --positive)."
                )
            classes[column] = sorted(classes[column], key=lambda v: v == chosen[column])
        why["positive"] = "asked for" if asked else "guessed; sensitivity is for this class"
    return {
        "task": task,
        "label_columns": list(columns),
        "classes": classes,
        "positive": chosen,
        "ordinal": ordinal,
    }


def _ordinal(
    facts: Fingerprint,
    column: str,
    classes: dict[str, list[str]],
    why: dict[str, str],
    said: list[str],
) -> bool:
    """Whether classes are grades; then they are put in order."""
    ranks = [grade_of(name) for name in classes[column]]
    if any(rank is None for rank in ranks) or len(set(ranks)) < len(ranks):
        why["ordinal"] = "the names of the classes are no grades"
        return False
    if facts.kind == "medmnist":
        why["ordinal"] = "numbers in an archive are codes of classes; write true if they are grades"
        return False
    order = sorted(zip(ranks, classes[column], strict=True), key=lambda pair: pair[0] or 0.0)
    classes[column] = [name for _, name in order]
    why["ordinal"] = (
        "the names of the classes are grades, in this order; figures also say by how many grades "
        "a case is missed"
    )
    said.append(
        f"classes of '{column}' are read as grades: {' < '.join(classes[column])} "
        "(plan key 'ordinal')."
    )
    return True


def grade_of(name: str) -> float | None:
    """Rank of a class by its name: a number, a grade ("grade 2", "III") or a degree ("mild")."""
    text = name.strip().lower()
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    if text in _GRADED:
        return float(_GRADED.index(text))
    match = _GRADE.fullmatch(text)
    text = match[1] if match else text
    if text.isdigit():
        return float(text)
    return float(_ROMAN.index(text)) if text in _ROMAN else None


def asked_positive(
    positive: str | None, columns: tuple[str, ...], classes: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Positive class by column as the user gave it.

    Raises
    ------
    UsageError
        It is not a class.
    """
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
    return likely_positive(order) or min(reversed(order), key=lambda value: counts[value])
