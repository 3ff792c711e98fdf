"""From the files of one series to the volumes that they make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from diaphane.acquire import nuclear
from diaphane.acquire.declared import check_pixels
from diaphane.acquire.enhanced import enhanced_planes
from diaphane.acquire.headers import Header
from diaphane.acquire.mosaic import mosaic_planes
from diaphane.acquire.planes import Plane, plane_of, stack
from diaphane.acquire.sop_classes import ENHANCED_CLASSES
from diaphane.acquire.splitting import Part, compared, split
from diaphane.core.errors import (
    DuplicateSlice,
    GeometryError,
    InputError,
    MissingSlice,
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
    check_pixels(header)


def split_volumes(members: Sequence[Header], rejected: Rejected) -> Iterator[Part]:
    """The planes of each volume that the files of one series make.

    Single sections make volumes together, as :mod:`~diaphane.acquire.splitting` tells them
    apart. So do the frames of an enhanced object (or of its parts, where it was stored in
    several), and the tiles of a mosaic, each apart from the others'. Every other image is one
    by itself, unless all state their place and stack to a grid. What is refused is added to
    ``rejected``.
    """
    owners = (("patient", "patients", "patient"), ("study", "studies", "study_uid"))
    for one, two, name in owners:
        if len({getattr(header, name) for header in members}) > 1:
            error = MixedSeries(
                f"One series holds images of two {two}.",
                path=folder_of(members),
                remedy=f"Separate them; a series belongs to one {one}.",
            )
            rejected.append((folder_of(members), error))
            return
    tiled: list[Part] = []
    singles: list[Plane] = []
    images: list[Plane] = []
    nuclears: list[list[Plane]] = []
    objects: dict[str, list[Header]] = defaultdict(list)
    whole: set[tuple[str | int, ...]] = set()
    for header in sorted(members, key=_in_time):
        if header.frames > 1 or header.is_enhanced or header.is_mosaic:
            size = (header.rows, header.columns, header.frames, header.bits_allocated)
            if header.sop_uid and (header.sop_uid, *size) in whole:
                rejected.append((header.path, _twin(header)))
                continue
            whole.add((header.sop_uid, *size))
        if header.is_mosaic:
            try:
                tiled.append(Part(mosaic_planes(header)))
            except InputError as error:
                rejected.append((header.path, error))
        elif header.is_enhanced and header.sop_class in ENHANCED_CLASSES:
            objects[header.concatenation or str(header.path)].append(header)
        elif header.sop_class == nuclear.SOP_CLASS and header.is_section and not header.position:
            try:
                volumes = nuclear.nuclear_volumes(header)
            except InputError as error:
                rejected.append((header.path, error))
            else:
                nuclears.extend(volumes)
        elif header.frames > 1 or header.is_enhanced:
            if header.is_section:
                unplaced = GeometryError(
                    "Multi-frame objects of this kind do not state the place of each frame.",
                    path=header.path,
                    remedy="Export the series as single images.",
                )
                rejected.append((header.path, unplaced))
            else:
                yield from _frames(header)
        elif header.is_section:
            singles.append(plane_of(header))
        else:
            images.append(plane_of(header))
    yield from compared([*tiled, *_of_objects(list(objects.values()), rejected)])
    if all(len(planes) == 1 for planes in nuclears):
        singles += [planes[0] for planes in nuclears]  # stored slice by slice
    else:
        for number, planes in enumerate(nuclears, start=1):
            yield Part(planes, {"time_point": number} if len(nuclears) > 1 else {})
    if singles:
        yield from split(singles)
    yield from _of_images(images, rejected)


def _of_objects(objects: Sequence[list[Header]], rejected: Rejected) -> Iterator[Part]:
    """Volumes of enhanced objects; those of one frame each belong together."""
    if len(objects) > 1 and all(h.frames == 1 for headers in objects for h in headers):
        objects = [[header for headers in objects for header in headers]]
    for headers in objects:
        try:
            _require_parts(headers)
            planes = [plane for header in headers for plane in enhanced_planes(header)]
        except InputError as error:
            rejected.append((folder_of(headers), error))
        else:
            yield from split(planes)


def _require_parts(headers: Sequence[Header]) -> None:
    """Refuse an object stored in several files (PS3.3 C.7.6.16) of which one is not there."""
    parts = {part for h in headers if (part := h.short("concatenation_part"))}
    stated = {count for h in headers if (count := h.short("concatenation_parts"))}
    missing = max(parts | stated, default=0) - len(parts)
    if headers[0].concatenation and parts and missing > 0:
        raise MissingSlice(
            f"{missing} of the {missing + len(parts)} files that hold this object are missing.",
            path=folder_of(headers),
            remedy="Copy or export the series again.",
        )


def _of_images(images: Sequence[Plane], rejected: Rejected) -> Iterator[Part]:
    """Images that are no sections: one grid where they form one, else each by itself."""
    if len(images) > 1 and all(p.position and p.orientation and p.spacing for p in images):
        try:
            stack(images)
        except (GeometryError, MixedSeries):
            pass
        else:
            yield Part(list(images))
            return
    seen: set[str] = set()
    for plane in images:
        uid = plane.header.sop_uid
        if uid and uid in seen:
            rejected.append((plane.header.path, _twin(plane.header)))
            continue
        seen.add(uid)
        yield Part([plane])


def _twin(header: Header) -> DuplicateSlice:
    return DuplicateSlice("The same image is there twice.", path=header.path)


def _frames(header: Header) -> Iterator[Part]:
    """Frames of a film or capture: placed where it says so and they form grids, else not."""
    if header.is_enhanced:
        try:
            parts = list(split(enhanced_planes(header)))
            for part in parts:
                stack(part.planes)
        except InputError:
            pass
        else:
            yield from parts
            return
    yield Part(
        [
            Plane(
                header, i, (), (), header.spacing, header.thickness, header.slope, header.intercept
            )
            for i in range(header.frames)
        ]
    )


def _in_time(header: Header) -> tuple[float, float, str]:
    acquisition = header.traits.get("acquisition")
    number = header.instance_number
    return (
        -1.0 if acquisition is None else acquisition,
        -1.0 if number is None else float(number),
        str(header.path),
    )


def folder_of(headers: Sequence[Header]) -> Path:
    """The file, or the folder of several."""
    paths = {header.path for header in headers}
    return paths.pop() if len(paths) == 1 else headers[0].path.parent
