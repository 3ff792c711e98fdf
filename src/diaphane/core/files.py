"""Write beside, then rename: an output is whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diaphane.core.errors import OutputError

# EDQUOT is missing on Windows.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it becomes ``path`` only on success.

    Works for a file or a folder that the block creates at the yielded path. A file that is
    already there is replaced in one step; a folder is swapped, the old one removed after.

    Raises
    ------
    OutputError
        When the disk is full or the place cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    # The last part of the name is kept: writers choose their format by it.
    beside = room / target.name
    try:
        yield beside
        if beside.is_dir() and target.is_dir():
            old = room / ".old"
            target.rename(old)
            try:
                beside.rename(target)
            except OSError:
                old.rename(target)
                raise
        else:
            beside.replace(target)
    except OSError as error:
        # The block may also read; only what concerns this output is an output error.
        full = error.errno in _FULL
        if not full and not str(error.filename or "").startswith(str(target.parent)):
            raise
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(
            "The disk is full.", path=path, remedy="Free some space; nothing half-written is left."
        )
    reason = error.strerror or str(error)
    return OutputError(f"Cannot be written: {reason}.", path=path)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file in one step, with Unix line ends."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: str | Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file in one step.

    With ``durable`` the bytes are on the disk before the name points to them, so that even a loss
    of power leaves the old file or the new one.
    """
    with replacing(path) as beside, beside.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if durable and os.name == "posix":
        folder = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
