"""Lossy JPEG of 12 bits, which no plugin of pydicom decodes but SimpleITK's GDCM does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.enhanced import enhanced_planes
from diaphane.acquire.headers import Header

SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.51",  # extended, process 2 and 4
        "1.2.840.10008.1.2.4.53",  # spectral selection, process 6 and 8 (retired)
        "1.2.840.10008.1.2.4.55",  # full progression, process 10 and 12 (retired)
    }
)


def is_jpeg12(header: Header) -> bool:
    """Whether the pixels are grey and of such a transfer syntax, with more than 8 bits."""
    return header.elements.syntax in SYNTAXES and header.samples == 1 and header.bits_stored > 8


def may_need_extra(header: Header) -> bool:
    """Whether a failed decoder may be one for 12 bits, which the extra ``jpeg12`` brings."""
    return header.elements.syntax in SYNTAXES and header.bits_stored > 8


def decode_jpeg12(header: Header, frames: Sequence[int]) -> list[NDArray[Any]]:
    """Stored values ``(y, x)`` of frames.

    SimpleITK gives rescaled values only; the rescale of the header, or of the first frame of an
    enhanced object, is taken off again, exactly, as stored values are whole numbers of at most
    16 bits.

    Raises
    ------
    RuntimeError
        From SimpleITK, when the data are damaged; when frames are rescaled each by itself.
    """
    import SimpleITK as sitk

    slope, intercept = header.slope or 1.0, header.intercept
    if header.is_enhanced:
        scales = {(p.slope, p.intercept) for p in enhanced_planes(header)}
        if len(scales) > 1:
            raise RuntimeError("frames of 12-bit JPEG with a rescale of their own")
        ((slope, intercept),) = scales
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(header.path)))
    voxels = voxels.reshape(-1, *voxels.shape[-2:])
    kind = np.int16 if header.signed else np.uint16
    return [
        np.rint((voxels[i].astype(np.float64) - intercept) / slope).astype(kind) for i in frames
    ]
