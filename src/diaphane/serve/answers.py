"""What a C-STORE is answered with: the one table that the code and the conformance page use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A status of PS3.4 B.2.3 or PS3.7 annex C, and why it is given.

    Attributes
    ----------
    status:
        16 bits.
    code:
        For logs and the audit.
    meaning:
        In words, for the conformance statement and, cut to 64 characters, for the peer.
    """

    status: int
    code: str
    meaning: str

    @property
    def stored(self) -> bool:
        """Whether the object is on the disk."""
        return self.status == 0


STORED = Answer(0x0000, "stored", "The object is on the disk")
AGAIN = Answer(0x0000, "duplicate", "The same object with the same bytes is on the disk already")
OTHER_BYTES = Answer(0x0111, "other_bytes", "Another object is kept under this SOP Instance UID")
NO_ROOM = Answer(0xA700, "disk_full", "The disk is too full or cannot be written")
TOO_LARGE = Answer(0xA701, "too_large", "The object is larger than is allowed")
MISMATCH = Answer(0xA900, "mismatch", "Class or instance in the data set differ from the command")
UNREADABLE = Answer(0xC000, "unreadable", "SOP class, instance or study UID missing or malformed")
UNKNOWN = Answer(0x0211, "unrecognised", "The operation is not offered")

ANSWERS = (STORED, AGAIN, OTHER_BYTES, NO_ROOM, TOO_LARGE, MISMATCH, UNREADABLE, UNKNOWN)
