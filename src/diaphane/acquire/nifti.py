"""NIfTI files, through nibabel, into LPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS, MASK, require_proportion, require_voxels, stored_bytes
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import (
    GeometryError,
    InvalidVoxels,
    NotApplicable,
    OverLimit,
    UnreadableFile,
)
from diaphane.core.geometry import Geometry
from diaphane.core.options import Limits
from diaphane.core.volume import Volume

SUFFIXES = (".nii", ".nii.gz")

_MM = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_REVERSE = np.eye(4)[[2, 1, 0, 3]]
# DEFLATE cannot shrink by more (RFC 1951).
DEFLATE_LIMIT = 1100
_PART = 2**24


def read_nifti(path: Path, *, channels: int | None = None, limits: Limits = LIMITS) -> Volume:
    """The volume of a NIfTI file, in LPS, its scaling applied.

    Where the file states neither sform nor qform, its spacing is kept and its place in the
    patient is ``None``; spacing of 1 without a unit is ``None`` as well. Integer types are kept, floating point becomes float32.

    Parameters
    ----------
    path:
        ``.nii`` or ``.nii.gz``.
    channels:
        Length of the fourth axis that is accepted as channels ``(c, z, y, x)``; a
        longer fourth axis is refused.
    limits:
        Bounds of reading.

    Raises
    ------
    UnreadableFile
        When the file is damaged or cut short.
    GeometryError
        When the affine is singular or not finite.
    NotApplicable
        When it has four or more dimensions.
    InvalidVoxels
        When values are NaN, infinite or complex.
    OverLimit
        When it would grow out of proportion.
    """
    import nibabel

    try:
        with quiet():
            image: Any = nibabel.load(path)
            shape = tuple(int(n) for n in image.shape)
            if min(shape, default=0) < 1:
                raise UnreadableFile(f"The image size {shape} is not valid.", path=path)
            _require_room(path, shape, image.get_data_dtype(), limits)
            shape = _spatial_shape(shape, channels, path)
            data = _values(image.dataobj).reshape(shape, order="F")
    except (UnreadableFile, NotApplicable, OverLimit):
        raise
    except Exception as error:  # nibabel and gzip raise whatever damaged data make them meet
        raise UnreadableFile(
            f"This is not a whole NIfTI file ({type(error).__name__}).",
            path=path,
            remedy="Copy or export it again.",
        ) from error
    voxels = _plain_type(data, path)
    if voxels.ndim == 4:
        voxels = np.ascontiguousarray(voxels.transpose(3, 2, 1, 0))
    else:
        voxels = np.ascontiguousarray(voxels.transpose(2, 1, 0))
    z, y, x = voxels.shape[-3:]
    return Volume(voxels, _geometry(image, (z, y, x), path)).require_finite(str(path))


def _spatial_shape(shape: tuple[int, ...], channels: int | None, path: Path) -> tuple[int, ...]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3:
        return shape + (1,) * (3 - len(shape))
    if len(shape) == 4 and shape[3] == channels:
        return shape
    if len(shape) > 3:
        raise NotApplicable(
            f"The image has {len(shape)} dimensions ({' x '.join(map(str, shape))}); "
            "one volume is read at a time.",
            path=path,
            remedy="Split it into volumes, for example with 'fslsplit'.",
        )
    return shape


def _require_room(path: Path, shape: tuple[int, ...], dtype: Any, limits: Limits) -> None:
    size = path.stat().st_size
    voxels = int(np.prod([int(n) for n in shape], dtype=object))
    need = voxels * np.dtype(dtype).itemsize
    compressed = path.name.lower().endswith(".gz")
    if need > (size * DEFLATE_LIMIT if compressed else size):
        raise UnreadableFile(
            f"The header declares {need} bytes of voxels, which a file of {size} bytes "
            "cannot hold.",
            path=path,
            remedy="Copy or export it again.",
        )
    require_voxels(path, voxels, limits)
    require_proportion(path, need, stored_bytes(path), limits, small=MASK)


def _values(stored: Any) -> NDArray[Any]:
    """Voxels, scaled plane by plane: doubles of all of them at once take up to eight times as much."""
    raw = _stored_values(stored)
    if (stored.slope, stored.inter) == (1, 0) or raw.dtype.kind not in "biuf":
        return raw
    scaled = np.empty(raw.shape, np.float32, order="F")
    for index in range(raw.shape[-1]):
        scaled[..., index] = raw[..., index] * float(stored.slope) + float(stored.inter)
    return scaled


def _stored_values(stored: Any) -> NDArray[Any]:
    """Voxels without scaling, in parts: gzip would hold all of them twice."""
    from nibabel.openers import ImageOpener

    if not isinstance(stored.file_like, str) or not stored.file_like.lower().endswith(".gz"):
        return np.asanyarray(stored.get_unscaled())
    found = np.empty(stored.shape, stored.dtype, order="F")
    into = memoryview(found.reshape(-1, order="F").view(np.uint8).data)
    with ImageOpener(stored.file_like) as file:
        file.seek(stored.offset)
        for start in range(0, len(into), _PART):
            part = into[start : start + _PART]
            if file.readinto(part) != len(part):
                raise EOFError
    return found


def _plain_type(data: NDArray[Any], path: Path) -> NDArray[Any]:
    if data.dtype.names:  # RGB24, RGBA32: red, green and blue as channels
        parts = [data[name] for name in data.dtype.names[:3]]
        return np.stack(parts, axis=-1)
    if data.dtype.kind not in "biuf":
        raise InvalidVoxels(f"Voxels are {data.dtype}, not real numbers.", path=path)
    if data.dtype.kind == "f":
        return data.astype(np.float32, copy=False)
    if data.dtype.itemsize == 8:
        low, high = int(data.min()), int(data.max())
        if low >= -(2**31) and high < 2**31:
            return data.astype(np.int32)
        raise InvalidVoxels("Voxels do not fit 32 bits.", path=path)
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def _geometry(image: Any, shape: tuple[int, int, int], path: Path) -> Geometry:
    header = image.header
    try:
        unit = header.get_xyzt_units()[0]
    except (AttributeError, KeyError):
        unit = "mm"
    scale = _MM.get(unit, 1.0)
    coded = [int(header[name]) for name in ("sform_code", "qform_code") if name in header]
    try:
        if not any(coded):
            zooms = [float(v) * scale for v in header.get_zooms()[:3]]
            if unit == "unknown" and set(zooms) == {1.0}:
                return Geometry(shape)  # what writers put there when they know nothing
            dx, dy, dz = (*zooms, None, None)[:3]
            return Geometry(shape, (dz, dy, dx))
        affine = np.asarray(image.affine, dtype=np.float64).copy()
        affine[:3] *= scale
        return Geometry.from_affine(shape, _FLIP @ affine @ _REVERSE)
    except GeometryError as error:
        raise GeometryError(
            error.problem, path=path, remedy="Repair the header's sform and qform."
        ) from error
