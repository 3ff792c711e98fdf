"""Taking boxes out of an object's pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import UnreadableFile
from diaphane.privacy.pixels.boxes import PIXELS, Box

_BULK = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_SAID = "Burned-in annotation blanked"


def blank(data: Any, boxes: Iterable[Box]) -> Any:
    """``data``, changed in place, with the boxes filled with its darkest value.

    Pixels of any transfer syntax that can be decoded are written as Explicit VR Little Endian;
    colour as RGB. What was compressed with loss still says so. The object says that no text is
    burned in (BurnedInAnnotation NO), that it is derived (ImageType value 1) and how
    (DerivationDescription, DerivationCodeSequence; PS3.3 C.7.6.1.1.2 and CID 7203); its icon,
    which may show the text, is taken out. Without boxes only BurnedInAnnotation is set.

    Raises
    ------
    UnreadableFile
        When the pixels cannot be decoded.
    """
    wanted = list(boxes)
    if wanted:
        from pydicom.pixels import pixel_array

        try:
            _decompress(data)
            pixels = np.array(pixel_array(data, raw=True))
        except Exception as error:
            raise UnreadableFile(
                f"The pixels cannot be decoded ({type(error).__name__}).",
                remedy="Text in them cannot be blanked; leave the file out.",
            ) from error
        _fill(data, pixels, wanted)
        _put_back(data, pixels)
        _say_derived(data)
    data.BurnedInAnnotation = "NO"
    return data


def _decompress(data: Any) -> None:
    """Pixels as bytes of Explicit VR Little Endian; other bulk data of its byte order, too."""
    from pydicom.uid import ExplicitVRLittleEndian

    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        data.decompress(generate_instance_uid=False)
    elif not syntax.is_little_endian:
        for element in data.iterall():
            if element.VR in _BULK and isinstance(element.value, bytes):
                words = np.frombuffer(element.value, f">u{_BULK[element.VR]}")
                element.value = words.astype(words.dtype.newbyteorder("<")).tobytes()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.set_original_encoding(False, True, data.original_character_set)


def _fill(data: Any, pixels: NDArray[Any], boxes: list[Box]) -> None:
    """Write the darkest value into the boxes of ``pixels``."""
    samples = int(data.get("SamplesPerPixel", 1))
    shape = pixels.shape[: pixels.ndim - (samples > 1)]
    frames = pixels if len(shape) == 3 else pixels[None]
    dark = _darkest(data, pixels)
    for box in boxes:
        which = slice(None) if box.frame is None else box.frame
        frames[(which, *box.place)] = dark


def _darkest(data: Any, pixels: NDArray[Any]) -> Any:
    """The value that shows darkest: one that the picture has, so that its range stays."""
    shown = str(data.get("PhotometricInterpretation", ""))
    if shown.startswith("YBR"):
        middle = 1 << (int(data.BitsStored) - 1)
        return np.array([0, middle, middle], pixels.dtype)
    if shown == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        used = np.unique(pixels)
        return used[np.argmin(apply_color_lut(used[None], data)[0].astype(np.float64).sum(-1))]
    if shown == "MONOCHROME1":
        return pixels.max()
    return pixels.min() if int(data.get("SamplesPerPixel", 1)) == 1 else pixels.dtype.type(0)


def _put_back(data: Any, pixels: NDArray[Any]) -> None:
    from pydicom.pixels import pack_bits

    if int(data.get("BitsAllocated", 8)) == 1:
        value = pack_bits(pixels)
    else:
        value = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    name = next(name for name in PIXELS if name in data)
    data[name].value = value + b"\0" * (len(value) % 2)
    data[name].is_undefined_length = False
    if name == "PixelData":
        data[name].VR = "OB" if int(data.BitsAllocated) <= 8 else "OW"
    if int(data.get("SamplesPerPixel", 1)) > 1:
        data.PlanarConfiguration = 0
        if str(data.PhotometricInterpretation).startswith("YBR"):
            data.PhotometricInterpretation = "YBR_FULL"
    for keyword, of in (("SmallestImagePixelValue", np.min), ("LargestImagePixelValue", np.max)):
        if keyword in data and pixels.dtype.kind in "iu":
            data[keyword].value = int(of(pixels))
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "IconImageSequence"):
        if keyword in data:
            del data[keyword]


def _say_derived(data: Any) -> None:
    from pydicom import Dataset

    kinds = [str(part) for part in data.get("ImageType") or ()]
    if kinds:
        data.ImageType = ["DERIVED", *kinds[1:]]
    said = str(data.get("DerivationDescription", "") or "")
    if _SAID not in said:
        data.DerivationDescription = f"{said}; {_SAID}" if said else _SAID
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113047", "DCM"
    code.CodeMeaning = "Pixel by pixel mask"
    codes = list(data.get("DerivationCodeSequence") or ())
    if all(item.get("CodeValue") != code.CodeValue for item in codes):
        data.DerivationCodeSequence = [*codes, code]
