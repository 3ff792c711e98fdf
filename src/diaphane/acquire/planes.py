"""Planes: the single sections that files hold, and how they stack to a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.headers import Header
from diaphane.core.errors import (
    DuplicateSlice,
    GantryTilt,
    GeometryError,
    MissingSlice,
    MissingSpacing,
    MixedSeries,
)
from diaphane.core.geometry import Geometry, Triple

SAME_PLACE_MM = 1e-3
SAME_DIRECTION = 1e-3  # 0.06 degrees
UNEVEN = 0.15  # of one step: rounded positions pass, a changed spacing does not
GAP = 1.5  # steps


@dataclass(frozen=True, slots=True)
class Plane:
    """One section.

    Attributes
    ----------
    header, frame:
        Its file, and its index there (0 in single-frame files).
    position, orientation, spacing:
        As in DICOM; empty where not stated.
    slope, intercept:
        Rescale of this plane.
    """

    header: Header
    frame: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    slope: float
    intercept: float


def plane_of(header: Header) -> Plane:
    """The plane of a single-frame file."""
    return Plane(
        header,
        0,
        header.position,
        header.orientation,
        header.spacing,
        header.thickness,
        header.slope,
        header.intercept,
    )


def stack(planes: Sequence[Plane]) -> tuple[list[Plane], Geometry]:
    """Planes in order along their normal, and the grid they form.

    Order is by the projection of ImagePositionPatient on the normal of
    ImageOrientationPatient (DICOM PS3.3 C.7.6.2.1.1), never by name or instance number.

    Raises
    ------
    MissingSpacing
        No PixelSpacing.
    GeometryError
        No position or orientation, or uneven spacing.
    MixedSeries
        Two sizes, orientations, spacings, frames of reference or patients.
    DuplicateSlice, MissingSlice, GantryTilt
        As their names say.
    """
    first = planes[0]
    path = first.header.path.parent if len(planes) > 1 else first.header.path
    for plane in planes:
        if not plane.spacing:
            raise MissingSpacing(
                "The image does not state its PixelSpacing, and a cross-sectional image "
                "cannot be measured without it.",
                path=plane.header.path,
                remedy="Export it again with its geometry.",
            )
        if min(plane.spacing) <= 0:
            raise GeometryError("PixelSpacing is not positive.", path=plane.header.path)
        if not plane.position or not plane.orientation:
            raise GeometryError(
                "The image does not state its place in the patient (ImagePositionPatient "
                "and ImageOrientationPatient).",
                path=plane.header.path,
                remedy="Export it again with its geometry.",
            )
    _require_one_geometry(planes, path)
    across, down = (np.asarray(first.orientation[i : i + 3]) for i in (0, 3))
    across, down = _orthonormal(across, down, path)
    normal = np.cross(across, down)
    positions = np.asarray([p.position for p in planes], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    ordered = [planes[i] for i in order]
    positions, along = positions[order], along[order]
    dz = _step(along, ordered, path)
    if dz is not None:
        _require_upright(positions, normal, first.spacing, path)
    dy, dx = first.spacing
    columns = np.stack([normal, down, across], axis=1)
    rows = [(float(r[0]), float(r[1]), float(r[2])) for r in columns]
    origin: Triple = (float(positions[0][0]), float(positions[0][1]), float(positions[0][2]))
    header = first.header
    geometry = Geometry(
        (len(planes), header.rows, header.columns),
        (dz if dz is not None else _lone_step(first), dy, dx),
        (rows[0], rows[1], rows[2]),
        origin,
    )
    return ordered, geometry


def _lone_step(plane: Plane) -> float | None:
    """Depth of a single section: its stated thickness."""
    thickness = plane.thickness
    return thickness if thickness is not None and thickness > 0 else None


def _orthonormal(
    across: NDArray[Any], down: NDArray[Any], path: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(float(across @ down)) > 0.01:
        raise GeometryError("ImageOrientationPatient does not hold two unit vectors.", path=path)
    across = across / lengths[0]
    down = down - across * float(across @ down)
    return across, down / np.linalg.norm(down)


def _require_one_geometry(planes: Sequence[Plane], path: Any) -> None:
    first = planes[0]
    base = first.header
    for plane in planes:
        header = plane.header
        found = None
        if header.patient != base.patient:
            found = "patients"
        elif header.frame_of_reference != base.frame_of_reference:
            found = "frames of reference"
        elif (header.rows, header.columns) != (base.rows, base.columns):
            found = "image sizes"
        elif header.modality != base.modality:
            found = "modalities"
        elif header.photometric != base.photometric or header.samples != base.samples:
            found = "kinds of pixel"
        elif max(np.abs(np.subtract(plane.orientation, first.orientation))) > SAME_DIRECTION:
            found = "orientations"
        elif not np.allclose(plane.spacing, first.spacing, rtol=1e-4, atol=1e-6):
            found = "pixel spacings"
        if found:
            raise MixedSeries(
                f"One series holds images of two {found}.",
                path=path,
                remedy="Separate them, for example by exporting the series again.",
            )


def _step(along: NDArray[np.float64], planes: Sequence[Plane], path: Any) -> float | None:
    """Distance of neighbouring planes in mm; ``None`` for a single one."""
    if len(along) == 1:
        return None
    steps = np.diff(along)
    twins = np.flatnonzero(steps < SAME_PLACE_MM)
    if len(twins):
        a, b = planes[twins[0]], planes[twins[0] + 1]
        kind = (
            "The same image is there twice"
            if a.header.sop_uid == b.header.sop_uid and a.frame == b.frame
            else "Two images lie at the same position"
        )
        raise DuplicateSlice(
            f"{kind} ({len(twins)} of {len(planes)} in all; first {_name(a)} and {_name(b)}).",
            path=path,
            remedy="Remove copies; a series of several time points, echoes or phases must be "
            "separated into one folder each.",
        )
    typical = float(np.median(steps))
    gaps = np.flatnonzero(steps > GAP * typical)
    if len(gaps):
        lost = int(sum(round(float(steps[g]) / typical) - 1 for g in gaps))
        g = gaps[0]
        raise MissingSlice(
            f"{max(lost, 1)} of {len(planes) + max(lost, 1)} slices are missing: between "
            f"{along[g]:.2f} and {along[g + 1]:.2f} mm along the normal lie {steps[g]:.2f} mm, "
            f"elsewhere {typical:.2f} mm.",
            path=path,
            remedy="Export the series again; gaps are never filled in.",
        )
    mean = float((along[-1] - along[0]) / (len(along) - 1))
    drift = float(np.abs(along - (along[0] + mean * np.arange(len(along)))).max())
    if drift > UNEVEN * mean:
        raise GeometryError(
            f"Slices are not evenly spaced: distances run from {steps.min():.3f} to "
            f"{steps.max():.3f} mm.",
            path=path,
            remedy="Export or reconstruct the series with one spacing.",
        )
    return mean


def _require_upright(
    positions: NDArray[np.float64], normal: NDArray[np.float64], spacing: Sequence[float], path: Any
) -> None:
    """Refuse stacks whose origins leave the line along the normal."""
    moved = positions - positions[0]
    sideways = moved - np.outer(moved @ normal, normal)
    shift = np.linalg.norm(sideways, axis=1)
    if shift.max() <= 0.5 * min(spacing):
        return
    depth = abs(float(moved[-1] @ normal))
    angle = float(np.degrees(np.arctan2(shift[-1], depth)))
    raise GantryTilt(
        f"Slices are sheared against their normal by {angle:.1f} degrees (gantry tilt), "
        f"{shift.max():.1f} mm over the stack.",
        path=path,
        remedy="Correct the tilt first, for example with dcm2niix, which resamples it.",
    )


def _name(plane: Plane) -> str:
    name = plane.header.path.name
    return f"{name} frame {plane.frame + 1}" if plane.header.frames > 1 else name
