"""What de-identification changed, as a table or a page: attributes and actions, never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from diaphane.core.errors import UsageError
from diaphane.core.files import write_text
from diaphane.core.tables import write_table
from diaphane.privacy.dicom.folder import Done
from diaphane.report.language import Language
from diaphane.report.page import render


def check_changes(path: Path) -> None:
    """Raise :class:`UsageError` unless the name ends in .csv, .html or .htm."""
    if path.suffix.lower() not in (".csv", ".html", ".htm"):
        raise UsageError("A report of changes is written as .csv or .html.", path=path)


def write_changes(path: Path, done: Sequence[Done], *, lang: str = "en") -> None:
    """Write every attribute changed in every file, as CSV or HTML by the suffix.

    Files are named as they lie in the output, attributes by where they stand
    (``(0008,1140)[0].(0008,1155)``). The page begins with what was done to how many files.
    """
    if path.suffix.lower() == ".csv":
        rows = ((d.path.as_posix(), c.path, c.name, c.action) for d in done for c in d.changes)
        write_table(path, ("file", "attribute", "name", "action"), rows)
        return
    counted = Counter((c.path, c.name, c.action) for one in done for c in one.changes)
    values = {
        "attributes": [(*key, count) for key, count in sorted(counted.items())],
        "files": [
            (one.path.as_posix(), [(c.path, c.name, c.action) for c in one.changes]) for one in done
        ],
    }
    write_text(path, render("changes.html.j2", Language(lang), values))
