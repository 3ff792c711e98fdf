"""Arrays of all cases, in memory up to a bound and beyond it in files that the memory maps."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import OutputError

Array = NDArray[Any]
_CHUNK = 256 << 20
_ALIGNED = 64


class Cache:
    """Keeps arrays; one copy for all threads.

    Arrays beyond the bound lie in files under ``folder``, which hold voxels of prepared cases and
    nothing else, and go with :meth:`close`. They are read through the system's file cache, which
    gives memory back when others need it.

    Parameters
    ----------
    folder:
        For the files; made when needed. Without one everything stays in memory.
    most:
        Bytes that may stay in memory; :func:`memory_bound` by default.
    """

    def __init__(self, folder: Path | None = None, most: int | None = None) -> None:
        self.folder = folder
        self.most = memory_bound() if most is None else most
        self.held = 0
        self.mapped = 0
        self._lock = threading.Lock()
        self._chunk: Array | None = None
        self._used = 0
        self._count = 0
        self.close()

    def keep(self, array: Array) -> Array:
        """The same array, or one that reads the same from a file."""
        with self._lock:
            if self.folder is None or self.held + array.nbytes <= self.most:
                self.held += array.nbytes
                return array
            room = self._room(array.nbytes)
        kept = room.view(array.dtype).reshape(array.shape)
        kept[...] = array
        kept.flags.writeable = False
        return kept

    def close(self) -> None:
        """Remove the files; arrays already handed out stay readable while they are held."""
        self._chunk = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _room(self, size: int) -> Array:
        """Bytes ``(size,)`` of a mapped file."""
        assert self.folder is not None
        if self._chunk is None or self._used + size > self._chunk.size:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"cases-{self._count:04d}.bin"
            self._chunk = np.asarray(_mapped(path, max(_CHUNK, size)))
            self._used, self._count = 0, self._count + 1
        room = self._chunk[self._used : self._used + size]
        self._used += -(-size // _ALIGNED) * _ALIGNED
        self.mapped += size
        return room


def _mapped(path: Path, size: int) -> Array:
    """A new file in memory, its room on the disk taken first: a full disk is an error, no signal.

    Raises
    ------
    OutputError
        The disk is full.
    """
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        raise OutputError(
            f"No room for the prepared cases: {error.strerror}.",
            path=path.parent,
            remedy="Free some space, or let the run lie on a larger disk.",
        ) from error
    return np.memmap(path, np.uint8, "r+", shape=(size,))


def memory_bound() -> int:
    """Bytes of cases that may stay in memory: a quarter of it, 4 GiB at most."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no POSIX system
        total = 4 << 30
    return min(4 << 30, total // 4)
