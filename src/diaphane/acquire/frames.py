"""Stored values of the frames of a DICOM file, whatever its transfer syntax, through pydicom.

Compressed frames are decoded in a worker process, which a damaged one may break. Some codecs end
their process when header and frame disagree; both are compared first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import require_proportion, require_voxels, stored_bytes
from diaphane.acquire.codestreams import declared_size
from diaphane.acquire.elements import BIG_ENDIAN, DEFLATED
from diaphane.acquire.headers import Header, read_header
from diaphane.acquire.isolation import Budget, Load, isolated
from diaphane.acquire.jpeg12 import decode_jpeg12, is_jpeg12, may_need_extra
from diaphane.acquire.parsing import parsed
from diaphane.acquire.quiet import quiet
from diaphane.acquire.stored import (
    high_bit,
    is_inverted,
    read_table,
    stored_bits,
    unpacked,
    uses_modality_lut,
)
from diaphane.core.errors import DiaphaneError, UnreadableFile
from diaphane.core.options import Limits

Array = NDArray[Any]

_OR_EXTRA = (
    "; if it is a kind of 12-bit JPEG that the base install does not decode: "
    "pip install 'diaphane[jpeg12]' (GPL-3)"
)
PRELOADED = ("pydicom.pixels", "gdcm", "openjpeg", "jpeg_ls", "rle")

_SIMPLEITK = 512 * 2**20  # address space that loading it takes
# GDCM ends the process on some damaged frames of these; others decode them as well.
_FIRST_CHOICE = frozenset(
    {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.5"}
)
_TRUSTED = ("pyjpegls", "pylibjpeg", "pydicom")


def decode(header: Header, frames: Sequence[int]) -> Iterator[Array]:
    """Stored values of frames, ``(y, x)`` or RGB ``(y, x, 3)``, one after the other.

    Raises
    ------
    UnreadableFile
        When the data are damaged or cut short, break the decoder, or no decoder knows the
        transfer syntax, which is named.
    OverLimit
        When they take more memory or time than an image of their size needs, or than the limits
        of the header allow.
    """
    elements, limits = header.elements, header.limits
    if elements.pixel_length >= 0 and elements.syntax not in DEFLATED:
        yield from decode_here(header, frames)
        return
    require_voxels(header.path, header.rows * header.columns * header.frames, limits)
    stored = stored_bytes(header.path)
    require_proportion(header.path, header.bytes_expected, stored, limits)
    one = header.bytes_expected // max(header.frames, 1) + 1
    task = Load(one, one * len(frames), stored, _SIMPLEITK if is_jpeg12(header) else 0)
    told = {"frames": list(frames), "limits": asdict(limits)}
    for _, pixels in isolated(frames_of, header.path, Budget.of(task, limits), **told):
        yield pixels


def try_pixels(path: Path) -> None:
    """Decode a compressed file in a worker, for others that are going to decode it unbounded.

    Raises
    ------
    UnreadableFile, OverLimit
        As :func:`decode`.
    """
    header = read_header(path)
    if header.elements.pixel_length < 0 or header.elements.syntax in DEFLATED:
        for _ in decode(header, range(header.frames)):
            pass


def frames_of(
    path: Path, frames: list[int], limits: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], Array]]:
    """:func:`decode_here` as a task of a worker process."""
    for pixels in decode_here(read_header(path, Limits(**limits)), frames):
        yield {}, pixels


def decode_here(header: Header, frames: Sequence[int]) -> Iterator[Array]:
    """As :func:`decode`, in this process.

    Raises
    ------
    UnreadableFile
        As :func:`decode`.
    """
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    path = header.path
    with quiet():
        syntax = UID(header.elements.syntax)
        try:
            decoder = None if is_jpeg12(header) else get_decoder(syntax)
        except NotImplementedError:
            decoder = None
    if not is_jpeg12(header) and (decoder is None or not decoder.is_available):
        raise UnreadableFile(
            f"Images of the transfer syntax {_syntax_name(syntax)} cannot be decoded here.",
            path=path,
            remedy="Convert it, for example with 'gdcmconv --raw'.",
        )
    try:
        with quiet():
            if decoder is None:
                found = iter(decode_jpeg12(header, frames))
            else:
                found = _frames(header, frames, decoder, syntax)
            for pixels in found:
                _require_shape(pixels, header)
                yield pixels
    except (DiaphaneError, MemoryError, RecursionError):
        raise
    except Exception as error:  # decoders raise whatever damaged data make them meet
        raise UnreadableFile(
            f"The pixels ({_syntax_name(syntax)}) cannot be decoded: {_brief(error)}",
            path=path,
            remedy=f"Copy or export the file again{_OR_EXTRA if may_need_extra(header) else ''}.",
        ) from error


def _frames(header: Header, frames: Sequence[int], decoder: Any, syntax: Any) -> Iterator[Array]:
    from pydicom.pixels import apply_color_lut

    data = parsed(header.path, pixels=True, limits=header.limits)
    if "TransferSyntaxUID" not in getattr(data, "file_meta", {}):
        data.file_meta.TransferSyntaxUID = syntax
    plugin = next((p for p in _TRUSTED if p in decoder.available_plugins), "")
    plugin = plugin if syntax in _FIRST_CHOICE else ""
    table = read_table(data.ModalityLUTSequence[0], header) if uses_modality_lut(header) else None
    shifted = high_bit(header) != header.bits_stored - 1  # which pydicom does not know
    words: dict[str, Any] = {"bits_stored": header.bits_allocated} if shifted else {}
    if syntax == BIG_ENDIAN and header.bits_allocated > 16:
        raise UnreadableFile(
            f"In big endian the words of pixels of {header.bits_allocated} bits are written in "
            "either order.",
            path=header.path,
            remedy="Export the image again in little endian.",
        )
    if header.bits_allocated == 1 and not syntax.is_encapsulated:
        packed = np.frombuffer(data.PixelData, np.uint8)
        if syntax == BIG_ENDIAN and data["PixelData"].VR == "OW":
            packed = packed.reshape(-1, 2)[:, ::-1].ravel()
        yield from (unpacked(packed, index, header) for index in frames)
        return
    for index in frames:
        if header.elements.pixel_length < 0:
            _require_size(data.PixelData, index, header)
        pixels, _ = decoder.as_array(data, index=index, raw=False, decoding_plugin=plugin, **words)
        if header.photometric == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, data)
        elif header.samples == 1 and shifted:
            pixels = stored_bits(np.array(pixels), header)
        if table is not None:
            pixels = table.apply(pixels)
            if is_inverted(header):
                pixels = (1 << table.bits) - 1 - pixels
        yield pixels


def _require_shape(pixels: Array, header: Header) -> None:
    if pixels.shape[:2] != (header.rows, header.columns):
        raise UnreadableFile(
            f"The pixels decode to {pixels.shape[:2]} instead of the declared "
            f"{(header.rows, header.columns)}.",
            path=header.path,
        )


def _require_size(data: bytes, index: int, header: Header) -> None:
    """Refuse a compressed frame of another size before a codec sees it."""
    from pydicom.encaps import get_frame

    frame = get_frame(data, index, number_of_frames=header.frames)
    size = declared_size(frame)
    if size is not None and size != (header.rows, header.columns):
        raise UnreadableFile(
            f"The header declares {header.rows} x {header.columns} pixels, the compressed image "
            f"{size[0]} x {size[1]}.",
            path=header.path,
            remedy="Export the image again.",
        )


def _syntax_name(syntax: Any) -> str:
    if not set(syntax) <= set("0123456789."):
        return "(damaged)"
    name = str(getattr(syntax, "name", syntax))
    return name if name == str(syntax) else f"{name} ({syntax})"


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    if not text or not text.isprintable():  # what is quoted may be anything in the file
        return type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
