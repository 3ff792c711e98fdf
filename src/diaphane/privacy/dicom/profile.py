"""A profile: the Basic Profile of PS3.15 and which of its options apply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane.core.errors import UsageError
from diaphane.privacy.dicom.table import Row, settle, type_of

RETAIN = {
    "uids": ("113110", "Retain UIDs Option"),
    "device": ("113109", "Retain Device Identity Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
    "patient-characteristics": ("113108", "Retain Patient Characteristics Option"),
    "full-dates": (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    "modified-dates": (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "safe-private": ("113111", "Retain Safe Private Option"),
}
"""Names for ``--retain``: code and meaning in CID 7050 (PS3.16)."""

CLEAN = {
    "descriptors": ("113105", "Clean Descriptors Option"),
    "structured-content": ("113104", "Clean Structured Content Option"),
    "graphics": ("113103", "Clean Graphics Option"),
    "pixels": ("113101", "Clean Pixel Data Option"),
    "pixels-everywhere": ("113101", "Clean Pixel Data Option"),
}
"""Names for ``--clean``."""

BASIC = ("113100", "Basic Application Confidentiality Profile")
_NAME = re.compile(r"[A-Za-z0-9 ._-]{1,64}")
_DATES = frozenset({"DA", "DT", "TM"})


@dataclass(frozen=True)
class Profile:
    """The Basic Profile with options.

    Attributes
    ----------
    retain:
        Names of :data:`RETAIN`. With ``modified-dates`` all dates of a patient move by one
        secret number of days; not together with ``full-dates``.
    clean:
        Names of :data:`CLEAN`.
    name:
        For reports.
    """

    retain: frozenset[str] = frozenset()
    clean: frozenset[str] = frozenset()
    name: str = "basic"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                "A profile's name goes into the audit chain and cannot be this.",
                remedy="Use letters a to z, digits, spaces and '.', '_', '-'; at most 64.",
            )
        for given, known, option in (
            (self.retain, RETAIN, "--retain"),
            (self.clean, CLEAN, "--clean"),
        ):
            for unknown in sorted(given - set(known)):
                raise UsageError(
                    f"There is nothing called '{unknown}' for {option}.",
                    remedy=f"Known are: {', '.join(known)}.",
                )
        if {"full-dates", "modified-dates"} <= self.retain:
            raise UsageError("Dates are either kept or moved: full-dates or modified-dates.")

    @classmethod
    def read(cls, source: str) -> Profile:
        """``basic``, or a YAML file with ``name``, ``retain`` and ``clean`` (lists of names).

        Raises
        ------
        UsageError
            When it cannot be read, or holds something else.
        """
        if source == "basic":
            return cls()
        import yaml

        try:
            found: Any = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(
                "The profile cannot be read.",
                path=source,
                remedy="Give 'basic', or a YAML file with name, retain and clean.",
            ) from error
        lists = (
            {key: found.get(key) or [] for key in ("retain", "clean")}
            if isinstance(found, dict)
            else {}
        )
        if (
            not lists
            or set(found) - {"name", "retain", "clean"}
            or not all(
                isinstance(names, list) and all(isinstance(name, str) for name in names)
                for names in lists.values()
            )
        ):
            raise UsageError(
                "A profile holds name, retain and clean, the last two as lists of names.",
                path=source,
            )
        return cls(
            frozenset(lists["retain"]), frozenset(lists["clean"]), str(found.get("name", "file"))
        )

    def with_options(self, retain: list[str], clean: list[str]) -> Profile:
        """Further options beside those of this profile."""
        return Profile(self.retain | set(retain), self.clean | set(clean), self.name)

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """CID 7050 codes and meanings of what is applied, the Basic Profile first."""
        chosen = [RETAIN[name] for name in RETAIN if name in self.retain]
        chosen += [CLEAN[name] for name in CLEAN if name in self.clean]
        return (BASIC, *dict.fromkeys(chosen))

    @property
    def cleans_pixels(self) -> bool:
        """Whether text in pixels is blanked."""
        return bool(self.clean & {"pixels", "pixels-everywhere"})

    @property
    def dates(self) -> str:
        """LongitudinalTemporalInformationModified (0028,0303)."""
        if "full-dates" in self.retain:
            return "UNMODIFIED"
        return "MODIFIED" if "modified-dates" in self.retain else "REMOVED"

    def action(self, row: Row, vr: str, where: tuple[str, str, str]) -> str:
        """The one action for an attribute: X, Z, D, U, K or C.

        Parameters
        ----------
        row:
            Its row of the table.
        vr:
            Its value representation.
        where:
            Its keyword, the keyword of the sequence that it stands in, and the SOP class.

        Where several options name the attribute, moved dates are moved, and else what one
        option keeps is kept.
        """
        chosen = {row.options[name] for name in self.retain | self.clean if name in row.options}
        if vr in _DATES and "modified-dates" in self.retain and "modified-dates" in row.options:
            return "C"
        for action in ("K", "C"):
            if action in chosen:
                return action
        if "/" not in row.basic:
            return row.basic
        return settle(row.basic, type_of(*where))
