"""Zip archives as input: unpacked, within limits, to a private folder that goes away by itself."""

from __future__ import annotations

import math
import shutil
import stat
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from diaphane.acquire.bounds import count_no_more, count_packed, require_proportion
from diaphane.core.errors import EmptyInput, InputError, OverLimit, UnreadableFile
from diaphane.core.options import Limits

SUFFIX = ".zip"
_KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # of bounded memory
_CHUNK = 2**20
_ENCRYPTED = 0x1
_LEFT_OUT = ("__MACOSX",)


class Unpacked:
    """The folder that an archive was unpacked to.

    It is removed when nothing refers to this object any more, at the latest when the program
    ends: whatever reads from the folder later holds it.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.folder = Path(tempfile.mkdtemp(prefix="diaphane-"))
        self.packed: dict[str, int] = {}
        self._finalizer = weakref.finalize(self, _remove, self.folder, self.packed)

    def shown(self, path: str | Path) -> str:
        """``path`` as a person knows it: inside the archive, not in the folder."""
        inner = Path(path)
        if not inner.is_relative_to(self.folder):
            return str(path)
        return str(self.archive / inner.relative_to(self.folder))

    def renamed(self, error: InputError) -> InputError:
        """The error with its path :meth:`shown`."""
        if error.path is not None:
            inside = Path(error.path).is_relative_to(self.folder)
            error.path = self.shown(error.path)
            if inside and isinstance(error, OverLimit):
                error.remedy = "If you trust it, unpack the archive by hand, and read the folder."
        return error

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Errors raised inside name the file in the archive."""
        try:
            yield
        except InputError as error:
            self.renamed(error)
            raise


def _remove(folder: Path, packed: Mapping[str, int]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    count_no_more(packed)


def is_archive(path: Path) -> bool:
    """Whether the path is a zip archive by its name."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def unpack(path: Path, limits: Limits) -> Unpacked:
    """All files of the zip archive at ``path``, less the Mac's shadow files.

    Raises
    ------
    OverLimit
        More files, or more unpacked bytes in all or against the packed ones, than ``limits``
        allow; judged by what is declared first, and by what really comes out.
    UnreadableFile
        When it is damaged or encrypted, or holds links or names that lead out of the folder.
    EmptyInput
        When there is nothing in it.
    """
    room = Unpacked(path)
    try:
        with zipfile.ZipFile(path) as archive:
            items = [item for item in archive.infolist() if not item.is_dir()]
            _require_within(path, items, limits)
            left = limits.archive_bytes
            for item in items:
                name = _safe_name(path, item)
                if name.parts[0] in _LEFT_OUT:
                    continue
                target = room.folder.joinpath(*name.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                written = _write(archive, item, target, left)
                left -= written
                # Less than its share of the archive's bounds, and a blank image would be refused.
                least = math.ceil(written / limits.archive_ratio)
                room.packed[str(target)] = max(item.compress_size, least)
            count_packed(room.packed)
    except InputError:
        raise
    except FileExistsError as error:
        raise UnreadableFile("The archive names one file twice.", path=path) from error
    except OSError as error:
        raise UnreadableFile(
            f"The archive cannot be unpacked: {error.strerror or error}.",
            path=path,
            remedy="Make room where TMPDIR points to.",
        ) from error
    except Exception as error:  # zipfile raises whatever a damaged archive makes it meet
        raise UnreadableFile(
            f"The archive is damaged ({type(error).__name__}).",
            path=path,
            remedy="Copy or pack it again.",
        ) from error
    return room


def _require_within(path: Path, items: list[zipfile.ZipInfo], limits: Limits) -> None:
    if not items:
        raise EmptyInput("The archive holds no files.", path=path)
    if len(items) > limits.archive_files:
        raise OverLimit(
            f"The archive holds {len(items)} files; at most {limits.archive_files} are unpacked.",
            path=path,
        )
    total = sum(item.file_size for item in items)
    if total > limits.archive_bytes:
        raise _too_large(path, limits)
    require_proportion(path, total, path.stat().st_size, limits)


def _too_large(path: Path, limits: Limits) -> OverLimit:
    return OverLimit(
        f"The archive unpacks to more than {limits.archive_bytes} bytes.",
        path=path,
        remedy="Unpack it by hand, if you trust it.",
    )


def _safe_name(path: Path, item: zipfile.ZipInfo) -> PurePosixPath:
    """The entry's name inside the folder; control characters become ``_``."""
    text = "".join(c if c.isprintable() else "_" for c in item.filename.replace("\\", "/"))
    name = PurePosixPath(text)
    kind = stat.S_IFMT(item.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or ":" in text[:2] or not name.parts:
        raise UnreadableFile(
            "The archive holds a name that leads out of it.",
            path=path,
            remedy="Do not trust this file; nothing was unpacked outside a private folder.",
        )
    if kind not in (0, stat.S_IFREG):
        raise UnreadableFile(
            "The archive holds links or devices.",
            path=path,
            remedy="Pack the files themselves.",
        )
    if item.flag_bits & _ENCRYPTED:
        raise UnreadableFile("The archive is encrypted.", path=path, remedy="Unpack it by hand.")
    if item.compress_type not in _KNOWN:
        raise UnreadableFile(
            f"The archive is packed in a way that is not read ({item.compress_type}).",
            path=path,
            remedy="Pack it again as an ordinary zip.",
        )
    return name


def _write(archive: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Unpack one file; its number of bytes, which may not exceed what it declares or ``left``."""
    written = 0
    with archive.open(item) as source, target.open("xb") as out:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > min(item.file_size, left):
                raise zipfile.BadZipFile("longer than declared")
            out.write(chunk)
    return written
