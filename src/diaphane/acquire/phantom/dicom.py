"""The phantom as a CT series, so that the whole way can be walked without anybody's data.

Attributes follow the CT Image IOD (DICOM PS3.3 A.3): patient, study, equipment, frame
of reference, image plane, pixel and CT image modules. UIDs are derived from the seed
under the root 2.25 (PS3.5 B.2), so the same phantom is the same study everywhere.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from diaphane.acquire.phantom.scan import Phantom

_IMPLEMENTATION = "2.25.307432518842147320457208432170893417511"
_DATE, _TIME = "20260101", "120000"


def write_dicom_series(phantom: Phantom, folder: str | Path) -> list[Path]:
    """Write one file a slice, ``IMG00001.dcm`` at the feet first.

    Parameters
    ----------
    phantom:
        Of :func:`chest_phantom`.
    folder:
        Made when absent; files of the same names are replaced.

    Returns
    -------
    The files, from the feet to the head. Signed 16-bit, explicit little endian, HU
    with slope 1 and intercept 0; patient "Phantom^Chest".
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    series = _series(phantom)
    voxels = np.round(np.asarray(phantom.volume.voxels)).astype("<i2")
    geometry = phantom.volume.geometry
    written: list[Path] = []
    for number, plane in enumerate(voxels, start=1):
        position = geometry.to_patient((number - 1, 0, 0))
        image = FileDataset(str(target), series, preamble=b"\0" * 128)
        image.SOPInstanceUID = _uid(phantom, f"image/{number}")
        image.InstanceNumber = number
        image.AcquisitionNumber = 1
        image.ImagePositionPatient = [f"{value:.4f}" for value in position]
        image.SliceLocation = f"{position[2]:.4f}"
        image.PixelData = plane.tobytes()
        image["PixelData"].VR = "OW"
        image.file_meta = _meta(image.SOPInstanceUID)
        path = target / f"IMG{number:05d}.dcm"
        image.save_as(path, enforce_file_format=True)
        written.append(path)
    return written


def _uid(phantom: Phantom, what: str) -> UID:
    """UID of a part of the study; another grid, seed or set of nodules gives another one."""
    text = f"diaphane/phantom/{phantom.seed}/{phantom.volume.geometry}/{phantom.nodules}/{what}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    return UID(f"2.25.{number}")


def _meta(instance: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "DIAPHANE"
    return meta


def _series(phantom: Phantom) -> Dataset:
    """All that the images of the series share."""
    dz, dy, dx = phantom.volume.geometry.spacing_mm
    shared = Dataset()
    shared.SpecificCharacterSet = "ISO_IR 100"
    shared.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    shared.SOPClassUID = CTImageStorage
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(shared, f"{kind}Date", _DATE)
        setattr(shared, f"{kind}Time", _TIME)
    shared.AccessionNumber = f"PH{phantom.seed % 10**8:08d}"
    shared.Modality = "CT"
    shared.Manufacturer = "diaphane"
    shared.ManufacturerModelName = "Chest phantom"
    shared.InstitutionName = "Synthetic data"
    shared.DeviceSerialNumber = "0"
    shared.SoftwareVersions = "1"
    shared.ReferringPhysicianName = ""
    shared.StudyDescription = "CT chest (synthetic phantom)"
    shared.SeriesDescription = f"Lung {dz:g} mm"
    shared.PatientName = "Phantom^Chest"
    shared.PatientID = f"PHANTOM-{phantom.seed}"
    shared.PatientBirthDate = "19600101"
    shared.PatientSex = "O"
    shared.PatientAge = "066Y"
    shared.PatientIdentityRemoved = "YES"
    shared.DeidentificationMethod = "Synthetic: no patient was scanned"
    shared.BodyPartExamined = "CHEST"
    shared.ScanOptions = "HELICAL MODE"
    shared.SliceThickness = f"{dz:g}"
    shared.KVP = "120"
    shared.DataCollectionDiameter = "500"
    shared.ReconstructionDiameter = f"{dx * phantom.volume.shape[2]:.1f}"
    shared.GantryDetectorTilt = "0"
    shared.TableHeight = "150"
    shared.RotationDirection = "CW"
    shared.ExposureTime = "500"
    shared.XRayTubeCurrent = "200"
    shared.Exposure = "100"
    shared.FilterType = "BODY"
    shared.ConvolutionKernel = str(phantom.volume.meta.get("kernel", "PHANTOM"))
    shared.PatientPosition = "HFS"
    shared.StudyInstanceUID = _uid(phantom, "study")
    shared.SeriesInstanceUID = _uid(phantom, "series")
    shared.StudyID = "1"
    shared.SeriesNumber = 1
    shared.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    shared.FrameOfReferenceUID = _uid(phantom, "frame")
    shared.PositionReferenceIndicator = ""
    shared.SamplesPerPixel = 1
    shared.PhotometricInterpretation = "MONOCHROME2"
    shared.Rows = phantom.volume.shape[1]
    shared.Columns = phantom.volume.shape[2]
    shared.PixelSpacing = [f"{dy:g}", f"{dx:g}"]
    shared.BitsAllocated = 16
    shared.BitsStored = 16
    shared.HighBit = 15
    shared.PixelRepresentation = 1
    shared.WindowCenter = ["-600", "40"]
    shared.WindowWidth = ["1500", "400"]
    shared.WindowCenterWidthExplanation = ["LUNG", "SOFT TISSUE"]
    shared.RescaleIntercept = "0"
    shared.RescaleSlope = "1"
    shared.RescaleType = "HU"
    return shared
