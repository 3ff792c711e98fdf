"""Private attributes that are known to be safe (PS3.15 E.3.10)."""

from __future__ import annotations

import csv
import functools
import re
from typing import Any

from diaphane.privacy.dicom.table import data_lines
from diaphane.privacy.dicom.words import Identifiers

_NUMBER = re.compile(r"^\s*[+\-]?\d+(?:\.\d+)?(?:[eE][+\-]?\d+)?(?::1)?\s*$")
_WORD = re.compile(r"^[A-Za-z0-9_ .+\-]{0,16}$")
_BINARY = frozenset(("SS", "US", "SL", "UL", "FL", "FD"))


@functools.cache
def safe_private() -> dict[tuple[int, int, str], str]:
    """VR by group, element within its block, and private creator."""
    return {
        (int(cells["group"], 16), int(cells["element"], 16), cells["creator"]): cells["vr"]
        for cells in csv.DictReader(data_lines("safe-private.csv"))
    }


def kept_private(data: Any, who: Identifiers) -> frozenset[Any]:
    """Tags of a data set's private attributes that may stay, with those of their creators.

    An attribute stays when the list names it under its creator, and its value is what the list
    says: a number, or one short word that tells nobody.
    """
    creators: dict[tuple[int, int], str] = {}
    for tag in data.keys():  # noqa: SIM118 - iterating a data set reads its elements
        if tag.group % 2 and 0x10 <= tag.element <= 0xFF:
            creators[(tag.group, tag.element)] = str(data[tag].value or "").strip()
    kept = set()
    for tag in data.keys():  # noqa: SIM118
        block = tag.element >> 8
        creator = creators.get((tag.group, block), "")
        vr = safe_private().get((tag.group, tag.element & 0xFF, creator)) if block else None
        if vr is not None and _is_plain(data[tag], vr, who):
            kept |= {tag, next(t for t in data.keys() if t == (tag.group, block))}  # noqa: SIM118
    return frozenset(kept)


def _is_plain(element: Any, vr: str, who: Identifiers) -> bool:
    kind: str = element.VR
    if kind not in (vr, "UN") or element.value is None:
        return False
    value = element.value
    if vr in _BINARY:
        return kind != "UN" and element.VM == 1  # more of them could spell a text
    if isinstance(value, bytes):
        try:
            value = value.decode("ascii").strip(" \0")
        except UnicodeDecodeError:
            return False
    text = str(value)
    pattern = _WORD if vr in ("CS", "LO") else _NUMBER
    return pattern.match(text) is not None and not who.told_by(text)
