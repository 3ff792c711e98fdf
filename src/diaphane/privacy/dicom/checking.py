"""The verifier: searches de-identified files for what is left of an identity."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diaphane.core.errors import PrivacyError
from diaphane.core.protocols import Progress, silent
from diaphane.privacy.dicom.content import holds, is_official
from diaphane.privacy.dicom.engine import technical_attributes
from diaphane.privacy.dicom.files import DIRECTORY, dicom_files, leniently, read_object
from diaphane.privacy.dicom.forms import walk
from diaphane.privacy.dicom.hidden import clear_hidden
from diaphane.privacy.dicom.identity import whose
from diaphane.privacy.dicom.profile import Profile
from diaphane.privacy.dicom.safe import kept_private
from diaphane.privacy.dicom.table import row_of
from diaphane.privacy.dicom.values import (
    Secret,
    dummy,
    is_registered,
    is_standard_term,
    is_valid_uid,
)
from diaphane.privacy.dicom.words import NOBODY, Identifiers, fold, holds_uid
from diaphane.privacy.keys import load_key
from diaphane.privacy.pixels import find_text

_RETAINED = {
    "113106": "full-dates", "113107": "modified-dates", "113108": "patient-characteristics",
    "113109": "device", "113110": "uids", "113111": "safe-private", "113112": "institution",
}  # fmt: skip
_CLASSES = frozenset(("SOPClassUID", "ReferencedSOPClassUID", "OriginalSpecializedSOPClassUID"))
_META = frozenset(("TransferSyntaxUID", "ImplementationClassUID", "MediaStorageSOPClassUID"))
_OURS = ("PatientName", "PatientID", "ClinicalTrialSubjectID")
_LONG = frozenset(("LO", "LT", "ST", "UC", "UT", "PN"))
_TEXT = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "IS", "DS"))
_PSEUDONYM = re.compile(r"[a-z]-[0-9a-f]{16}(?:\.dcm)?")
_DATE_IN_TEXT = re.compile(
    r"(?<!\d)(?:19|20)\d{2}[.\-/]?(?:0[1-9]|1[0-2])[.\-/]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
)


@dataclass(frozen=True)
class Leftover:
    """Something that should not be there.

    Attributes
    ----------
    file:
        Relative to the folder searched.
    where:
        Attribute, "file name" or "pixels".
    what:
        identifier, date, uid, private, name, unmarked, text or unreadable; never the value.
    """

    file: str
    where: str
    what: str


@dataclass
class Findings:
    """What a search found: how many files were searched, and each leftover."""

    files: int = 0
    left: list[Leftover] = field(default_factory=list)


@dataclass
class _Originals:
    """What the originals tell, by what their UIDs became under this installation's key."""

    uids: set[str] = field(default_factory=set)
    everybody: Identifiers = NOBODY
    people: dict[str, Identifiers] = field(default_factory=dict)
    dates: dict[str, dict[str, str]] = field(default_factory=dict)

    def who(self, data: Any) -> Identifiers:
        """Those of the patient that a file came from; of all, where that is not known."""
        return self.people.get(str(data.get("StudyInstanceUID", "")), self.everybody)

    def days(self, data: Any) -> dict[str, str]:
        """The original dates of a file, by where they stand."""
        return self.dates.get(str(data.get("SOPInstanceUID", "")), {})


def check_folder(
    folder: Path,
    against: Path | None = None,
    progress: Progress = silent,
    *,
    try_pixels: Callable[[Path], None] | None = None,
) -> Findings:
    """Search every DICOM file of ``folder``.

    A file is held to the options that it says were applied (CID 7050 codes). Found are: names,
    numbers and places that stand anywhere in a study in any text of it, at any depth; of the originals, too,
    when they are given, with their UIDs and dates; dates where none may be; UIDs that were not
    replaced; private attributes that are not known to be safe; the same in names of files and
    folders; text in pixels of images that are said to be clean. ``try_pixels`` is called with
    such an image before it is decoded here; it raises where that would break this process.

    Raises
    ------
    EmptyInput
        When there is no DICOM file.
    """
    files, _ = dicom_files(folder)
    with leniently():
        return _search(folder, files, against, progress, try_pixels or (lambda _: None))


def _search(
    folder: Path,
    files: list[Path],
    against: Path | None,
    progress: Progress,
    try_pixels: Callable[[Path], None],
) -> Findings:
    found = Findings()
    studies = _studies(files)
    originals = _Originals()
    if against is not None:
        originals = _read_originals(against, _profile_of(files[0]))
    for number, path in enumerate(files, start=1):
        name = path.relative_to(folder).as_posix() if path != folder else path.name
        try:
            data = read_object(path)
            if str(data.get("SOPClassUID", "")) == DIRECTORY:
                found.left.append(Leftover(name, "DICOMDIR", "name"))
                continue
            study = studies.get(str(data.get("StudyInstanceUID", "")), NOBODY)
            found.left += _check(name, data, study, originals)
            if _applied(data).pixels:
                try_pixels(path)
                found.left += [Leftover(name, "pixels", "text")] if find_text(data) else []
        except Exception:  # noqa: BLE001 - pydicom raises whatever a damaged file makes it meet
            found.left.append(Leftover(name, "file", "unreadable"))
        found.files += 1
        progress("searching", number / len(files))
    return found


def _studies(files: list[Path]) -> dict[str, Identifiers]:
    """Whom the files of each study still name."""
    found: dict[str, Identifiers] = {}
    for path in files:
        try:
            data = read_object(path, pixels=False)
            told = whose(_without_codes(data), _moved_dates_kept(_applied(data).profile))
        except Exception:  # noqa: BLE001, S112 - the search itself will say that it is unreadable
            continue
        if told.identifiers != NOBODY:
            found[told.study] = found.get(told.study, NOBODY).joined(told.identifiers)
    return found


def _check(name: str, data: Any, study: Identifiers, originals: _Originals) -> list[Leftover]:
    applied = _applied(data)
    who = study.joined(originals.who(data))
    days = originals.days(data)
    code = fold(str(data.get("PatientID", "") or ""))
    left = []
    if str(data.get("PatientIdentityRemoved", "")) != "YES":
        left.append(Leftover(name, "(0012,0062)", "unmarked"))
    if not _PSEUDONYM.fullmatch(code) and originals.who(data).tells_whole(code):
        left.append(Leftover(name, "(0010,0020)", "identifier"))
    if holds(data.preamble or b"", who, 4):
        left.append(Leftover(name, "preamble", "identifier"))
    if str(data.get("BurnedInAnnotation", "")) == "YES":
        left.append(Leftover(name, "(0028,0301)", "text"))
    if _hides(data, who):
        left.append(Leftover(name, "(7FE0,0010)", "text"))
    parts = [p.replace(code, "") for p in Path(fold(name)).parts if not _PSEUDONYM.fullmatch(p)]
    if any(who.told_by(part) or _DATE_IN_TEXT.search(part) for part in parts):
        left.append(Leftover(name, "file name", "name"))
    ours = _OURS if _is_coded(data) else ()
    for tree in (data.file_meta, data):
        safe = kept_private(tree, who) if "safe-private" in applied.profile.retain else ()
        for where, element in walk(tree):
            if element.tag.is_private:
                if element.tag not in safe:
                    left.append(Leftover(name, where, "private"))
            elif element.keyword not in ours:
                day = days.get(where)
                if what := _what(element, who, originals.uids, day, applied.profile):
                    left.append(Leftover(name, where, what))
    return left


def _what(element: Any, who: Identifiers, uids: set[str], day: str | None, profile: Profile) -> str:
    """What is wrong with an element, or empty; ``day`` stood there in the original."""
    vr, keyword = element.VR, element.keyword
    if vr == "SQ" or element.value is None or element.value == dummy(vr):
        return ""
    if vr == "UN":
        return "private"
    values = [str(v) for v in (element.value if element.VM > 1 else [element.value])]
    values = [v for v in values if v and v != str(dummy(vr))]
    row = row_of(element.tag)
    kept = row is not None and profile.action(row, vr, (keyword, "", "")) == "K"
    if vr == "UI":
        told = any(_is_original(keyword, v, uids, profile) for v in values)
        return "uid" if told and not kept else ""
    if vr in ("DA", "DT"):
        fine = profile.dates == "MODIFIED" and not any(v[:8] == day for v in values)
        return "" if kept or fine or profile.dates == "UNMODIFIED" or not values else "date"
    if isinstance(element.value, bytes):
        return _in_bytes(element.value, who) if element.tag.group != 0x7FE0 else ""
    if vr in ("AS", "TM"):
        return "identifier" if any(map(who.told_by, filter(_has_letters, values))) else ""
    if vr not in _TEXT or keyword == "DeidentificationMethod":
        return ""
    values = [v for v in values if not (vr == "CS" and is_standard_term(v))]
    if vr in ("IS", "DS"):
        told = any(map(who.counts, values)) or any(map(who.told_by, filter(_has_letters, values)))
    elif keyword == "CodeMeaning":
        told = any(who.told_by(v) for v in values if not is_official(v))
    else:
        told = any(who.told_by(v) for v in values)
    if told or any(map(holds_uid, values)):
        return "identifier" if told else "uid"
    dated = profile.dates != "UNMODIFIED" and keyword not in technical_attributes()
    return "date" if dated and vr in _LONG and any(map(_DATE_IN_TEXT.search, values)) else ""


def _has_letters(text: str) -> bool:
    return any(c.isalpha() for c in text)


def _in_bytes(value: bytes, who: Identifiers) -> str:
    """Identifiers in bulk data."""
    return "identifier" if holds(value, who, 5 if len(value) < 1 << 20 else 7) else ""


def _hides(data: Any, who: Identifiers) -> bool:
    """Whether more is in the pixel data than the picture."""
    try:
        return clear_hidden(data, who)
    except PrivacyError:
        return True


def _is_original(keyword: str, uid: str, originals: set[str], profile: Profile) -> bool:
    if is_registered(uid) or "uids" in profile.retain or keyword in _META:
        return False
    if keyword in _CLASSES and is_valid_uid(uid):
        return False
    return uid in originals or not uid.startswith("2.25.")


@dataclass(frozen=True)
class _Applied:
    profile: Profile
    pixels: bool


def _applied(data: Any) -> _Applied:
    """The options that a file says were applied."""
    codes = {
        str(item.get("CodeValue", ""))
        for item in data.get("DeidentificationMethodCodeSequence", ())
    }
    retain = {name for code, name in _RETAINED.items() if code in codes}
    if str(data.get("LongitudinalTemporalInformationModified", "")) == "MODIFIED":
        retain = retain - {"full-dates"} | {"modified-dates"}
    if {"full-dates", "modified-dates"} <= retain:
        retain.discard("full-dates")
    return _Applied(Profile(frozenset(retain)), "113101" in codes)


def _moved_dates_kept(profile: Profile) -> Profile:
    """As the profile, but dates that were moved tell nobody: by chance a number may be one."""
    if profile.dates != "MODIFIED":
        return profile
    return replace(profile, retain=profile.retain - {"modified-dates"} | {"full-dates"})


def _is_coded(data: Any) -> bool:
    """Whether a code stands for the patient: name and ID are the same, or empty."""
    name, number = (str(data.get(key, "") or "") for key in ("PatientName", "PatientID"))
    return name in ("", number)


def _without_codes(data: Any) -> Any:
    """A view in which a code of the patient does not count as identity."""
    view = copy(data)
    for keyword in _OURS if _is_coded(data) else ():
        if keyword in view:
            del view[keyword]
    return view


def _profile_of(path: Path) -> Profile:
    try:
        return _applied(read_object(path, pixels=False)).profile
    except Exception:  # noqa: BLE001 - the search itself will say that it is unreadable
        return Profile()


def _read_originals(folder: Path, profile: Profile) -> _Originals:
    secret = Secret(load_key())
    found = _Originals()
    people: dict[str, Identifiers] = {}
    studies: dict[str, str] = {}
    for path in dicom_files(folder)[0]:
        try:
            data = read_object(path, pixels=False)
            told = whose(data, profile)
            values = [(w, e) for w, e in walk(data) if e.value and e.VR in ("UI", "DA", "DT")]
        except Exception:  # noqa: BLE001, S112 - what cannot be read tells nothing
            continue
        people[told.patient] = people.get(told.patient, NOBODY).joined(told.identifiers)
        studies[secret.uid(told.study)] = told.patient
        days = found.dates.setdefault(secret.uid(told.instance), {})
        for where, element in values:
            texts = [str(v) for v in (element.value if element.VM > 1 else [element.value])]
            if element.VR == "UI":
                found.uids |= {text for text in texts if not is_registered(text)}
            else:
                days[where] = texts[0][:8]
    found.people = {study: people[patient] for study, patient in studies.items()}
    for who in people.values():
        found.everybody = found.everybody.joined(who)
    return found
