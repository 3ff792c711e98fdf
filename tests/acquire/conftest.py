"""Synthetic DICOM files of any oddity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STEP = 2.5
STUDY, SERIES, FRAME = (generate_uid(entropy_srcs=[name]) for name in ("st", "se", "fr"))

Change = Callable[[Dataset, int], None]


class DicomFiles:
    """Writes DICOM files; a change function may make each as odd as wished."""

    series_uid = SERIES
    step = STEP

    def image(self, index: int = 0, shape: tuple[int, int] = (6, 8)) -> Dataset:
        """A CT slice at z = index * STEP whose stored values tell index, row and column."""
        rows, columns = shape
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = CTImageStorage
        data.SOPInstanceUID = generate_uid(entropy_srcs=[str(index)])
        data.StudyInstanceUID, data.SeriesInstanceUID = STUDY, SERIES
        data.FrameOfReferenceUID = FRAME
        data.Modality = "CT"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.PatientName, data.PatientID = "Nightingale^Florence", "NHS-1820"
        data.PatientBirthDate, data.PatientSex = "18200512", "F"
        data.AccessionNumber, data.StudyDate = "ACC77", "20260101"
        data.SeriesDescription = "Chest Nightingale 5mm"
        data.SeriesNumber, data.InstanceNumber = 4, 100 - index
        data.ConvolutionKernel = "B70f"
        data.SliceThickness = STEP
        data.ImagePositionPatient = [-10.0, -20.0, index * STEP]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [0.5, 0.7]
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns = rows, columns
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelRepresentation = 0
        data.PixelData = self.stored(index, shape).tobytes()
        return data

    def stored(self, index: int = 0, shape: tuple[int, int] = (6, 8)) -> Any:
        """Stored values of :meth:`image`."""
        grid = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
        return (grid + 1000 + 100 * index).astype(np.uint16)

    def save(self, data: Dataset, path: Path) -> Path:
        """Write one file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(path, enforce_file_format=True)
        return path

    def series(
        self,
        folder: Path,
        count: int = 5,
        change: Change | None = None,
        skip: tuple[int, ...] = (),
        shape: tuple[int, int] = (6, 8),
    ) -> Path:
        """Write a series whose names and instance numbers run against its geometry."""
        for index in range(count):
            if index in skip:
                continue
            data = self.image(index, shape)
            if change is not None:
                change(data, index)
            self.save(data, folder / f"{(index * 7) % 11:02d}_{count - index:03d}.dcm")
        return folder

    def radiograph(self, path: Path, change: Change | None = None) -> Path:
        """A computed radiograph of 10 stored bits without spacing."""
        data = self.image()
        data.SOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
        data.Modality = "CR"
        for name in (
            *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
            *("RescaleSlope", "RescaleIntercept", "ConvolutionKernel", "FrameOfReferenceUID"),
        ):
            delattr(data, name)
        data.BitsStored, data.HighBit = 10, 9
        data.PixelData = (self.stored() % 1024).astype(np.uint16).tobytes()
        if change is not None:
            change(data, 0)
        return self.save(data, path)

    def enhanced(self, path: Path, count: int = 4, change: Change | None = None) -> Path:
        """An enhanced MR object whose frames are stored from top to bottom."""
        data = self.image()
        data.SOPClassUID = pydicom.uid.EnhancedMRImageStorage
        data.Modality = "MR"
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(data, name)
        del data.RescaleSlope
        del data.RescaleIntercept
        shared, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [0.5, 0.7], STEP
        shared.PlaneOrientationSequence = [orientation]
        shared.PixelMeasuresSequence = [measures]
        data.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for index in range(count):
            frame, position, value = Dataset(), Dataset(), Dataset()
            position.ImagePositionPatient = [-10.0, -20.0, -index * STEP]
            value.RescaleSlope, value.RescaleIntercept, value.RescaleType = 2, 1, "US"
            frame.PlanePositionSequence = [position]
            frame.PixelValueTransformationSequence = [value]
            frames.append(frame)
        data.PerFrameFunctionalGroupsSequence = frames
        data.NumberOfFrames = count
        data.PixelData = b"".join(self.stored(i).tobytes() for i in range(count))
        if change is not None:
            change(data, 0)
        return self.save(data, path)


@pytest.fixture(scope="session")
def dicom() -> DicomFiles:
    """The writer."""
    return DicomFiles()
