"""DICOM files through pydicom, within the limits of reading.

pydicom believes what a file declares: it asks for memory of any declared length, and inflates a
deflated data set whatever comes of it. Here no more is read than the file has, and what would grow
out of proportion is refused before it does.

Source: DICOM PS3.10 section 7 (file meta), PS3.5 A.5 (deflated transfer syntax).
"""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from diaphane.acquire.bounds import LIMITS, parsing_seconds, require_proportion, stored_bytes
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import InputError, OverLimit, UnreadableFile
from diaphane.core.options import Limits

DEFLATED = "1.2.840.10008.1.2.1.99"

_LONG_FORM = frozenset({b"OB", b"OW", b"UN", b"UT", b"SQ", b"UC", b"UR"})
_CHUNK = 2**20
_META_BYTES = 64 * 1024
_SMALL = 64 * 2**20  # pydicom holds what it inflates twice
_STEPS = 64  # between looks at the clock


def parsed(
    path: Path,
    *,
    pixels: bool = False,
    tags: Collection[str | int] | None = None,
    limits: Limits = LIMITS,
) -> Any:
    """The data set of a DICOM file, as pydicom gives it.

    Parameters
    ----------
    path:
        The file.
    pixels:
        Whether to read them as well.
    tags:
        Keywords or tags to read; ``None`` for all.

    Raises
    ------
    UnreadableFile
        When the file is damaged.
    OverLimit
        When it is nested too deeply, an element is too long, it takes too long to parse, or would
        grow out of proportion.
    """
    import pydicom

    try:
        with quiet(), dicom_stream(path, limits, pixels=pixels) as stream:
            data = pydicom.dcmread(
                stream,
                stop_before_pixels=not pixels,
                force=True,
                specific_tags=None if tags is None else list(tags),  # type: ignore[arg-type]
            )
        require_shallow(data, path, limits)
        return data
    except InputError:
        raise
    except RecursionError as error:
        raise too_deep(path, limits) from error
    except OSError as error:
        reason = error.strerror or "damaged"
        raise UnreadableFile(f"Cannot be read: {reason}.", path=path) from error
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception, what: str = "DICOM header is") -> InputError:
    """The refusal for whatever pydicom met in a damaged file; refusals of ours stay."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, RecursionError):
        return too_deep(path)
    return UnreadableFile(f"The {what} damaged ({type(error).__name__}).", path=path)


def require_shallow(data: Any, path: Path, limits: Limits) -> None:
    """Refuse sequences inside sequences beyond the limit, of those that pydicom has parsed.

    The others, of stated length, it parses a level at a time when they are asked for.

    Raises
    ------
    OverLimit
        Beyond ``limits.depth``.
    """
    level = [data]
    for _ in range(limits.depth + 1):
        level = [
            item
            for one in level
            for element in one.values()
            if element.VR == "SQ" and not isinstance(element.value, bytes | None)
            for item in element.value
        ]
        if not level:
            return
    raise too_deep(path, limits)


def too_deep(path: Path, limits: Limits = LIMITS) -> OverLimit:
    """Sequences inside sequences beyond the limit."""
    return OverLimit(
        f"Sequences are nested more than {limits.depth} deep.",
        path=path,
        remedy="The file is damaged, or made to do harm; export it again.",
    )


def too_long(path: Path, most: int, what: str = "An element") -> OverLimit:
    """An element beyond what its kind may hold."""
    return OverLimit(
        f"{what} of the header is longer than {most} bytes.",
        path=path,
        remedy="The file is damaged, or made to do harm; export it again.",
    )


class Deadline:
    """Processor time that the header of a file may take."""

    def __init__(self, path: Path, limits: Limits = LIMITS) -> None:
        self._path = path
        self._until = time.thread_time() + parsing_seconds(stored_bytes(path), limits)
        self._steps = 0

    def step(self) -> None:
        """Raise :class:`OverLimit` when it is over."""
        self._steps += 1
        if self._steps % _STEPS == 0 and time.thread_time() > self._until:
            raise OverLimit(
                "Its header takes too long to read.",
                path=self._path,
                remedy="The file is damaged, or made to do harm; export it again.",
            )


class _Bounded(io.BufferedReader):
    """A file that is never asked for more than it has, nor than the limits allow."""

    def __init__(self, path: Path, limits: Limits, deadline: Deadline, *, pixels: bool) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self._size = os.fstat(self.fileno()).st_size
        self._longest = self._size if pixels else limits.element_bytes
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        self._deadline.step()
        if size is not None and size > _CHUNK:
            if size > self._longest and self._longest < self._size:
                raise too_long(self._path, self._longest)
            size = min(size, max(0, self._size - self.tell()))
        return super().read(size)


def dicom_stream(
    path: Path,
    limits: Limits = LIMITS,
    *,
    pixels: bool = False,
    deadline: Deadline | None = None,
) -> io.BufferedReader:
    """The file, open for pydicom.

    Reading it raises :class:`OverLimit` where an element (with ``pixels``, any but the longest
    that fits) is longer than the limits allow, or after the deadline (by default its own).

    Raises
    ------
    OverLimit
        When its deflated data set would grow out of proportion.
    UnreadableFile
        When that is damaged.
    OSError
        When it cannot be opened.
    """
    stream = _Bounded(path, limits, deadline or Deadline(path, limits), pixels=pixels)
    try:
        meta, at = file_meta(stream.read(_META_BYTES))
        if _syntax(meta) == DEFLATED:
            for _ in inflated(path, at, limits):
                pass
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream


def file_meta(start: bytes) -> tuple[dict[int, bytes], int]:
    """Elements of group 0002 by tag, and where the data set begins; none without ``DICM``."""
    meta: dict[int, bytes] = {}
    at = 132
    if start[128:132] != b"DICM":
        return meta, 0
    while start[at : at + 2] == b"\x02\x00" and at + 12 <= len(start):
        tag = 0x00020000 | int(struct.unpack_from("<H", start, at + 2)[0])
        if start[at + 4 : at + 6] in _LONG_FORM:
            first, length = at + 12, struct.unpack_from("<I", start, at + 8)[0]
        else:
            first, length = at + 8, struct.unpack_from("<H", start, at + 6)[0]
        meta[tag] = start[first : first + length]
        at = first + length
    return meta, at


def _syntax(meta: dict[int, bytes]) -> str:
    return meta.get(0x00020010, b"").decode("latin-1").strip("\0 ")


def inflated(path: Path, at: int, limits: Limits = LIMITS) -> Iterator[bytes]:
    """The deflated data set that begins at byte ``at``, in parts of at most 1 MiB.

    Raises
    ------
    UnreadableFile
        When it is damaged or cut short.
    OverLimit
        When it grows out of proportion.
    """
    stored = stored_bytes(path)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    with path.open("rb") as stream:
        stream.seek(at)
        try:
            while not inflater.eof:
                data = inflater.unconsumed_tail or stream.read(_CHUNK)
                part = inflater.decompress(data, _CHUNK)
                if not part and not data:
                    raise UnreadableFile("The file is cut short.", path=path)
                total += len(part)
                require_proportion(path, total, stored, limits, small=_SMALL)
                yield part
        except zlib.error as error:
            raise UnreadableFile("The deflated data set is damaged.", path=path) from error
