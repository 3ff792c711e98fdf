"""Which patient a file, a folder or a name belongs to, as a keyed pseudonym."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from diaphane.acquire.dataset import Dataset, require_whole_groups
from diaphane.acquire.elements import looks_like_dicom
from diaphane.acquire.identity import read_identity
from diaphane.acquire.reading import is_readable_name, visible
from diaphane.core.errors import DatasetError, UnreadableFile, UsageError
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.plain import patient_group

_SHOWN = 10


def grouped_by_name(dataset: Dataset, pattern: str, path: Path) -> Dataset:
    """The data set with groups made from the names of its cases.

    Parameters
    ----------
    pattern:
        A regular expression, searched in each name; its first capture group is the group, or all
        that it matches where it has none.
    path:
        Of the data set, for messages.

    Raises
    ------
    UsageError
        ``pattern`` is no regular expression.
    DatasetError
        Names that it does not match (they are listed), or a group in two splits.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"'{pattern}' is no regular expression: {error}.") from error
    names = Pseudonymiser.load()
    found: dict[str, str] = {}
    entries, lost = [], []
    for entry in dataset.entries:
        match = compiled.search(entry.name)
        text = (match[1] if compiled.groups else match[0]) if match else None
        if not text:
            lost.append(entry.name)
            continue
        group = names.pseudonym(text, "group")
        found[group] = text
        entries.append(replace(entry, group=group))
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise DatasetError(
            f"'{pattern}' does not match {len(lost)} of {len(dataset)} names: "
            f"{', '.join(lost[:_SHOWN])}{more}.",
            path=path,
            remedy="Names are what follows the data set's folder, or the cells of labels.csv.",
        )
    require_whole_groups(entries, found, path)
    return replace(dataset, entries=tuple(entries))


def patient_of(path: Path, names: Pseudonymiser) -> str:
    """Keyed pseudonym of the patient of a DICOM file or folder; "" for other formats."""
    file = _first_dicom(path)
    if file is None:
        return ""
    try:
        return patient_group(read_identity(file), names)
    except UnreadableFile:
        return ""


def _first_dicom(path: Path) -> Path | None:
    if path.is_dir():
        for inside in visible(path):
            if inside.is_dir() or not is_readable_name(inside):
                found = _first_dicom(inside)
                if found is not None:
                    return found
        return None
    if is_readable_name(path) or not looks_like_dicom(path):
        return None
    return path
