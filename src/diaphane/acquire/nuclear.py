"""Tomographic nuclear medicine: the place of its frames stands in the detector's description.

The first slice lies at the position that DetectorInformationSequence states; SliceVector numbers
the slices, SpacingBetweenSlices tells their distance and, by its sign, their direction along the
normal. What the other vectors tell apart (time slots, intervals, energy windows) are volumes of
their own.

Source: DICOM PS3.3 C.8.4.8 (multi-frame), C.8.4.11 (detector), C.8.4.15 (reconstruction).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import parsed
from diaphane.acquire.planes import Plane, plane_of
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import GeometryError, UnreadableFile

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.20"

_OTHER_VECTORS = (
    *("EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector"),
    *("RRIntervalVector", "TimeSlotVector", "TimeSliceVector", "AngularViewVector"),
)


def nuclear_volumes(header: Header) -> list[list[Plane]]:
    """The planes of each volume of a tomographic object, in the order of their frames.

    Raises
    ------
    GeometryError
        When it does not state where its slices lie.
    UnreadableFile
        When its vectors are damaged.
    """
    try:
        with quiet():
            data = parsed(header.path, limits=header.limits)
            detector = (data.get("DetectorInformationSequence") or [data])[0]
            position = _numbers(detector.get("ImagePositionPatient")) or header.position
            orientation = _numbers(detector.get("ImageOrientationPatient")) or header.orientation
            slices = _vector(data, "SliceVector", header.frames)
            others = [_vector(data, name, header.frames) for name in _OTHER_VECTORS]
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise UnreadableFile(
            f"The description of the frames is damaged ({type(error).__name__}).", path=header.path
        ) from error
    step = header.between or header.thickness
    if len(position) != 3 or len(orientation) != 6 or not step:
        raise GeometryError(
            "The object does not state where its slices lie (ImagePositionPatient and "
            "ImageOrientationPatient of the detector, SpacingBetweenSlices).",
            path=header.path,
            remedy="Export it again with its geometry.",
        )
    normal = np.cross(orientation[:3], orientation[3:])
    volumes: dict[tuple[int, ...], list[Plane]] = defaultdict(list)
    whole = plane_of(header)
    for frame, kind in enumerate(zip(*others, strict=True)):
        at = np.asarray(position) + normal * step * (slices[frame] - 1)
        place = (float(at[0]), float(at[1]), float(at[2]))
        plane = replace(whole, frame=frame, position=place, orientation=tuple(orientation))
        volumes[kind].append(plane)
    return list(volumes.values())


def _vector(data: Any, name: str, frames: int) -> list[int]:
    """A number for each frame; slices without a vector follow each other."""
    values = [int(v) for v in np.atleast_1d(data.get(name) or [])]
    if not values:
        return list(range(1, frames + 1)) if name == "SliceVector" else [1] * frames
    if len(values) != frames:
        raise ValueError("a vector has not one value for each frame")
    return values


def _numbers(value: Any) -> tuple[float, ...]:
    return () if value is None else tuple(float(v) for v in value)
