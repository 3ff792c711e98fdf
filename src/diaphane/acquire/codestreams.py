"""The size that a compressed frame itself declares, read before a codec is trusted with it.

Some native codecs end the process when the DICOM header and the frame disagree.

Sources: JPEG (ITU-T T.81 B.2.2), JPEG-LS (T.87 C.2.2) and JPEG 2000 (T.800 A.5.1) headers.
"""

from __future__ import annotations

import struct

_START = b"\xff\xd8"
_J2K_START = b"\xff\x4f\xff\x51"
_SIZE_MARKERS = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xDA)})


def declared_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 frame; ``None`` where it tells none."""
    at = frame.find(_J2K_START, 0, 256)
    if at >= 0 and not frame.startswith(_START):
        return _j2k_size(frame, at)
    if not frame.startswith(_START):
        return None
    at, total = 2, len(frame)
    while at + 9 <= total and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker in _SIZE_MARKERS:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return int(rows), int(columns)
        else:
            at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def _j2k_size(frame: bytes, at: int) -> tuple[int, int] | None:
    if at + 24 > len(frame):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, at + 8)
    return int(bottom - top), int(right - left)
