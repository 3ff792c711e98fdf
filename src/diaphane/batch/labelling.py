"""A person's table, by what it says which series a row is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from diaphane.acquire.spreadsheet import Sheet, SheetRow
from diaphane.core.case import Identity
from diaphane.core.errors import DatasetError, UsageError

ON = ("PatientID", "StudyInstanceUID", "AccessionNumber", "folder")
_FIELDS = {
    "PatientID": "patient_id",
    "StudyInstanceUID": "study_uid",
    "AccessionNumber": "accession",
}
_ALSO = {"folder": ("folder", "path", "directory", "file")}
_ROLES = ("label", "split", "mask", "point", "group", "concept", "subgroup")
_PERSONAL = {
    "patientid", "studyinstanceuid", "accessionnumber", "seriesinstanceuid", "sopinstanceuid",
    "patientname", "name", "patientbirthdate", "birthdate", "dateofbirth", "studydate", "mrn",
}  # fmt: skip


@dataclass(frozen=True)
class Labelling:
    """Rows by key, and the columns that come along.

    Attributes
    ----------
    on, column:
        What a row is about, and the table's column that says it.
    carried:
        Column of the table by column of ``labels.csv``.
    ignored:
        Columns that stay behind.
    """

    sheet: Sheet
    on: str
    column: str
    carried: Mapping[str, str]
    ignored: tuple[str, ...]
    by_key: Mapping[str, SheetRow] = field(repr=False)

    @classmethod
    def of(
        cls, sheet: Sheet, on: str | None, column: str | None, labels: Sequence[str]
    ) -> Labelling:
        """The table as it is meant.

        Raises
        ------
        UsageError
            When a column is not there, or it is not plain which ones are meant.
        DatasetError
            When two rows of one key differ.
        """
        on, column = _key_column(sheet, on, column)
        carried = _carried(sheet, column, labels)
        ignored = [c for c in sheet.columns if c and c != column and c not in carried.values()]
        by_key: dict[str, SheetRow] = {}
        for row in sheet.rows:
            key = _key(row[column], on)
            first = by_key.setdefault(key, row)
            if key and any(row[c] != first[c] for c in carried.values()):
                raise DatasetError(
                    f"Lines {first.line} and {row.line} are about the same {on} and differ.",
                    path=sheet.path,
                    remedy="Keep one of them, or match --on something that tells them apart.",
                )
        by_key.pop("", None)
        return cls(sheet, on, column, carried, tuple(ignored), by_key)

    def keys(self, identity: Identity, folders: PurePosixPath) -> tuple[str, ...]:
        """What a series may stand under in the table, most telling first.

        ``folders`` is its folder below the tree: its path counts, then that of each folder above,
        then the name of each.
        """
        if self.on != "folder":
            key = getattr(identity, _FIELDS[self.on]).strip()
            return (key,) if key else ()
        paths = [p.as_posix() for p in (folders, *folders.parents) if p.parts]
        return tuple(dict.fromkeys([*paths, *reversed(folders.parts)]))

    def row(self, keys: Iterable[str]) -> tuple[str, SheetRow] | None:
        """The key that the table has, and its row."""
        return next(((key, self.by_key[key]) for key in keys if key in self.by_key), None)


def nearly(one: Iterable[str], two: Iterable[str]) -> int:
    """How many keys of the first are in the second but for leading zeros, spaces and case."""

    def bare(key: str) -> str:
        return re.sub(r"\s", "", key).lstrip("0").casefold()

    there = {bare(key) for key in two}
    return sum(bare(key) in there for key in one)


def _bare(column: str) -> str:
    return re.sub(r"[\W_]", "", column).casefold()


def _key(text: str, on: str) -> str:
    if on != "folder":
        return text
    parts = [p for p in text.replace("\\", "/").split("/") if p not in ("", ".")]
    return "/".join(parts)


def _key_column(sheet: Sheet, on: str | None, column: str | None) -> tuple[str, str]:
    if on is not None and on not in ON:
        raise UsageError(f"--on takes {', '.join(ON)}, not '{on}'.")
    if column is not None:
        if column not in sheet.columns:
            raise _absent(sheet, column)
        if on is None:
            raise UsageError("--column needs --on.", remedy=f"Add --on {'|'.join(ON)}.")
        return on, column
    named = {_bare(c): c for c in reversed(sheet.columns)}
    found = {}
    for each in ON:
        there = [named[name] for name in _ALSO.get(each, (_bare(each),)) if name in named]
        if there:
            found[each] = there[0]
    if on is None:
        if len(found) != 1:
            told = f"several ({', '.join(found)})" if found else f"none of {', '.join(ON)}"
            raise UsageError(
                f"By what the table matches is not plain: it has {told}.",
                path=sheet.path,
                remedy="Say --on, and --column where the column has another name.",
            )
        return next(iter(found.items()))
    if on not in found:
        raise UsageError(
            f"The table has no column '{on}'. It has: {', '.join(filter(None, sheet.columns))}.",
            path=sheet.path,
            remedy="Name the column that holds it with --column.",
        )
    return on, found[on]


def _absent(sheet: Sheet, column: str) -> UsageError:
    return UsageError(
        f"The table has no column '{column}'.",
        path=sheet.path,
        remedy=f"It has: {', '.join(filter(None, sheet.columns))}.",
    )


def _carried(sheet: Sheet, key: str, labels: Sequence[str]) -> dict[str, str]:
    """Column of the table by its role in ``labels.csv``."""
    for column in labels:
        if column not in sheet.columns:
            raise _absent(sheet, column)
    roles = {c: c.partition(":")[0].strip() for c in sheet.columns if c != key}
    carried = {
        c: c for c, role in roles.items() if role in _ROLES and (role != "label" or not labels)
    }
    if labels:
        return _named(labels) | carried
    if any(roles[c] == "label" for c in carried):
        return carried
    rest = [
        c for c, role in roles.items() if c and role not in _ROLES and _bare(c) not in _PERSONAL
    ]
    if len(rest) != 1:
        told = f"Several columns could be the label: {', '.join(rest)}."
        raise UsageError(
            told if rest else "The table has no column that could be the label.",
            path=sheet.path,
            remedy="Name it with --label (repeatable).",
        )
    return {"label": rest[0], **carried}


def _named(labels: Sequence[str]) -> dict[str, str]:
    if len(labels) == 1:
        return {"label": labels[0]}
    return {f"label:{c.removeprefix('label:')}": c for c in labels}
