"""Small DICOM studies of named patients."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.report.series import Filing, write_series

NAME = "Nightingale^Florence"


def write_dicom(
    folder: Path,
    *,
    patient: str = "NHS-1820",
    study: str = "1",
    number: int = 1,
    shape: tuple[int, int, int] = (4, 24, 24),
    modality: str = "CT",
    description: str = "chest lung",
    bright: int = 0,
    prefix: str = "",
) -> Volume:
    """Write one series with an identity into ``folder``, beside what is there; gives the volume."""
    random = np.random.default_rng(zlib.crc32(f"{patient} {number}".encode()))
    values = random.integers(-1000, 400, shape).astype(np.int16)
    values[:, 8:16, 8:16] += np.int16(bright)
    volume = Volume(values, Geometry.axial(shape, (2.5, 0.7, 0.7)), modality, "HU")
    uids = {name: generate_uid(entropy_srcs=[name, patient, study]) for name in ("st", "fr")}
    series = generate_uid(entropy_srcs=[patient, study, str(number)])
    for path in write_series(volume, folder / "new", Filing()).files:
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID = NAME, patient
        data.PatientBirthDate, data.PatientSex = "18200512", "F"
        data.AccessionNumber, data.StudyDate, data.StudyID = (
            f"ACC{patient}-{study}",
            "20200304",
            "7",
        )
        data.StudyInstanceUID, data.FrameOfReferenceUID = uids["st"], uids["fr"]
        data.SeriesInstanceUID, data.SeriesNumber = series, number
        data.SeriesDescription = description
        data.SOPInstanceUID = generate_uid(entropy_srcs=[series, path.name])
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        del data.PatientIdentityRemoved, data.DeidentificationMethod
        data.save_as(folder / f"{prefix}{number}_{path.name}")
        path.unlink()
    (folder / "new").rmdir()
    return volume


def secrets_of(folder: Path) -> set[bytes]:
    """What must not leave: names, numbers, dates and UIDs of every DICOM file below ``folder``."""
    found = {b"Nightingale", b"Florence", b"18200512", b"20200304"}
    for path in folder.rglob("*.dcm"):
        data = pydicom.dcmread(path, stop_before_pixels=True)
        names = ("PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID")
        names += ("SOPInstanceUID", "FrameOfReferenceUID")
        found |= {str(data[name].value).encode() for name in names}
    return found


def leaks(folder: Path, secrets: set[bytes]) -> list[str]:
    """Where any of them stands in or below ``folder``, in contents (unpacked) or names."""
    import gzip

    found = []
    for path in [folder, *folder.rglob("*")]:
        text = str(path.relative_to(folder.parent)).encode()
        if path.is_file():
            data = path.read_bytes()
            text += gzip.decompress(data) if path.suffix == ".gz" else data
        found += [f"{path}: {secret.decode()}" for secret in secrets if secret in text]
    return found
