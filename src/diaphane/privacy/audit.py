"""The audit chain: who did what to which study, when; append-only, each entry sealed to the last.

A file of one JSON object a line. An entry holds the hash of the entry before it, and its own:
HMAC-SHA256 under a key derived from the installation's, over its other fields in canonical JSON.
Who has not got the key can neither change, drop, insert nor reorder entries unseen; that the tail
was cut off shows against a sealed count beside it (``audit.jsonl.seal``).

An entry reaches the disk before the count that covers it. So after a crash there is at most one
entry, whole or torn, beyond the count: that is told from tampering, and the next append takes a
whole one in and drops a torn one, whose append had not returned. Who can put back older copies
of both files, or has the key, is not detected by the files alone: note the head (number and
hash) elsewhere from time to time, and have it looked for.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from diaphane.core.errors import EmptyInput, OutputError, PrivacyError
from diaphane.core.locks import locked
from diaphane.privacy.events import Entry, Event, Verdict, login_name, require_codes
from diaphane.privacy.keys import home_folder, load_key

CHAIN_FILE = "audit.jsonl"

_BEGINNING = b'{"action":"'


class _Count(NamedTuple):
    """What the seal vouches for: so many entries, the last one's hash, their bytes."""

    entries: int
    head: str
    size: int


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
        self.path = path or home_folder() / CHAIN_FILE
        self._seal = self.path.with_name(f"{self.path.name}.seal")
        self._lock = self.path.with_name(f"{self.path.name}.lock")
        secret = load_key() if key is None else key
        self._key = hmac.new(secret, b"diaphane audit chain 1", hashlib.sha256).digest()

    def append(self, event: Event) -> None:
        """Add an entry with time (UTC) and the operating system's user; on disk on return.

        Raises
        ------
        PrivacyError
            The event holds more than codes, numbers and pseudonyms; or the end of the chain
            does not hold: what shows tampering is never written over.
        OutputError
            The files cannot be written.
        """
        require_codes(event)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self._lock), _private(self.path) as file:
                entries, head, size = self._resume(file)
                fields = {
                    "n": entries + 1,
                    "time": datetime.now(UTC).isoformat(timespec="microseconds"),
                    "user": login_name(),
                    "action": event.action,
                    "study": event.study,
                    "detail": dict(event.detail),
                    "before": head,
                }
                own, line = self._signed(fields)
                file.seek(size)
                _write(file, line)
                self._write_seal(_Count(entries + 1, own, size + len(line)))
        except OSError as error:
            raise OutputError(
                f"The audit chain cannot be written: {error.strerror or error}.",
                path=self.path,
                remedy="Set DIAPHANE_HOME to a folder that you can write to.",
            ) from error

    def _resume(self, file: FileIO) -> _Count:
        """Where the chain ends, once what a crash left beyond the sealed count is settled."""
        count = self._read_seal() or _Count(0, "", 0)
        size = file.seek(0, os.SEEK_END)
        if size == count.size:
            return count
        file.seek(count.size)
        *whole, torn = file.read().split(b"\n")
        if size > count.size and not whole and _is_torn(torn):
            file.truncate(count.size)
            return count
        entry = self._parse(whole[0] + b"\n") if len(whole) == 1 and not torn else None
        if entry is None or not _follows(entry, count):
            raise PrivacyError(
                "The end of the audit chain does not hold, so nothing is added to it.",
                path=self.path,
                remedy="Look with: diaphane audit verify. Keep the file and its .seal as evidence;"
                " when both are moved away, a new chain begins.",
            )
        count = _Count(entry.number, entry.hash, count.size + len(whole[0]) + 1)
        self._write_seal(count)
        return count

    def entries(self) -> Iterator[tuple[Entry | None, str]]:
        """Each line of the chain as an entry (``None`` where it is none), and its fault or "".

        Raises
        ------
        EmptyInput
            There is no chain.
        OutputError
            It cannot be read.
        """
        with self._readable():
            for entry, fault, torn in self._walk():
                if not torn:
                    yield entry, fault

    def verify(self, head: str = "") -> Verdict:
        """Read the whole chain again and say what does not hold.

        Parameters
        ----------
        head:
            Hash of an entry that was noted elsewhere and must be among them.

        Raises
        ------
        EmptyInput
            There is neither a chain nor its seal.
        OutputError
            They cannot be read.
        """
        faults: list[str] = []
        good, signed, lines = 0, 0, 0
        last, rest, found = _Count(0, "", 0), b"", not head
        before = ""
        # A copy in a place without its lock file stands still anyway.
        lock = locked(self._lock) if os.access(self._lock, os.W_OK) else nullcontext()
        with self._readable(), lock:
            for entry, fault, torn in self._walk():
                rest = torn
                lines += not torn
                good += entry is not None and not fault
                faults += [fault] if fault else []
                if entry is not None:
                    signed += 1
                    last, before = _Count(entry.number, entry.hash, 0), entry.before
                    found = found or entry.hash == head
            notes = self._against_seal(last, before, rest, faults)
        if lines and not signed:
            faults = ["No line was signed with the key of this installation."]
        if not found:
            faults.append("The noted head is not in the chain: an older copy was put back.")
        return Verdict(good, tuple(faults), tuple(notes), last.head)

    def _against_seal(self, last: _Count, before: str, torn: bytes, faults: list[str]) -> list[str]:
        """Add what the sealed count shows to ``faults``; what a crash explains is returned."""
        try:
            seal = self._read_seal()
        except PrivacyError as error:
            faults.append(error.problem)
            return []
        sealed = seal or _Count(0, "", 0)
        notes = []
        settled = last[:2] == sealed[:2]
        if settled and torn and _is_torn(torn):
            notes.append("An entry at the end is unfinished: its writer was stopped.")
        elif torn:
            faults.append("The last line is cut short.")
        if last.entries < sealed.entries:
            faults.append(
                f"The end is cut off: {sealed.entries} entries are sealed,"
                f" the last one here is number {last.entries}."
            )
        elif (last.entries, before) == (sealed.entries + 1, sealed.head):
            notes.append("The last entry is not counted yet: its writer was stopped.")
        elif seal is None and last.entries:
            faults.append("The sealed count is missing.")
        elif last.entries > sealed.entries:
            faults.append(
                f"The sealed count is an old one: it counts {sealed.entries} entries,"
                f" the last one here is number {last.entries}."
            )
        elif not settled:
            faults.append("The last entry is not the one that was sealed.")
        return notes

    def _walk(self) -> Iterator[tuple[Entry | None, str, bytes]]:
        """Each line: the entry, its fault, and the bytes of a last line without an end."""
        number, head, sure = 0, "", True
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for place, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    yield None, "", line
                    return
                entry = self._parse(line)
                if entry is None:
                    sure = False
                    yield None, f"Line {place} was changed or put in.", b""
                    continue
                fault = ""
                if entry.number <= number:
                    fault = f"Line {place}: entry {entry.number} stands after entry {number}."
                elif sure and entry.number > number + 1:
                    fault = f"Line {place}: {entry.number - number - 1} entries are missing here."
                elif sure and entry.before != head:
                    fault = f"Line {place}: entry {entry.number} does not follow the one before."
                number, head, sure = entry.number, entry.hash, True
                yield entry, fault, b""

    @contextmanager
    def _readable(self) -> Iterator[None]:
        if not self.path.exists() and not self._seal.exists():
            raise EmptyInput("There is no audit chain.", path=self.path)
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"The audit chain cannot be read: {error.strerror or error}.", path=self.path
            ) from error

    def _signed(self, fields: Mapping[str, Any]) -> tuple[str, bytes]:
        """The hash of the fields, and the line that holds them and it."""
        own = hmac.new(self._key, _canonical(fields), hashlib.sha256).hexdigest()
        return own, _canonical({**fields, "hash": own}) + b"\n"

    def _checked(self, line: bytes) -> dict[str, Any] | None:
        """The fields of a line that this key signed, hash included, else ``None``."""
        try:
            fields = json.loads(line)
            own = fields.pop("hash")
            return {**fields, "hash": own} if self._signed(fields) == (own, line) else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _parse(self, line: bytes) -> Entry | None:
        fields = self._checked(line)
        if fields is None or "n" not in fields:
            return None
        event = Event(fields["action"], fields["study"], fields["detail"])
        return Entry(
            fields["n"], fields["time"], fields["user"], event, fields["before"], fields["hash"]
        )

    def _read_seal(self) -> _Count | None:
        try:
            fields = self._checked(self._seal.read_bytes())
        except FileNotFoundError:
            return None
        if fields is None or "entries" not in fields:
            raise PrivacyError("The sealed count of the audit chain was changed.", path=self._seal)
        return _Count(fields["entries"], fields["head"], fields["size"])

    def _write_seal(self, count: _Count) -> None:
        beside = self._seal.with_name(f"{self._seal.name}.new")
        with _private(beside) as file:
            file.truncate(0)
            _write(file, self._signed(count._asdict())[1])
        beside.replace(self._seal)
        if os.name == "posix":
            folder = os.open(self._seal.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _private(path: Path) -> FileIO:
    """``path`` for reading and writing without a buffer, made if need be, for its owner only."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    if os.name == "posix":
        os.fchmod(descriptor, 0o600)
    return FileIO(descriptor, "r+")


def _write(file: FileIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode(
        "ascii"
    )


def _follows(entry: Entry, count: _Count) -> bool:
    return (entry.number, entry.before) == (count.entries + 1, count.head)


def _is_torn(rest: bytes) -> bool:
    """Whether this can be the beginning of an entry (a lost block reads as zeros)."""
    begun = rest.rstrip(b"\0")[: len(_BEGINNING)]
    return _BEGINNING.startswith(begun)
