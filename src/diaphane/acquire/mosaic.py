"""Siemens mosaics: the slices of a volume, tiled in one image.

ImagePositionPatient of a mosaic is that of an image as large as the whole mosaic around the
centre of the first slice; the number of slices and their direction stand in the vendor's CSA
header.

Source: https://nipy.org/nibabel/dicom/dicom_mosaic.html and siemens_csa.html.

Newer scanners (software XA) write mosaics without that header. Private dictionaries know a number of slices
(0021,xx01) and a normal (0021,xx02) of "SIEMENS MR SDI 02" there, but no source states what
ImagePositionPatient means beside them, and dcm2niix warns that such mosaics lack vital data: refused.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.planes import Plane, plane_of
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import GeometryError

_COUNT = (0x0019, 0x100A)


def mosaic_planes(header: Header) -> list[Plane]:
    """One plane per tile of a mosaic.

    Raises
    ------
    GeometryError
        When the number of slices or their direction is not stated, or the tiles do not fit.
    UnreadableFile
        When the vendor's header is damaged.
    """
    whole = plane_of(header)
    count, normal = _stated(header)
    if not count or normal is None or len(whole.orientation) != 6 or len(whole.spacing) != 2:
        raise GeometryError(
            "The mosaic does not state how many slices it holds and how they lie "
            "(the vendor's CSA header is missing, as in mosaics of XA software).",
            path=header.path,
            remedy="Export it from the scanner again, as enhanced DICOM or with private elements.",
        )
    side = math.ceil(math.sqrt(count))
    rows, columns = header.rows // side, header.columns // side
    if rows * side != header.rows or columns * side != header.columns:
        raise GeometryError(
            f"{count} slices do not fit a mosaic of {header.rows} x {header.columns} pixels.",
            path=header.path,
        )
    step = header.between or header.thickness
    if not step or step <= 0 or len(whole.position) != 3:
        raise GeometryError("The mosaic does not state where its slices lie.", path=header.path)
    across, down = (np.asarray(whole.orientation[i : i + 3]) for i in (0, 3))
    if abs(float(np.cross(across, down) @ normal)) < 0.99:
        raise GeometryError("The slices do not lie along their normal.", path=header.path)
    dy, dx = whole.spacing
    first = (
        np.asarray(whole.position)
        + across * dx * (header.columns - columns) / 2
        + down * dy * (header.rows - rows) / 2
    )
    planes = []
    for k in range(count):
        y, x = divmod(k, side)
        position = first + normal * step * k
        planes.append(
            Plane(
                header,
                0,
                tuple(float(part) for part in position),
                whole.orientation,
                whole.spacing,
                whole.thickness,
                whole.slope,
                whole.intercept,
                whole.traits,
                (slice(y * rows, (y + 1) * rows), slice(x * columns, (x + 1) * columns)),
            )
        )
    return planes


def _stated(header: Header) -> tuple[int | None, Any]:
    """Number of slices and their direction, from the CSA header of either version."""
    try:
        with quiet():
            from nibabel.nicom import csareader

            data = parsed(header.path, limits=header.limits)
            found = csareader.get_csa_header(data, "image")
            stated = None if found is None else csareader.get_n_mosaic(found)
            normal = None if found is None else csareader.get_slice_normal(found)
            if stated is None and _COUNT in data:
                stated = data[_COUNT].value
            count = None if stated is None else int(stated)
    except Exception as error:  # the reader raises whatever a damaged header makes it meet
        raise damaged(header.path, error, "mosaic's CSA header is") from error
    if normal is not None:
        normal = np.asarray(normal, dtype=np.float64)
        length = float(np.linalg.norm(normal))
        normal = normal / length if 0.9 < length < 1.1 else None
    return count, normal
