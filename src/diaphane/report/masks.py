"""Masks as files: structures and findings by value, on the native grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import OutputError
from diaphane.core.finding import Analysis
from diaphane.core.volume import Volume

if TYPE_CHECKING:
    import nibabel


def labels_of(analysis: Analysis) -> NDArray[np.uint16]:
    """Labels ``(z, y, x)`` uint16; zeros where nothing was outlined."""
    if analysis.labels is None:
        return np.zeros(analysis.volume.shape, np.uint16)
    return np.asarray(analysis.labels, dtype=np.uint16)


def write_masks(analysis: Analysis, path: Path) -> None:
    """Write the labels as NIfTI, uint16."""
    import nibabel

    nibabel.save(_nifti(Volume(labels_of(analysis), analysis.volume.geometry, "SEG")), path)


def write_label_map(labels: Volume, path: Path) -> None:
    """Write labels ``(z, y, x)`` with their values in the format that the ending names.

    ``.nii.gz``, ``.nii``, ``.mha``, ``.nrrd``, or ``.png`` for one slice (8 bit, 16 where a
    value needs it). The caller makes it atomic.

    Raises
    ------
    OutputError
        Several slices do not go into a PNG.
    """
    if path.name.endswith(".png"):
        _save_png(np.asarray(labels.voxels), path)
    elif path.name.endswith((".mha", ".nrrd")):
        import SimpleITK as sitk

        sitk.WriteImage(labels.to_sitk(), str(path), useCompression=True)
    else:
        import nibabel

        nibabel.save(_nifti(labels), path)


def write_shares(shares: Volume, path: Path) -> None:
    """Write values from 0 to 1, ``(z, y, x)`` or ``(c, z, y, x)``, in steps of 1/255.

    NIfTI keeps 8 bits and says the scale, so that readers give 0 to 1 again; a PNG holds 0 to
    255. The caller makes it atomic.

    Raises
    ------
    OutputError
        Several slices or channels do not go into a PNG.
    """
    steps: NDArray[np.uint8] = np.empty(shares.voxels.shape, dtype=np.uint8)
    # Plane by plane: a whole volume as float would be eight times as large.
    planes = shares.voxels.reshape(-1, *steps.shape[-2:])
    for out, plane in zip(steps.reshape(planes.shape), planes, strict=True):
        out[...] = np.rint(np.clip(plane.astype(np.float32), 0, 1) * 255)
    if path.name.endswith(".png"):
        _save_png(steps, path)
        return
    import nibabel

    image = _nifti(shares.with_voxels(steps))
    image.header.set_slope_inter(1 / 255, 0.0)
    nibabel.save(image, path)


def _nifti(volume: Volume) -> nibabel.Nifti1Image:
    """A NIfTI image of the volume.

    An image without a known place gets codes 0 ("no place") and no unit, so that no reader
    takes its pixels for millimetres.
    """
    import nibabel

    if volume.geometry.is_spatial:
        image = volume.to_nibabel()
        image.header.set_qform(image.affine, code="scanner")
        image.header.set_sform(image.affine, code="scanner")
        return image
    axes = (2, 1, 0) if volume.voxels.ndim == 3 else (3, 2, 1, 0)
    image = nibabel.Nifti1Image(volume.voxels.transpose(axes), None)
    image.header.set_xyzt_units("unknown")
    return image


def _save_png(voxels: NDArray[np.generic], path: Path) -> None:
    from PIL import Image

    if voxels.ndim != 3 or len(voxels) != 1:
        raise OutputError(
            f"A PNG holds one slice, and the result has the shape {voxels.shape}.",
            path=path.name,
            remedy="Use --format nii.gz",
        )
    Image.fromarray(voxels[0]).save(path, format="PNG")
