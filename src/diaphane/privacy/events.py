"""What the audit chain records: events of codes, numbers and pseudonyms, and nothing else."""

from __future__ import annotations

import getpass
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from diaphane.core.case import Identity
from diaphane.core.errors import PrivacyError
from diaphane.privacy.plain import patient_group
from diaphane.privacy.pseudonyms import Pseudonymiser

if sys.platform != "win32":
    import pwd

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_STUDY = re.compile(r"([A-Z]-[0-9a-f]{16})?")
_WORD = re.compile(r"[A-Za-z0-9 ._:@+,-]{0,200}")
_UID = re.compile(r"[0-9]+(\.[0-9]+){4,}")


@dataclass(frozen=True)
class Event:
    """What is recorded.

    Attributes
    ----------
    action:
        Code: "deidentify", "reidentify", "receive", "send", "analyze", "delete", ...
    study:
        Keyed pseudonym of the study or patient; never an original identifier.
    detail:
        Codes and numbers: ``{"files": 12, "profile": "basic"}``. Text is of letters, digits,
        spaces and ``._:@+,-``, and no UID: an entry outlives the study that it is about.
    """

    action: str
    study: str = ""
    detail: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """An event as it stands in the chain.

    Attributes
    ----------
    number:
        Counts from 1.
    time:
        UTC, ISO 8601 with microseconds.
    user:
        Login name of the operating system.
    before, hash:
        Of the entry before it (empty for the first), and its own: 64 hex digits.
    """

    number: int
    time: str
    user: str
    event: Event
    before: str
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found.

    Attributes
    ----------
    entries:
        How many entries hold.
    faults:
        Each fault in words.
    notes:
        What is no fault but worth knowing: the trace of a crash.
    head:
        Hash of the last entry; empty without one.
    """

    entries: int
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    head: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing was changed, dropped, inserted, reordered or cut off."""
        return not self.faults


def study_pseudonym(identity: Identity, pseudonymiser: Pseudonymiser) -> str:
    """What the chain calls the study: a pseudonym of its UID, else of the patient, else ""."""
    if identity.study_uid:
        return pseudonymiser.pseudonym(identity.study_uid, "study")
    return patient_group(identity, pseudonymiser)


def require_codes(event: Event) -> None:
    """Refuse an event that could tell who the patient is.

    Raises
    ------
    PrivacyError
        It holds more than codes, numbers and pseudonyms.
    """
    words = [value for value in event.detail.values() if isinstance(value, str)]
    numbers = [value for value in event.detail.values() if not isinstance(value, str)]
    if not (
        all(_CODE.fullmatch(name) for name in (event.action, *event.detail))
        and _STUDY.fullmatch(event.study)
        and all(_WORD.fullmatch(word) and not _UID.fullmatch(word) for word in words)
        and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
    ):
        raise PrivacyError("The audit chain takes codes, numbers and pseudonyms only.")


def login_name() -> str:
    """Login name of whom the process runs as; the number where there is no name."""
    if sys.platform == "win32":
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
