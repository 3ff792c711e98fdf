"""CSV files: the one door through which all are written, so that no cell is a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from diaphane.core.files import replacing
from diaphane.core.text import cell, guarded

Row = Iterable[object]


class TableWriter:
    """Rows of a CSV with Unix line ends; ``None`` is an empty cell.

    Parameters
    ----------
    stream:
        Text, opened with ``newline=""``.
    exact:
        Control characters stay as they are, for a file that gives every text back.
    """

    def __init__(self, stream: TextIO, *, exact: bool = False) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._safe = guarded if exact else cell

    def row(self, cells: Row) -> None:
        """Write one row, see :func:`~diaphane.core.text.cell`."""
        self._writer.writerow([self._safe(c) if isinstance(c, str) else c for c in cells])

    def rows(self, rows: Iterable[Row]) -> None:
        """Write several rows."""
        for cells in rows:
            self.row(cells)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV in one step: UTF-8; names that are not text keep their bytes."""
    with (
        replacing(path) as beside,
        beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        writer = TableWriter(stream)
        writer.row(header)
        writer.rows(rows)
