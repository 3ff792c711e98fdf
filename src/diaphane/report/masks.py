"""masks.nii.gz: structures and findings by value, on the native grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diaphane.core.finding import Analysis
from diaphane.core.volume import Volume


def labels_of(analysis: Analysis) -> NDArray[np.uint16]:
    """Labels ``(z, y, x)`` uint16; zeros where nothing was outlined."""
    if analysis.labels is None:
        return np.zeros(analysis.volume.shape, np.uint16)
    return np.asarray(analysis.labels, dtype=np.uint16)


def write_masks(analysis: Analysis, path: Path) -> None:
    """Write the labels as NIfTI, uint16.

    An image without a known place gets codes 0 ("no place") and no unit, so that no reader
    takes its pixels for millimetres.
    """
    import nibabel

    labels = labels_of(analysis)
    geometry = analysis.volume.geometry
    if geometry.is_spatial:
        image = Volume(labels, geometry, "SEG").to_nibabel()
        image.header.set_qform(image.affine, code="scanner")
        image.header.set_sform(image.affine, code="scanner")
    else:
        image = nibabel.Nifti1Image(labels.transpose(2, 1, 0), None)
        image.header.set_xyzt_units("unknown")
    nibabel.save(image, path)
