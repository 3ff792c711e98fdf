"""Planes: the single sections that files hold, and how they stack to a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.headers import FARTHEST, LARGEST, Header
from diaphane.acquire.resampling import Resampling
from diaphane.core.errors import (
    DuplicateSlice,
    GantryTilt,
    GeometryError,
    MissingSlice,
    MissingSpacing,
    MixedSeries,
    UnreadableFile,
)
from diaphane.core.geometry import Geometry
from diaphane.core.options import AS_IS, ReadOptions

_SAME_PLACE = 1e-3  # mm
_OF_THICKNESS, _MOST_ROUNDED = 0.01, 0.05  # mm; positions of one place may be rounded differently
SAME_DIRECTION = 1e-3  # 0.06 degrees
UNEVEN = 0.15  # of one step: rounded positions pass, a changed spacing does not
GAP = 1.5  # steps
STEEPEST = 45.0  # degrees; gantries tilt by 30


@dataclass(frozen=True, slots=True)
class Plane:
    """One section.

    Attributes
    ----------
    header, frame:
        Its file, and its index there (0 in single-frame files).
    position, orientation, spacing:
        As in DICOM; empty where not stated. The position is that of the section itself, also
        where it is a tile of a mosaic.
    slope, intercept:
        Rescale of this plane.
    traits:
        What may tell it from another at the same place; see :mod:`~diaphane.acquire.traits`.
    tile:
        Rows and columns of the image that it covers, where that is not all.
    """

    header: Header
    frame: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    slope: float
    intercept: float
    traits: Mapping[str, Any] = field(default_factory=dict)
    tile: tuple[slice, slice] | None = None

    def __post_init__(self) -> None:
        where = (*self.position, *self.orientation, *self.spacing)
        scale = (self.slope, self.intercept)
        if not all(abs(number) <= FARTHEST for number in where):  # also NaN
            raise GeometryError(
                "The place of a section is stated by numbers that cannot be.",
                path=self.header.path,
                remedy="Export it again with its geometry.",
            )
        if self.slope == 0 or not all(abs(number) <= LARGEST for number in scale):
            raise UnreadableFile(
                "The rescale of a section is stated by numbers that cannot be.",
                path=self.header.path,
                remedy="Export the image again.",
            )

    @property
    def rows(self) -> int:
        """Rows of the section."""
        return self.header.rows if self.tile is None else self.tile[0].stop - self.tile[0].start

    @property
    def columns(self) -> int:
        """Columns of the section."""
        return self.header.columns if self.tile is None else self.tile[1].stop - self.tile[1].start

    def cut(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The section's own pixels out of the frame's ``(y, x)``."""
        return pixels if self.tile is None else pixels[self.tile]

    def same_image(self, other: Plane) -> bool:
        """Whether both are the same part of the same object."""
        mine, theirs = self.header.sop_uid, other.header.sop_uid
        return (mine, self.frame, self.tile) == (theirs, other.frame, other.tile)


def plane_of(header: Header) -> Plane:
    """The plane of a single-frame file."""
    traits = {**header.traits, "image_type": header.image_type, "kernel": header.kernel}
    if header.thickness is not None:
        traits["slice_thickness"] = header.thickness
    return Plane(
        header,
        0,
        header.position,
        header.orientation,
        header.spacing,
        header.thickness,
        header.slope,
        header.intercept,
        traits,
    )


@dataclass(frozen=True)
class Stack:
    """Planes in order along their normal, the grid to read them to, and how they come there."""

    planes: tuple[Plane, ...]
    geometry: Geometry
    resampling: Resampling | None = None

    @property
    def shown(self) -> Sequence[Plane]:
        """The plane that each slice of the grid shows most of."""
        if self.resampling is None:
            return self.planes
        return [self.planes[k] for k in self.resampling.nearest]


def stack(planes: Sequence[Plane], options: ReadOptions = AS_IS) -> Stack:
    """Planes in order along their normal, and the grid they form.

    Order is by the projection of ImagePositionPatient on the normal of
    ImageOrientationPatient (DICOM PS3.3 C.7.6.2.1.1), never by name or instance number.

    Raises
    ------
    MissingSpacing
        No PixelSpacing.
    GeometryError
        No position or orientation, or uneven spacing that ``options`` does not repair.
    MixedSeries
        Two sizes, orientations, spacings, frames of reference or patients.
    DuplicateSlice, MissingSlice, GantryTilt
        As their names say; tilt only where ``options`` does not repair it.
    """
    first = planes[0]
    path = first.header.path.parent if len(planes) > 1 else first.header.path
    for plane in planes:
        if len(plane.spacing) != 2 or min(plane.spacing) <= 0:
            raise MissingSpacing(
                "The image does not state its PixelSpacing.",
                path=plane.header.path,
                remedy="Export it again with its geometry.",
            )
        if len(plane.position) != 3 or len(plane.orientation) != 6:
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
    dz, uneven = _step(along, ordered, path, options)
    dy, dx = first.spacing
    resampling = None
    origin = positions[0]
    shape = (len(planes), first.rows, first.columns)
    if dz is not None:
        moved = positions - origin
        shift = np.stack([moved @ down / dy, moved @ across / dx], axis=1)
        sheared = _is_sheared(moved, normal, first.spacing, path, options)
        if sheared or uneven:
            shift = shift if sheared else np.zeros_like(shift)
            depths = (along - along[0]) / dz if uneven else None
            resampling = Resampling.onto(shape, depths, shift)
            shape = resampling.shape
            low = resampling.low
            origin = origin + low[0] * dy * down + low[1] * dx * across
    columns = np.stack([normal, down, across], axis=1)
    rows = [(float(r[0]), float(r[1]), float(r[2])) for r in columns]
    geometry = Geometry(
        shape,
        (dz if dz is not None else _lone_step(first), dy, dx),
        (rows[0], rows[1], rows[2]),
        (float(origin[0]), float(origin[1]), float(origin[2])),
    )
    return Stack(tuple(ordered), geometry, resampling)


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
        elif (plane.rows, plane.columns) != (first.rows, first.columns):
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


def _step(
    along: NDArray[np.float64], planes: Sequence[Plane], path: Any, options: ReadOptions
) -> tuple[float | None, bool]:
    """Distance of neighbouring planes in mm, ``None`` for a single one; whether it is uneven."""
    if len(along) == 1:
        return None, False
    steps = np.diff(along)
    twins = np.flatnonzero(steps < same_place(planes))
    if len(twins):
        a, b = planes[twins[0]], planes[twins[0] + 1]
        kind = (
            "The same image is there twice"
            if a.same_image(b)
            else "Two images lie at the same position"
        )
        raise DuplicateSlice(
            f"{kind} ({len(twins)} of {len(planes)} in all; first {_name(a)} and {_name(b)}).",
            path=path,
            remedy="Remove copies; images at one place are told apart by echo, phase, time, "
            "b-value and the like, which these do not state.",
        )
    typical = float(np.median(steps))
    repaired = options.spacing == "resample"
    gaps = np.flatnonzero(steps > _widest(steps, planes, typical, changing=repaired))
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
    if drift <= UNEVEN * mean:
        return mean, False
    if not repaired:
        raise GeometryError(
            f"Slices are not evenly spaced: distances run from {steps.min():.3f} to "
            f"{steps.max():.3f} mm.",
            path=path,
            remedy="Export the series with one spacing, or read it with --spacing resample.",
        )
    return typical, True


def same_place(planes: Sequence[Plane]) -> float:
    """Distance along the normal, in mm, below which sections lie at one place."""
    thinnest = min((p.thickness or 0.0 for p in planes), default=0.0)
    return max(_SAME_PLACE, min(_OF_THICKNESS * thinnest, _MOST_ROUNDED))


def _widest(
    steps: NDArray[np.float64], planes: Sequence[Plane], typical: float, *, changing: bool
) -> NDArray[np.float64]:
    """What each step may be at most without a slice missing there.

    Where the distance may change along the stack, a step is held against its neighbours, and
    against the slices' own thickness: a wide stretch of thick slices is none of gaps.
    """
    whole = np.full(len(steps), GAP * typical)
    if not changing or len(steps) < 2:
        return whole
    inner = np.concatenate([[0.0], steps, [0.0]])
    near = GAP * np.maximum(inner[:-2], inner[2:])
    thick = np.asarray([p.thickness or np.inf for p in planes])
    body = GAP * np.maximum(thick[:-1], thick[1:])
    widest: NDArray[np.float64] = np.minimum(near, np.maximum(body, whole))
    return widest


def _is_sheared(
    moved: NDArray[np.float64],
    normal: NDArray[np.float64],
    spacing: Sequence[float],
    path: Any,
    options: ReadOptions,
) -> bool:
    """Whether origins, given from the first, leave the line along the normal; refused unless
    it is a tilt that may be repaired.
    """
    along = moved @ normal
    sideways = moved - np.outer(along, normal)
    shift = np.linalg.norm(sideways, axis=1)
    if shift.max() <= 0.5 * min(spacing):
        return False
    angle = float(np.degrees(np.arctan2(shift[-1], abs(float(along[-1])))))
    if options.tilt != "resample" or angle > STEEPEST:
        raise GantryTilt(
            f"Slices are sheared against their normal by {angle:.1f} degrees (gantry tilt), "
            f"{shift.max():.1f} mm over the stack.",
            path=path,
            remedy="Read it with --tilt resample, or correct it first, for example with dcm2niix.",
        )
    straight = np.outer(along, along @ sideways) / float(along @ along)
    if np.abs(sideways - straight).max() > max(spacing):
        raise GeometryError(
            "The slices' origins do not lie on one line, which is no gantry tilt.", path=path
        )
    return True


def _name(plane: Plane) -> str:
    name = plane.header.path.name
    return f"{name} frame {plane.frame + 1}" if plane.header.frames > 1 else name
