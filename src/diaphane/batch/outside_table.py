"""Another tool's table of probabilities, read column by column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import DatasetError
from diaphane.core.text import uncelled
from diaphane.evaluate import Task
from diaphane.report import Note

CASE_COLUMNS = (
    "case", "file", "id", "name", "filename", "image", "image_id", "case_id", "identifier", "index",
)  # fmt: skip
SINGLE_COLUMNS = ("probability", "score", "prediction", "prob", "p", "y_score", "y_prob")
_PREFIXES = ("probability:", "probability_", "prob_", "p:", "p_", "score_", "score:")
_COMMA = re.compile(r"^(\s*[01]?),(\d+(?:[eE]-?\d+)?\s*)$")
_ROUNDING = 0.02
"""How far a row's sum may lie from 1 through rounding; it is then divided out."""


@dataclass(frozen=True, eq=False)
class OutsideTable:
    """Probabilities by row.

    Attributes
    ----------
    names:
        Case of each row, as written.
    probability:
        ``(rows, classes)``; NaN where a cell is empty or no number.
    notes:
        How the columns were read.
    """

    names: tuple[str, ...]
    probability: NDArray[np.float64]
    notes: tuple[Note, ...]


def read_outside_table(path: Path, task: Task, classes: Sequence[str]) -> OutsideTable:
    """Read a CSV with a column of cases and columns of probabilities.

    The case stands in a column called case, file, id, name, ...; the probability of a class in
    ``probability:CLASS``, ``p_CLASS``, ``CLASS`` and the like. Of two classes one column is
    enough: the positive class's, or one called probability, score or prediction. A table of
    numbers without a header is read as MedMNIST's: index, then a column per class.

    Parameters
    ----------
    task, classes:
        Of two classes the positive one last.

    Raises
    ------
    DatasetError
        It is no such table, or its values are no probabilities (logits, per cent, class names).
    """
    header, rows = _rows(path)
    notes: list[Note] = []
    if header is None:
        case_column, columns = 0, list(range(1, len(rows[0])))
        if len(columns) not in (len(classes), 1 if task == "binary" else len(classes)):
            raise DatasetError(
                f"The table has no header, and {len(columns)} columns after the first for "
                f"{len(classes)} classes.",
                path=path,
                remedy="Write a header: case, and probability:CLASS for each class.",
            )
        notes.append(("no_header", {}))
    else:
        case_column = _case_column(header, path)
        columns = _columns(header, task, classes, case_column, path)
        single = header[columns[0]] if len(columns) == 1 else None
        if single is not None and single.strip().lower() in SINGLE_COLUMNS:
            notes.append(("single_column", {"column": single, "label": classes[-1]}))
    names = tuple(uncelled(row[case_column].strip()) for row in rows)
    values = np.array([[_number(row[c]) for c in columns] for row in rows], dtype=np.float64)
    titles = [header[c] if header else f"number {c + 1}" for c in columns]
    _check_text(rows, columns, titles, values, path)
    _check_range(values, titles, path)
    if values.shape[1] == 1:
        values = np.concatenate([1 - values, values], axis=1)
    if task != "multilabel":
        values = _summed(values, names, path)
        known = values[np.isfinite(values).all(axis=1)]
        if len(known) and np.isin(known, (0.0, 1.0)).all():
            notes.append(("only_decisions", {}))
    return OutsideTable(names, values, tuple(notes))


def _rows(path: Path) -> tuple[list[str] | None, list[list[str]]]:
    """Header, or ``None`` where all is numbers, and rows as long as it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            "The table is not UTF-8 text.", path=path, remedy="Save the table as 'CSV UTF-8'."
        ) from error
    except OSError as error:
        raise DatasetError(f"The table cannot be read: {error}.", path=path) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    if delimiter == ";":  # where the comma is the decimal point
        rows = [[_COMMA.sub(r"\1.\2", cell) for cell in row] for row in rows]
    if not rows:
        raise DatasetError("The table is empty.", path=path)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DatasetError(
                f"Row {number} has {len(row)} cells, the first one {len(rows[0])}.", path=path
            )
    if len(rows[0]) > 1 and all(np.isfinite(_number(cell)) for cell in rows[0]):
        return None, rows
    if len(rows) < 2:
        raise DatasetError("The table has a header and no row.", path=path)
    return rows[0], rows[1:]


def _case_column(header: Sequence[str], path: Path) -> int:
    lower = [name.strip().lower() for name in header]
    for wanted in CASE_COLUMNS:
        if wanted in lower:
            return lower.index(wanted)
    raise DatasetError(
        f"No column names the case; there are: {', '.join(header[:12])}.",
        path=path,
        remedy=f"Call it one of: {', '.join(CASE_COLUMNS[:4])}.",
    )


def _columns(
    header: Sequence[str], task: Task, classes: Sequence[str], case_column: int, path: Path
) -> list[int]:
    """The column of each class; of two classes only the positive one's where that is all."""
    lower = {
        name.strip().lower(): i for i, name in reversed(list(enumerate(header))) if i != case_column
    }

    def of(label: str) -> int | None:
        for wanted in (*(f"{prefix}{label}" for prefix in _PREFIXES), label):
            if wanted.lower() in lower:
                return lower[wanted.lower()]
        return None

    found = [of(label) for label in classes]
    if None not in found:
        return [place for place in found if place is not None]
    if task == "binary":
        if found[1] is not None:
            return [found[1]]
        for wanted in SINGLE_COLUMNS:
            if wanted in lower and found[0] is None:
                return [lower[wanted]]
    missing = next(label for label, place in zip(classes, found, strict=True) if place is None)
    more = ", or one column 'probability' for it" if task == "binary" else ""
    raise DatasetError(
        f"No column holds the probability of '{missing}'; there are: {', '.join(header[:12])}.",
        path=path,
        remedy=f"Call it 'probability:{missing}'{more}.",
    )


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _check_text(
    rows: Sequence[Sequence[str]],
    columns: Sequence[int],
    titles: Sequence[str],
    values: NDArray[np.float64],
    path: Path,
) -> None:
    """Refuse a column of words: a class, not its probability."""
    for k, (column, title) in enumerate(zip(columns, titles, strict=True)):
        if np.isnan(values[:, k]).all():
            example = next((f"'{row[column]}'" for row in rows if row[column].strip()), "nothing")
            raise DatasetError(
                f"The column '{title}' holds {example}, not probabilities.",
                path=path,
                remedy="Write the probability of each class, from 0 to 1.",
            )


def _check_range(values: NDArray[np.float64], titles: Sequence[str], path: Path) -> None:
    for k, title in enumerate(titles):
        known = values[~np.isnan(values[:, k]), k]
        low, high = float(known.min()), float(known.max())
        if low >= 0 and high <= 1 + 1e-6:
            continue
        per_cent = low >= 0 and high <= 100
        remedy = (
            "These look like per cent: divide by 100."
            if per_cent and high > 1.5
            else "These look like logits: apply the sigmoid or softmax first."
        )
        raise DatasetError(
            f"The column '{title}' holds values from {low:g} to {high:g}, not probabilities.",
            path=path,
            remedy=remedy,
        )
    np.clip(values, 0.0, 1.0, out=values)


def _summed(values: NDArray[np.float64], names: Sequence[str], path: Path) -> NDArray[np.float64]:
    """Rows divided by their sum, which rounding alone may keep from 1."""
    total = values.sum(axis=1)
    off = np.flatnonzero(np.abs(total - 1) > _ROUNDING)
    if off.size:
        raise DatasetError(
            f"The probabilities of '{names[off[0]]}' add up to {total[off[0]]:.3g}, not to 1 "
            f"({off.size} rows in all).",
            path=path,
            remedy="Scores of one class against the rest must be normalised first.",
        )
    with np.errstate(invalid="ignore"):
        return np.asarray(values / total[:, None], dtype=np.float64)
