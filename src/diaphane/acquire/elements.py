"""The top level of a DICOM file, without its pixels, as raw bytes.

pydicom reads everything there is and takes 2 ms a header; a series has hundreds. This walker
reads the two little-endian encodings in a tenth of that and keeps only the elements asked for.
Whatever is unusual (big endian, deflated, damaged, unknown VR) goes to pydicom instead.

Source: DICOM PS3.5 section 7 (data element structure), PS3.10 section 7 (file meta).
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.parsing import (
    Deadline,
    damaged,
    dicom_stream,
    parsed,
    require_shallow,
    too_deep,
    too_long,
)
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import UnreadableFile
from diaphane.core.options import Limits

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
NATIVE_LITTLE = frozenset({IMPLICIT, EXPLICIT})
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})
BIG_ENDIAN = "1.2.840.10008.1.2.2"

MEDIA_CLASS = 0x00020002
CHARSET = 0x00080005
PIXEL_DATA = 0x7FE00010
FLOAT_PIXELS = 0x7FE00008
DOUBLE_PIXELS = 0x7FE00009

SUFFIXES = (".dcm", ".ima")

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VR = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN"}) | {
    b"UR",
    b"UT",
    b"UV",
}
_SHORT_VR = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT"}
) | {b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
_FIRST_READ = 16 * 1024
_LONGEST = 64 * 1024  # bytes of one text or number; the longest that its VR allows
_WORD = "A text or number"
_TAG = struct.Struct("<HH")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Elements:
    """What the top level of a file holds.

    Attributes
    ----------
    syntax:
        Transfer syntax UID.
    values:
        Raw value by tag, of the tags asked for; sequences as ``b""`` (present).
    pixel_tag, pixel_offset, pixel_length:
        The element of pixels: tag (0 where there is none), where its value begins in the
        file, and its length in bytes; -1 where unknown (encapsulated or deflated).
    file_size:
        In bytes.
    """

    syntax: str
    values: dict[int, bytes]
    pixel_tag: int
    pixel_offset: int
    pixel_length: int
    file_size: int


class _Unusual(Exception):
    """Not for the walker."""


class _Short(Exception):
    """The buffer ends before the header does."""


class _Deep(Exception):
    """Sequences inside sequences beyond the limit."""


class _Long(Exception):
    """An element beyond any that is allowed; its arguments are those of :func:`too_long`."""


def looks_like_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does: ``DICM`` after 128 bytes, or a bare data set."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return path.suffix.lower() in SUFFIXES
    if start[128:132] == b"DICM":
        return True
    if path.suffix.lower() in SUFFIXES:
        return True  # named so, but damaged: to be refused, not overlooked
    # Old files without preamble begin with group 0002 or 0008, with small elements.
    if len(start) < 16 or start[1] or start[0] not in (0x02, 0x08) or start[3]:
        return False
    vr = start[4:6]
    return vr in _SHORT_VR or vr in _LONG_VR or _U32.unpack_from(start, 4)[0] < 256


def read_elements(path: Path, wanted: Collection[int], limits: Limits = LIMITS) -> Elements:
    """Header of the DICOM file at ``path``.

    Raises
    ------
    UnreadableFile
        When it is damaged, ends too early, or is no DICOM file.
    OverLimit
        When it is nested too deeply, an element is longer than its kind may be, parsing takes too
        long, or a deflated data set would grow out of proportion.
    """
    try:
        size = path.stat().st_size
        if size == 0:
            raise UnreadableFile("The file is empty.", path=path)
        deadline = Deadline(path, limits)
        with path.open("rb") as stream:
            amount = _FIRST_READ
            while True:
                stream.seek(0)
                buffer = stream.read(amount)
                try:
                    return _walk_file(buffer, frozenset(wanted), size, limits, deadline)
                except _Short:
                    if amount >= size:
                        raise _Unusual from None
                    amount *= 8
    except OSError as error:
        raise UnreadableFile(f"Cannot be opened: {error.strerror or error}.", path=path) from error
    except (_Unusual, struct.error):
        return _read_with_pydicom(path, wanted, size, limits, deadline)
    except _Deep as error:
        raise too_deep(path, limits) from error
    except _Long as error:
        raise too_long(path, *error.args) from error


def _walk_file(
    buffer: bytes, wanted: frozenset[int], size: int, limits: Limits, deadline: Deadline
) -> Elements:
    if buffer[128:132] != b"DICM":
        raise _Unusual
    meta: dict[int, bytes] = {}
    at = 132
    while buffer[at : at + 2] == b"\x02\x00":
        tag, start, length = _explicit(buffer, at)
        if length == _UNDEFINED:
            raise _Unusual
        meta[tag] = buffer[start : start + length]
        at = start + length
    syntax = meta.get(0x00020010, b"").decode("latin-1").strip("\0 ")
    if not syntax or syntax == BIG_ENDIAN or syntax in DEFLATED:
        raise _Unusual
    values = {tag: value for tag, value in meta.items() if tag in wanted}
    read = _implicit if syntax == IMPLICIT else _explicit
    total, last = len(buffer), 0
    while True:
        deadline.step()
        if at + 12 > total:
            if total == size and at == size:
                return Elements(syntax, values, 0, -1, -1, size)
            raise _Short
        tag, start, length = read(buffer, at)
        if tag <= last:
            raise _Unusual
        last = tag
        if tag in (PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS):
            return Elements(
                syntax, values, tag, start, -1 if length == _UNDEFINED else length, size
            )
        if length == _UNDEFINED:
            at = _skip_sequence(buffer, start, read, limits.depth, deadline)
            if tag in wanted:
                values[tag] = b""
            continue
        at = start + length
        if limits.element_bytes < length < size:
            raise _Long(limits.element_bytes)
        if at > total:
            raise _Short
        if tag not in wanted:
            continue
        if length <= _LONGEST:
            values[tag] = buffer[start:at]
        elif read is _implicit or buffer[start - 8 : start - 6] in (b"SQ", b"UN", b"OW", b"OB"):
            values[tag] = b""
        else:
            raise _Long(_LONGEST, _WORD)


def _explicit(buffer: bytes, at: int) -> tuple[int, int, int]:
    group, element = _TAG.unpack_from(buffer, at)
    tag = group << 16 | element
    if group == 0xFFFE:
        return tag, at + 8, _U32.unpack_from(buffer, at + 4)[0]
    vr = buffer[at + 4 : at + 6]
    if vr in _SHORT_VR:
        return tag, at + 8, _U16.unpack_from(buffer, at + 6)[0]
    if vr in _LONG_VR:
        length = _U32.unpack_from(buffer, at + 8)[0]
        if vr == b"UN" and length == _UNDEFINED:
            raise _Unusual
        return tag, at + 12, length
    raise _Unusual


def _implicit(buffer: bytes, at: int) -> tuple[int, int, int]:
    group, element = _TAG.unpack_from(buffer, at)
    return group << 16 | element, at + 8, _U32.unpack_from(buffer, at + 4)[0]


def _skip_sequence(buffer: bytes, at: int, read: Any, depth: int, deadline: Deadline) -> int:
    """Index just after a sequence of undefined length that begins at ``at``."""
    depth_end = [_SEQUENCE_END]
    total = len(buffer)
    while depth_end:
        deadline.step()
        if at + 8 > total:
            raise _Short
        tag, start, length = read(buffer, at)
        if tag == depth_end[-1]:
            depth_end.pop()
            at = start
        elif length != _UNDEFINED:
            at = start + length
        else:
            depth_end.append(_ITEM_END if tag == _ITEM else _SEQUENCE_END)
            at = start
        if len(depth_end) > 2 * depth:  # sequences, and their items
            raise _Deep
    return at


def _read_with_pydicom(
    path: Path, wanted: Collection[int], size: int, limits: Limits, deadline: Deadline
) -> Elements:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with quiet(), dicom_stream(path, limits, deadline=deadline) as stream:
            data = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            require_shallow(data, path, limits)
            end = stream.tell()
            values = {tag: _raw(data, tag) for tag in wanted if tag in data}
            values |= {t: _raw(data.file_meta, t) for t in wanted if t in data.file_meta}
            if CHARSET in values:
                values[CHARSET] = b"ISO_IR 192"  # as texts are now
            syntax = str(data.file_meta.get("TransferSyntaxUID", "") or "")
            if not syntax:
                syntax = IMPLICIT if data.original_encoding[0] else EXPLICIT
            pixel = (0, -1, -1)
            if syntax in DEFLATED:
                pixel = _deflated_pixels(path, limits)
            else:
                stream.seek(end)
                pixel = _pixel_element(stream.read(12), end, syntax)
    except (InvalidDicomError, OSError) as error:
        raise UnreadableFile("This is not a readable DICOM file.", path=path) from error
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(path, error) from error
    if any(len(value) > _LONGEST for value in values.values()):
        raise too_long(path, _LONGEST, _WORD)
    if values.get(MEDIA_CLASS) is None and 0x00080016 not in values and 0x00080060 not in values:
        raise UnreadableFile("This is not a DICOM image file, or it is cut short.", path=path)
    return Elements(syntax, values, *pixel, size)


def _pixel_element(start: bytes, at: int, syntax: str) -> tuple[int, int, int]:
    if len(start) < 8:
        return 0, -1, -1
    order = ">" if syntax == BIG_ENDIAN else "<"
    group, element = struct.unpack_from(order + "HH", start)
    tag = group << 16 | element
    if tag not in (PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS):
        return 0, -1, -1
    # As it is written, whatever the file declares: as lengths, which are even, these are none.
    long_form = start[4:6] in _LONG_VR and len(start) == 12
    offset = 12 if long_form else 8
    length = struct.unpack_from(order + "I", start, offset - 4)[0]
    return tag, at + offset, -1 if length == _UNDEFINED else length


def _deflated_pixels(path: Path, limits: Limits) -> tuple[int, int, int]:
    data = parsed(path, pixels=True, limits=limits)
    for tag in (PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS):
        if tag in data:
            return tag, -1, len(data[tag].value)
    return 0, -1, -1


def _raw(data: Any, tag: int) -> bytes:
    element = data[tag]
    if element.VR == "SQ" or element.value is None:
        return b""
    values = element.value if element.VM > 1 else [element.value]
    if element.VR in ("US", "SS"):
        return b"".join(_U16.pack(int(v) & 0xFFFF) for v in values)
    if element.VR in ("FD", "FL"):
        form = "<d" if element.VR == "FD" else "<f"
        return b"".join(struct.pack(form, float(v)) for v in values)
    if isinstance(element.value, bytes):
        return element.value
    return "\\".join(str(v) for v in values).encode("utf-8")
