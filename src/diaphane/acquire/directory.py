"""DICOMDIR: the index of a medium, read as the list of the files that it names.

Source: DICOM PS3.3 F.3 (basic directory), PS3.10 8.2 (file IDs).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import UnreadableFile
from diaphane.core.options import Limits

_OUTSIDE = "The DICOMDIR names a file outside its folder."


def listed_files(path: Path, limits: Limits = LIMITS) -> tuple[list[Path], dict[str, str]]:
    """Files that the DICOMDIR at ``path`` lists, and those that are not there.

    Returns
    -------
    list, dict
        Paths of files that are there, in the order of the index; SeriesInstanceUID ("" where it
        is not told) by the name of each file that is missing.

    Raises
    ------
    UnreadableFile
        When the index is damaged, or names a file outside its own folder.
    """
    try:
        with quiet():
            data = parsed(path, limits=limits)
            records = list(data.get("DirectoryRecordSequence", None) or [])
            series = _series_of(records)
            named = [
                (record.ReferencedFileID, series.get(id(record), ""))
                for record in records
                if record.get("ReferencedFileID", None)
            ]
            names = [([n] if isinstance(n, str) else [str(p) for p in n], s) for n, s in named]
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(path, error, "DICOMDIR is") from error
    found: dict[Path, None] = {}
    missing: dict[str, str] = {}
    for parts, uid in names:
        file = _resolve(path, parts)
        if file is None:
            missing["/".join(parts)] = uid
        else:
            found[file] = None
    return list(found), missing


def _resolve(path: Path, parts: Sequence[str]) -> Path | None:
    """The file of an ID's parts below the DICOMDIR's folder; case does not matter."""
    root = path.parent
    place = root
    for part in parts:
        name = part.strip()
        if name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
            raise UnreadableFile(_OUTSIDE, path=path, remedy="Do not trust this medium.")
        step = place / name
        if not step.exists():
            same = [p for p in _inside(place) if p.name.lower() == name.lower()]
            if not same:
                return None
            step = same[0]
        place = step
    if not place.is_file():
        return None
    if not place.resolve().is_relative_to(root.resolve()):
        raise UnreadableFile(_OUTSIDE, path=path, remedy="Do not trust this medium.")
    return place


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _series_of(records: Sequence[Any]) -> dict[int, str]:
    """SeriesInstanceUID by record, following the offsets that link the index."""
    by_offset = {record.seq_item_tell: record for record in records}
    found: dict[int, str] = {}
    for record in records:
        if record.get("DirectoryRecordType", "") != "SERIES":
            continue
        uid = str(record.get("SeriesInstanceUID", ""))
        at = record.get("OffsetOfReferencedLowerLevelDirectoryEntity", 0)
        while at in by_offset and id(by_offset[at]) not in found:
            below = by_offset[at]
            found[id(below)] = uid
            at = below.get("OffsetOfTheNextDirectoryRecord", 0)
    return found
