"""``predict`` for segmentation bundles: a mask and a row for every case, and going on later."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from diaphane.acquire import Entry
from diaphane.batch.masking import MaskFolder, mask_names
from diaphane.batch.outlining import AS_SHIPPED, Outlining, outlines
from diaphane.batch.tables import Refusal
from diaphane.bundle import Segmentation, Segmenter
from diaphane.core.errors import InputError, OutputError, UsageError
from diaphane.core.protocols import Progress
from diaphane.core.tables import write_table
from diaphane.core.text import uncelled


@dataclass(frozen=True)
class Drawing:
    """What ``predict`` does with masks.

    Attributes
    ----------
    masks:
        Folder for them; ``None`` writes the table only.
    form:
        "nii.gz", "nii", "mha", "nrrd", "png" or "seg"; ``None``: as the input.
    resume:
        Keep the cases that an interrupted run of the same command finished.
    """

    masks: Path | None = None
    form: str | None = None
    resume: bool = False
    outlining: Outlining = AS_SHIPPED


NO_MASKS = Drawing()


@dataclass(eq=False)
class Predicted:
    """Rows of the table in the order of the inputs, and what was refused; ``kept`` of an
    earlier run.
    """

    rows: list[list[str]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    kept: int = 0


def mask_columns(segmenter: Segmenter) -> tuple[str, ...]:
    """Header: ``file``, ``unit``, ``volume:LABEL``, ``predicted_dice:LABEL``, ``mask``.

    ``unit`` is that of the volumes: mm3, mm2 for an image of known pixel size, else px.
    ``mask`` is the file's name below the folder of masks.
    """
    names = segmenter.manifest.classes
    return (
        "file", "unit", *(f"volume:{n}" for n in names), *(f"predicted_dice:{n}" for n in names),
        "mask",
    )  # fmt: skip


def predict_segmenter(
    segmenter: Segmenter,
    entries: Sequence[Entry],
    target: Path,
    drawing: Drawing,
    *,
    progress: Progress,
) -> Predicted:
    """Segment every entry; write its mask at once and the table at the end.

    Until the table is whole, finished rows are kept in ``FILE.csv.partial`` beside it, each
    written after its mask, so that ``resume`` knows what is done.

    Raises
    ------
    UsageError
        Maps are asked for without a folder of masks, or something is in the way; see
        :meth:`MaskFolder.open`.
    """
    how = drawing.outlining
    if drawing.masks is None and (how.probabilities or how.uncertainty or drawing.form):
        raise UsageError(
            "--format, --probabilities and --uncertainty are for masks.", remedy="Add --masks DIR"
        )
    header = mask_columns(segmenter)
    done = Predicted()
    names: dict[int, str] = {}
    folder = None
    if drawing.masks is not None:
        names, done.refused = mask_names(entries)
        folder = MaskFolder.open(
            drawing.masks, segmenter, drawing.form, list(names.values()), resume=drawing.resume
        )
    journal = _Journal(target, header, segmenter, drawing)
    earlier = journal.begin(resume=drawing.resume)
    rows: dict[int, list[str]] = {}
    left: list[int] = []
    for number, entry in enumerate(entries):
        if folder is not None and number not in names:
            continue
        row = earlier.get(entry.name)
        if row is not None and _whole(row, folder, names.get(number)):
            rows[number] = row
            done.kept += 1
        else:
            left.append(number)
    with journal:
        found = outlines(segmenter, [entries[i] for i in left], how, progress)
        for number, answer in zip(left, found, strict=True):
            if answer.found is None or answer.case is None:
                if answer.error is not None:
                    done.refused.append(Refusal.of(answer.entry.name, answer.error))
                continue
            mask = ""
            if folder is not None:
                try:
                    path = folder.write(names[number], answer.case, answer.found)
                except InputError as error:
                    done.refused.append(Refusal.of(answer.entry.name, error))
                    continue
                mask = path.relative_to(folder.folder).as_posix()
            rows[number] = _row(answer.entry.name, answer.found, mask)
            journal.add(rows[number])
    done.rows = [rows[number] for number in sorted(rows)]
    if done.rows:
        write_table(target, header, done.rows)
    journal.end()
    return done


def _row(name: str, found: Segmentation, mask: str) -> list[str]:
    guesses = found.predicted_dice.values()
    return [
        name,
        found.unit,
        *(repr(volume) for volume in found.volume.values()),
        *("" if guess is None else repr(guess) for guess in guesses),
        mask,
    ]


def _whole(row: Sequence[str], folder: MaskFolder | None, name: str | None) -> bool:
    """Whether what a kept row says is there: masks appear in one step, so they are whole."""
    if folder is None or name is None:
        return True
    path = folder.find(name)
    return path is not None and path.relative_to(folder.folder).as_posix() == row[-1]


class _Journal:
    """Finished rows, kept line by line until the table is whole."""

    def __init__(
        self, target: Path, header: Sequence[str], segmenter: Segmenter, drawing: Drawing
    ) -> None:
        self._target = target
        self._path = target.with_name(f"{target.name}.partial")
        self._header = tuple(header)
        how = drawing.outlining
        self._about = {
            "bundle": segmenter.sha256,
            "header": list(header),
            "masks": drawing.masks is not None,
            "overlap": how.overlap,
            "mirror": how.mirror,
            "probabilities": how.probabilities,
            "uncertainty": how.uncertainty,
        }
        self._stream: Any = None

    def begin(self, *, resume: bool) -> dict[str, list[str]]:
        """Rows by name that an earlier run finished; starts the journal anew.

        Raises
        ------
        UsageError
            The earlier run had another bundle or other settings.
        OutputError
            The journal cannot be written.
        """
        earlier = self._earlier() if resume else {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Beside and renamed: a kill at this moment must not lose what was finished.
            fresh = self._path.with_name(f".{self._path.name}.new")
            self._stream = fresh.open("w", encoding="utf-8", errors="surrogateescape")
            self._stream.write(json.dumps(self._about) + "\n")
            for row in earlier.values():
                self._stream.write(json.dumps(row) + "\n")
            self._stream.flush()
            fresh.replace(self._path)
        except OSError as error:
            raise OutputError(
                f"Cannot be written: {error.strerror or error}.", path=self._path
            ) from error
        return earlier

    def add(self, row: Sequence[str]) -> None:
        """Keep a finished row, on the disk before this returns."""
        try:
            self._stream.write(json.dumps(list(row)) + "\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise OutputError(
                f"Cannot be written: {error.strerror or error}.", path=self._path
            ) from error

    def end(self) -> None:
        """The table is whole: the journal goes."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stream.close()

    def _earlier(self) -> dict[str, list[str]]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            return self._table()
        found: dict[str, list[str]] = {}
        for number, line in enumerate(lines):
            try:
                data = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            if number == 0 and data != self._about:
                raise UsageError(
                    "The interrupted run had another bundle or other settings.",
                    path=self._path,
                    remedy="Repeat its command, or leave --resume away.",
                )
            if number and isinstance(data, list) and len(data) == len(self._header):
                found[str(data[0])] = [str(cell) for cell in data]
        return found

    def _table(self) -> dict[str, list[str]]:
        """Rows of a finished table of the same columns."""
        try:
            with self._target.open(
                encoding="utf-8", errors="surrogateescape", newline=""
            ) as stream:
                rows = list(csv.reader(stream))
        except OSError:
            return {}
        if not rows or tuple(rows[0]) != self._header:
            return {}
        return {uncelled(row[0]): row for row in rows[1:] if len(row) == len(self._header)}
