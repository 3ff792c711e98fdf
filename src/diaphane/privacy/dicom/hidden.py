"""What hides in pixel data beside the picture: overlays, bytes after its end, comments."""

from __future__ import annotations

from typing import Any

import numpy as np

from diaphane.core.errors import PrivacyError
from diaphane.privacy.dicom.comments import without_comments
from diaphane.privacy.dicom.content import holds
from diaphane.privacy.dicom.words import Identifiers

# Of MPEG-2, MPEG-4 and HEVC, in whose streams and containers no comment is looked for.
_FILMS = "1.2.840.10008.1.2.4.10"
# A name of this length stands by chance in no compressed data.
_LONG = 7


def clear_hidden(data: Any, who: Identifiers) -> bool:
    """Take out of an object's PixelData what no viewer shows as its picture; whether any was.

    Overlays in unused bits (retired; PS3.5 8.1.2 of 2004) go with their attributes, so this
    comes before those are removed. Bytes after the last frame are cut off, comments of
    compressed pictures blanked.

    Raises
    ------
    PrivacyError
        For an overlay in compressed pixels, and for a film that holds an identifier as text.
    """
    before = data.get("PixelData")
    if not isinstance(before, bytes):
        return False
    bits = _overlay_bits(data)
    if not data.file_meta.TransferSyntaxUID.is_encapsulated:
        value = _without_bits(data, _cut(data, before), bits)
    elif bits:
        raise PrivacyError(
            "An overlay lies in unused bits of compressed pixels.",
            remedy="Decompress the file first, for example with dcmdjpeg or gdcmconv --raw.",
        )
    else:
        value = without_comments(before)
        if data.file_meta.TransferSyntaxUID.startswith(_FILMS) and holds(value, who, _LONG):
            raise PrivacyError(
                "The film holds a name or number as text.",
                remedy="Encode it anew without comments, or leave the file behind.",
            )
    if value == before:
        return False
    data["PixelData"].value = value
    return True


def _cut(data: Any, pixels: bytes) -> bytes:
    """Native pixels without what follows the last frame."""
    try:
        shape = [int(data[key].value) for key in ("Rows", "Columns", "BitsAllocated")]
        shape += [int(data.get("SamplesPerPixel") or 1), int(data.get("NumberOfFrames") or 1)]
    except (KeyError, TypeError, ValueError):
        return pixels  # no picture
    size = -(-int(np.prod(shape, dtype=object)) // 8)
    if not size or len(pixels) <= size:
        return pixels
    return pixels[:size] + b"\0" * (size % 2)


def _overlay_bits(data: Any) -> int:
    """Mask of the bits of PixelData outside of the stored ones that are said to be overlays."""
    mask = 0
    stored = int(data.get("BitsStored") or 0)
    high = int(data.get("HighBit") or 0)
    for group in range(0x6000, 0x6100, 2):
        position = data.get((group, 0x0102))
        if position is None or (group, 0x3000) in data or not stored:
            continue
        bit = int(position.value or 0)
        if not high - stored < bit <= high:
            mask |= 1 << bit
    return mask


def _without_bits(data: Any, pixels: bytes, mask: int) -> bytes:
    allocated = int(data.get("BitsAllocated") or 0)
    if not mask or allocated not in (8, 16, 32):
        return pixels
    order = "<" if data.file_meta.TransferSyntaxUID.is_little_endian else ">"
    whole = len(pixels) - len(pixels) % (allocated // 8)
    words = np.frombuffer(pixels[:whole], f"{order}u{allocated // 8}")
    kept = words & words.dtype.type(~mask & (1 << allocated) - 1)
    cleared: bytes = kept.astype(words.dtype).tobytes()
    return cleared + pixels[whole:]
