"""The secret key of this installation.

Pseudonyms are only as good as the secrecy of their key: who has it can test a guessed patient
number. It lies in ``DIAPHANE_HOME`` or ``~/.diaphane`` as ``pseudonym.key`` (64 hex digits).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from pathlib import Path

from diaphane.core.errors import OutputError, PrivacyError

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32


def home_folder() -> Path:
    """Folder of this installation's private files: ``DIAPHANE_HOME``, else ``~/.diaphane``."""
    named = os.environ.get("DIAPHANE_HOME")
    return Path(named) if named else Path.home() / ".diaphane"


def load_key(folder: Path | None = None) -> bytes:
    """The key (32 bytes) in ``folder``, made at first use.

    A new key is written beside, with mode 0600 from its first byte, then linked into place, so
    that of two processes that start together both get the same key. Where there are no hard
    links (some network and FAT drives) it is created exclusively under its own name instead.
    On Windows, which has no POSIX modes, the file inherits the access list of the user's
    profile folder.

    Raises
    ------
    PrivacyError
        When the key file is damaged.
    OutputError
        When it cannot be made.
    """
    path = (folder or home_folder()) / KEY_FILE
    if not path.exists():
        try:
            _create(path)
        except OSError as error:
            raise OutputError(
                f"The key of the pseudonyms cannot be made: {error.strerror or error}.",
                path=path,
                remedy="Set DIAPHANE_HOME to a folder that you can write to.",
            ) from error
    key = _read(path)
    if os.name == "posix":
        with contextlib.suppress(OSError):
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                path.chmod(0o600)
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = secrets.token_hex(KEY_BYTES).encode("ascii") + b"\n"
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_new(beside, text)
    try:
        os.link(beside, path)
    except FileExistsError:
        return  # another process was first; its key counts
    except OSError:
        with contextlib.suppress(FileExistsError):
            _write_new(path, text)
    finally:
        beside.unlink(missing_ok=True)


def _write_new(path: Path, text: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _read(path: Path) -> bytes:
    for wait in (0.0, 0.05, 0.2):  # another process may be writing it where links do not exist
        time.sleep(wait)
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (ValueError, OSError):
            continue
        if len(key) == KEY_BYTES:
            return key
    raise PrivacyError(
        "The key of the pseudonyms is damaged.",
        path=path,
        remedy="Restore it from a backup, or remove it to start with new pseudonyms.",
    )
