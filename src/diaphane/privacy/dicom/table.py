"""Table E.1-1 of DICOM PS3.15: what the Basic Profile and its options do to each attribute."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

EDITION = "2026c"
PRIVATE = "private"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes
    ----------
    tag:
        Eight hex digits, ``x`` for any digit; "private" for attributes of odd groups.
    name:
        As the table prints it.
    retired, std_iod:
        "Y" or "N"; ``std_iod`` is empty where no source states it.
    basic:
        Action of the Basic Profile: X, Z, D, U, or a choice such as X/Z/D.
    options:
        Action by option column (``"device": "K"``); absent where the cell is empty.
    """

    tag: str
    name: str
    retired: str
    std_iod: str
    basic: str
    options: Mapping[str, str]


def data_lines(name: str) -> Iterator[str]:
    """Lines of a data file of this room, without its comments."""
    text = resources.files("diaphane.privacy").joinpath("data", name).read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))


@functools.cache
def rows() -> tuple[Row, ...]:
    """The whole table, by tag; rows for groups of tags at the end of their kind."""
    fixed = ("tag", "name", "retired", "std_iod", "basic")
    found = []
    for cells in csv.DictReader(data_lines("ps3.15-table-e.1-1.csv")):
        options = {key: value for key, value in cells.items() if key not in fixed and value}
        tag, name, retired, std_iod, basic = (cells[key] for key in fixed)
        found.append(Row(tag, name, retired, std_iod, basic, options))
    return tuple(found)


@functools.cache
def _by_tag() -> dict[int, Row]:
    return {int(row.tag, 16): row for row in rows() if "x" not in row.tag and row.tag != PRIVATE}


@functools.cache
def _masks() -> dict[str, Row]:
    return {row.tag: row for row in rows() if "x" in row.tag or row.tag == PRIVATE}


def row_of(tag: int) -> Row | None:
    """The row of a tag, or ``None`` where the table does not name it.

    Repeating groups (50xx, 60xx) are even groups up to xx1E (PS3.5 section 7.6); every odd
    group is private.
    """
    found = _by_tag().get(tag)
    if found is not None:
        return found
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2:
        return _masks()[PRIVATE]
    if 0x5000 <= group <= 0x50FF:
        return _masks()["50xxxxxx"]
    if 0x6000 <= group <= 0x60FF and element in (0x3000, 0x4000):
        return _masks()[f"60xx{element:04X}"]
    return None


@functools.cache
def _types() -> dict[tuple[str, str], list[tuple[str, frozenset[str]]]]:
    found: dict[tuple[str, str], list[tuple[str, frozenset[str]]]] = {}
    for cells in csv.DictReader(data_lines("attribute-types.csv")):
        key = (cells["parent"], cells["attribute"])
        found.setdefault(key, []).append((cells["type"], frozenset(cells["sop_classes"].split())))
    return found


def type_of(keyword: str, parent: str, sop_class: str) -> str:
    """Type (PS3.3: 1, 1C, 2, 2C or 3) of an attribute inside the sequence ``parent``.

    ``parent`` is a keyword, empty at the top. Only attributes whose action is a choice are
    known; others are of type 3.
    """
    entries = _types().get((parent, keyword), [])
    usual = "3"
    for kind, classes in entries:
        if sop_class in classes:
            return kind
        if not classes:
            usual = kind
    return usual


def settle(choice: str, kind: str) -> str:
    """The action that a choice comes to for an attribute of type ``kind`` (Table E.1-1a).

    Removal, unless the type asks for the attribute (2: present, 1: with a value). A conditional
    type counts as required, since the attribute is there. References (``U*``) that are required
    keep their items, with other UIDs.
    """
    if "/" not in choice:
        return choice
    offered = choice.replace("*", "").split("/")
    wanted = {"1": "UDZX", "2": "UZDX", "3": "XZDU"}[kind[0]]
    return next(action for action in wanted if action in offered)
