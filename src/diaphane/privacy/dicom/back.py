"""Results that come back get their patient's identity again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diaphane.core.errors import PrivacyError, UnreadableFile
from diaphane.core.files import replacing
from diaphane.core.protocols import Progress, silent
from diaphane.privacy.audit import AuditChain
from diaphane.privacy.dicom.files import dicom_files, keep_apart, leniently, read_object
from diaphane.privacy.dicom.folder import Done, Outcome
from diaphane.privacy.dicom.forms import walk
from diaphane.privacy.dicom.identity import LINKED
from diaphane.privacy.dicom.people import LinkTable
from diaphane.privacy.dicom.values import Secret, moved_date
from diaphane.privacy.events import Event
from diaphane.privacy.keys import load_key

_MARKS = (
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)  # fmt: skip
_UTF8 = "ISO_IR 192"
_PATIENT, _STUDY = LINKED[:5], LINKED[5:]


def reidentify_folder(source: Path, out: Path, link: Path, progress: Progress = silent) -> Outcome:
    """Write every DICOM file of ``source`` to ``out`` with its patient's identity.

    The patient is known by PatientID, which must be a code of the link table. Patient and study
    attributes are set as they were, every UID that the table knows becomes the original, also
    in references and file meta, and the marks of de-identification go. Series and objects that
    were made in between keep their own UIDs; dates of theirs that the table's shift moved
    (StudyDate) are restored from the table. What was done is in the audit chain.

    Raises
    ------
    EmptyInput
        When there is no DICOM file.
    PrivacyError
        When the link table cannot be used.
    """
    keep_apart(source, out)
    table = LinkTable.read(link)
    outcome = Outcome()
    files, outcome.ignored = dicom_files(source)
    root = source if source.is_dir() else source.parent
    studies: dict[str, int] = {}
    patients: set[str] = set()
    for number, path in enumerate(files, start=1):
        relative = path.relative_to(root)
        try:
            with leniently():
                data = read_object(path)
                code = str(data.get("PatientID", "") or "")
                restore(data, table)
                with replacing(out / relative) as beside:
                    data.save_as(beside, enforce_file_format=True)
        except PrivacyError as error:
            outcome.refused.append((path, error))
        except Exception as error:  # noqa: BLE001 - pydicom raises whatever a damaged file makes it meet
            reason = f"The DICOM file is damaged ({type(error).__name__})."
            outcome.refused.append((path, UnreadableFile(reason, path=path)))
        else:
            outcome.done.append(Done(relative, ()))
            patients.add(code)
            study = str(data.get("StudyInstanceUID", ""))
            studies[study] = studies.get(study, 0) + 1
        progress("writing", number / len(files))
    outcome.patients, outcome.studies = len(patients), len(studies)
    secret, chain = Secret(load_key()), AuditChain()
    for study, count in studies.items():
        chain.append(Event("reidentify", secret.code(study, "study"), {"files": count}))
    return outcome


def restore(data: Any, table: LinkTable) -> None:
    """Give one data set the identity that ``table`` has for its PatientID.

    Raises
    ------
    PrivacyError
        When the table does not know the patient.
    """
    code = str(data.get("PatientID", "") or "")
    patient = table.patients.get(code)
    if patient is None:
        raise PrivacyError("The patient of this file is not in the link table.")
    study = table.studies.get(str(data.get("StudyInstanceUID", "") or ""), {})
    days = -int(patient.get("DateShift", "0"))
    moved = str(data.get("LongitudinalTemporalInformationModified", "")) == "MODIFIED"
    for element in _plain(data):
        if element.VR == "UI" and element.value:
            many = element.VM > 1
            values = [str(v) for v in (element.value if many else [element.value])]
            values = [table.uids.get(value, value) for value in values]
            element.value = values if many else values[0]
        elif moved and element.VR in ("DA", "DT") and element.value and element.VM == 1:
            element.value = moved_date(str(element.value), days) or element.value
    if not all(text.isascii() for text in (*patient.values(), *study.values())):
        _write_in_utf8(data)
    for name in (*_PATIENT, *_STUDY):
        value = (patient if name in _PATIENT else study).get(name)
        if value is not None:
            setattr(data, name, value)
        elif name in ("PatientName", "PatientID"):
            setattr(data, name, "")
    for name in _MARKS:
        if name in data:
            delattr(data, name)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID


def _write_in_utf8(data: Any) -> None:
    """Have every text, all of which were read by now, written in a set that holds any name."""
    data.SpecificCharacterSet = _UTF8
    for _, element in walk(data):
        for item in element.value or () if element.VR == "SQ" else ():
            if "SpecificCharacterSet" in item:
                item.SpecificCharacterSet = _UTF8


def _plain(data: Any) -> Iterator[Any]:
    return (element for _, element in walk(data) if element.VR != "SQ")
