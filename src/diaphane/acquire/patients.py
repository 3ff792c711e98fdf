"""Which patient a file or folder belongs to, as a keyed pseudonym."""

from __future__ import annotations

from pathlib import Path

from diaphane.acquire.elements import looks_like_dicom
from diaphane.acquire.identity import read_identity
from diaphane.acquire.reading import is_readable_name, visible
from diaphane.core.errors import UnreadableFile
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.plain import patient_group


def patient_of(path: Path, names: Pseudonymiser) -> str:
    """Keyed pseudonym of the patient of a DICOM file or folder; "" for other formats."""
    file = _first_dicom(path)
    if file is None:
        return ""
    try:
        return patient_group(read_identity(file), names)
    except UnreadableFile:
        return ""


def _first_dicom(path: Path) -> Path | None:
    if path.is_dir():
        for inside in visible(path):
            if inside.is_dir() or not is_readable_name(inside):
                found = _first_dicom(inside)
                if found is not None:
                    return found
        return None
    if is_readable_name(path) or not looks_like_dicom(path):
        return None
    return path
