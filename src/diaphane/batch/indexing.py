"""From a tree of DICOM and a spreadsheet to a data set: ``labels.csv`` and what it leaves out."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from diaphane.acquire import SeriesHeader, SeriesList, find_series
from diaphane.acquire.places import MARK
from diaphane.acquire.raster import natural
from diaphane.acquire.spreadsheet import SheetRow, read_sheet
from diaphane.batch.labelling import Labelling, nearly
from diaphane.batch.preferring import Rules
from diaphane.batch.tables import Refusal, write_refusals
from diaphane.core.case import Identity
from diaphane.core.errors import DatasetError, UsageError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.tables import write_table
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.plain import patient_group

UNMATCHED = "unmatched.csv"
LEFT_OUT = ("side", "line", "key", "file", "problem")
FACTS = ("modality", "slices", "spacing", "plane", "kernel", "series")
"""Columns that describe a series; ignored when read, unless named as subgroups."""


@dataclass(frozen=True)
class Indexing:
    """What a person asks for.

    Attributes
    ----------
    table, encoding:
        The spreadsheet as text, and its encoding where it is not to be guessed.
    on, column:
        "PatientID", "StudyInstanceUID", "AccessionNumber" or "folder", and the table's column of
        it; ``None``: the only one of them that the table has.
    labels:
        Columns that are labels; empty: those called ``label``, else the only one that is left.
    prefer:
        Rules by which one series is taken of several of a patient, or of what ``on`` says.
    modalities:
        Only series of these.
    localizers:
        Whether images that only plan others count.
    """

    table: Path | None = None
    encoding: str | None = None
    on: str | None = None
    column: str | None = None
    labels: Sequence[str] = ()
    prefer: Sequence[str] = ()
    modalities: Sequence[str] = ()
    localizers: bool = False
    options: ReadOptions = AS_IS


@dataclass(frozen=True)
class Indexed:
    """What was written.

    Attributes
    ----------
    rows, groups, labels:
        Of ``labels.csv``: its rows, the patients in them, and counts by label column.
    unmatched:
        ``unmatched.csv``, where something was left out.
    table_left, series_left:
        How many rows of it are of the table, and series.
    """

    out: Path
    rows: int
    groups: int
    labels: Mapping[str, Mapping[str, int]]
    unmatched: Path | None
    table_left: int
    series_left: int
    notes: tuple[str, ...]
    refused: tuple[Refusal, ...]
    rejected: Path | None


@dataclass(frozen=True)
class _Found:
    """A series, what its row would say of its place, and whose it is."""

    series: SeriesHeader
    cell: str
    folders: PurePosixPath
    identity: Identity = field(repr=False)


@dataclass
class _Left:
    """Rows of ``unmatched.csv``: keys as the table has them, series by their files alone."""

    table: list[tuple[str, ...]] = field(default_factory=list)
    series: list[tuple[str, ...]] = field(default_factory=list)

    def row(self, row: SheetRow, key: str, problem: str, cell: str = "") -> None:
        self.table.append(("table", str(row.line), key, cell, problem))

    def found(self, found: _Found, problem: str) -> None:
        self.series.append(("series", "", "", found.cell, problem))


def index(
    folder: Path, out: Path, how: Indexing | None = None, progress: Progress = silent
) -> Indexed:
    """Write ``labels.csv`` for the DICOM series below ``folder``: a row for each that is usable.

    ``unmatched.csv`` beside it lists rows of the table without a series, with their key as it
    stands in the table, and series without a row, by their file. ``rejected.csv`` lists what
    cannot be read. Groups are keyed pseudonyms of the patients.

    Raises
    ------
    UsageError
        When ``out`` does not lie at or above the folder, or would replace a table that was not
        written by this; for a column or rule that is unknown.
    DatasetError
        When the table says two things of one key, or no series gets a row.
    InputError
        When there is no DICOM, or the table cannot be read.
    """
    how = how or Indexing()
    base = _base_of(folder, out)
    _require_own(out, how.table)
    rules = Rules.of(how.prefer)
    labelling = None
    if how.table is not None:
        sheet = read_sheet(how.table, how.encoding)
        labelling = Labelling.of(sheet, how.on, how.column, how.labels)
    listed = find_series(folder, how.options)
    cells = _cells(listed, folder, base)
    left, usable = _Left(), []
    for number, (series, cell) in enumerate(zip(listed.series, cells, strict=True)):
        progress("looking", number / len(listed))
        inner = series.files[0].parent
        inside = inner.is_relative_to(folder)
        folders = PurePosixPath(inner.relative_to(folder).as_posix() if inside else "")
        found = _Found(series, cell, folders, series.identity)
        wrong = _unusable(series, how) if inside else "lies in an archive: unpack it"
        if wrong:
            left.found(found, wrong)
        else:
            usable.append(found)
    notes: list[str] = []
    rows = _rows(usable, labelling, rules, left, notes)
    rows.sort(key=lambda row: natural(row["file"]))
    unmatched = out.with_name(UNMATCHED)
    if left.table or left.series:
        write_table(unmatched, LEFT_OUT, [*left.table, *left.series])
    else:
        unmatched.unlink(missing_ok=True)
    refused = tuple(Refusal.of(str(path), error) for path, error in listed.rejected)
    rejected = write_refusals(out.parent, refused) if refused or out.parent.is_dir() else None
    if not rows:
        raise DatasetError(
            "No series gets a row.", path=folder, remedy=" ".join([*notes, f"See {unmatched}."])
        )
    columns = sorted(dict.fromkeys(c for row in rows for c in row), key=_order)
    write_table(out, columns, [[row.get(c, "") for c in columns] for row in rows])
    if out.name != "labels.csv":
        notes.append("A data set is opened by the name labels.csv.")
    return Indexed(
        out,
        len(rows),
        len({row["group"] for row in rows}),
        {c: dict(Counter(row[c] for row in rows)) for c in columns if c.startswith("label")},
        unmatched if left.table or left.series else None,
        len(left.table),
        len(left.series),
        tuple(notes),
        refused,
        rejected,
    )


def _base_of(folder: Path, out: Path) -> Path:
    """The folder of ``out``, at or above ``folder``: a manifest names only what lies below it."""
    if not folder.is_dir():
        raise UsageError("This is not a folder.", path=folder)
    base, tree = (Path(os.path.normpath(p.absolute())) for p in (out.parent, folder))
    if base != tree and base not in tree.parents:
        raise UsageError(
            f"{out.name} has to lie in the folder of images or above it.",
            path=out,
            remedy="Where that folder cannot be written to, link it beside the table (ln -s).",
        )
    return base


def _require_own(out: Path, table: Path | None) -> None:
    if not out.exists():
        return
    try:
        with out.open(encoding="utf-8", errors="replace") as stream:
            header = set(stream.readline(100_000).strip().split(","))
    except OSError:
        header = set()
    if not header.issuperset(FACTS) or (table is not None and out.samefile(table)):
        raise UsageError(
            "There is a table that was not written by 'index'.",
            path=out,
            remedy="Move it away, or give --out another folder.",
        )


def _unusable(series: SeriesHeader, how: Indexing) -> str:
    if series.facts.get("localizer") and not how.localizers:
        return "only plans other images (localizer)"
    wanted = [name.upper() for name in how.modalities]
    return f"its modality is {series.modality}" if wanted and series.modality not in wanted else ""


def _rows(
    usable: Sequence[_Found],
    labelling: Labelling | None,
    rules: Rules,
    left: _Left,
    notes: list[str],
) -> list[dict[str, str]]:
    """Rows of the usable series; what gets none is left."""
    names = Pseudonymiser.load()
    units: dict[str, list[_Found]] = defaultdict(list)
    lines: dict[str, SheetRow] = {}
    alone: list[str] = []
    for found in usable:
        if labelling is None:
            units[patient_group(found.identity, names) or found.series.key].append(found)
            continue
        keys = labelling.keys(found.identity, found.folders)
        match = labelling.row(keys)
        if match is None:
            alone += keys
            said = "no row in the table" if keys else f"the images state no {labelling.on}"
            left.found(found, said)
            continue
        units[match[0]].append(found)
        lines[match[0]] = match[1]
    rows = []
    for key, members in units.items():
        chosen = rules.choose([found.series for found in members])
        line = lines.get(key)
        for found in members:
            if found.series not in chosen:
                left.found(found, "another series is preferred")
                continue
            carried = {} if line is None or labelling is None else _carried(line, labelling)
            empty = next((c for c, v in carried.items() if c.startswith("label") and not v), None)
            if empty is not None and line is not None:
                left.row(line, key, f"the column '{empty}' is empty", found.cell)
                continue
            group = carried.pop("group", "")
            group = (
                names.pseudonym(group, "group") if group else patient_group(found.identity, names)
            )
            rows.append(
                {"file": found.cell, **carried, "group": group or found.series.key}
                | _facts(found.series)
            )
    if labelling is not None:
        lost = {key: row for key, row in labelling.by_key.items() if key not in lines}
        for key, row in lost.items():
            left.row(row, key, "no usable series")
        near = nearly(lost, alone) if labelling.on != "folder" else 0
        if near:
            notes.append(
                f"{near} rows would match but for leading zeros, spaces or case: "
                "correct the table (spreadsheets drop zeros)."
            )
        if labelling.sheet.encoding != "utf-8":
            notes.append(f"The table was read as {labelling.sheet.encoding}.")
        if labelling.ignored:
            notes.append(f"Left behind: {', '.join(labelling.ignored)}.")
    return rows


def _carried(line: SheetRow, labelling: Labelling) -> dict[str, str]:
    return {role: line[column] for role, column in labelling.carried.items()}


def _facts(series: SeriesHeader) -> dict[str, str]:
    spacing = ("?" if step is None else f"{step:.4g}" for step in series.spacing)
    values = (
        series.modality,
        str(series.shape[0]),
        " ".join(spacing),
        str(series.facts.get("orientation", "")),
        str(series.facts.get("kernel", "")),
        series.key,
    )
    return dict(zip(FACTS, values, strict=True))


def _order(column: str) -> int:
    roles = ("file", "label", "mask", "point", "split", "concept", "subgroup", "group", *FACTS)
    return roles.index(column.partition(":")[0])


def _cells(listed: SeriesList, folder: Path, base: Path) -> list[str]:
    """What the ``file`` cell of each series says: its file or folder, with a mark where shared."""
    inside: dict[Path, set[int]] = defaultdict(set)

    def note(path: Path, number: int) -> None:
        for place in (path, *path.parents):
            if number in inside[place]:
                break
            inside[place].add(number)
            if place == folder:
                break

    for number, series in enumerate(listed.series):
        for file in series.files:
            note(file, number)
    for number, (path, _) in enumerate(listed.rejected, start=1):
        note(path, -number)

    def cell(number: int) -> str:
        files = listed.series[number].files
        shared = Path(os.path.commonpath([file.parent for file in files]))
        places = [*files, shared] if len(files) == 1 else [shared]
        sole = next((place for place in places if inside[place] == {number}), None)
        if sole is not None:
            return Path(os.path.relpath(sole, base)).as_posix()
        return f"{Path(os.path.relpath(places[0], base)).as_posix()}{MARK}{mark(number, places[0])}"

    def mark(number: int, place: Path) -> str:
        series = listed.series[number]
        others = [listed.series[n] for n in inside[place] if n >= 0]
        # The label is the number, or number.index where the series makes several volumes.
        alone = series.number is not None and sum(o.matches(series.label) for o in others) == 1
        return series.label if alone else series.key

    return [cell(number) for number in range(len(listed.series))]
