"""Who the patient is: read only where a result must carry it, or be kept from carrying it."""

from __future__ import annotations

from pathlib import Path

from diaphane.acquire.quiet import quiet
from diaphane.core.case import Identity
from diaphane.core.errors import UnreadableFile

_FIELDS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "accession": "AccessionNumber",
    "study_date": "StudyDate",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
}


def read_identity(path: Path) -> Identity:
    """Identity in the DICOM file at ``path``, in its own character set.

    Raises
    ------
    UnreadableFile
        When the header is damaged.
    """
    import pydicom

    try:
        with quiet():
            data = pydicom.dcmread(
                path, stop_before_pixels=True, force=True, specific_tags=list(_FIELDS.values())
            )
            return Identity(**{name: _text(data, tag) for name, tag in _FIELDS.items()})
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise UnreadableFile(
            f"The DICOM header is damaged ({type(error).__name__}).", path=path
        ) from error


def _text(data: object, name: str) -> str:
    value = getattr(data, name, None)
    return "" if value is None else str(value).strip()
