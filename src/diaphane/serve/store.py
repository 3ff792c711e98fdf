"""What was received, on the disk: acknowledged once it is there, handed on whole and once.

::

    OUT/partial/N.slot              files that wait for an object or are being filled
    OUT/incoming/STUDY/OBJECT.dcm   acknowledged, the study not yet quiet
    OUT/studies/STUDY/OBJECT.dcm    handed on: the same folder, renamed
    OUT/studies/STUDY_2/...         what came for the study after that

An object fills a file whose name is on the disk already, the file is synchronised, and then
renamed into its study and acknowledged. Should a loss of power undo the rename, a start finds the
object whole in its slot and renames it again. Handing on synchronises the study's folder and is
one rename. So every acknowledged object has one place at every moment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from diaphane.serve.answers import (
    AGAIN,
    MISMATCH,
    NO_ROOM,
    OTHER_BYTES,
    STORED,
    TOO_LARGE,
    UNREADABLE,
    Answer,
)
from diaphane.serve.heads import HEAD_BYTES, is_uid, read_head
from diaphane.serve.slots import PREAMBLE, Slot, Slots, synchronise

Announce = Callable[[str, str], Callable[[], None]]
_CHECK_EVERY = 16 * 2**20
_BUFFER = 2**20
_META = PREAMBLE + 4  # of preamble and prefix, before the file meta information


@dataclass(frozen=True)
class Room:
    """Limits of the store, in bytes: of one object, and of what stays free on the disk."""

    object_bytes: int = 4 * 2**30
    free_bytes: int = 2**30


@dataclass(frozen=True)
class Sent:
    """What the sender says of an object before its data set."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    sender: str


@dataclass
class _Study:
    folders: tuple[Path, ...]
    last: float
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Store:
    """The folders of one receiver; safe for its threads, and only one process may have it.

    Parameters
    ----------
    folder:
        ``OUT``; made with mode 0700.
    room:
        Limits.
    """

    def __init__(self, folder: Path, room: Room) -> None:
        self.incoming, self.studies = folder / "incoming", folder / "studies"
        self._partial = folder / "partial"
        self.room = room
        self._lock = threading.Lock()
        self._known: dict[str, _Study] = {}
        for place in (self._partial, self.incoming, self.studies):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        synchronise(folder)
        self._slots = Slots(self._partial)
        for path, whole in self._slots.left():
            if whole:
                self._place_again(path)
            else:
                path.unlink()
        for place in self.incoming.iterdir():
            with contextlib.suppress(OSError):
                place.rmdir()  # a kill came between making it and its first object
            if place.is_dir():
                self._study(place.name)

    # -- coming in ---------------------------------------------------------------------------

    def begin(self, sent: Sent) -> Arrival | Answer:
        """Make ready for an object, or say why it is not taken."""
        if not (is_uid(sent.sop_class) and is_uid(sent.sop_instance)):
            return UNREADABLE
        if not self.has_room(0):
            return NO_ROOM
        try:
            return Arrival(self, sent, self._slots.take())
        except OSError:
            return NO_ROOM

    def has_room(self, more: int) -> bool:
        """Whether so many bytes more leave the disk as free as is wanted."""
        return shutil.disk_usage(self._partial).free - more >= self.room.free_bytes

    def take(self, path: Path, study: str, instance: str) -> Answer:
        """Give a synchronised file its place, or remove it where it is not wanted."""
        with self._entered(study) as known:
            target = self.incoming / study / f"{instance}.dcm"
            with known.lock:
                there = _existing((target.parent, *known.folders), target.name)
                if there is not None:
                    answer = AGAIN if _same_data(there, path) else OTHER_BYTES
                    path.unlink()
                else:
                    target.parent.mkdir(mode=0o700, exist_ok=True)
                    path.rename(target)
                    answer = STORED
            return answer

    def _place_again(self, path: Path) -> None:
        """Take a whole object from the slot where a kill left it."""
        with path.open("rb") as file:
            syntax = _syntax(file).rstrip(b"\0").decode("ascii")
            head = read_head(file.read(HEAD_BYTES), syntax)
        if head is None:  # it was on its way to being refused
            path.unlink()
        else:
            self.take(path, head.study, head.sop_instance)

    def keep_awake(self, study: str) -> None:
        """Note that more of a study is coming."""
        with self._lock:
            if study in self._known:
                self._known[study].last = time.monotonic()

    # -- handing on --------------------------------------------------------------------------

    def hand_on(self, quiet: float, announce: Announce) -> list[Path]:
        """Move every study without news for ``quiet`` seconds to its place under ``studies``.

        Parameters
        ----------
        quiet:
            Seconds; a start counts as news.
        announce:
            Told the study's UID and the folder's name just before the move; what it returns
            is called just after.
        """
        moved = []
        with self._lock:
            for uid, study in list(self._known.items()):
                if study.under_way or time.monotonic() - study.last < quiet:
                    continue
                del self._known[uid]
                source = self.incoming / uid
                if not source.is_dir():
                    continue
                target = self._free_name(uid)
                try:
                    synchronise(source)
                    made = announce(uid, target.name)
                    source.rename(target)
                except OSError:
                    self._study(uid)  # tried again when it has been quiet for as long again
                    raise
                made()
                moved.append(target)
        if moved:
            synchronise(self.studies)
            synchronise(self.incoming)
        return moved

    def find(self, instances: set[str]) -> dict[str, Path]:
        """Where objects lie, newest studies first; those that are not here are left out."""
        found: dict[str, Path] = {}
        folders = [*self.incoming.iterdir(), *self.studies.iterdir()]
        for folder in sorted(folders, key=_changed, reverse=True):
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    instance = entry.name.removesuffix(".dcm")
                    if instance in instances and instance not in found:
                        found[instance] = Path(entry.path)
            if len(found) == len(instances):
                break
        return found

    def parts(self, uid: str) -> tuple[Path, ...]:
        """Folders under ``studies`` that hold a study, in the order in which they were made."""
        if not self.studies.is_dir():
            return ()
        names = {e.name for e in os.scandir(self.studies) if e.name.partition("_")[0] == uid}
        return tuple(self.studies / name for name in sorted(names, key=lambda n: (len(n), n)))

    def _free_name(self, uid: str) -> Path:
        parts = self.parts(uid)
        last = int(parts[-1].name.partition("_")[2] or 1) if parts else 0
        return self.studies / (f"{uid}_{last + 1}" if last else uid)

    @contextlib.contextmanager
    def _entered(self, uid: str) -> Iterator[_Study]:
        with self._lock:
            study = self._study(uid)
            study.under_way += 1
        try:
            yield study
        finally:
            with self._lock:
                study.under_way -= 1
                study.last = time.monotonic()

    def _study(self, uid: str) -> _Study:
        if uid not in self._known:
            self._known[uid] = _Study(self.parts(uid), time.monotonic())
        return self._known[uid]


class Arrival:
    """One object on its way in."""

    def __init__(self, store: Store, sent: Sent, slot: Slot) -> None:
        self._store, self._sent, self._slot = store, sent, slot
        self._size = self._checked = 0
        self._failed: Answer | None = None
        self.study = ""
        meta = file_meta(sent)
        self._offset = len(meta)
        slot.write(meta)

    def write(self, part: bytes | memoryview) -> None:
        """Take the next bytes of the data set."""
        if self._failed is not None:
            return
        self._size += len(part)
        if self._size > self._store.room.object_bytes:
            self._fail(TOO_LARGE)
            return
        try:
            if self._size - self._checked > _CHECK_EVERY:
                self._checked = self._size
                if not self._store.has_room(0):
                    self._fail(NO_ROOM)
                    return
            self._slot.write(part)
        except OSError:
            self._fail(NO_ROOM)

    def finish(self) -> Answer:
        """The data set is whole: put it where it belongs and say how it is to be answered."""
        if self._failed is not None:
            return self._failed
        try:
            start = self._slot.head(self._offset, HEAD_BYTES)
            head = read_head(start, self._sent.transfer_syntax)
            if head is None:
                return self._fail(UNREADABLE)
            told = (self._sent.sop_class, self._sent.sop_instance)
            if (head.sop_class, head.sop_instance) != told:
                return self._fail(MISMATCH)
            self._slot.keep()
            self.study = head.study
            return self._store.take(self._slot.path, head.study, head.sop_instance)
        except OSError:
            return self._fail(NO_ROOM)

    def drop(self) -> None:
        """The sender broke off: leave nothing."""
        self._slot.drop()

    def _fail(self, answer: Answer) -> Answer:
        self._failed = answer
        self._slot.drop()
        return answer


def file_meta(sent: Sent) -> bytes:
    """Prefix and file meta information of a received object (PS3.10 7.1), explicit VR."""
    from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

    fields = (
        (0x0002, b"UI", sent.sop_class, b"\0"),
        (0x0003, b"UI", sent.sop_instance, b"\0"),
        (0x0010, b"UI", sent.transfer_syntax, b"\0"),
        (0x0012, b"UI", PYNETDICOM_IMPLEMENTATION_UID, b"\0"),
        (0x0013, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION, b" "),
        (0x0016, b"AE", sent.sender, b" "),
    )
    body = struct.pack("<HH2sxxI", 2, 1, b"OB", 2) + b"\0\1"
    for element, kind, text, pad in fields:
        value = text.encode("ascii")
        value += pad * (len(value) % 2)
        body += struct.pack("<HH2sH", 2, element, kind, len(value)) + value
    return b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _existing(folders: tuple[Path, ...], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def _same_data(one: Path, other: Path) -> bool:
    """Whether two received files hold the same data set in the same transfer syntax."""
    with one.open("rb") as first, other.open("rb") as second:
        try:
            if _syntax(first) != _syntax(second):
                return False
        except ValueError:  # somebody has put a file of their own there
            return False
        while True:
            left, right = first.read(_BUFFER), second.read(_BUFFER)
            if left != right:
                return False
            if not left:
                return True


def _syntax(file: BinaryIO) -> bytes:
    """Transfer syntax of a file that :func:`file_meta` heads; the file then stands at its data."""
    file.seek(_META + 8)
    body = file.read(int.from_bytes(file.read(4), "little"))
    at = body.index(b"\x02\x00\x10\x00UI") + 6
    return body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "little")]


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
