"""Writers of DICOM masks that are not ours: highdicom for SEG, pydicom for contours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid


def sources(folder: Path) -> list[Dataset]:
    """The images of a folder along z."""
    found = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    for image in found:
        image.StudyID, image.StudyTime, image.ReferringPhysicianName = "1", "120000", ""
    return sorted(found, key=lambda d: float(d.get("ImagePositionPatient", [0, 0, 0])[2]))


def write_seg(images: list[Dataset], voxels: Any, path: Path, kind: str = "BINARY", **more) -> Path:
    """``voxels`` (z, y, x, segments) as SEG, or (z, y, x) as label map."""
    count = int(voxels.max()) if kind == "LABELMAP" else voxels.shape[-1]
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"Nightingale {number}",
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Bone if number == 1 else codes.SCT.Liver,
            algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in range(1, count + 1)
    ]
    Segmentation(
        source_images=images,
        pixel_array=voxels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **more,
    ).save_as(path)
    return path


def write_contours(
    path: Path, regions: dict[str, list[Any]], *, frame: str, kind: str = "CLOSED_PLANAR"
) -> Path:
    """Regions of contours ``(n, 3)`` in mm as an RT Structure Set, numbered from 1."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.Modality, data.PatientName, data.PatientID = "RTSTRUCT", "Nightingale^Florence", "N-1"
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), 1):
        region, drawn = Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name
        region.ReferencedFrameOfReferenceUID = frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
            item.ContourData = [f"{v:.6g}" for v in np.asarray(points).ravel()]
            drawn.ContourSequence.append(item)
        data.StructureSetROISequence.append(region)
        data.ROIContourSequence.append(drawn)
    data.save_as(path, enforce_file_format=True)
    return path


def read_by_highdicom(path: Path) -> hd.seg.Segmentation:
    """The other reader."""
    return hd.seg.segread(path)
