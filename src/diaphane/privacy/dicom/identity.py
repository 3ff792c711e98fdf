"""What in a data set tells who its people are: read before anything is changed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from diaphane.core.case import Identity
from diaphane.privacy.dicom.forms import strings
from diaphane.privacy.dicom.profile import Profile
from diaphane.privacy.dicom.table import row_of
from diaphane.privacy.dicom.values import dummy
from diaphane.privacy.dicom.words import Identifiers, identifiers_of
from diaphane.privacy.plain import known_as

_NUMBERS = frozenset(
    [
        "PatientID",
        "OtherPatientIDs",
        "AccessionNumber",
        "StudyID",
        "AdmissionID",
        "ServiceEpisodeID",
        "MedicalRecordLocator",
        "IssuerOfPatientID",
        "RequestedProcedureID",
        "ScheduledProcedureStepID",
        "PerformedProcedureStepID",
        "PlacerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequest",
        "DeviceSerialNumber",
        "PatientTelephoneNumbers",
        "ReferringPhysicianTelephoneNumbers",
        "PersonTelephoneNumbers",
        "OrderCallbackPhoneNumber",
        "PlateID",
        "DetectorID",
        "CassetteID",
        "GantryID",
        "GeneratorID",
        "SpecimenAccessionNumber",
        "SpecimenIdentifier",
        "ContainerIdentifier",
        "BarcodeValue",
        "InsurancePlanIdentification",
        "ClinicalTrialSubjectID",
        "ClinicalTrialSubjectReadingID",
        "ClinicalTrialProtocolID",
        "ClinicalTrialSiteID",
        "UniqueDeviceIdentifier",
        "LensSerialNumber",
        "SourceSerialNumber",
    ]
)
_PLACES = frozenset(
    [
        "PatientAddress",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "StationName",
        "PerformedStationName",
        "ScheduledStationName",
        "PerformedLocation",
        "CurrentPatientLocation",
        "PatientInstitutionResidence",
        "CountryOfResidence",
        "RegionOfResidence",
        "ReferringPhysicianAddress",
        "PersonAddress",
        "ResponsibleOrganization",
        "ClinicalTrialSponsorName",
        "ClinicalTrialSiteName",
        "ClinicalTrialCoordinatingCenterName",
        "ClinicalTrialProtocolName",
        "VerifyingOrganization",
        "HumanPerformerOrganization",
        "CameraOwnerName",
        "PatientReligiousPreference",
        "MilitaryRank",
        "BranchOfService",
        "RequestingService",
        "OrderEntererLocation",
        "RequestedProcedureLocation",
        "DistributionName",
        "DistributionAddress",
        "PatientTelecomInformation",
        "PersonTelecomInformation",
        "MedicalRecordLocator",
        "InsurancePlanIdentification",
    ]
)
_TELLING = frozenset(("SQ", "PN", "DA", "DT", "UN"))
_DEPTH = 64


@dataclass(frozen=True)
class Whose:
    """Identity of one file, as it is before de-identification; never printed.

    Attributes
    ----------
    patient:
        What the patient is known by: PatientID, else name and birth date, else the study's UID.
    study, series, instance:
        UIDs.
    sop_class:
        SOP class UID.
    values:
        By keyword, what belongs to the patient and the study, for a link table.
    identifiers:
        Of everybody named in the file.
    """

    patient: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    series: str = field(default="", repr=False)
    instance: str = field(default="", repr=False)
    sop_class: str = ""
    values: dict[str, str] = field(default_factory=dict, repr=False)
    identifiers: Identifiers = field(default_factory=Identifiers, repr=False)


LINKED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "OtherPatientIDs",
    "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
)  # fmt: skip
"""What a link table keeps of a patient (the first five) and of a study."""


def whose(data: Any, profile: Profile) -> Whose:
    """Who is told by the data set ``data``; what ``profile`` keeps does not count."""
    names: list[str] = []
    numbers: list[str] = []
    places: list[str] = []
    dates: list[str] = []
    for element in _elements(data):
        values = _texts(element)
        if not values:
            continue
        if element.VR == "PN":
            names += values
            continue
        row = row_of(element.tag)
        if row is None or "descriptors" in row.options or element.tag.is_private:
            continue
        keyword = element.keyword
        if profile.action(row, element.VR, (keyword, "", "")) == "K":
            continue
        if keyword in _NUMBERS:
            numbers += values
        elif keyword in _PLACES:
            places += values
        elif element.VR in ("DA", "DT") and (
            "full-dates" not in profile.retain or keyword == "PatientBirthDate"
        ):
            dates += [value for value in values if "1900" < value[:4] < "2100"]
    text = {key: "\\".join(strings(data[key])).strip() if key in data else "" for key in LINKED}
    study = str(data.get("StudyInstanceUID", "") or "").strip()
    told = ("PatientName", "PatientID", "PatientBirthDate")
    who = Identity(*(str(data.get(key, "") or "").strip() for key in told))
    return Whose(
        patient=known_as(who) or study,
        study=study,
        series=str(data.get("SeriesInstanceUID", "") or "").strip(),
        instance=str(data.get("SOPInstanceUID", "") or "").strip(),
        sop_class=str(data.get("SOPClassUID", "") or "").strip(),
        values=text,
        identifiers=identifiers_of(names, numbers, places, dates),
    )


def _elements(data: Any, depth: int = 0) -> Iterator[Any]:
    """Elements that may tell somebody, at every depth; others are not even read."""
    for tag in list(data.keys()):
        try:
            vr = data.get_item(tag).VR or _dictionary_vr(tag)
            if vr not in _TELLING and tag not in _wanted():
                continue
            element = data[tag]
        except Exception:  # noqa: BLE001, S112 - an element that cannot be read is removed later
            continue
        if element.VR != "SQ":
            yield element
        elif depth < _DEPTH:
            for item in element.value or ():
                yield from _elements(item, depth + 1)


def _dictionary_vr(tag: Any) -> str:
    """VR of a tag in PS3.6; UN where it is not known."""
    from pydicom.datadict import dictionary_VR

    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


@functools.cache
def _wanted() -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    tags = (tag_for_keyword(keyword) for keyword in _NUMBERS | _PLACES)
    return frozenset(tag for tag in tags if tag is not None)


def _texts(element: Any) -> list[str]:
    value = element.value
    if value is None or isinstance(value, bytes | int | float):
        return []
    many = value if element.VM > 1 else [value]
    texts = (str(item).strip() for item in many)
    return [text for text in texts if text and text != dummy(element.VR)]
