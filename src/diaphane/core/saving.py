"""Writing volumes to files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diaphane.core.errors import OutputError, UsageError
from diaphane.core.files import replacing, write_bytes
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Array, Volume

if TYPE_CHECKING:
    import nibabel

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

    NIfTI, MHA and NRRD keep the voxel type and the place in the patient. Spacing or place that is
    not known is left out of the file; where only the distance of slices is not, that of the pixels
    goes with it, since none of the three can say so. PNG holds one slice: grey or colour, 8 or 16
    bit; values from 0 to 1 are spread over 8 bits, and anything that does not fit is refused.

    Raises
    ------
    UsageError
        For an ending that is not written.
    OutputError
        When the format cannot hold the values, or the place cannot be written.
    """
    ending = volume_format(path)
    if ending == ".png":
        _write_png(Path(path), volume)
        return
    held = _held(volume, Path(path))
    with replacing(path) as beside:
        if ending in (".nii.gz", ".nii"):
            import nibabel

            nibabel.save(_nifti(held), beside)
        else:
            _write_itk(beside, held)


def voxels_like(volume: Volume, pattern: Volume) -> Volume:
    """The volume in the pattern's voxel type, rounded and kept within range when whole."""
    kind = pattern.voxels.dtype
    if kind.kind not in "iu" or volume.voxels.dtype == kind:
        return volume
    limits = np.iinfo(kind)
    rounded = np.clip(np.rint(volume.voxels), limits.min, limits.max)
    return volume.with_voxels(rounded.astype(kind))


def _held(volume: Volume, path: Path) -> Volume:
    """The volume in a voxel type that the formats hold."""
    kind = volume.voxels.dtype
    swap = {"float16": np.float32, "bool": np.uint8, "int64": np.int32, "uint64": np.uint32}
    wanted = np.dtype(swap.get(kind.name, kind))
    if kind.kind in "iu" and wanted != kind and volume.voxels.size:
        limits = np.iinfo(wanted)
        if volume.voxels.min() < limits.min or volume.voxels.max() > limits.max:
            raise OutputError("Voxels do not fit 32 bits.", path=path)
    return volume.with_voxels(volume.voxels.astype(wanted, copy=False))


def _nifti(volume: Volume) -> nibabel.Nifti1Image:
    """A NIfTI image; where the place is not known its codes are 0, and without spacing it has no unit.

    Colour of 8 bits is RGB24, other channels are a fourth axis.
    """
    import nibabel

    geometry = volume.geometry
    if volume.channels == 3 and volume.voxels.dtype == np.uint8:
        colours = np.moveaxis(volume.voxels, 0, -1)
        data = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])
        data = data[..., 0].transpose(2, 1, 0)
    else:
        data = volume.voxels.T
    if geometry.is_spatial:
        plain = (
            volume.with_voxels(np.zeros(geometry.shape, np.uint8)) if data.dtype.names else volume
        )
        image = nibabel.Nifti1Image(data, plain.to_nibabel().affine)
        image.header.set_xyzt_units("mm")
        image.header.set_sform(image.affine, code="scanner")
        image.header.set_qform(image.affine, code="scanner")
        return image
    steps = known_steps(geometry)
    if len(steps) == 2 and data.ndim == 3:
        data = data[..., 0]
    image = nibabel.Nifti1Image(data, None)
    if steps:
        image.header.set_zooms(steps + image.header.get_zooms()[len(steps) :])
    image.header.set_xyzt_units("mm" if steps else "unknown")
    return image


def known_steps(geometry: Geometry) -> tuple[float, ...]:
    """Spacing ``(dx, dy, dz)`` that a file without a place states: ``(dx, dy)`` of one slice, or none."""
    dz, dy, dx = geometry.spacing
    if dy is None or dx is None:
        return ()
    if dz is not None:
        return (dx, dy, dz)
    return (dx, dy) if geometry.shape[0] == 1 else ()


def _write_itk(path: Path, volume: Volume) -> None:
    import SimpleITK as sitk

    image = volume.to_sitk()
    if volume.geometry.is_spatial:
        sitk.WriteImage(image, str(path), useCompression=True)
        return
    steps = known_steps(volume.geometry)
    if len(steps) == 2:
        image = image[:, :, 0]
        image.SetSpacing(steps)
    sitk.WriteImage(image, str(path), useCompression=True)
    # ITK states a place always; what is not known is taken out of the text header again.
    whole = path.read_bytes()
    if path.suffix == ".nrrd":
        header, end, data = whole.partition(b"\n\n")
        kept = [line for line in header.split(b"\n") if not line.startswith(b"space")]
        if steps:
            colour = ("nan",) if volume.voxels.ndim == 4 else ()
            words = " ".join((*colour, *map(repr, steps)))
            kept.append(f"spacings: {words}".encode())
    else:
        header, end, data = whole.partition(b"ElementDataFile")
        place = (b"TransformMatrix", b"Offset", b"CenterOfRotation", b"AnatomicalOrientation")
        gone = place if steps else (*place, b"ElementSpacing")
        kept = [line for line in header.split(b"\n") if not line.startswith(gone)]
    path.write_bytes(b"\n".join(kept) + end + data)


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
