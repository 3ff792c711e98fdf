"""Planes of enhanced multi-frame objects, whose geometry stands in functional groups.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.planes import Plane
from diaphane.acquire.quiet import quiet
from diaphane.acquire.sop_classes import PARAMETRIC_MAP
from diaphane.acquire.traits import frame_traits
from diaphane.core.errors import GeometryError, UnreadableFile

# Stack, place in it, position and orientation of the plane.
_SPACE = frozenset({0x00209056, 0x00209057, 0x00200032, 0x00200037})
# Group of a frame's scale, and how its attributes begin: parametric maps know no other rescale.
_RESCALE = ("PixelValueTransformationSequence", "Rescale")
_SCALES = {PARAMETRIC_MAP: ("RealWorldValueMappingSequence", "RealWorldValue")}


def enhanced_planes(header: Header) -> list[Plane]:
    """One plane per frame of an enhanced CT, MR, PET or tomosynthesis object.

    Raises
    ------
    UnreadableFile
        When the functional groups are damaged or do not match the number of frames.
    GeometryError
        When a frame does not state its place.
    """
    try:
        with quiet():
            data = parsed(header.path, limits=header.limits)
            shared = _first(data, "SharedFunctionalGroupsSequence")
            frames = list(data.get("PerFrameFunctionalGroupsSequence", None) or [])
            if len(frames) != header.frames:
                raise UnreadableFile(
                    f"The file declares {header.frames} frames and describes {len(frames)}.",
                    path=header.path,
                )
            others = _other_dimensions(data)
            return [_plane(header, i, frame, shared, others) for i, frame in enumerate(frames)]
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(header.path, error, "functional groups are") from error


def _plane(header: Header, index: int, frame: Any, shared: Any, others: Sequence[int]) -> Plane:
    position = _value(frame, shared, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _value(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _value(frame, shared, "PixelMeasuresSequence", "PixelSpacing")
    thickness = _value(frame, shared, "PixelMeasuresSequence", "SliceThickness")
    group, kind = _SCALES.get(header.sop_class, _RESCALE)
    slope = _value(frame, shared, group, f"{kind}Slope")
    intercept = _value(frame, shared, group, f"{kind}Intercept")
    if slope is None and header.sop_class == PARAMETRIC_MAP:
        raise UnreadableFile(
            f"Frame {index + 1} of the map does not state what its values mean by a slope.",
            path=header.path,
            remedy="Maps whose real world values stand in a table are not read.",
        )
    if position is None or orientation is None:
        raise GeometryError(
            f"Frame {index + 1} does not state its place in the patient.", path=header.path
        )
    traits = {**header.traits, **frame_traits(frame, shared, others)}
    if slope is not None or header.rescaled:
        unit = _value(frame, shared, group, "RescaleType")
        traits["rescale_type"] = header.rescale_type if unit is None else str(unit)
    return Plane(
        header,
        index,
        tuple(float(v) for v in position),
        tuple(float(v) for v in orientation),
        () if spacing is None else tuple(float(v) for v in spacing),
        None if thickness is None else float(thickness),
        header.slope if slope is None else float(slope),
        header.intercept if intercept is None else float(intercept),
        traits,
    )


def _other_dimensions(data: Any) -> list[int]:
    """Places in DimensionIndexValues of the dimensions that are not of space."""
    items = data.get("DimensionIndexSequence", None) or []
    pointers = [int(item.get("DimensionIndexPointer", 0) or 0) for item in items]
    return [i for i, pointer in enumerate(pointers) if pointer not in _SPACE]


def _value(frame: Any, shared: Any, group: str, name: str) -> Any:
    for source in (frame, shared):
        item = None if source is None else _first(source, group)
        if item is not None and item.get(name, None) is not None:
            return item.get(name)
    return None


def _first(data: Any, name: str) -> Any:
    sequence = data.get(name, None)
    return sequence[0] if sequence else None
