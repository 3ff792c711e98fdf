"""The coded terms of all DICOM results, from the one table ``report/data/terms.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PRIVATE = "99DIAPHANE"
"""Designator of diaphane's own scheme, for what no vocabulary names."""

Row = tuple[str, str, str]
"""Code value, coding scheme, meaning."""


@cache
def table() -> Mapping[str, Mapping[str, Row]]:
    """Kind -> key -> row; the source of each row stands in the file."""
    import yaml

    text = (files("diaphane.report") / "data" / "terms.yaml").read_text(encoding="utf-8")
    kinds = {kind: rows for kind, rows in yaml.safe_load(text).items() if isinstance(rows, dict)}
    return {
        kind: {str(key): (str(row[0]), str(row[1]), str(row[2])) for key, row in rows.items()}
        for kind, rows in kinds.items()
        if kind != "scheme"
    }


def knows(kind: str, key: str) -> bool:
    """Whether the table has a row ``kind: key``."""
    return key in table()[kind]


def concept(kind: str, key: str) -> Any:
    """The highdicom ``CodedConcept`` of a row.

    Raises
    ------
    KeyError
        The table has no such row.
    """
    from highdicom.sr.coding import CodedConcept

    return CodedConcept(*table()[kind][key])


def words(kind: str, key: str) -> str:
    """The meaning of a row, in English as the vocabularies have it."""
    return table()[kind][key][2]


def private_scheme() -> Any:
    """Item of CodingSchemeIdentificationSequence that says whose 99DIAPHANE is (PS3.3 C.12.1)."""
    import yaml
    from pydicom import Dataset

    text = (files("diaphane.report") / "data" / "terms.yaml").read_text(encoding="utf-8")
    stated = yaml.safe_load(text)["scheme"]
    item = Dataset()
    item.CodingSchemeDesignator = stated["designator"]
    item.CodingSchemeName = stated["name"]
    item.CodingSchemeResponsibleOrganization = stated["organization"]
    return item
