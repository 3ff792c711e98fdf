"""One process at a time: a lock that dies with its holder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import O_CREAT, O_RDWR, close
from os import open as open_descriptor
from pathlib import Path

from diaphane.core.errors import OutputError

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: str | Path, seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock file ``path`` (made with mode 0600, and left there) while the block runs.

    Excludes other processes and other threads. The operating system lets go when the holder
    ends, however it ends: ``flock`` where there is one, a locked byte (``msvcrt.locking``) on
    Windows.

    Raises
    ------
    OutputError
        The file cannot be made, or another process has held it for ``seconds``.
    """
    place = Path(path)
    try:
        descriptor = open_descriptor(place, O_RDWR | O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(f"Cannot be locked: {error.strerror or error}.", path=place) from error
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                _take(descriptor)
                break
            except OSError as error:
                if time.monotonic() > until:
                    raise OutputError(
                        f"Another process has held this lock for {seconds:.0f} s.",
                        path=place,
                        remedy="Look whether a diaphane process hangs, and end it.",
                    ) from error
                time.sleep(0.002)
        yield
    finally:
        close(descriptor)
