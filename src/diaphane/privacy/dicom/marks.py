"""What a data set says of its de-identification, also of one before."""

from __future__ import annotations

import re
from typing import Any

from diaphane.privacy.dicom.profile import BASIC, CLEAN, RETAIN, Profile
from diaphane.privacy.dicom.table import EDITION
from diaphane.privacy.dicom.words import Identifiers, cleaned

_OURS = re.compile(r"diaphane [\w.+\-]+|DICOM PS3\.15 \w+ Table E\.1-1")
_DATES = ("UNMODIFIED", "MODIFIED", "REMOVED")
_MODIFIED = RETAIN["modified-dates"]


def marks(data: Any, profile: Profile, who: Identifiers) -> dict[str, Any]:
    """Values by keyword (PS3.15 E.1.1, PS3.3 C.7.1.1, CID 7050).

    A data set that was de-identified before keeps what was said of that, as far as it still
    holds: dates once moved are not unmodified, pixels once cleaned are clean, and what was kept
    then counts only if it is kept now. A method with words that nobody vouches for goes.
    """
    from pydicom.dataset import Dataset

    import diaphane

    dates = {profile.dates, str(data.get("LongitudinalTemporalInformationModified", "") or "")}
    codes = []
    for value, meaning in dict.fromkeys((*profile.codes, *_codes_before(data, profile))):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    method = [f"diaphane {diaphane.__version__}"[:64], f"DICOM PS3.15 {EDITION} Table E.1-1"]
    return {
        "PatientIdentityRemoved": "YES",
        "LongitudinalTemporalInformationModified": max(dates & set(_DATES), key=_DATES.index),
        "DeidentificationMethod": list(dict.fromkeys((*_method_before(data, who), *method))),
        "DeidentificationMethodCodeSequence": codes,
    }


def _codes_before(data: Any, profile: Profile) -> list[tuple[str, str]]:
    known = {code[0]: code for code in (BASIC, *RETAIN.values(), *CLEAN.values())}
    gone = {RETAIN[name] for name in RETAIN if name not in profile.retain}
    if "full-dates" in profile.retain:
        gone -= {_MODIFIED}
    items = data.get("DeidentificationMethodCodeSequence") or ()
    found = [known.get(str(item.get("CodeValue", ""))) for item in items]
    return [code for code in found if code is not None and code not in gone]


def _method_before(data: Any, who: Identifiers) -> list[str]:
    told = data.get("DeidentificationMethod") or ()
    told = [told] if isinstance(told, str) else [str(text) for text in told]
    return [text for text in told if _OURS.fullmatch(text) or (text and cleaned(text, who) == text)]
