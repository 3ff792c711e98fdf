"""Manifest folders: files beside a ``labels.csv`` whose columns have roles by name."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from diaphane.acquire.dataset import (
    SPLITS,
    Dataset,
    Entry,
    Parts,
    Point,
    classes_of,
    refused,
    require_whole_groups,
)
from diaphane.acquire.masks import LOSSY, MaskReader, read_names
from diaphane.acquire.places import Place, Scans, split_mark
from diaphane.core.case import SourceRef
from diaphane.core.errors import DatasetError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.text import uncelled
from diaphane.privacy import Pseudonymiser

FILE = "labels.csv"

_SINGLE = ("mask", "point", "group", "split")
_NAMED = ("file", "label", "concept", "subgroup")


@dataclass(frozen=True)
class Columns:
    """Columns of a manifest by role; named ones as ``{name: column}`` in their order."""

    files: Mapping[str, str]
    labels: Mapping[str, str]
    concepts: Mapping[str, str]
    subgroups: Mapping[str, str]
    single: frozenset[str]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """A row's cells, its line in the file, and its folder."""

    line: int
    cells: Mapping[str, str]
    table: Path = field(repr=False)

    def wrong(self, problem: str, remedy: str | None = None) -> DatasetError:
        return DatasetError(f"Line {self.line}: {problem}", path=self.table, remedy=remedy)

    def cell(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()


def open_manifest(
    folder: Path,
    options: ReadOptions = AS_IS,
    *,
    strict: bool = True,
    subgroups: Sequence[str] = (),
) -> Dataset:
    """The data set of ``folder/labels.csv``.

    Parameters
    ----------
    folder:
        Holds ``labels.csv``, the files it names and, with masks, perhaps ``labels.json``.
    options:
        What may be repaired when DICOM is read, and the limits of reading.
    strict:
        ``True``, to learn or to test: any wrong row refuses the whole. ``False``, to predict:
        a row whose files are wrong becomes an entry that cannot be loaded, and labels may be
        missing.
    subgroups:
        Columns to take as subgroups, whatever else they are.

    Raises
    ------
    DatasetError
        When a column of ``subgroups`` is not there; naming the line, for a missing file, a path
        out of the folder, an unknown split, an empty label or a value that is no number; or
        for a group in two splits.
    """
    table = folder / FILE
    header, rows = _rows(table)
    columns = _columns(header, table, subgroups)
    names, scans = Pseudonymiser.load(), Scans(options)
    entries: list[Entry] = []
    groups: dict[str, str] = {}
    seen: dict[tuple[str, ...], int] = {}
    masks = MaskReader([], read_names(folder / "labels.json"), options)
    mask_files: list[Path] = []
    for row in rows:
        try:
            entry, group, mask = _entry(
                row, columns, folder, masks, names=names, scans=scans, strict=strict
            )
        except DatasetError as error:
            if strict:
                raise
            entry = refused(_name(row, columns), error, names)
            entries.append(entry)
            continue
        identical = tuple(row.cell(c) for c in (*columns.files.values(), "mask", "point"))
        if identical in seen:
            raise row.wrong(f"is the same case as line {seen[identical]}.", "Remove one of them.")
        seen[identical] = row.line
        groups[entry.group] = group
        if mask is not None:
            mask_files.append(mask)
        entries.append(entry)
    masks.files = tuple(mask_files)
    if not entries:
        raise DatasetError("The manifest has no rows.", path=table)
    require_whole_groups(entries, groups, table)
    labels = tuple(columns.labels)
    notes = []
    if columns.ignored:
        notes.append("ignored columns: " + ", ".join(columns.ignored))
    if masks.names is None and any(p.suffix.lower() in LOSSY for p in mask_files):
        notes.append(
            "masks are JPEG, which blurs values: a pixel counts as 0 or 1, as it is nearer"
        )
    return Dataset(
        "manifest",
        tuple(entries),
        labels,
        classes_of(entries, labels),
        tuple(notes),
        has_masks=bool(mask_files),
        read_mask_labels=masks.labels,
    )


def _rows(table: Path) -> tuple[list[str], list[_Row]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(stream, delimiter=delimiter)
            header = [cell.strip() for cell in next(reader, [])]
            rows = []
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                row = _Row(
                    reader.line_num, dict(zip(header, map(uncelled, cells), strict=False)), table
                )
                if len(cells) > len(header):
                    raise row.wrong(f"has {len(cells)} cells, the header {len(header)}.")
                rows.append(row)
    except UnicodeDecodeError as error:
        raise DatasetError(
            "The manifest is not UTF-8 text.",
            path=table,
            remedy="Save the table as 'CSV UTF-8'.",
        ) from error
    except (OSError, csv.Error) as error:
        raise DatasetError(f"The manifest cannot be read: {error}.", path=table) from error
    return header, rows


def _columns(header: list[str], table: Path, subgroups: Sequence[str] = ()) -> Columns:
    twice = sorted({c for c in header if c and header.count(c) > 1})
    if twice:
        raise DatasetError(f"The column '{twice[0]}' is there twice.", path=table)
    roles: dict[str, dict[str, str]] = {role: {} for role in _NAMED}
    single, ignored = set(), []
    default = {"file": "image", "label": "label"}
    for column in header:
        role, colon, name = column.partition(":")
        if column in _SINGLE:
            single.add(column)
        elif role in roles and colon and name.strip():
            roles[role][name.strip()] = column
        elif column in default:
            roles[column] = {default[column]: column, **roles[column]}
        elif column:
            ignored.append(column)
    for column in subgroups:
        if column in header:
            roles["subgroup"][column] = column
        elif column not in roles["subgroup"]:
            raise DatasetError(
                f"The manifest has no column '{column}'.",
                path=table,
                remedy=f"It has: {', '.join(c for c in header if c)}.",
            )
    ignored = [column for column in ignored if column not in subgroups]
    if not roles["file"]:
        raise DatasetError(
            "The manifest has no column 'file'.",
            path=table,
            remedy="Name the column of the images 'file', or 'file:NAME' for several; "
            f"it has: {', '.join(c for c in header if c) or 'none'}.",
        )
    return Columns(
        roles["file"],
        roles["label"],
        roles["concept"],
        roles["subgroup"],
        frozenset(single),
        tuple(ignored),
    )


def _entry(
    row: _Row,
    columns: Columns,
    folder: Path,
    masks: MaskReader,
    *,
    names: Pseudonymiser,
    scans: Scans,
    strict: bool,
) -> tuple[Entry, str, Path | None]:
    files = {name: _place(row, folder, column, scans) for name, column in columns.files.items()}
    present = {name: place for name, place in files.items() if place is not None}
    if not present:
        raise row.wrong("names no file.")
    mask = _inside(row, folder, row.cell("mask")) if "mask" in columns.single else None
    labels = {}
    for name, column in columns.labels.items():
        value = row.cell(column)
        if value:
            labels[name] = value
        elif strict:
            raise row.wrong(f"The column '{column}' is empty.", "Label every case, or remove it.")
    split = row.cell("split").lower() or None if "split" in columns.single else None
    if "split" in columns.single and split not in SPLITS:
        raise row.wrong(
            f"The split '{row.cell('split')}' is unknown.", "Splits are train, val and test."
        )
    name = _name(row, columns)
    group = row.cell("group") if "group" in columns.single else ""
    if "group" in columns.single and not group:
        raise row.wrong("The column 'group' is empty.", "Name the patient of every case.")
    if group:
        group_key = names.pseudonym(group, "group")
    else:
        group_key = next(iter(present.values())).patient(names)
        group = name
    first = next(iter(present.values())).path

    def read() -> Parts:
        loaded = {key: place.load() for key, place in present.items()}
        volumes = {key: item.volume for key, item in loaded.items()}
        image = next(iter(loaded.values()))
        paths = [
            path
            for item in loaded.values()
            for path in (item.source.open_for_dicom_writer() if item.source else ())
        ]
        files = image.source.open_for_dicom_writer() if image.source else ()
        drawn = None if mask is None else masks.read(mask, image.volume, files)
        return Parts(volumes, drawn, SourceRef(paths), image.identity)

    text = "\0".join([name, row.cell("mask"), row.cell("point")])
    entry = Entry(
        name,
        names.pseudonym(text if mask or row.cell("point") else name, "case"),
        group_key or names.pseudonym(str(first.relative_to(folder)), "case"),
        read,
        labels,
        split,
        {
            key: number
            for key, column in columns.concepts.items()
            if (number := _number(row, column)) is not None
        },
        {key: row.cell(c) for key, c in columns.subgroups.items() if row.cell(c)},
        _points(row) if "point" in columns.single else (),
        mask is not None,
    )
    return entry, group, mask


def _name(row: _Row, columns: Columns) -> str:
    return next((row.cell(c) for c in columns.files.values() if row.cell(c)), f"line {row.line}")


def _place(row: _Row, folder: Path, column: str, scans: Scans) -> Place | None:
    """What a file cell names: a file, a folder, or ``FOLDER#SERIES``; ``None`` for an empty one."""
    text, series = row.cell(column), ""
    if "#" in text and not (folder / text).exists():
        text, series = split_mark(text)
    path = _inside(row, folder, text)
    return None if path is None else Place(path, series, scans)


def _inside(row: _Row, folder: Path, text: str) -> Path | None:
    """The file of that name, which must lie in the folder; ``None`` for an empty name."""
    if not text:
        return None
    # Tables written on Windows name folders its way.
    plain = text if (folder / text).exists() else text.replace("\\", "/")
    windows = PureWindowsPath(text)
    normal = Path(os.path.normpath(plain))
    leaves = normal.is_absolute() or bool(windows.drive) or normal.parts[:1] == ("..",)
    if leaves:
        raise row.wrong(
            f"The path '{text}' leads out of the folder.",
            "Files lie in the manifest's folder, and are named relative to it.",
        )
    path = folder / normal
    if not path.exists():
        raise row.wrong(f"The file '{text}' is not there.", "Add it, or remove the line.")
    return path


def _number(row: _Row, column: str) -> float | None:
    text = row.cell(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise row.wrong(f"'{text}' in column '{column}' is not a number.")
    return value


def _points(row: _Row) -> tuple[Point, ...]:
    """Points of a cell: ``x,y,z`` in mm, several separated by ``;``."""
    found: list[Point] = []
    for part in filter(None, (p.strip() for p in row.cell("point").split(";"))):
        try:
            x, y, z = (float(v) for v in part.split(","))
        except ValueError:
            raise row.wrong(f"The point '{part}' is not x,y,z in mm.") from None
        if not all(map(math.isfinite, (x, y, z))):
            raise row.wrong(f"The point '{part}' is not finite.")
        found.append((x, y, z))
    return tuple(found)
