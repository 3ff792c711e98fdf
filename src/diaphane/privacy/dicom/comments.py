"""Comments inside compressed pixel data: blanked where they stand, the picture untouched.

Encoders write comments and application segments (EXIF) into JPEG, JPEG-LS and JPEG 2000
codestreams; what stands there is no attribute of DICOM, and no table removes it.

Source: ISO/IEC 10918-1 B.1 and 15444-1 A.2 (markers); DICOM PS3.5 A.4 (fragments).
"""

from __future__ import annotations

import struct

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _J2K, _BOXES = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "
# JFIF, SPIFF and Adobe say how colours are coded.
_KEPT = (b"JFIF\0", b"SPIFF\0", b"Adobe", b"mrfx")


def without_comments(pixels: bytes) -> bytes:
    """Encapsulated pixel data with blanks in place of its comments; lengths stay.

    What cannot be parsed is returned as it is, from there on.
    """
    data = bytearray(pixels)
    at = 0
    while data[at : at + 4] == _ITEM and at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        start, at = at + 8, at + 8 + length
        if data[start : start + 2] == _JPEG:
            _blank(data, start + 2, min(at, len(data)), jpeg2000=False)
        elif data[start : start + 4] == _J2K:
            _blank(data, start + 2, min(at, len(data)), jpeg2000=True)
        elif data[start : start + 8] == _BOXES:
            found = data.find(_J2K, start, at)
            if found > 0:
                _blank(data, found + 2, min(at, len(data)), jpeg2000=True)
    return bytes(data)


def _blank(data: bytearray, at: int, end: int, *, jpeg2000: bool) -> None:
    """Blank the segments of one codestream's header."""
    while at + 4 <= end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in ((0x90, 0x93) if jpeg2000 else (0xDA, 0xD9)):
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        first, last = at + 4, at + 2 + length
        if length < 2 or last > end:
            return
        if jpeg2000:
            comment, first = marker == 0x64, first + 2  # after the kind of comment
        else:
            comment = marker == 0xFE or (
                0xE0 <= marker <= 0xEF and not bytes(data[first : first + 6]).startswith(_KEPT)
            )
        if comment and last > first:
            data[first:last] = b" " * (last - first)
        at = last
