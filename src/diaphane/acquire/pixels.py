"""From the bytes of DICOM files to voxels.

Uncompressed little-endian grey pixels, which is most of what there is, are read by numpy
straight from their place in the file; all else is decoded by pydicom with the plugins of the
base install (gdcm, pylibjpeg, pyjpegls).

Values: the rescale or the Modality LUT is applied, windows and VOI LUTs are not. MONOCHROME1
(larger is darker) is inverted within its stored range, or within the range of its Modality LUT,
so that larger is brighter, except where a value is a physical quantity (CT, PT, NM). Padding
follows the rule of :mod:`diaphane.acquire.padding`; overlays in unused bits are left out.
Colour, including palettes and YBR, becomes RGB channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import require_proportion, require_voxels, stored_bytes
from diaphane.acquire.declared import check_pixels
from diaphane.acquire.elements import NATIVE_LITTLE, PIXEL_DATA
from diaphane.acquire.frames import decode
from diaphane.acquire.headers import Header
from diaphane.acquire.padding import replace_padding
from diaphane.acquire.planes import Plane
from diaphane.acquire.stored import is_inverted, stored_bits, stored_range, uses_modality_lut
from diaphane.core.errors import InvalidVoxels, MixedSeries, UnreadableFile

Array = NDArray[Any]

_INT16 = np.iinfo(np.int16)
_OTHER_COLOURS = frozenset({"YBR_PARTIAL_422", "YBR_PARTIAL_420", "HSV", "ARGB", "CMYK"})


class _DoesNotFit(Exception):
    """A value leaves the range of the small type; the volume is read again as float32."""


def read_voxels(planes: Sequence[Plane], threads: int | None = None) -> Array:
    """Voxels ``(z, y, x)``, or ``(3, z, y, x)`` for colour, of planes in order.

    int16 (or uint8, uint16) where rescaled values are whole numbers that fit, else float32.
    One array is allocated, and every thread writes its planes into it.

    Raises
    ------
    UnreadableFile
        When pixels are damaged, cut short, or of a transfer syntax that cannot be decoded.
    InvalidVoxels
        When values are NaN or infinite.
    """
    first = planes[0].header
    files = _by_file(planes)
    for (_, header), _ in files:
        check_pixels(header)
    _require_room(planes, [header for (_, header), _ in files])
    colour = first.samples > 1 or first.photometric == "PALETTE COLOR"
    if first.elements.pixel_length < 0 and len(planes) > 1 and not colour:
        # Compressed data may declare any size: one frame must decode to it before the rest
        # is allocated.
        list(decode(first, [planes[0].frame]))
    kinds = {_kind(plane) for plane in planes}
    dtype = _join(kinds)
    shape = (len(planes), planes[0].rows, planes[0].columns)
    if colour:
        return _read_colour(files, shape, threads)
    out = np.empty(shape, dtype)
    try:
        _fill(out, files, threads)
    except _DoesNotFit:
        out = np.empty(shape, np.float32)
        _fill(out, files, threads)
    replace_padding(out, planes, partial(_rescaled_ends, out.dtype))
    return out


def _require_room(planes: Sequence[Plane], headers: Sequence[Header]) -> None:
    """Refuse a volume too large, or too large for its files; each alone may be small."""
    first = planes[0].header
    place = first.path if len(headers) == 1 else first.path.parent
    require_voxels(place, len(planes) * first.rows * first.columns, first.limits)
    require_proportion(
        place,
        sum(header.bytes_expected for header in headers),
        sum(stored_bytes(header.path) for header in headers),
        first.limits,
    )


def _rescaled_ends(dtype: np.dtype[Any], plane: Plane, ends: tuple[int, int]) -> Any:
    """What a range of stored values became in ``dtype``, ascending; ``None`` if it cannot hold it."""
    values = np.empty(2, dtype)
    try:
        _rescale_into(values, np.asarray(ends, np.int32), plane)
    except _DoesNotFit:
        return None
    return min(values), max(values)


FileOfPlanes = tuple[tuple[Any, Header], list[tuple[int, Plane]]]


def _by_file(planes: Sequence[Plane]) -> list[FileOfPlanes]:
    numbered = list(enumerate(planes))
    if len({p.header.path for p in planes}) == len(planes):
        return [((p.header.path, p.header), [(z, p)]) for z, p in numbered]
    numbered.sort(key=lambda zp: (str(zp[1].header.path), zp[1].frame))
    found = []
    for path, group in groupby(numbered, key=lambda zp: zp[1].header.path):
        members = list(group)
        found.append(((path, members[0][1].header), members))
    return found


def _kind(plane: Plane) -> np.dtype[Any]:
    """Smallest type that is likely to hold the plane's rescaled values."""
    header = plane.header
    whole = float(plane.slope).is_integer() and float(plane.intercept).is_integer()
    if header.is_float or uses_modality_lut(header) or not whole or header.bits_stored > 16:
        return np.dtype(np.float32)
    low, high = stored_range(header)
    ends = sorted((low * plane.slope + plane.intercept, high * plane.slope + plane.intercept))
    if ends[0] >= 0 and ends[1] <= 255:
        return np.dtype(np.uint8)
    if ends[0] >= 0 and ends[1] <= 65535 and ends[1] > _INT16.max:
        return np.dtype(np.uint16)
    if plane.slope == 1:
        return np.dtype(np.int16)  # often declared wider than used: tried, and checked
    fits = _INT16.min <= ends[0] and ends[1] <= _INT16.max
    return np.dtype(np.int16) if fits else np.dtype(np.float32)


def _join(kinds: set[np.dtype[Any]]) -> np.dtype[Any]:
    if len(kinds) == 1:
        return kinds.pop()
    joined = np.result_type(*kinds)
    return joined if joined == np.int16 else np.dtype(np.float32)


def _fill(out: Array, files: Sequence[FileOfPlanes], threads: int | None) -> None:
    def work(item: FileOfPlanes) -> None:
        (_, header), members = item
        framed = [(f, list(g)) for f, g in groupby(members, key=lambda zp: zp[1].frame)]
        frames = [frame for frame, _ in framed]
        plain = header.elements.syntax in NATIVE_LITTLE and _is_plain(header)
        stored = (_native(header, f) for f in frames) if plain else decode(header, frames)
        for (_, inside), pixels in zip(framed, stored, strict=True):
            for z, plane in inside:  # several where the frame is a mosaic
                _rescale_into(out[z], plane.cut(pixels), plane)

    _run(work, files, threads)


def _run(work: Any, files: Sequence[FileOfPlanes], threads: int | None) -> None:
    workers = min(len(files), threads or default_threads())
    if workers <= 1:
        for item in files:
            work(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, files):
            pass


def default_threads() -> int:
    """Threads for reading: the cores this process may use, at most 8."""
    import os

    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # Windows and macOS
        cores = os.cpu_count() or 1
    return min(8, cores)


def _is_plain(header: Header) -> bool:
    return (
        header.elements.pixel_tag == PIXEL_DATA
        and header.samples == 1
        and header.bits_allocated in (8, 16, 32)
        and not uses_modality_lut(header)
        and header.elements.pixel_offset > 0
    )


def _native(header: Header, frame: int) -> Array:
    """Stored values ``(y, x)`` of one uncompressed little-endian grey frame."""
    width = header.bits_allocated // 8
    dtype = np.dtype(f"<{'i' if header.signed else 'u'}{width}")
    count = header.rows * header.columns
    offset = header.elements.pixel_offset + frame * count * width
    try:
        flat = np.fromfile(header.path, dtype, count, offset=offset)
    except OSError as error:
        raise UnreadableFile(
            f"Cannot be read: {error.strerror or error}.", path=header.path
        ) from error
    if flat.size != count:
        raise UnreadableFile("The file is cut short.", path=header.path)
    return stored_bits(flat, header).reshape(header.rows, header.columns)


def _rescale_into(target: Array, stored: Array, plane: Plane) -> None:
    """Write ``stored * slope + intercept`` into ``target`` ``(y, x)``."""
    header = plane.header
    slope, intercept = plane.slope, plane.intercept
    if uses_modality_lut(header):  # decoded to its final values
        slope, intercept = 1.0, 0.0
    elif is_inverted(header) and not header.is_float:
        low, high = stored_range(header)
        stored = low + high - stored.astype(np.int64 if header.bits_stored > 16 else np.int32)
    if target.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            if slope == 1 and intercept == 0:
                target[...] = stored
            else:
                wide = np.float64 if header.bits_stored > 16 else np.float32
                np.multiply(stored, wide(slope), out=target, casting="unsafe")
                target += np.float32(intercept)
        if stored.dtype.kind == "f" and not np.isfinite(target).all():
            raise InvalidVoxels(
                "Voxels are NaN or infinite.", path=header.path, remedy="Repair the image."
            )
        return
    limits = np.iinfo(target.dtype)
    add = int(intercept)
    if slope != 1:
        stored = stored.astype(np.int32) * np.int32(slope)
    low, high = int(stored.min()) + add, int(stored.max()) + add
    if low < limits.min or high > limits.max:
        raise _DoesNotFit
    if add == 0:
        target[...] = stored
    else:  # wraps round and back: exact, as both ends fit
        np.add(stored.astype(target.dtype), target.dtype.type(add), out=target)


def _read_colour(
    files: Sequence[FileOfPlanes], shape: tuple[int, int, int], threads: int | None
) -> Array:
    (_, first), members = files[0]
    (sample,) = decode(first, [members[0][1].frame])
    if first.photometric in _OTHER_COLOURS:  # which the decoder leaves as they are stored
        raise UnreadableFile(
            f"Colours of the kind {first.photometric} are not read.",
            path=first.path,
            remedy="Convert the image to RGB.",
        )
    out = np.empty((sample.shape[-1], *shape), sample.dtype)

    def work(item: FileOfPlanes) -> None:
        (_, header), inside = item
        frames = decode(header, [plane.frame for _, plane in inside])
        for (z, _), pixels in zip(inside, frames, strict=True):
            if pixels.dtype != out.dtype:
                raise MixedSeries(
                    "One series holds colours of two depths.",
                    path=header.path,
                    remedy="Separate them, for example by exporting the series again.",
                )
            out[:, z] = np.moveaxis(pixels, -1, 0)

    _run(work, files, threads)
    return out
