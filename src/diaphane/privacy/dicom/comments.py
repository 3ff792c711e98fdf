"""Comments inside compressed pixel data: blanked where they stand, the picture untouched.

Encoders write comments and application segments (EXIF) into JPEG, JPEG-LS, JPEG XL and JPEG 2000
codestreams; what stands there is no attribute of DICOM, and no table removes it.

Source: ISO/IEC 10918-1 B.1, 14495-1 C.1 and 15444-1 A.2 (markers), 15444-1 I.4 (boxes); DICOM
PS3.5 A.4 (fragments).
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _J2K = b"\xff\xd8", b"\xff\x4f\xff\x51"
_BOXES = (b"\x00\x00\x00\x0cjP  ", b"\x00\x00\x00\x0cJXL ")
# By marker: what says how colours are coded, and how long that is.
_KEPT = {
    0xE0: ((b"JFIF\0", 14),),
    0xE8: ((b"SPIFF\0", 30), (b"mrfx", 5)),
    0xEE: ((b"Adobe", 12),),
}
_PICTURE = (
    *(b"jP  ", b"ftyp", b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef"),
    *(b"JXL ", b"jxlc", b"jxlp", b"jxll", b"jxli", b"jbrd"),
)
# Not a stuffed byte (JPEG: 00; JPEG-LS: less than 80) and no restart.
_AFTER_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


def without_comments(pixels: bytes) -> bytes:
    """Encapsulated pixel data with blanks in place of its comments; lengths stay.

    A table of offsets that are none is emptied. What follows the end of a picture becomes zeros.
    What cannot be parsed is returned as it is, from there on.
    """
    data = bytearray(pixels)
    items = []
    at = 0
    while data[at : at + 4] == _ITEM and at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        items.append((at + 8, min(at + 8 + length, len(data))))
        at += 8 + length
    firsts = [n for n, (start, _) in enumerate(items) if _begins(data, start)]
    for first, after in pairwise([*firsts, len(items)]):
        places = items[first:after]
        stream = bytearray().join(data[start:stop] for start, stop in places)
        _blank(stream)
        for start, stop in places:
            data[start:stop] = stream[: stop - start]
            del stream[: stop - start]
    if len(items) > 1 and 0 not in firsts and not _are_offsets(data, items):
        data[4 : items[0][1]] = b"\0\0\0\0"
    return bytes(data)


def _begins(data: bytearray, at: int) -> bool:
    head = bytes(data[at : at + 8])
    return head.startswith((_JPEG, _J2K)) or head in _BOXES


def _are_offsets(data: bytearray, items: list[tuple[int, int]]) -> bool:
    """Whether the first item is a table of where frames begin, or empty."""
    start, stop = items[0]
    count, rest = divmod(stop - start, 4)
    told = struct.unpack_from(f"<{count}I", data, start)
    return not rest and set(told) <= {begin - 8 - stop for begin, _ in items[1:]}


def _blank(stream: bytearray) -> None:
    """Blank the comments of one picture."""
    if stream[:2] == _JPEG:
        _blank_jpeg(stream)
    elif stream[:4] == _J2K:
        _blank_jpeg2000(stream, 0, len(stream))
    else:
        _blank_boxes(stream, 0, len(stream))


def _blank_jpeg(data: bytearray) -> None:
    at = 2
    while at + 4 <= len(data) or data[at : at + 2] == b"\xff\xd9":
        marker = data[at + 1]
        if data[at] != 0xFF:
            return
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xD9:
            data[at + 2 :] = bytes(len(data) - at - 2)
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        first, at = at + 4, at + 2 + length
        if length < 2 or at > len(data):
            return
        if 0xE0 <= marker <= 0xEF:
            for name, size in _KEPT.get(marker, ()):
                if data[first : first + len(name)] == name:
                    first += size
        if (marker == 0xFE or 0xE0 <= marker <= 0xEF) and at > first:
            data[first:at] = b" " * (at - first)
        if marker == 0xDA:
            after = _AFTER_SCAN.search(data, at)
            if after is None:
                return
            at = after.start()


def _blank_jpeg2000(data: bytearray, start: int, end: int) -> None:
    """Comments in the main header and in those of the tile-parts."""
    at, tile, part = start + 2, 0, 0
    while at + 4 <= end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == 0x90:
            tile = at
            (part,) = struct.unpack_from(">I", data, at + 6) if at + 10 <= end else (0,)
        elif marker == 0x93:  # the picture's data, up to the next tile-part
            if part < at + 2 - tile:
                return
            at = tile + part
            continue
        if length < 2 or at + 2 + length > end:
            return
        if marker == 0x64 and length > 4:
            data[at + 6 : at + 2 + length] = b" " * (length - 4)
        at += 2 + length
    if data[at : at + 2] == b"\xff\xd9":
        data[at + 2 : end] = bytes(end - at - 2)


def _blank_boxes(data: bytearray, at: int, end: int) -> None:
    """Boxes that are no part of the picture become zeros."""
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        first = at + 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, first)
            first += 8
        stop = end if length == 0 else at + length
        if stop <= at or stop > end or first > stop:
            return
        if kind == b"jp2h":
            _blank_boxes(data, first, stop)
        elif kind == b"jp2c":
            _blank_jpeg2000(data, first, stop)
        elif kind not in _PICTURE:
            data[first:stop] = bytes(stop - first)
        at = stop
