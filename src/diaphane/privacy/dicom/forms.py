"""The form of a value: what has not the one that its attribute asks for can hold anything."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

TIME = re.compile(r"^\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?$")
_AGE = re.compile(r"^\d{1,3}[DWMY]?$")  # "45Y" is not rightly formed, and common
_UID = re.compile(r"^[0-9.]{1,64}$")
# VRs (PS3.5 section 6.2) that stand for each other in what other programs write. Each text is
# cleaned as a text, whichever of these it is called.
_KINDS = {
    vr: kind
    for kind in (
        "AE CS LO SH LT ST UT UC UR PN", "DA DT", "TM", "IS DS", "AS", "UI", "SQ",
        "US SS UL SL UV SV FL FD AT OB OW OF OD OL OV",
    )
    for vr in kind.split()
}  # fmt: skip
_BINARY = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"))
_STRINGS = frozenset(vr for vr in _KINDS if vr != "SQ" and vr[0] != "O") - _BINARY


def strings(element: Any) -> list[str]:
    """The values of an element as texts."""
    value = element.value
    if value is None or value == "":
        return []
    if element.VM > 1 and not isinstance(value, str):
        return [str(part) for part in value]
    return [str(value)]


def walk(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every element that can be read, at every depth, with its path; sequences come first."""
    for tag in sorted(data.keys()):
        where = f"{path}({tag.group:04X},{tag.element:04X})"
        try:
            element = data[tag]
        except Exception:  # noqa: BLE001, S112 - what cannot be read holds no value
            continue
        yield where, element
        if element.VR == "SQ":
            for index, item in enumerate(element.value or ()):
                yield from walk(item, f"{where}[{index}].")


@functools.cache
def _asked(tag: int) -> tuple[str, ...]:
    """The VRs that PS3.6 gives a tag; none where it does not know it."""
    from pydicom.datadict import dictionary_VR

    try:
        return tuple(dictionary_VR(tag).split(" or "))
    except KeyError:
        return ()


def put_in_form(data: Any, tag: Any) -> bool:
    """Whether an element's value has the form of its attribute.

    One that is written under another kind of VR gets its own, if it is of that form. What is of
    no such form (a number that is none, a text in place of pixels) becomes an empty element of
    the right VR. Attributes that PS3.6 does not know are as they should be.
    """
    from pydicom.dataelem import DataElement

    element, asked = data[tag], _asked(tag)
    if not asked or element.VR == "UN" or not element.value:
        return True
    if not any(_KINDS.get(vr) == _KINDS.get(element.VR) for vr in asked) and " " not in element.VR:
        try:
            if not (asked[0] in _STRINGS and element.VR in _STRINGS):
                raise ValueError(asked[0])
            element = DataElement(tag, asked[0], strings(element))
        except Exception:  # noqa: BLE001 - pydicom raises what a value makes it meet
            data[tag] = DataElement(tag, asked[0], [] if asked[0] == "SQ" else None)
            return False
        data[tag] = element
    if not _is_formed(element):
        data[tag] = DataElement(tag, element.VR, None)
        return False
    return True


def _is_formed(element: Any) -> bool:
    vr, value = element.VR, element.value
    if vr in ("IS", "DS"):  # read as numbers where they are such
        many = value if element.VM > 1 and not isinstance(value, str) else [value]
        return all(v == "" or isinstance(v, int | float | Decimal) for v in many)
    if vr in _BINARY:
        return not isinstance(value, bytes | str)
    form = {"AS": _AGE, "TM": TIME}.get(vr)
    return form is None or all(not text or form.match(text.strip()) for text in strings(element))


def are_uids(texts: list[str]) -> bool:
    """Whether texts are of digits and dots, as UIDs are, if not always rightly formed."""
    return all(not text or _UID.match(text) for text in texts)
