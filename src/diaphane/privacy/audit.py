"""The audit chain: who did what to which study, when; append-only, each entry sealed to the last.

A file of one JSON object a line. An entry holds the hash of the entry before it, and its own:
HMAC-SHA256 under a key derived from the installation's, over its other fields in canonical JSON.
Who has not got the key can neither change, drop, insert nor reorder entries unseen; that the tail
was cut off shows against a sealed count beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
        Codes and numbers: ``{"files": 12, "profile": "basic"}``.
    """

    action: str
    study: str = ""
    detail: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found: how many entries hold, and each fault in words."""

    entries: int
    faults: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether nothing was changed, dropped, inserted, reordered or cut off."""
        return not self.faults


class AuditChain:
    """One chain in one file, safe for several processes at once.

    Parameters
    ----------
    path:
        The file; ``None`` for ``audit.jsonl`` in the installation's private folder.
    key:
        32 secret bytes; ``None`` for the installation's.
    """

    def __init__(self, path: Path | None = None, key: bytes | None = None) -> None:
        raise NotImplementedError

    def append(self, event: Event) -> None:
        """Add an entry with time (UTC) and the operating system's user; on disk on return."""
        raise NotImplementedError

    def verify(self) -> Verdict:
        """Read the whole chain again and say what does not hold."""
        raise NotImplementedError
