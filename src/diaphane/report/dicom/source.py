"""The images that a result belongs to: whose they are, and which frame each slice is."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.case import SourceRef
from diaphane.core.geometry import Geometry
from diaphane.privacy import without_switches

_log = logging.getLogger(__name__)

CHARACTERS = "ISO_IR 192"
"""Every result is UTF-8, into which the names of any other character set go unchanged."""

_FORMS = {"DA": r"\d{8}", "TM": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"}
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SourceImages:
    """The source of one volume.

    Attributes
    ----------
    images:
        Headers, one a file, in slice order.
    frames:
        Per slice of the volume the number of its image and its frame there, both from 0; empty
        where the volume's grid is not that of the images (resampled, or tiles of a mosaic).
    geometry:
        Grid of the volume.
    """

    images: tuple[Any, ...]
    frames: tuple[tuple[int, int], ...]
    geometry: Geometry

    @classmethod
    def open(cls, source: SourceRef | None, geometry: Geometry) -> SourceImages | None:
        """Read the headers; ``None`` for an input that no DICOM result can belong to.

        That is one which is not DICOM; or, said as a warning, one which lacks the UIDs of its study
        or of its frame of reference, whose images share a UID, or which has several slices without
        a place in the patient.
        """
        if source is None or not is_dicom(source):
            return None
        import pydicom

        paths = source.open_for_dicom_writer()
        try:
            images = tuple(
                pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in paths
            )
            for image in images:
                _complete(image, geometry.spacing[0])
        except (OSError, ValueError, TypeError, LookupError):
            return None
        problem = _problem(images, geometry)
        if problem:
            _log.warning("No DICOM results: %s.", problem)
            return None
        stated = source.slices_for_dicom_writer()
        return cls(images, _matched(images, paths, stated, geometry), geometry)

    @property
    def first(self) -> Any:
        """Header of the first image."""
        return self.images[0]

    @property
    def is_multiframe(self) -> bool:
        """Whether one file holds several frames."""
        return any(_frame_count(image) > 1 for image in self.images)

    @property
    def is_part(self) -> bool:
        """Whether the volume is not one whole multi-frame object, but one of several, or several."""
        one = len(self.images) == 1 and len(self.frames) == _frame_count(self.first)
        return self.is_multiframe and bool(self.frames) and not one

    def reference(self, z: int) -> tuple[str, str, list[int] | None]:
        """SOP class, SOP instance and frame number (from 1; ``None`` in single-frame images)."""
        number, frame = self.frames[z]
        image = self.images[number]
        frames = [frame + 1] if _frame_count(image) > 1 else None
        return str(image.SOPClassUID), str(image.SOPInstanceUID), frames

    def patient(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Indices ``(n, 3)`` as ``(z, y, x)`` -> LPS mm ``(n, 3)`` as ``(x, y, z)``."""
        return np.array([self.geometry.to_patient(tuple(point)) for point in points])


def is_dicom(source: SourceRef | None) -> bool:
    """Whether a case was read from DICOM files."""
    from pydicom.misc import is_dicom as has_preamble

    files = () if source is None else source.open_for_dicom_writer()
    if not files:
        return False
    if has_preamble(files[0]):
        return True
    import pydicom

    with files[0].open("rb") as stream:
        start = stream.read(4)
    if start[:2] not in (b"\x02\0", b"\x08\0") or start[3:] != b"\0":
        return False
    try:  # old files lack the preamble
        found = pydicom.dcmread(files[0], force=True, specific_tags=["SOPInstanceUID"])
    except (OSError, ValueError, TypeError, LookupError):
        return False
    return "SOPInstanceUID" in found


def _problem(images: Sequence[Any], geometry: Geometry) -> str:
    """Why no result can refer to these images; "" where one can."""
    needed = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    if geometry.is_spatial:
        needed.append("FrameOfReferenceUID")
    for name in needed:
        if any(not image.get(name) for image in images):
            return f"the images do not state their {name}"
    if len({(i.StudyInstanceUID, i.SeriesInstanceUID) for i in images}) > 1:
        return "the images are of several series"
    if len({image.SOPInstanceUID for image in images}) < len(images):
        return "several images have the same SOPInstanceUID"
    if geometry.shape[0] > 1 and not geometry.is_spatial:
        return "the images do not state their place in the patient"
    return ""


def _complete(image: Any, depth: float | None) -> None:
    """Text as unicode; what every result must state, empty where the source leaves it out.

    So is what DICOM has no form for: a sex that is none of its codes (its first letter is kept where
    it is one), and times and dates that cannot be read once their marks are taken out.
    """
    image.decode()
    for name in _TYPE_2:
        setattr(image, name, without_switches(str(image.get(name) or "")))
    sex = image.PatientSex[:1].upper()
    image.PatientSex = sex if sex in ("M", "F", "O") else ""
    for name in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(image, name, _digits(str(image.get(name)), "TM" if name == "StudyTime" else "DA"))
    if not image.get("SliceThickness"):
        image.SliceThickness = None if depth is None else round(depth, 6)
    # Some archives leave half a reference to the study behind; copied, it would be our error.
    if any(
        "ReferencedSOPClassUID" not in item for item in image.get("ReferencedStudySequence", ())
    ):
        del image.ReferencedStudySequence


def _digits(value: str, kind: str) -> str:
    """A date or time as DICOM writes it, "" where it is none; old files part it by marks."""
    plain = value.strip().replace(":", "") if kind == "TM" else value.strip().replace(".", "")
    return plain if re.fullmatch(_FORMS[kind], plain) else ""


def _frame_count(image: Any) -> int:
    return int(image.get("NumberOfFrames") or 1)


def _matched(
    images: Sequence[Any],
    paths: Sequence[Path],
    stated: Sequence[tuple[Path, int]],
    geometry: Geometry,
) -> tuple[tuple[int, int], ...]:
    """Image and frame of every slice, checked against the grid; empty where they are not it."""
    numbers = {path: number for number, path in enumerate(paths)}
    every = [(n, frame) for n, image in enumerate(images) for frame in range(_frame_count(image))]
    frames = [(numbers[path], frame) for path, frame in stated] or every
    shape = (int(images[0].get("Rows") or 0), int(images[0].get("Columns") or 0))
    if shape != geometry.shape[1:]:
        return ()
    if not geometry.is_spatial:
        return tuple(frames) if len(frames) == geometry.shape[0] else ()
    step = min(s for s in geometry.spacing if s is not None)
    found: list[tuple[int, int] | None] = [None] * geometry.shape[0]
    for number, frame in frames:
        corner, along = _plane(images[number], frame)
        if corner is None or along is None:
            return ()
        z, y, x = geometry.to_index(corner)
        at = round(float(z))
        if not 0 <= at < len(found) or max(abs(y), abs(x)) > 0.5:
            continue
        if abs(z - at) * (geometry.spacing[0] or step) > 0.3 * step + 0.01 and len(frames) > 1:
            continue
        direction = np.asarray(geometry.direction)
        if (
            max(abs(direction[:, 2] - along[:3]).max(), abs(direction[:, 1] - along[3:]).max())
            > 0.01
        ):
            return ()
        if found[at] is None:
            found[at] = (number, frame)
    kept = tuple(pair for pair in found if pair is not None)
    return kept if len(kept) == len(found) else ()


def _plane(image: Any, frame: int) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """ImagePositionPatient and ImageOrientationPatient of a frame, where stated."""
    groups = [image]
    for name, at in (
        ("SharedFunctionalGroupsSequence", 0),
        ("PerFrameFunctionalGroupsSequence", frame),
    ):
        items = image.get(name)
        if items and at < len(items):
            groups.insert(0, items[at])
    values: list[NDArray[np.float64] | None] = []
    for group, name in (
        ("PlanePositionSequence", "ImagePositionPatient"),
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ):
        homes = [item for g in groups for item in (g.get(group) or ())] + [image]
        value = next((home.get(name) for home in homes if home.get(name) is not None), None)
        values.append(None if value is None else np.array([float(v) for v in value]))
    return values[0], values[1]
