"""Tables on disk, as tests read and write them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path


def rows(path: Path) -> list[dict[str, str]]:
    """Rows under the header of a CSV file."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    """Write a header and rows; gives the path back."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(lines)
    return path
