"""Who the patient is: read only where a result must carry it, or be kept from carrying it."""

from __future__ import annotations

from pathlib import Path

from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.quiet import quiet
from diaphane.core.case import Identity
from diaphane.core.options import Limits
from diaphane.privacy import without_switches

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


def read_identity(path: Path, limits: Limits = LIMITS) -> Identity:
    """Identity in the DICOM file at ``path``, in its own character set.

    Raises
    ------
    UnreadableFile
        When the header is damaged.
    """
    try:
        with quiet():
            data = parsed(path, tags=_FIELDS.values(), limits=limits)
            return Identity(**{name: _text(data, tag) for name, tag in _FIELDS.items()})
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(path, error) from error


def _text(data: object, name: str) -> str:
    value = getattr(data, name, None)
    return "" if value is None else without_switches(str(value)).strip()
