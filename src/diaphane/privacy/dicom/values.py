"""Replacement values: other UIDs, moved dates, codes of persons, and dummies valid for their VR."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any

from diaphane.privacy.dicom.table import data_lines
from diaphane.privacy.pseudonyms import Pseudonymiser

_UID = re.compile(r"^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+$")
_DAY = re.compile(r"^(\d{4})(\d{2})(\d{2})")
_DATE = re.compile(r"^(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})$")
MAXIMAL_SHIFT = 3650

# PS3.5 section 6.2: each is valid for its VR.
_DUMMY: dict[str, Any] = {
    "AE": "REMOVED", "AS": "000D", "AT": 0, "CS": "REMOVED", "DA": "19000101", "DS": "0",
    "DT": "19000101000000", "FD": 0.0, "FL": 0.0, "IS": "0", "LO": "REMOVED", "LT": "REMOVED",
    "OB": b"\0\0", "OD": b"\0" * 8, "OF": b"\0" * 4, "OL": b"\0" * 4, "OV": b"\0" * 8,
    "OW": b"\0\0", "PN": "REMOVED", "SH": "REMOVED", "SL": 0, "SS": 0, "ST": "REMOVED", "SV": 0,
    "TM": "000000", "UC": "REMOVED", "UI": "2.25.0", "UL": 0, "UN": b"\0\0", "UR": "urn:removed",
    "US": 0, "UT": "REMOVED", "UV": 0,
}  # fmt: skip
TEXT = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
"""VRs of free text."""


def dummy(vr: str) -> Any:
    """A value without meaning that is valid for ``vr``."""
    return _DUMMY[vr]


def moved_date(value: str, days: int) -> str | None:
    """A DA or DT value moved by days, its time of day and offset kept; ``None`` if it is no date.

    A DT of less precision than a day cannot be moved by days and gives ``None``.
    """
    text = value.strip()
    match = _DATE.match(text) or _DAY.match(text)
    if match is None:
        return None
    try:
        day = dt.date(*map(int, match.groups())) + dt.timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    rest = text[match.end() :]
    if rest and not re.fullmatch(r"[\d.]*(?:[+\-]\d{4})?", rest):
        return None
    return f"{day.year:04}{day.month:02}{day.day:02}{rest}"


@functools.cache
def registered_uids() -> frozenset[str]:
    """UIDs that PS3.6 registers: classes, transfer syntaxes, frames of reference, codes."""
    from pydicom.uid import UID_dictionary

    return frozenset(UID_dictionary) | _CODING_SCHEMES


# PS3.16 section 8.1: what CodingSchemeUID (0008,010C) holds.
_CODING_SCHEMES = frozenset(
    {
        "2.16.840.1.113883.6.96", "2.16.840.1.113883.6.1", "2.16.840.1.113883.6.8",
        "2.16.840.1.113883.6.3", "2.16.840.1.113883.6.90", "2.16.840.1.113883.6.256",
        "2.16.840.1.113883.6.119", "2.16.840.1.113883.3.26.1.1", "2.16.840.1.113883.6.5",
    }
)  # fmt: skip


def is_registered(uid: str) -> bool:
    """Whether a UID names a thing of the standard, and no instance."""
    return uid in registered_uids()


@functools.cache
def _standard_terms() -> frozenset[str]:
    return frozenset(word for line in data_lines("standard-terms.txt") for word in line.split(";"))


def is_standard_term(text: str) -> bool:
    """Whether a code string is one that the standard itself defines: it tells nobody."""
    return text in _standard_terms()


def is_valid_uid(uid: str) -> bool:
    """Whether a text is formed as a UID is (PS3.5 section 9)."""
    return len(uid) <= 64 and _UID.match(uid) is not None


@dataclass(frozen=True)
class Secret:
    """What follows from the installation's key: the same for the same input, in every run.

    Attributes
    ----------
    key:
        32 secret bytes.
    """

    key: bytes = field(repr=False)

    def _digest(self, kind: str, text: str) -> bytes:
        message = f"{kind}\0{text}".encode("utf-8", "surrogateescape")
        return hmac.new(self.key, message, hashlib.sha256).digest()

    def uid(self, original: str) -> str:
        """The UID that stands for ``original``: 2.25 and a keyed 128-bit number (PS3.5 B.2)."""
        return f"2.25.{int.from_bytes(self._digest('uid', original)[:16], 'big')}"

    def days(self, patient: str) -> int:
        """By how many days the dates of a patient move: 1 to 3650, into the past."""
        number = int.from_bytes(self._digest("days", patient)[:8], "big")
        return -1 - number % MAXIMAL_SHIFT

    def order(self, patient: str) -> bytes:
        """Sorts patients in an order that tells nothing about them."""
        return self._digest("order", patient)

    def title(self, original: str) -> str:
        """An application entity title that stands for another."""
        return f"AE_{self._digest('title', original).hex()[:13].upper()}"

    def code(self, text: str, kind: str = "patient") -> str:
        """The installation's pseudonym."""
        return Pseudonymiser(self.key).pseudonym(text, kind)
