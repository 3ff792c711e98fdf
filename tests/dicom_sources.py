"""Writers of small DICOM series that results are made for: any orientation, order and name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

SPACING = (2.5, 0.8)
"""Between slices, and between pixels, in mm."""

ORIENTATIONS = {
    "axial": [1, 0, 0, 0, 1, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
    "oblique": [0.8, 0.6, 0, -0.36, 0.48, 0.8],
    "upside_down": [-1, 0, 0, 0, -1, 0],
}


def blobs(shape: tuple[int, int, int]) -> np.ndarray:
    """Voxels with two bright balls and one ring, of a size that no byte border divides."""
    z, y, x = np.indices(shape)
    voxels = np.full(shape, -800, np.int16)
    voxels[(z - shape[0] / 2) ** 2 * 4 + (y - 12) ** 2 + (x - 9) ** 2 <= 36] = 40
    ring = (y - 24) ** 2 + (x - 21) ** 2
    voxels[(ring <= 64) & (ring >= 9)] = 300
    return voxels


def labels_of(voxels: np.ndarray) -> np.ndarray:
    """The balls and the ring as labels 2 and 5."""
    return np.where(voxels == 40, 2, np.where(voxels == 300, 5, 0)).astype(np.uint16)


def write_series(
    folder: Path,
    voxels: np.ndarray,
    orientation: str = "axial",
    *,
    order: str = "forwards",
    name: str = "Doe^Jane",
    characters: str | list[str] | None = None,
) -> list[Path]:
    """A classic CT series; ``order`` of names and instance numbers: forwards, backwards, mixed."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = {"study": generate_uid(), "series": generate_uid(), "place": generate_uid()}
    numbers = np.arange(len(voxels))
    if order == "backwards":
        numbers = numbers[::-1]
    elif order == "mixed":
        numbers = np.random.default_rng(3).permutation(numbers)
    paths = []
    for z, plane in enumerate(voxels):
        ds = _image(uids, CTImageStorage, name, characters)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber = int(numbers[z]) + 1
        ds.PixelSpacing, ds.SliceThickness = [SPACING[1]] * 2, SPACING[0]
        ds.ImageOrientationPatient = ORIENTATIONS[orientation]
        ds.ImagePositionPatient = _corner(orientation, z)
        _pixels(ds, plane)
        path = folder / f"{numbers[z]:03}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(folder: Path, voxels: np.ndarray, orientation: str = "axial") -> Path:
    """One enhanced CT whose frames lie in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = {"study": generate_uid(), "series": generate_uid(), "place": generate_uid()}
    order = np.random.default_rng(5).permutation(len(voxels))
    ds = _image(uids, EnhancedCTImageStorage, "Doe^Jane", None)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.InstanceNumber = 1
    shared, frames = Dataset(), []
    measures, plane, rescale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1]] * 2, SPACING[0]
    plane.ImageOrientationPatient = ORIENTATIONS[orientation]
    rescale.RescaleIntercept, rescale.RescaleSlope, rescale.RescaleType = 0, 1, "HU"
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [plane]
    shared.PixelValueTransformationSequence = [rescale]
    for z in order:
        position, frame, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = _corner(orientation, int(z))
        content.DimensionIndexValues = [int(z) + 1]
        frame.FrameContentSequence = [content]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.NumberOfFrames = len(voxels)
    _pixels(ds, voxels[order])
    del ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType
    path = folder / "enhanced.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _image(
    uids: dict[str, str], sop_class: str, name: str, characters: str | list[str] | None
) -> Any:
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if characters is not None:
        ds.SpecificCharacterSet = characters
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, ds.file_meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uids["study"], uids["series"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uids["place"], ""
    ds.PatientName, ds.PatientID = name, "PID-77"
    ds.PatientBirthDate, ds.PatientSex = "19500102", "F"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20240301", "101500", "ACC1"
    ds.StudyID, ds.ReferringPhysicianName = "1", ""
    ds.Modality, ds.SeriesNumber, ds.Manufacturer = "CT", 2, "none"
    ds.KVP, ds.AcquisitionNumber = 120, 1
    return ds


def _corner(orientation: str, z: int) -> list[float]:
    across, down = np.reshape(ORIENTATIONS[orientation], (2, 3))
    corner = np.array([-20.0, 35.5, 100.25]) + np.cross(across, down) * SPACING[0] * z
    return [round(float(v), 6) for v in corner]


def _pixels(ds: Any, pixels: np.ndarray) -> None:
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
    ds.PixelData = pixels.astype("<i2").tobytes()
