"""Writing volumes to files that other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diaphane.core.errors import OutputError, UsageError
from diaphane.core.files import replacing, write_bytes
from diaphane.core.volume import Array, Volume

FORMATS = (".nii.gz", ".nii", ".mha", ".nrrd", ".png")


def volume_format(path: str | Path) -> str:
    """The ending of ``path`` that decides the format.

    Raises
    ------
    UsageError
        For an ending that is not written.
    """
    name = Path(path).name.lower()
    for ending in FORMATS:
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    raise UsageError(
        "The output's ending names no format that is written.",
        path=path,
        remedy=f"Use one of {', '.join(FORMATS)}.",
    )


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write ``volume`` whole or not at all, in the format that the ending names.

    NIfTI, MHA and NRRD keep the voxel type and the place in the patient (spacing 1 where
    unknown, since these formats cannot say so). PNG holds one slice: grey or colour, 8 or 16
    bit; values from 0 to 1 are spread over 8 bits, and anything that does not fit is refused.

    Raises
    ------
    UsageError
        For an ending that is not written.
    OutputError
        When a PNG cannot hold the volume, or the place cannot be written.
    """
    ending = volume_format(path)
    if ending == ".png":
        _write_png(Path(path), volume)
        return
    with replacing(path) as beside:
        if ending in (".nii.gz", ".nii"):
            import nibabel

            nibabel.save(_plain(volume).to_nibabel(), beside)
        else:
            import SimpleITK as sitk

            sitk.WriteImage(_plain(volume).to_sitk(), str(beside), useCompression=True)


def voxels_like(volume: Volume, pattern: Volume) -> Volume:
    """The volume in the pattern's voxel type, rounded and kept within range when whole."""
    kind = pattern.voxels.dtype
    if kind.kind not in "iu" or volume.voxels.dtype == kind:
        return volume
    limits = np.iinfo(kind)
    rounded = np.clip(np.rint(volume.voxels), limits.min, limits.max)
    return volume.with_voxels(rounded.astype(kind))


def _plain(volume: Volume) -> Volume:
    """The volume placed (axial, 1 mm where unknown), in a voxel type that the formats hold."""
    kind = volume.voxels.dtype
    swap = {"float16": np.float32, "bool": np.uint8, "int64": np.int32, "uint64": np.uint32}
    voxels = volume.voxels.astype(swap.get(kind.name, kind), copy=False)
    geometry = volume.geometry
    if not geometry.is_spatial:
        dz, dy, dx = (step or 1.0 for step in geometry.spacing)
        geometry = type(geometry).axial(geometry.shape, (dz, dy, dx))
    return volume.with_voxels(voxels, geometry)


def _write_png(path: Path, volume: Volume) -> None:
    import io

    from PIL import Image

    if volume.shape[0] != 1:
        raise OutputError(
            f"A PNG holds one slice, and the result has {volume.shape[0]}.",
            path=path,
            remedy="Write .nii.gz, .mha or .nrrd instead.",
        )
    slices = volume.voxels[..., 0, :, :]
    pixels = np.moveaxis(slices, 0, -1) if slices.ndim == 3 else slices
    stream = io.BytesIO()
    Image.fromarray(_depth(pixels, path)).save(stream, format="PNG")
    write_bytes(path, stream.getvalue())


def _depth(pixels: Array, path: Path) -> Array:
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        raise OutputError(f"A PNG does not hold {pixels.shape[2]} channels.", path=path)
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.asarray(np.rint(pixels * 255), dtype=np.uint8)
    if pixels.dtype == bool:
        return np.where(pixels, 255, 0).astype(np.uint8)
    if low >= 0 and high <= 255:
        return np.rint(pixels).astype(np.uint8)
    if low >= 0 and high <= 65535 and pixels.ndim == 2:
        return np.rint(pixels).astype(np.uint16)
    raise OutputError(
        f"A PNG does not hold values from {low:g} to {high:g}.",
        path=path,
        remedy="Add a step that brings them to 0 to 1, for example window.",
    )
