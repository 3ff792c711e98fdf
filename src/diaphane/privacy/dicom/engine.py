"""The engine: one data set, made to follow a profile at every depth."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

from diaphane.privacy.dicom import content
from diaphane.privacy.dicom.forms import TIME, are_uids, put_in_form, strings
from diaphane.privacy.dicom.marks import marks
from diaphane.privacy.dicom.profile import Profile
from diaphane.privacy.dicom.safe import kept_private
from diaphane.privacy.dicom.table import Row, data_lines, row_of
from diaphane.privacy.dicom.values import (
    TEXT,
    Secret,
    dummy,
    is_registered,
    is_standard_term,
    is_valid_uid,
    moved_date,
)
from diaphane.privacy.dicom.words import Identifiers, cleaned, scrubbed

_PART_OF_A_DAY = re.compile(r"^\d{4}(?:\d{2})?$")
_CODE_STRING = re.compile(r"^[A-Z0-9 _]{0,16}$")
_CLASSES = frozenset(
    (0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x00081150, 0x0008115A, 0x00080118)
)
_CODES = frozenset(("PatientID", "PatientName", "ClinicalTrialSubjectID"))
_BULK = frozenset(("OB", "OW", "OF", "OD", "OL", "OV"))
_COUNTS = frozenset(("IS", "DS", "UL", "SL", "UV", "SV"))
# EncryptedAttributesSequence: what an earlier de-identification took off, and who may read it.
_ENCRYPTED = 0x04000500
_DEPTH = 64


@dataclass(frozen=True)
class Subject:
    """What one patient becomes.

    Attributes
    ----------
    code:
        Stands for PatientName and PatientID.
    days:
        By how many days dates move, where they move.
    identifiers:
        Of everybody named anywhere in the patient's files.
    """

    code: str
    days: int = field(default=0, repr=False)
    identifiers: Identifiers = field(default_factory=Identifiers, repr=False)


@dataclass(frozen=True)
class Change:
    """One attribute that was changed; no value of it is kept.

    Attributes
    ----------
    path:
        Where: ``(0008,1140)[0].(0008,1155)``.
    name:
        Keyword, or "private" or "unknown".
    action:
        What was done: removed, emptied, replaced, uid, moved, cleaned, added.
    """

    path: str
    name: str
    action: str


class Deidentifier:
    """Follows a profile under one key.

    Parameters
    ----------
    profile:
        Which options apply.
    secret:
        The installation's key, for UIDs.
    """

    def __init__(self, profile: Profile, secret: Secret) -> None:
        self.profile = profile
        self.secret = secret
        self.uids: dict[str, str] = {}
        """Each UID that was replaced, and by what."""
        self._actions: dict[tuple[Any, str, str, str], str] = {}

    def apply(self, data: Any, subject: Subject) -> list[Change]:
        """Change ``data`` (a pydicom data set, with or without file meta) in place.

        Private attributes, attributes that the dictionary does not know or that cannot be
        read, curves and bulk data that holds an identifier go. Pixels stay as they are.

        Returns
        -------
        list of Change
            In the order of the data set.
        """
        work = _Work(self, subject, str(data.get("SOPClassUID", "") or ""))
        work.data_set(data, "", "", 0)
        work.mark(data)
        meta = getattr(data, "file_meta", None)
        if meta is not None:
            work.meta(meta, data)
        if getattr(data, "preamble", None):
            data.preamble = b"\0" * 128
        return work.changes

    def action(self, row: Row, element: Any, where: tuple[str, str]) -> str:
        """What the profile does to an element; ``where`` are its parent and SOP class."""
        key = (element.tag, element.VR, *where)
        found = self._actions.get(key)
        if found is None:
            found = self.profile.action(row, element.VR, (element.keyword, *where))
            self._actions[key] = found
        return found

    def uid(self, original: str) -> str:
        """The UID that stands for ``original``; registered ones stand for themselves."""
        text = original.strip(" \0")
        if not text or is_registered(text):
            return text
        found = self.uids.get(text)
        if found is None:
            found = self.uids[text] = self.secret.uid(text)
        return found


class _Work:
    """One data set on its way through."""

    def __init__(self, owner: Deidentifier, subject: Subject, sop_class: str) -> None:
        self.owner = owner
        self.profile = owner.profile
        self.subject = subject
        self.who = subject.identifiers
        self.sop_class = sop_class
        self.changes: list[Change] = []

    def data_set(self, data: Any, parent: str, path: str, depth: int) -> None:
        """Every element of a data set or item; ``parent`` is the keyword of its sequence."""
        safe = kept_private(data, self.who) if "safe-private" in self.profile.retain else ()
        if depth > _DEPTH:
            data.clear()
            return
        overlays = content.overlays(data, self.profile)
        if content.is_code(data) and content.clean_code(data, self.who):
            self.changes.append(Change(path.rstrip("."), "CodeMeaning", "cleaned"))
        for tag in sorted(data.keys()):
            where = f"{path}({tag.group:04X},{tag.element:04X})"
            if tag.group % 2 and tag in safe:
                continue
            row = row_of(tag)
            odd = tag.element == 0 or tag.group in (0, 2, 4) or tag == _ENCRYPTED
            if (row is None and odd) or (tag.group % 2 and row is not None) or tag in overlays:
                self._remove(data, tag, where)
                continue
            try:
                formed = put_in_form(data, tag)
                element = data[tag]
            except Exception:  # noqa: BLE001 - whatever cannot be read cannot be judged
                self._remove(data, tag, where)
                continue
            if not formed:
                if row is None:
                    self._remove(data, tag, where)
                    continue
                self.changes.append(Change(where, element.keyword, "emptied"))
            if row is not None:
                action = self.owner.action(row, element, (parent, self.sop_class))
                if row.tag == "60xx3000" and action == "C":
                    continue  # an overlay that was found to hold no text
                self._listed(data, element, action, where, depth)
            else:
                self._unlisted(data, element, where, depth)

    # Attributes of Table E.1-1.

    def _listed(self, data: Any, element: Any, action: str, where: str, depth: int) -> None:
        vr, keyword = element.VR, element.keyword
        if action == "X":
            self._remove(data, element.tag, where)
        elif vr == "SQ":
            self._listed_sequence(element, action, where, depth)
        elif keyword in _CODES and action in "ZD":
            self._set(element, self.subject.code, where, "replaced")
        elif action == "Z":
            self._set(element, None, where, "emptied")
        elif action == "U" or (vr == "UI" and action == "D"):
            self._replace_uids(element, where)
        elif action == "D":
            self._set(element, dummy(vr), where, "replaced")
        elif action == "C":
            self._clean(data, element, where)
        else:
            self._keep(data, element, where)

    def _listed_sequence(self, element: Any, action: str, where: str, depth: int) -> None:
        if action == "Z" or not element.value:
            self._set(element, [], where, "emptied")
        elif action == "D":
            self._set(element, content.dummy_items(element, self.owner.uid), where, "replaced")
        else:
            if action == "C" and content.drop_subject(element, self.profile):
                self.changes.append(Change(where, element.keyword, "cleaned"))
            self._items(element, where, depth)

    def _clean(self, data: Any, element: Any, where: str) -> None:
        """Option columns with C: by VR."""
        vr = element.VR
        if vr in TEXT or vr == "CS":
            if self._clean_text(element, where, technical=False):
                return
        elif vr == "AE":
            codes = [self.owner.secret.title(text) for text in strings(element)]
            self._set(element, codes if len(codes) > 1 else (codes or [""])[0], where, "replaced")
            return
        elif vr in ("DA", "DT", "TM") and self._move(element, where):
            return
        row = row_of(element.tag)
        basic = row.basic if row else "X"
        if "X" in basic:
            self._remove(data, element.tag, where)
        elif "Z" in basic:
            self._set(element, None, where, "emptied")
        else:
            self._set(element, dummy(vr), where, "replaced")

    def _keep(self, data: Any, element: Any, where: str) -> None:
        vr = element.VR
        if vr == "UN":
            self._remove(data, element.tag, where)
        elif vr in TEXT or vr in ("CS", "AE"):
            self._clean_text(element, where, technical=True)
        elif vr == "UI":
            if not are_uids(strings(element)):
                self._replace_uids(element, where)
        elif vr == "PN" or (vr in ("DA", "DT") and not all(map(_is_day, strings(element)))):
            self._set(element, None, where, "emptied")
        elif vr == "UR":
            if any(map(self.who.told_by, strings(element))):
                self._set(element, None, where, "emptied")
        elif vr in _BULK and content.tells(element, self.who):
            self._remove(data, element.tag, where)

    # Everything else.

    def _unlisted(self, data: Any, element: Any, where: str, depth: int) -> None:
        vr, keyword = element.VR, element.keyword
        if not keyword or vr == "UN":
            self._remove(data, element.tag, where)
        elif vr == "SQ":
            self._items(element, where, depth)
        elif not element.value and element.value != 0:
            return
        elif vr == "UI":
            if "uids" in self.profile.retain:
                self._keep(data, element, where)
            elif element.tag not in _CLASSES or not all(map(is_valid_uid, strings(element))):
                self._replace_uids(element, where)
        elif keyword in content.CODED and content.is_code(data):
            return  # clean_code was there
        elif vr in TEXT:  # of what is empty now nobody knows whether it may be
            if not self._clean_text(element, where, technical=keyword in technical_attributes()):
                element.value = dummy(vr)
        elif vr == "CS":
            plain = all(_CODE_STRING.match(text) for text in strings(element))
            self._clean_text(element, where, technical=plain)
        elif vr in ("DA", "DT", "TM"):
            if self.profile.dates == "REMOVED" or not self._move(element, where):
                self._set(element, None, where, "emptied")
        elif vr in ("PN", "AE", "UR"):
            self._set(element, None, where, "emptied")
        elif vr in _COUNTS:
            if any(map(self.who.counts, strings(element))):
                self._set(element, None, where, "emptied")
        elif vr in _BULK and element.tag.group != 0x7FE0 and content.tells(element, self.who):
            self._remove(data, element.tag, where)

    def _items(self, element: Any, where: str, depth: int) -> None:
        for index, item in enumerate(element.value or ()):
            self.data_set(item, element.keyword, f"{where}[{index}].", depth + 1)

    # Steps.

    def _remove(self, data: Any, tag: Any, where: str) -> None:
        del data[tag]
        self.changes.append(Change(where, _name(tag), "removed"))

    def _set(self, element: Any, value: Any, where: str, action: str) -> None:
        if element.VR == "SQ":
            element.value = list(value)
        else:
            element.value = value
        self.changes.append(Change(where, _name(element.tag), action))

    def _replace_uids(self, element: Any, where: str) -> None:
        before = strings(element)
        after = [self.owner.uid(text) for text in before]
        if after != before:
            self._set(element, after if len(after) > 1 else (after or [""])[0], where, "uid")

    def _clean_text(self, element: Any, where: str, *, technical: bool) -> bool:
        """Clean each value; whether something is left."""
        before = strings(element)
        after = [
            scrubbed(text, self.who) if technical else cleaned(text, self.who) for text in before
        ]
        if element.VR == "CS":
            pairs = zip(before, after, strict=True)
            after = [old if is_standard_term(old) else new for old, new in pairs]
            after = [text if _CODE_STRING.match(text) else "" for text in after]
        if after != before:
            kept = [text for text in after if text] or [""]
            single = len(kept) == 1 or element.VR in ("LT", "ST", "UT")
            self._set(element, kept[0] if single else kept, where, "cleaned")
        return any(after)

    def _move(self, element: Any, where: str) -> bool:
        """Move dates, keep times; whether they are such."""
        before = strings(element)
        if element.VR == "TM":
            return all(TIME.match(text) for text in before)
        days = self.subject.days if "modified-dates" in self.profile.retain else 0
        after = [moved_date(text, days) for text in before]
        if None in after or not after:
            return False
        if after != before:
            self._set(element, after if len(after) > 1 else after[0], where, "moved")
        return True

    # What is added.

    def mark(self, data: Any) -> None:
        """Say in the data set what was done (PS3.15 E.1.1, PS3.3 C.12.1.1.1, CID 7050)."""
        added = {"PatientName": self.subject.code, "PatientID": self.subject.code}
        added |= marks(data, self.profile, self.who)
        for keyword, value in added.items():
            new = keyword not in data
            setattr(data, keyword, value)
            tag = data[keyword].tag
            if new or not keyword.startswith("Patient"):
                where = f"({tag.group:04X},{tag.element:04X})"
                self.changes.append(Change(where, keyword, "added"))

    def meta(self, meta: Any, data: Any) -> None:
        """File meta information is written anew (PS3.15 E.1.1): nothing of it but the syntax."""
        from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

        for tag in list(meta.keys()):
            if tag.element not in (0x0000, 0x0001, 0x0002, 0x0010):
                self.changes.append(Change(f"(0002,{tag.element:04X})", _name(tag), "replaced"))
                del meta[tag]
        meta.MediaStorageSOPClassUID = data.get("SOPClassUID", "")
        meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "")
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID


def _is_day(text: str) -> bool:
    return moved_date(text, 0) is not None or _PART_OF_A_DAY.match(text.strip()) is not None


@functools.cache
def technical_attributes() -> frozenset[str]:
    """Keywords outside the table whose text machines make."""
    return frozenset(
        word for line in data_lines("technical-attributes.txt") for word in line.split()
    )


def _name(tag: Any) -> str:
    from pydicom.datadict import keyword_for_tag

    if tag.group % 2:
        return "private"
    return keyword_for_tag(tag) or "unknown"
