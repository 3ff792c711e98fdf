"""What a data set says a case is, in a bundle's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diaphane.acquire import Dataset, Entry
from diaphane.bundle import Manifest
from diaphane.core.errors import DatasetError, UsageError
from diaphane.report import Note

_POSITIVE = (
    "malignant", "cancer", "tumour", "tumor", "disease", "abnormal", "positive", "pos", "present",
    "yes", "true", "pneumonia", "lesion", "恶性", "阳性", "异常", "1",
)  # fmt: skip
_NEGATIVE = frozenset({
    "benign", "normal", "healthy", "negative", "neg", "control", "controls", "absent", "none", "no",
    "false", "良性", "阴性", "正常", "健康", "0",
})  # fmt: skip


def label_columns(manifest: Manifest, dataset: Dataset, path: str | Path) -> tuple[str, ...]:
    """The data set's columns that hold the bundle's labels, one per ``manifest.label_columns``.

    By name; a single one on both sides need not have the same name.

    Raises
    ------
    DatasetError
        Without labels, when a column is missing, or when no label is one of the classes.
    """
    there = dataset.label_columns
    if not there:
        raise DatasetError(
            "The data set has no labels, so nothing can be judged.",
            path=path,
            remedy="Use 'diaphane predict' for cases without labels.",
        )
    wanted = manifest.label_columns
    named = there if len(there) == len(wanted) == 1 else wanted
    missing = [name for name in named if name not in there]
    if missing:
        raise DatasetError(
            f"The data set has no label column '{missing[0]}'.",
            path=path,
            remedy=f"It has: {', '.join(there)}.",
        )
    found = dataset.classes.get(named[0], ())
    if manifest.task != "multilabel" and found and not set(found) & set(manifest.classes):
        raise DatasetError(
            f"None of the labels ({', '.join(found[:10])}) is one that the bundle knows.",
            path=path,
            remedy=f"It knows: {', '.join(manifest.classes)}.",
        )
    return named


def truth_of(entry: Entry, manifest: Manifest, named: tuple[str, ...]) -> int | list[int]:
    """Index of the case's class; in a multi-label task 0 or 1 per label.

    Raises
    ------
    DatasetError
        The case has no label, or one that the bundle does not know.
    """
    missing = [name for name in named if name not in entry.labels]
    if missing:
        raise DatasetError(f"The case has no value for '{missing[0]}'.")
    if manifest.task == "multilabel":
        values = zip(named, manifest.positive_values, strict=True)
        return [int(entry.labels[name] == positive) for name, positive in values]
    label = entry.labels[named[0]]
    if label not in manifest.classes:
        raise DatasetError(
            f"The label '{label}' is not one that the bundle knows.",
            remedy=f"It knows: {', '.join(manifest.classes)}.",
        )
    return manifest.classes.index(label)


def positive_class(classes: Sequence[str], asked: str | None) -> tuple[str, Note | None]:
    """The positive one of two classes, and what to say where it was guessed.

    Raises
    ------
    UsageError
        ``asked`` is not one of them.
    """
    if asked is not None:
        if asked not in classes:
            raise UsageError(
                f"'{asked}' is not a class of the data set.",
                remedy=f"It has: {', '.join(classes)}.",
            )
        return asked, None
    guessed = likely_positive(classes) or classes[-1]
    return guessed, ("positive_guessed", {"label": guessed})


def likely_positive(classes: Sequence[str]) -> str | None:
    """The class whose name says that something is there, else that beside one that says nothing is.

    ``None`` where no name tells.
    """
    lower = {name.lower(): name for name in classes}
    named = next((lower[word] for word in _POSITIVE if word in lower), None)
    others = [name for name in classes if name.lower() not in _NEGATIVE]
    alone = others[0] if len(others) == 1 and len(classes) > 1 else None
    return named or alone
