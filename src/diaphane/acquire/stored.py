"""What stored values mean: the bits they take, their direction, and the tables that map them.

Source: DICOM PS3.5 8.1.1 (stored bits), PS3.3 C.11.1 (Modality LUT) and C.11.2 (VOI LUT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.headers import Header
from diaphane.core.errors import UnreadableFile

_PHYSICAL = frozenset({"CT", "PT", "NM"})
_X_RAY_FILMS = ("1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2")


def is_inverted(header: Header) -> bool:
    """Whether stored values are turned round so that larger is brighter."""
    return header.photometric == "MONOCHROME1" and header.modality not in _PHYSICAL


def stored_range(header: Header) -> tuple[int, int]:
    """Smallest and largest stored value that the header allows."""
    if header.signed:
        return -(1 << (header.bits_stored - 1)), (1 << (header.bits_stored - 1)) - 1
    return 0, (1 << header.bits_stored) - 1


def high_bit(header: Header) -> int:
    """Place of the highest stored bit; next to the lowest where the file states none that fits."""
    lowest = header.bits_stored - 1
    return header.high_bit if lowest <= header.high_bit < header.bits_allocated else lowest


def stored_bits(words: NDArray[Any], header: Header) -> NDArray[Any]:
    """Stored values out of whole words, in place: old overlays lie in the bits beside them."""
    spare = header.bits_allocated - header.bits_stored
    if spare:
        words <<= header.bits_allocated - 1 - high_bit(header)
        words >>= spare  # with the sign, where the type has one
    return words


def unpacked(packed: NDArray[np.uint8], index: int, header: Header) -> NDArray[np.uint8]:
    """A frame ``(y, x)`` of pixels of one bit, whose frames follow each other without a gap."""
    size = header.rows * header.columns
    start = index * size
    whole = packed[start // 8 : (start + size + 7) // 8]
    bits = np.unpackbits(whole, bitorder="little")[start % 8 :]
    return bits[:size].reshape(header.rows, header.columns)


@dataclass(frozen=True)
class Table:
    """Output values ``(n,)`` of the inputs ``first`` to ``first + n - 1``; ends go on outside.

    ``bits`` is the depth that the file states for the output.
    """

    first: int
    values: NDArray[np.int32]
    bits: int

    def apply(self, stored: NDArray[Any]) -> NDArray[np.int32]:
        """The outputs of ``stored`` values of any shape."""
        at = np.clip(stored.astype(np.int64) - self.first, 0, len(self.values) - 1)
        return self.values[at]


def uses_modality_lut(header: Header) -> bool:
    """Whether the Modality LUT gives the values.

    In films of angiography and fluoroscopy it leads back to the detector's intensity and is
    not for the image (DICOM PS3.3 C.8.7.1.1.2).
    """
    return header.has_modality_lut and header.sop_class not in _X_RAY_FILMS


def read_table(item: Any, header: Header) -> Table:
    """The table in an item of a LUT sequence.

    Raises
    ------
    UnreadableFile
        When the data do not fit their descriptor.
    """
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count or 1 << 16
    first &= 0xFFFF
    if header.signed and first >= 1 << 15:
        first -= 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        values = np.frombuffer(data, np.uint8 if len(data) < 2 * count else "<u2")
    else:
        values = np.atleast_1d(np.asarray(data)) & 0xFFFF
    if len(values) < count or not 1 <= bits <= 16:
        raise UnreadableFile(
            f"A look-up table declares {count} entries of {bits} bits and holds {len(values)}.",
            path=header.path,
            remedy="Export the image again.",
        )
    return Table(first, values[:count].astype(np.int32), bits)
