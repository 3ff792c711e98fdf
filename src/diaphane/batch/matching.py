"""Which case of a data set another tool's file or row is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diaphane.acquire import Entry
from diaphane.core.errors import DatasetError
from diaphane.report import Note

_ENDINGS = re.compile(
    r"\.(nii\.gz|nii|mha|mhd|nrrd|nhdr|png|tiff?|jpe?g|bmp|npy|npz|dcm)$", re.IGNORECASE
)
_CHANNEL = re.compile(r"_0000$")
_SHOWN = 3


@dataclass(frozen=True)
class Matched:
    """What became of each given name.

    Attributes
    ----------
    case:
        Index of the case by index of the name.
    elsewhere:
        Names of cases that the data set has, but not in the chosen part.
    unknown:
        Names that no case has.
    ambiguous:
        Names that fit several cases.
    """

    case: dict[int, int]
    elsewhere: tuple[str, ...]
    unknown: tuple[str, ...]
    ambiguous: tuple[str, ...]


def assign(
    names: Sequence[str], entries: Sequence[Entry], chosen: Sequence[Entry], path: Path
) -> tuple[dict[str, int], list[Note]]:
    """Index of the given name by the case's own, and what to say of names left over.

    Raises
    ------
    DatasetError
        A case is named twice, a name fits several cases, or no name fits any.
    """
    wanted = {entry.name for entry in chosen}
    matched = match_names(names, [e.name for e in entries], [e.name in wanted for e in entries])
    taken: dict[str, int] = {}
    for number, case in matched.case.items():
        name = entries[case].name
        if name in taken:
            raise DatasetError(
                f"The case '{name}' has two predictions: '{names[taken[name]]}' and "
                f"'{names[number]}'.",
                path=path,
                remedy="Leave one of them.",
            )
        taken[name] = number
    if matched.ambiguous:
        raise DatasetError(
            f"'{matched.ambiguous[0]}' fits several cases.",
            path=path,
            remedy="Name cases with their folders, as the data set does.",
        )
    if not taken:
        raise DatasetError(
            f"None of the {len(names)} predictions is of a case to judge: they are called "
            f"'{names[0]}', ..., the cases '{chosen[0].name}', ...",
            path=path,
        )
    notes: list[Note] = []
    for left, code in (
        (matched.unknown, "predictions_of_none"),
        (matched.elsewhere, "predictions_elsewhere"),
    ):
        if left:
            shown = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
            notes.append((code, {"count": len(left), "names": shown}))
    return taken, notes


def match_names(names: Sequence[str], cases: Sequence[str], chosen: Sequence[bool]) -> Matched:
    """Match names to cases by the end of their paths.

    File endings, a last ``_0000`` (nnU-Net's first channel) and leading folders may differ. The
    longest common end decides; a shorter one only where it fits one case alone, of all cases
    or of the chosen ones.

    Parameters
    ----------
    names:
        As the other tool wrote them.
    cases, chosen:
        Names of all cases of the data set, and whether each is to be judged.
    """
    ends: dict[tuple[str, ...], list[int]] = {}
    for number, name in enumerate(cases):
        parts = _parts(name)
        for variant in dict.fromkeys((parts, _bare(parts))):
            for start in range(len(variant)):
                found = ends.setdefault(variant[start:], [])
                if number not in found:
                    found.append(number)
    case: dict[int, int] = {}
    elsewhere: list[str] = []
    unknown: list[str] = []
    ambiguous: list[str] = []
    for number, name in enumerate(names):
        several = False
        for candidate in _candidates(_parts(name)):
            fits = ends.get(candidate, [])
            if len(fits) > 1:
                fits = [i for i in fits if chosen[i]] or fits
            if len(fits) == 1:
                if chosen[fits[0]]:
                    case[number] = fits[0]
                else:
                    elsewhere.append(name)
                break
            several = several or len(fits) > 1
        else:
            (ambiguous if several else unknown).append(name)
    return Matched(case, tuple(elsewhere), tuple(unknown), tuple(ambiguous))


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name without its ending."""
    parts = [part for part in re.split(r"[/\\]+", name.strip()) if part not in ("", ".")]
    if parts:
        parts[-1] = _ENDINGS.sub("", parts[-1])
    return tuple(parts)


def _bare(parts: tuple[str, ...]) -> tuple[str, ...]:
    return (*parts[:-1], _CHANNEL.sub("", parts[-1])) if parts else parts


def _candidates(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Ends of a path, longest first, each as it is and without ``_0000``."""
    ends = [parts[start:] for start in range(len(parts))]
    return list(dict.fromkeys(variant for end in ends for variant in (end, _bare(end))))
