"""What has a form of its own: codes, report content, graphics, overlays, bulk data."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from diaphane.core.errors import PrivacyError
from diaphane.privacy.dicom.profile import Profile
from diaphane.privacy.dicom.values import dummy, is_registered
from diaphane.privacy.dicom.words import Identifiers, cleaned, fold
from diaphane.privacy.pixels import find_text

_OVERLAYS = range(0x6000, 0x6100)
_CODE_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
CODED = frozenset(("CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodeMeaning"))
"""What :func:`clean_code` cleans in a coded entry."""
_NUMERIC = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "DS", "IS"))
# Content items that say who the subject is: CID 271 and TID 1007 (PS3.16).
_SUBJECT = {"121030": "", "121031": "", "121032": "sex", "121033": "age"}

_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."
_VOICES = ("1.2.840.10008.5.1.4.1.1.9.4.1", "1.2.840.10008.5.1.4.1.1.9.4.2")
_LARGEST_SEARCH = 1 << 20


def refuse_uncleanable(data: Any, profile: Profile) -> None:
    """Raise for objects that no rule can clean.

    Raises
    ------
    PrivacyError
        For encapsulated documents (PDF, CDA, 3-D models), for voices, for directories, and for
        images that say that identity is burned into them, unless pixels are cleaned.
    """
    sop_class = str(data.get("SOPClassUID", "") or "")
    if not sop_class:
        raise PrivacyError("This is not a DICOM object: it has no SOP class.")
    if sop_class.startswith(_DOCUMENTS) or "EncapsulatedDocument" in data:
        raise PrivacyError(
            "An encapsulated document cannot be de-identified.",
            remedy="Take the document out and read it, or leave it behind.",
        )
    if sop_class in _VOICES:
        raise PrivacyError("A recorded voice cannot be de-identified.")
    if not profile.cleans_pixels and str(data.get("BurnedInAnnotation", "")) == "YES":
        raise PrivacyError(
            "The image says that text is burned into it.", remedy="Use --clean pixels."
        )


def is_code(item: Any) -> bool:
    """Whether a data set is a coded entry (PS3.3 section 8)."""
    return "CodeMeaning" in item and any(name in item for name in _CODE_VALUES)


@functools.cache
def _meanings() -> dict[tuple[str, str], str]:
    """Meaning by scheme and code value, as PS3.16 prints it."""
    from pydicom.sr import _concepts_dict

    concepts: Any = _concepts_dict.concepts
    found = {}
    for scheme, by_name in concepts.items():
        for by_value in by_name.values():
            for value, (meaning, _) in by_value.items():
                found[(scheme, value)] = meaning
    return found


@functools.cache
def _official() -> frozenset[str]:
    return frozenset(map(fold, _meanings().values()))


def is_official(meaning: str) -> bool:
    """Whether PS3.16 gives some code this meaning."""
    return fold(meaning) in _official()


def clean_code(item: Any, who: Identifiers) -> bool:
    """Give a coded entry the meaning that PS3.16 has for it, or clean it; whether it changed."""
    scheme = str(item.get("CodingSchemeDesignator", "") or "").strip()
    value = next((str(item[name].value or "") for name in _CODE_VALUES if name in item), "").strip()
    meaning = str(item.CodeMeaning or "")
    official = _meanings().get((scheme, value))
    new = cleaned(meaning, who)
    if official is not None and fold(official) == fold(meaning):
        new = meaning
    elif new != meaning:
        new = official or new or "REMOVED"
    if new != meaning:
        item.CodeMeaning = new[:64]
    for name in ("CodeValue", "LongCodeValue", "CodingSchemeDesignator"):
        text = str(item.get(name, "") or "")
        if text and official is None and (not _CODE.match(text) or who.told_by(text)):
            item[name].value = "REMOVED"
    return new != meaning


_CODE = re.compile(r"^[\w.\-+/%\[\]{}()*'^ ]{1,64}$")


def drop_subject(sequence: Any, profile: Profile) -> bool:
    """Take the items out of a content sequence that say who the subject is; whether any were."""
    items = []
    for item in sequence.value:
        concept = (item.get("ConceptNameCodeSequence") or [None])[0]
        code = str(concept.get("CodeValue", "")) if concept is not None else ""
        told = _SUBJECT.get(code)
        if told is None or (told and "patient-characteristics" in profile.retain):
            items.append(item)
    if len(items) == len(sequence.value):
        return False
    sequence.value = items
    return True


def dummy_items(sequence: Any, uid: Callable[[str], str]) -> list[Any]:
    """One item of the form of a sequence's first, with dummies in place of every value.

    Report content becomes one text without meaning.
    """
    from pydicom.dataset import Dataset

    item = Dataset()
    if sequence.keyword == "ContentSequence":
        concept = Dataset()
        concept.CodeValue, concept.CodingSchemeDesignator = "121106", "DCM"
        concept.CodeMeaning = "Comment"
        item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
        item.ConceptNameCodeSequence = [concept]
        item.TextValue = dummy("UT")
        return [item]
    first = sequence.value[0]
    for tag in sorted(first.keys()):
        try:
            element = first[tag]
            count = element.VM
        except Exception:  # noqa: BLE001, S112 - what cannot be read is left out
            continue
        if tag.group % 2 or not element.keyword or element.VR == "UN":
            continue
        if element.VR == "SQ":
            value: Any = dummy_items(element, uid) if element.value else []
        elif element.VR == "UI":
            values = [str(v) for v in (element.value if count > 1 else [element.value])]
            value = [v if is_registered(v) else uid(v) for v in values]
        elif element.VR == "CS":
            value = _typing(element)
        elif element.VR in _NUMERIC and count > 1:
            value = [dummy(element.VR)] * count
        else:
            value = dummy(element.VR)
        item.add_new(tag, element.VR, value)
    return [item]


_TYPING = frozenset(
    [
        "AnnotationUnits",
        "GraphicType",
        "GraphicFilled",
        "GraphicLayer",
        "BoundingBoxAnnotationUnits",
        "AnchorPointAnnotationUnits",
        "GraphicAnnotationUnits",
        "AnchorPointVisibility",
        "ValueType",
        "RelationshipType",
        "BoundingBoxTextHorizontalJustification",
    ]
)


def _typing(element: Any) -> str:
    text = str(element.value or "")
    return text if element.keyword in _TYPING and re.fullmatch(r"[A-Z_ ]*", text) else "REMOVED"


def overlays(data: Any, profile: Profile) -> frozenset[Any]:
    """Tags of overlay planes to take out: all, or with clean graphics those that hold text."""
    tags = [tag for tag in data.keys() if tag.group in _OVERLAYS]  # noqa: SIM118
    if not tags or "graphics" not in profile.clean:
        return frozenset(tags)
    return frozenset(tag for tag in tags if _holds_text(data, tag.group))


def _holds_text(data: Any, group: int) -> bool:
    """Whether an overlay plane shows text, or cannot be looked at."""
    try:
        plane = data.overlay_array(group)
    except Exception:  # noqa: BLE001 - what cannot be looked at cannot stay
        return True
    return bool(find_text(plane * 255))


def tells(element: Any, who: Identifiers) -> bool:
    """Whether bulk data holds an identifier as plain text, or is too large to search."""
    value = element.value
    if not isinstance(value, bytes) or not value:
        return False
    large = len(value) > _LARGEST_SEARCH
    if large and element.VR in ("OB", "UN"):
        return True
    return holds(value, who, 7 if large else 5)


def holds(value: bytes, who: Identifiers, shortest: int) -> bool:
    """Whether bytes hold an identifier of at least so many letters, in one or two bytes each.

    Two: as ICC profiles write text.
    """
    folded = value.lower()
    for word in who.words:
        if len(word) < shortest:
            continue
        codes = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
        if any(text in folded for text in {word.encode(code, "replace") for code in codes}):
            return True
    return False
