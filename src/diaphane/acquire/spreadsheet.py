"""Tables that people keep in spreadsheets, as text: any usual delimiter and encoding."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.core.errors import DatasetError, EmptyInput, UnreadableFile

_DELIMITERS = ",;\t|"
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WORKBOOKS = (".xlsx", ".xls", ".ods", ".numbers")
_ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True)
class SheetRow:
    """A row: its line in the file, and its cells by column."""

    line: int
    cells: Mapping[str, str] = field(repr=False)

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "").strip()


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes
    ----------
    columns:
        In their order, as they are written.
    rows:
        Those that are not empty.
    encoding:
        How the text was read, such as "utf-8" or "gb18030".
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    encoding: str


def read_sheet(path: Path, encoding: str | None = None) -> Sheet:
    """The table in a text file; delimiter by its first line, encoding by its bytes.

    Byte order marks count first; then UTF-8; then GB18030 where the characters that it gives are
    common Chinese ones; else Windows-1252.

    Parameters
    ----------
    path:
        Comma, semicolon, tab or bar separated text with a header.
    encoding:
        Takes the place of the guess.

    Raises
    ------
    EmptyInput
        When there is no such file, or no row in it.
    UnreadableFile
        For a workbook, or text that cannot be decoded.
    DatasetError
        When a column is there twice, or a row is longer than the header.
    """
    if not path.is_file():
        raise EmptyInput("There is no such table.", path=path)
    raw = path.read_bytes()
    if path.suffix.lower() in _WORKBOOKS or raw.startswith(_ARCHIVES):
        raise UnreadableFile(
            "Workbooks are not read.",
            path=path,
            remedy="Save the sheet as CSV (UTF-8) and give that file.",
        )
    text, used = _decoded(raw, encoding, path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise UnreadableFile(f"This is not a table ({error}).", path=path) from error
    if len(lines) < 2:
        raise EmptyInput("The table has no rows.", path=path)
    columns = tuple(cell.strip() for cell in lines[0][1])
    twice = next((c for c in columns if c and columns.count(c) > 1), None)
    if twice is not None:
        raise DatasetError(f"The column '{twice}' is there twice.", path=path)
    for line, cells in lines[1:]:
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            raise DatasetError(
                f"Line {line} has {len(cells)} cells, the header {len(columns)}.", path=path
            )
    rows = tuple(
        SheetRow(line, dict(zip(columns, cells, strict=False))) for line, cells in lines[1:]
    )
    return Sheet(path, columns, rows, used)


def _decoded(raw: bytes, encoding: str | None, path: Path) -> tuple[str, str]:
    marked = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    for name in (encoding,) if encoding else (marked or "utf-8", "gb18030", "cp1252"):
        try:
            text = raw.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        if name == "gb18030" and not encoding and not _is_chinese(text):
            continue
        return text, "utf-8" if name == "utf-8-sig" else name
    raise UnreadableFile(
        f"The text is not {encoding or 'UTF-8, GB18030 or Windows-1252'}.",
        path=path,
        remedy="Save the table as CSV (UTF-8), or name its --encoding.",
    )


def _is_chinese(text: str) -> bool:
    """Whether most characters beyond ASCII are common Chinese ones (GB 2312)."""
    beyond = [c for c in text if c > "\x7f"]
    common = sum(bool(c.encode("gb2312", "ignore")) for c in beyond)
    return common * 2 > len(beyond)
