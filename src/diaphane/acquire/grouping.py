"""From the files of one series to the volumes that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from diaphane.acquire.enhanced import enhanced_planes
from diaphane.acquire.headers import ENHANCED_CLASSES, Header, check_pixels
from diaphane.acquire.planes import Plane, plane_of, stack
from diaphane.core.errors import (
    DuplicateSlice,
    GeometryError,
    InputError,
    MixedSeries,
    NoPixelData,
    NotApplicable,
)

Rejected = list[tuple[Path, InputError]]


def require_pixels(header: Header) -> None:
    """Refuse what holds no image, or one of a kind that is not read.

    Raises
    ------
    NoPixelData, NotApplicable, UnreadableFile
        As their names say.
    """
    if not header.has_pixels:
        raise NoPixelData(
            "The DICOM object holds no image.", path=header.path, remedy="Export it with pixels."
        )
    if header.modality == "SM":
        raise NotApplicable(
            "Whole-slide microscopy is not read.", path=header.path, remedy="Export a region."
        )
    if "MOSAIC" in header.image_type:
        raise NotApplicable(
            "This is a Siemens mosaic: many slices tiled in one image.",
            path=header.path,
            remedy="Convert it first, for example with dcm2niix.",
        )
    check_pixels(header)


def split_volumes(members: Sequence[Header], rejected: Rejected) -> Iterator[list[Plane]]:
    """The planes of each volume that the files of one series make.

    Sections make one volume together. Every multi-frame file makes one of its own, and so
    does every other image, unless all state their place and stack to a grid. What is refused
    is added to ``rejected``.
    """
    people = {header.patient for header in members}
    if len(people) > 1:
        error = MixedSeries(
            "One series holds images of two patients.",
            path=folder_of(members),
            remedy="Separate them; a series belongs to one patient.",
        )
        rejected.append((folder_of(members), error))
        return
    singles: list[Plane] = []
    images: list[Plane] = []
    for header in members:
        if header.is_enhanced and header.sop_class in ENHANCED_CLASSES:
            try:
                yield enhanced_planes(header)
            except InputError as error:
                rejected.append((header.path, error))
        elif header.frames > 1 or header.is_enhanced:
            if header.is_section:
                unplaced = GeometryError(
                    "Multi-frame objects of this kind do not state the place of each frame.",
                    path=header.path,
                    remedy="Export the series as single images.",
                )
                rejected.append((header.path, unplaced))
            else:
                yield _frames(header)
        elif header.is_section:
            singles.append(plane_of(header))
        else:
            images.append(plane_of(header))
    if singles:
        yield singles
    if len(images) > 1 and all(p.position and p.orientation and p.spacing for p in images):
        try:
            stack(images)
        except (GeometryError, MixedSeries):
            pass
        else:
            yield images
            return
    seen: set[str] = set()
    for plane in images:
        uid = plane.header.sop_uid
        if uid and uid in seen:
            twin = DuplicateSlice("The same image is there twice.", path=plane.header.path)
            rejected.append((plane.header.path, twin))
            continue
        seen.add(uid)
        yield [plane]


def _frames(header: Header) -> list[Plane]:
    """Frames of a film or capture: placed where it says so and they form a grid, else not."""
    if header.is_enhanced:
        try:
            planes = enhanced_planes(header)
            stack(planes)
        except InputError:
            pass
        else:
            return planes
    return [
        Plane(header, i, (), (), header.spacing, header.thickness, header.slope, header.intercept)
        for i in range(header.frames)
    ]


def folder_of(headers: Sequence[Header]) -> Path:
    """The file, or the folder of several."""
    paths = {header.path for header in headers}
    return paths.pop() if len(paths) == 1 else headers[0].path.parent
