"""A volume as a DICOM image series: CT, MR, or secondary capture.

Attributes follow the IODs of DICOM PS3.3 (CT A.3, MR A.4, secondary capture A.8): single images for
CT, MR and everything that has a place in the patient, one multi-frame secondary capture for a stack
that has none. UIDs are keyed: the same content gives the same UIDs under the same key, and nobody
without the key can tell what they come from. Patient, study and frame of reference get what
de-identification gives them under that key, so that both fit together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane import __version__
from diaphane.core.case import Identity, SourceRef
from diaphane.core.errors import GeometryError, OutputError
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.dicom.values import Secret
from diaphane.privacy.plain import known_as

if TYPE_CHECKING:
    from pydicom import Dataset

_CT = "1.2.840.10008.5.1.4.1.1.2"
_MR = "1.2.840.10008.5.1.4.1.1.4"
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_BYTE_FRAMES = "1.2.840.10008.5.1.4.1.1.7.2"
_WORD_FRAMES = "1.2.840.10008.5.1.4.1.1.7.3"
_COLOUR_FRAMES = "1.2.840.10008.5.1.4.1.1.7.4"
_WITH_PLACE = frozenset({_CT, _MR})
_IMPLEMENTATION = "2.25.307432518842147320457208432170893417511"

# Patient and General Study modules: what a PACS files a result by.
_STUDY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientAge", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
    "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip
# Of how the patient lay and what was scanned, not of who it was.
_TECHNICAL = ("PatientPosition", "BodyPartExamined", "BurnedInAnnotation")
_SKEW = 1e-4


@dataclass(frozen=True)
class Filing:
    """Where a series is filed.

    Attributes
    ----------
    source:
        The files it was made from; DICOM ones give the study and the frame of reference.
    identity:
        Whether patient and study are copied from the source, so that a PACS files the result beside
        it. Otherwise they are keyed pseudonyms.
    modality:
        "CT", "MR", ...; ``None`` for the volume's own.
    """

    source: SourceRef | None = None
    identity: bool = False
    modality: str | None = None


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    files:
        In the volume's slice order; a stack without a place is one file.
    step:
        0 where every value is kept; else the width of the steps that values were rounded to.
    """

    files: tuple[Path, ...]
    step: float


@dataclass(frozen=True)
class _Stored:
    """Pixels as they are stored, and how to come back: ``value = stored * slope + intercept``."""

    pixels: NDArray[Any]
    slope: str = "1"
    intercept: str = "0"
    step: float = 0.0

    @property
    def rescaled(self) -> bool:
        return (self.slope, self.intercept) != ("1", "0")


def write_series(volume: Volume, folder: Path, filing: Filing) -> Written:
    """Write ``IMG00001.dcm``, ... into ``folder``, which is made; the caller makes it atomic.

    Whole numbers are kept, shifted where 16 bits need it. Others are rounded to 65,536 steps
    between the smallest and the largest value. Images are numbered along their normal.

    Raises
    ------
    OutputError
        When 16 bits do not hold the whole numbers, or channels are not 8-bit red, green and blue.
    GeometryError
        When the grid is sheared, which DICOM images cannot state.
    """
    geometry = volume.geometry
    modality = filing.modality or volume.modality
    sop_class = _class_of(volume, modality)
    stored = _stored(volume, byte=sop_class not in _WITH_PLACE)
    shared = _shared(volume, sop_class, modality, filing)
    _describe_pixels(shared, stored, volume)
    folder.mkdir(parents=True, exist_ok=True)
    if sop_class not in (_CT, _MR, _CAPTURE):
        _describe_frames(shared, stored)
        path = _save(shared, stored.pixels.tobytes(), 1, folder)
        return Written((path,), stored.step)
    count = geometry.shape[0]
    forward = not geometry.is_spatial or _place(shared, volume)
    files = []
    for z in range(count):
        number = z + 1 if forward else count - z
        if geometry.is_spatial:
            shared.ImagePositionPatient = [_ds(v) for v in geometry.to_patient((z, 0, 0))]
        shared.InstanceNumber = number
        files.append(_save(shared, stored.pixels[z].tobytes(), number, folder))
    return Written(tuple(files), stored.step)


def _class_of(volume: Volume, modality: str) -> str:
    if volume.channels == 1 and volume.geometry.is_spatial and modality in ("CT", "MR"):
        return _CT if modality == "CT" else _MR
    if volume.geometry.is_spatial or volume.shape[0] == 1:
        return _CAPTURE
    if volume.channels > 1:
        return _COLOUR_FRAMES
    return _BYTE_FRAMES if _is_byte(volume.voxels) else _WORD_FRAMES


def _is_byte(voxels: NDArray[Any]) -> bool:
    return bool(_whole(voxels) and voxels.min() >= 0 and voxels.max() <= 255)


def _whole(voxels: NDArray[Any]) -> bool:
    return voxels.dtype.kind in "biu" or bool((voxels == np.rint(voxels)).all())


def _stored(volume: Volume, *, byte: bool) -> _Stored:
    """Pixels ``(z, y, x)`` or ``(z, y, x, 3)`` of 8 or 16 bits, little endian."""
    voxels = volume.voxels
    if voxels.ndim == 4:
        if volume.channels != 3 or not _is_byte(voxels):
            raise OutputError(
                f"DICOM images hold grey, or colour of 8 bits, not {volume.channels} channels of "
                f"{voxels.dtype}.",
                remedy="Write NRRD, MHA or NIfTI instead.",
            )
        return _Stored(np.ascontiguousarray(np.moveaxis(voxels, 0, -1), dtype=np.uint8))
    low, high = voxels.min().item(), voxels.max().item()
    if _whole(voxels):
        if low >= 0 and high <= 65535:
            return _Stored(voxels.astype(np.uint8 if byte and high <= 255 else "<u2"))
        # Multi-frame captures are unsigned: shifted below.
        signed = not byte or volume.geometry.is_spatial
        if signed and low >= -32768 and high <= 32767:
            return _Stored(voxels.astype("<i2"))
        if high - low <= 65535:
            shifted = voxels.astype(np.int64) - int(low)
            return _Stored(shifted.astype("<u2"), intercept=str(int(low)))
        if voxels.dtype.kind != "f":
            raise OutputError(
                f"DICOM images hold 16 bits, and values go from {low} to {high}.",
                remedy="Write NRRD, MHA or NIfTI instead.",
            )
    slope = _ds((high - low) / 65535 or 1.0)
    intercept = _ds(low)
    # The values as they will be read count, so the written slope and intercept are used.
    steps = np.rint((voxels.astype(np.float64) - float(intercept)) / float(slope))
    return _Stored(np.clip(steps, 0, 65535).astype("<u2"), slope, intercept, float(slope))


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value) + 0.0)


def _shared(volume: Volume, sop_class: str, modality: str, filing: Filing) -> Dataset:
    """All that the images of the series share, pixels and place left out."""
    from pydicom import Dataset

    names = Pseudonymiser.load()
    source = _header(filing.source)
    content = _fingerprint(volume, modality, filing, source)

    shared = Dataset()
    shared.SpecificCharacterSet = "ISO_IR 192"
    shared.SOPClassUID = sop_class
    shared.ImageType = ["DERIVED", "SECONDARY"]
    shared.Modality = modality
    shared.Manufacturer = "diaphane"
    shared.ManufacturerModelName = "diaphane convert"
    shared.SoftwareVersions = __version__
    shared.DerivationDescription = "Converted by diaphane"
    _file_by(shared, source, names, content, filing)
    shared.SeriesInstanceUID = _uid(names, "series", content)
    # Beside the source in its study a number of its own, which is easily told from the source's.
    shared.SeriesNumber = _number(source) + (8000 if filing.identity and source else 0) or 1
    terms = volume.meta.get("description_terms", ())
    shared.SeriesDescription = " ".join(("converted", *terms))[:64]
    for name in _TECHNICAL:
        if source is not None and source.get(name):
            setattr(shared, name, source.get(name))
    if volume.geometry.is_spatial:
        frame = str(source.get("FrameOfReferenceUID", "")) if source is not None else ""
        kept = frame if filing.identity else Secret(names.key).uid(frame) if frame else ""
        shared.FrameOfReferenceUID = kept or _uid(names, "frame", content)
        shared.PositionReferenceIndicator = ""
    if sop_class == _CT:
        shared.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        shared.PatientPosition = shared.get("PatientPosition", "")
        shared.KVP = None
        shared.AcquisitionNumber = None
        shared.ConvolutionKernel = str(volume.meta.get("kernel", ""))[:16] or None
    elif sop_class == _MR:
        shared.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        shared.PatientPosition = shared.get("PatientPosition", "")
        shared.ScanningSequence = "RM"  # research mode: the sequence is not known
        shared.SequenceVariant = "NONE"
        shared.ScanOptions = None
        shared.MRAcquisitionType = ""
        shared.RepetitionTime = None
        shared.EchoTime = None
        shared.EchoTrainLength = None
        shared.AcquisitionNumber = None
    else:
        shared.ConversionType = "WSD"
        shared.PatientOrientation = ""
    return shared


def _file_by(
    shared: Dataset,
    source: Dataset | None,
    names: Pseudonymiser,
    content: str,
    filing: Filing,
) -> None:
    """Patient and study: the source's own, or keyed pseudonyms."""
    for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(shared, name, "")
    for name in ("AccessionNumber", "ReferringPhysicianName", "Laterality"):
        setattr(shared, name, "")
    if filing.identity and source is not None:
        for name in _STUDY:
            if source.get(name) is not None:
                setattr(shared, name, source.get(name))
        for name in ("PatientName", "PatientID"):
            shared.setdefault(name, "")
        return
    secret = Secret(names.key)
    stated = {} if source is None else {name: str(source.get(name, "")).strip() for name in _STUDY}
    study = stated.get("StudyInstanceUID", "")
    keys = ("PatientName", "PatientID", "PatientBirthDate")
    known = known_as(Identity(*(stated.get(key, "") for key in keys))) or study
    code = secret.code(known) if known else secret.code(content, "case")
    shared.PatientName = shared.PatientID = code
    shared.StudyInstanceUID = secret.uid(study) if study else _uid(names, "study", content)
    shared.PatientIdentityRemoved = "YES"
    shared.DeidentificationMethod = "diaphane: header written anew; pixels not looked at"


def _uid(names: Pseudonymiser, kind: str, text: str) -> str:
    """A UID for what is made here, that only the holder of the key can compute from ``text``."""
    return Secret(names.key).uid(f"{kind}\0{text}")


def _fingerprint(volume: Volume, modality: str, filing: Filing, source: Dataset | None) -> str:
    """What the UIDs come from: voxels, place, modality, study, and who wrote it."""
    voxels = volume.voxels
    digest = hashlib.sha256(np.ascontiguousarray(voxels).data)
    study = "" if source is None else str(source.get("StudyInstanceUID", ""))
    facts = (voxels.dtype.str, volume.geometry, modality, study, filing.identity, __version__)
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def _header(source: SourceRef | None) -> Dataset | None:
    """Header of the first source file; ``None`` where it is not DICOM."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    files = () if source is None else source.open_for_dicom_writer()
    if not files:
        return None
    wanted: list[Any] = [*_STUDY, *_TECHNICAL]
    wanted += ["SpecificCharacterSet", "FrameOfReferenceUID", "SeriesNumber", "SOPClassUID"]
    try:
        header = dcmread(files[0], stop_before_pixels=True, specific_tags=wanted, force=True)
    except (InvalidDicomError, OSError, ValueError):
        return None
    return header if "SOPClassUID" in header else None


def _number(source: Dataset | None) -> int:
    try:
        return 0 if source is None else int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        return 0


def _describe_pixels(shared: Dataset, stored: _Stored, volume: Volume) -> None:
    pixels = stored.pixels
    bits = pixels.dtype.itemsize * 8
    shared.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    shared.PhotometricInterpretation = "RGB" if pixels.ndim == 4 else "MONOCHROME2"
    if pixels.ndim == 4:
        shared.PlanarConfiguration = 0
    shared.Rows, shared.Columns = volume.shape[1:]
    shared.BitsAllocated = shared.BitsStored = bits
    shared.HighBit = bits - 1
    shared.PixelRepresentation = int(pixels.dtype.kind == "i")
    dz, dy, dx = volume.geometry.spacing
    if dy is not None and dx is not None:
        shared.PixelSpacing = [_ds(dy), _ds(dx)]
    if shared.SOPClassUID in _WITH_PLACE or (dz is not None and volume.geometry.is_spatial):
        shared.SliceThickness = None if dz is None else _ds(dz)
    if shared.SOPClassUID == _CT or stored.rescaled:
        shared.RescaleIntercept, shared.RescaleSlope = stored.intercept, stored.slope
        shared.RescaleType = "HU" if volume.unit == "HU" else "US"
    if pixels.ndim == 3 and bits == 16:
        low, high = float(volume.voxels.min()), float(volume.voxels.max())
        soft = volume.unit == "HU"
        shared.WindowCenter = _ds(40 if soft else (low + high) / 2)
        shared.WindowWidth = _ds(400 if soft else max(high - low, 1.0))


def _describe_frames(shared: Dataset, stored: _Stored) -> None:
    """The multi-frame modules (PS3.3 C.7.6.6, C.8.6.3, C.8.6.4)."""
    frames = len(stored.pixels)
    shared.InstanceNumber = 1
    shared.NumberOfFrames = frames
    shared.FrameIncrementPointer = 0x00182001  # PageNumberVector
    shared.PageNumberVector = list(range(1, frames + 1))
    # Whether names stand in the pixels is not known here, so it is not denied.
    shared.BurnedInAnnotation = shared.get("BurnedInAnnotation", "YES")
    if stored.pixels.ndim == 3:
        shared.PresentationLUTShape = "IDENTITY"
        shared.RescaleIntercept, shared.RescaleSlope = stored.intercept, stored.slope
        shared.RescaleType = "US"


def _place(shared: Dataset, volume: Volume) -> bool:
    """State the orientation; whether slices go along the normal (row x column)."""
    affine = volume.geometry.affine[:3, :3]
    z, y, x = (affine[:, i] / np.linalg.norm(affine[:, i]) for i in range(3))
    normal = np.cross(x, y)
    if abs(x @ y) > _SKEW or abs(abs(normal @ z) - 1) > _SKEW**2:
        raise GeometryError(
            "The grid is sheared, which DICOM images cannot state.",
            remedy="Resample it first, or write NIfTI.",
        )
    shared.ImageOrientationPatient = [_ds(v) for v in (*x, *y)]
    return bool(normal @ z > 0)


def _save(shared: Dataset, pixels: bytes, number: int, folder: Path) -> Path:
    import copy

    from pydicom import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    image = copy.copy(shared)
    instance = f"{shared.SeriesInstanceUID}/{number}"
    image.SOPInstanceUID = UID(_uid(Pseudonymiser.load(), "image", instance))
    image.PixelData = pixels + b"\0" * (len(pixels) % 2)
    image["PixelData"].VR = "OB" if shared.BitsAllocated == 8 else "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    image.file_meta.ImplementationVersionName = "DIAPHANE"
    path = folder / f"IMG{number:05d}.dcm"
    image.save_as(path, enforce_file_format=True)
    return path
