"""Files that wait for an object: their names are on the disk before the object comes.

To keep a new file through a loss of power takes two synchronisations, of the file and of the
folder that names it, and each costs as much as all else together. So empty files are made ahead,
many to one synchronisation of their folder; an object that comes in fills one, and a single
synchronisation of that file makes it safe. Its first 128 bytes, which DICOM leaves to the
application (PS3.10 7.1), say how long it is and its CRC-32: after a kill a whole object is told
from a torn one.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

PREAMBLE = 128
_MARK = struct.Struct("<8sQI")
_NAME = b"diaphane"
_BLOCK = 2**20


def synchronise(folder: Path) -> None:
    """Have a folder's names on the disk (systems without folder handles do it themselves)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Slot:
    """One file to fill."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._parts: list[bytes | memoryview] = []
        self._held = self._size = self._crc = 0
        os.lseek(handle, PREAMBLE, os.SEEK_SET)

    def write(self, part: bytes | memoryview) -> None:
        """Add bytes after the preamble."""
        self._parts.append(part)
        self._held += len(part)
        if self._held >= _BLOCK:
            self._flush()

    def head(self, start: int, length: int) -> bytes:
        """At most ``length`` bytes of what was written, from ``start`` on."""
        if self._size == 0:
            return b"".join(self._parts)[start : start + length]
        self._flush()
        kept = os.lseek(self._handle, 0, os.SEEK_CUR)
        os.lseek(self._handle, PREAMBLE + start, os.SEEK_SET)
        found = os.read(self._handle, length)
        os.lseek(self._handle, kept, os.SEEK_SET)
        return found

    def keep(self) -> None:
        """Have all of it on the disk, marked as whole; nothing can be added after."""
        self._flush()
        os.lseek(self._handle, 0, os.SEEK_SET)
        _write(self._handle, _MARK.pack(_NAME, self._size, self._crc).ljust(PREAMBLE, b"\0"))
        os.fsync(self._handle)
        self._close()

    def drop(self) -> None:
        """Leave nothing."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        _write(self._handle, data)

    def _close(self) -> None:
        self._parts.clear()
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = -1


class Slots:
    """The files that wait in one folder, made again as they are used up.

    Parameters
    ----------
    folder:
        Nobody else writes there.
    ready:
        How many are made at a time.
    """

    def __init__(self, folder: Path, ready: int = 64) -> None:
        self._folder, self._ready = folder, ready
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._free: list[Slot] = []
        taken = [int(path.stem) for path in folder.glob("*.slot")]
        self._number = max(taken, default=0)

    def take(self) -> Slot:
        """A file to fill.

        Raises
        ------
        OSError
            None can be made.
        """
        with self._lock:
            slot = self._free.pop() if self._free else None
            few = len(self._free) < self._ready // 2
        if slot is None:
            self._make(1)
            return self.take()
        if few and not self._making.locked():
            threading.Thread(target=self._fill, daemon=True).start()
        return slot

    def left(self) -> Iterator[tuple[Path, bool]]:
        """Files that an earlier process left, and whether each holds a whole object."""
        for path in sorted(self._folder.glob("*.slot")):
            yield path, _is_whole(path)

    def _fill(self) -> None:
        with self._making, contextlib.suppress(OSError):  # take() meets it again, and tells
            self._make(self._ready)

    def _make(self, count: int) -> None:
        with self._lock:
            first = self._number + 1
            self._number += count
        made = []
        for number in range(first, first + count):
            path = self._folder / f"{number}.slot"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            made.append(Slot(path, os.open(path, flags, 0o600)))
        synchronise(self._folder)
        with self._lock:
            self._free += made


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        mark = file.read(PREAMBLE)
        if len(mark) < PREAMBLE:
            return False
        name, size, crc = _MARK.unpack_from(mark)
        if name != _NAME or path.stat().st_size != PREAMBLE + size:
            return False
        found = 0
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
        return bool(found == crc)
