"""What was changed, as a table: per file and attribute, never a value."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from pathlib import Path

from diaphane.core.errors import UsageError
from diaphane.core.files import replacing
from diaphane.privacy.dicom.folder import Done

_HEADER = ("file", "attribute", "name", "action")


def check_report(path: Path) -> None:
    """Raise :class:`UsageError` unless the name ends in .csv, .html or .htm."""
    if path.suffix.lower() not in (".csv", ".html", ".htm"):
        raise UsageError("A report of changes is written as .csv or .html.", path=path)


def write_report(path: Path, done: Sequence[Done]) -> None:
    """Write one row for each attribute changed in each file, as CSV or HTML by the suffix.

    Files are named as they lie in the output, attributes by where they stand
    (``(0008,1140)[0].(0008,1155)``).
    """
    rows = (
        (one.path.as_posix(), change.path, change.name, change.action)
        for one in done
        for change in one.changes
    )
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix.lower() == ".csv":
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(_HEADER)
            writer.writerows(rows)
            return
        head = "".join(f"<th>{name}</th>" for name in _HEADER)
        stream.write(
            "<!doctype html><html lang=en><meta charset=utf-8><title>De-identification</title>"
            "<style>body{font:14px sans-serif}td,th{padding:.1em .8em;text-align:left}</style>"
            f"<h1>What was changed</h1><table><tr>{head}</tr>\n"
        )
        for row in rows:
            stream.write(
                "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
            )
        stream.write("</table></html>\n")
