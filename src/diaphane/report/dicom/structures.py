"""Structures and findings as an RT Structure Set (PS3.3 A.19)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane import __version__
from diaphane.report.dicom.contours import outlines
from diaphane.report.dicom.segments import Maker, Outlined, Segment, new_uid
from diaphane.report.dicom.source import CHARACTERS, SourceImages
from diaphane.report.dicom.terms import concept

SERIES_NUMBER = 9002

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, as PS3.3 C.8.8.5 has it
_COPIED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime",
    "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
)  # fmt: skip


def write(outlined: Outlined, path: Path) -> bool:
    """Write the labels as contours in patient mm, one ROI a value.

    Returns
    -------
    bool
        Whether it was written: ``False`` where the images have no place in the patient.
    """
    source, segments = outlined.source, outlined.segments
    if not source.geometry.is_spatial:
        return False
    made = _header(source, outlined.maker)
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source)]
    numbered = list(enumerate((segments[value] for value in sorted(segments)), start=1))
    made.StructureSetROISequence = [_roi(n, segment, source) for n, segment in numbered]
    made.ROIContourSequence = [
        _contours(n, segment, outlined.labels == segment.value, source) for n, segment in numbered
    ]
    made.RTROIObservationsSequence = [_observation(n, segment) for n, segment in numbered]
    made.save_as(path, enforce_file_format=True)
    return True


def _dataset(**values: Any) -> Any:
    from pydicom import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _header(source: SourceImages, maker: Maker) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ImplicitVRLittleEndian, RTStructureSetStorage

    now = datetime.now(UTC).astimezone()
    uid, shows, sop_class = UID(new_uid()), maker.shows, RTStructureSetStorage
    made = _dataset(
        SpecificCharacterSet=CHARACTERS,
        InstanceCreationDate=now.strftime("%Y%m%d"),
        InstanceCreationTime=now.strftime("%H%M%S"),
        SOPClassUID=sop_class,
        SOPInstanceUID=uid,
        Modality="RTSTRUCT",
        Manufacturer="diaphane",
        ManufacturerModelName=maker.name,
        DeviceSerialNumber="0",
        SoftwareVersions=__version__,
        OperatorsName="",
        SeriesInstanceUID=new_uid(),
        SeriesNumber=SERIES_NUMBER,
        SeriesDescription=f"diaphane: {shows}"[:64],
        InstanceNumber=1,
        StructureSetLabel="FINDINGS",
        StructureSetName=f"diaphane: {shows}"[:64],
        StructureSetDate=now.strftime("%Y%m%d"),
        StructureSetTime=now.strftime("%H%M%S"),
        ApprovalStatus="UNAPPROVED",
        PositionReferenceIndicator=source.first.get("PositionReferenceIndicator") or "",
    )
    for name in _COPIED:
        if name in source.first:
            made[name] = source.first[name]
    stated = FileMetaDataset()
    stated.MediaStorageSOPClassUID, stated.MediaStorageSOPInstanceUID = sop_class, uid
    # With explicit VR the points of one contour end at 64 KiB (PS3.5 6.2.2).
    stated.TransferSyntaxUID = ImplicitVRLittleEndian
    made.file_meta = stated
    return made


def _image(source: SourceImages, z: int) -> Any:
    sop_class, uid, frames = source.reference(z)
    item = _dataset(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid)
    if frames is not None:
        item.ReferencedFrameNumber = frames[0]
    return item


def _frame_of_reference(source: SourceImages) -> Any:
    images = [
        _dataset(ReferencedSOPClassUID=i.SOPClassUID, ReferencedSOPInstanceUID=i.SOPInstanceUID)
        for i in source.images
    ]
    series = _dataset(SeriesInstanceUID=source.first.SeriesInstanceUID, ContourImageSequence=images)
    study = _dataset(
        ReferencedSOPClassUID=_STUDY_CLASS,
        ReferencedSOPInstanceUID=source.first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _dataset(
        FrameOfReferenceUID=source.first.FrameOfReferenceUID, RTReferencedStudySequence=[study]
    )


def _roi(number: int, segment: Segment, source: SourceImages) -> Any:
    return _dataset(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=source.first.FrameOfReferenceUID,
        ROIName=segment.name,
        ROIGenerationAlgorithm="AUTOMATIC",
    )


def _contours(number: int, segment: Segment, mask: NDArray[np.bool_], source: SourceImages) -> Any:
    items = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        about = _dataset(ContourGeometricType="CLOSED_PLANAR")
        if source.frames:
            about.ContourImageSequence = [_image(source, int(z))]
        same = list(about)  # what the contours of a slice have in common, made once
        for outline in outlines(mask[z]):
            points = np.column_stack([np.full(len(outline), float(z)), outline])
            items.append(_contour(source.geometry.to_patient(points), same))
    made = _dataset(ROIDisplayColor=list(segment.colour), ReferencedROINumber=number)
    if items:
        made.ContourSequence = items
    return made


def _contour(points: NDArray[np.float64], same: Sequence[Any]) -> Any:
    """An item of ContourSequence; a mask may have tens of thousands, hence text made at once."""
    from pydicom import DataElement, Dataset

    text = "\\".join(["%.4f"] * points.size) % tuple(points.ravel().tolist())
    item = Dataset()
    for element in (
        *same,
        DataElement("NumberOfContourPoints", "IS", str(len(points)), already_converted=True),
        DataElement("ContourData", "DS", text, already_converted=True),
    ):
        item.add(element)
    return item


def _observation(number: int, segment: Segment) -> Any:
    return _dataset(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=segment.name[:16],
        RTROIInterpretedType="ORGAN" if segment.is_organ else "",
        ROIInterpreter="",
        RTROIIdentificationCodeSequence=[concept(*segment.kind)],
    )
