"""``evaluate --predictions``: another tool's probabilities or masks, judged as our own are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diaphane.acquire import Dataset, Entry, open_dataset
from diaphane.acquire.masks import MaskReader
from diaphane.acquire.reading import is_readable_name
from diaphane.batch.matching import assign
from diaphane.batch.outside_table import read_outside_table
from diaphane.batch.scoring import ScoredClasses, ScoredMasks, write_scored
from diaphane.batch.tables import Refusal, write_refusals
from diaphane.batch.taking import EvaluationSummary, require_free, require_split, take_entries
from diaphane.batch.truth import positive_class
from diaphane.bundle import Seen
from diaphane.core.errors import DatasetError, EmptyInput, InputError, UsageError
from diaphane.core.evaluation import Evaluation
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.evaluate import Task
from diaphane.report import Language, Note, note_words

MISSING = ("stop", "wrong", "skip")
_TABLES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Outside:
    """What to judge, and how.

    Attributes
    ----------
    predictions:
        A table, or a folder with masks or one table.
    dataset, split:
        The truth, and the part of it: "train", "val", "test" or "all".
    subgroups:
        Columns of a manifest to judge by value, beside those called ``subgroup:``.
    positive:
        The positive one of two classes; guessed and said when ``None``.
    missing:
        What becomes of a case without a usable prediction. "stop": nothing is judged. "wrong":
        it counts as a failure (its true class has probability 0; its mask is empty). "skip":
        it is left out, and listed in ``rejected.csv``.
    seed, rounds:
        Of the bootstrap over groups.
    options:
        How DICOM is read.
    """

    predictions: Path
    dataset: Path
    split: str
    subgroups: Sequence[str] = ()
    positive: str | None = None
    missing: str = "stop"
    seed: int = 0
    rounds: int = 2000
    options: ReadOptions = AS_IS


@dataclass(eq=False)
class _Work:
    """What is judged, and what is gathered beside the figures."""

    asked: Outside
    opened: Dataset
    chosen: tuple[Entry, ...]
    notes: list[Note] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def evaluate_predictions(
    asked: Outside, out: str | Path, *, progress: Progress = silent
) -> EvaluationSummary:
    """Judge another tool's predictions on a labelled data set.

    Writes ``metrics.json``, ``predictions.csv``, ``report.html`` and, for cases that could not
    be judged, ``rejected.csv`` into the folder ``out``, with the same figures and intervals as
    :func:`diaphane.batch.evaluate`.

    Raises
    ------
    UsageError
        An unknown split, rule or positive class, or an ``out`` that is not free.
    DatasetError
        Predictions or truth cannot be used; a case has two predictions; or, under the rule
        "stop", a case has none.
    """
    require_split(asked.split)
    if asked.missing not in MISSING:
        raise UsageError(f"--missing takes {', '.join(MISSING)}, not '{asked.missing}'.")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError("The output must be a folder.", path=folder)
    require_free(folder, asked.dataset)
    if folder.resolve() == asked.predictions.resolve():
        raise UsageError(
            "This is the folder of the predictions.", path=folder, remedy="Give another --out."
        )
    scored, work = _scored(asked, progress)
    _apply_rule(scored, work, folder)
    settings = {
        "source": "predictions of another tool",
        "split_from": "dataset" if asked.split != "all" else "all",
        "without_usable_prediction": len(work.failed),
        "missing": asked.missing,
        "refused": len(work.refused),
    }
    evaluation = scored.evaluation(
        asked.split, seed=asked.seed, rounds=asked.rounds, settings=settings
    )
    header, rows = _table_of(scored, work)
    write_scored(folder, evaluation, header, rows, worst=scored.worst())
    listed = work.refused + (work.failed if asked.missing == "skip" else [])
    rejected = write_refusals(folder, listed)
    return EvaluationSummary(
        evaluation, folder, 0, 0, tuple(listed), rejected, _notes(work, evaluation)
    )


def score_predictions(
    asked: Outside, *, progress: Progress = silent
) -> tuple[ScoredClasses | ScoredMasks, list[Note]]:
    """The usable predictions held against the truth, and what is to be said of the others.

    Raises
    ------
    DatasetError
        Predictions or truth cannot be used, or no case can be judged.
    """
    require_split(asked.split)
    scored, work = _scored(asked, progress)
    if not (scored.entries if isinstance(scored, ScoredClasses) else scored.cases):
        first = f" The first: {work.failed[0].problem}" if work.failed else ""
        raise DatasetError(f"No case could be judged.{first}", path=asked.predictions)
    notes = list(work.notes)
    if work.failed:
        notes.append(("none_usable", {"count": len(work.failed)}))
    return scored, notes


def _scored(asked: Outside, progress: Progress) -> tuple[ScoredClasses | ScoredMasks, _Work]:
    opened = open_dataset(asked.dataset, subgroups=asked.subgroups, options=asked.options)
    chosen = tuple(take_entries(opened, Seen(), asked.split, asked.dataset)[0])
    table, masks = find_predictions(asked.predictions)
    work = _Work(asked, opened, chosen, list(opened.notes))
    scored = _score_table(table, work) if table else _score_masks(masks, work, progress)
    return scored, work


def find_predictions(place: Path) -> tuple[Path | None, list[Path]]:
    """The table, or the mask files, at a path.

    Raises
    ------
    EmptyInput, DatasetError
        There is nothing, or several tables and no mask.
    """
    if not place.exists():
        raise EmptyInput("There is no such file or folder.", path=place)
    if place.is_file():
        if place.suffix.lower() in _TABLES:
            return place, []
        if is_readable_name(place):
            return None, [place]
        raise DatasetError(
            "These are neither masks nor a table.", path=place, remedy="Give a CSV or a folder."
        )
    files = [p for p in sorted(place.rglob("*")) if p.is_file() and is_readable_name(p)]
    if files:
        return None, files
    tables = [p for p in sorted(place.iterdir()) if p.suffix.lower() == ".csv"]
    own = [p for p in tables if p.name == "predictions.csv"]
    if len(own or tables) == 1:
        return (own or tables)[0], []
    if tables:
        names = ", ".join(p.name for p in tables[:5])
        raise DatasetError(f"There are several tables: {names}.", path=place, remedy="Name one.")
    raise EmptyInput(
        "There is neither a mask nor a table of probabilities.",
        path=place,
        remedy="Masks: .nii.gz, .mha, .nrrd, .png, .tif; a table: .csv.",
    )


def _score_table(table: Path, work: _Work) -> ScoredClasses:
    """Probabilities held against labels; cases without any go to ``work.failed``."""
    task, columns, classes, values = _task(work)
    read = read_outside_table(table, task, classes)
    row_of, notes = assign(read.names, work.opened.entries, work.chosen, table)
    work.notes += [*read.notes, *notes]
    scored = ScoredClasses(task, classes)
    for entry in work.chosen:
        missing = [name for name in columns if not entry.labels.get(name)]
        if missing:
            error = DatasetError(f"The case has no value for '{missing[0]}'.")
            work.refused.append(Refusal.of(entry.name, error))
            continue
        truth: int | list[int] = (
            [int(entry.labels[c] == v) for c, v in zip(columns, values, strict=True)]
            if task == "multilabel"
            else classes.index(entry.labels[columns[0]])
        )
        row = row_of.get(entry.name)
        probability = None if row is None else read.probability[row]
        if probability is not None and np.isfinite(probability).all():
            scored.add(entry, truth, [float(p) for p in probability])
            continue
        text = "It has no row." if probability is None else "Its probability is not a number."
        work.failed.append(Refusal.of(entry.name, DatasetError(text)))
        if work.asked.missing == "wrong":
            scored.add(entry, truth, _wrong(truth, len(classes)))
    return scored


def _score_masks(files: Sequence[Path], work: _Work, progress: Progress) -> ScoredMasks:
    """Masks held against the data set's own; cases without any go to ``work.failed``."""
    asked, opened, chosen = work.asked, work.opened, work.chosen
    if not opened.has_masks:
        raise DatasetError(
            "The predictions are masks, and the data set has none to judge them by.",
            path=asked.dataset,
        )
    root = asked.predictions if asked.predictions.is_dir() else asked.predictions.parent
    names = [str(path.relative_to(root)) for path in files]
    file_of, notes = assign(names, opened.entries, chosen, asked.predictions)
    work.notes += notes
    labels = dict(opened.mask_labels)
    # A binary mask may be written as 0 and 255.
    reader = MaskReader(files, {**labels, 255: labels[1]} if set(labels) == {1} else labels)
    scored = ScoredMasks(labels)
    for number, entry in enumerate(chosen, start=1):
        progress("evaluate", number / len(chosen))
        try:
            case = entry.load()
            if case.mask is None:
                raise DatasetError("The case has no mask to judge by.")
        except InputError as error:
            work.refused.append(Refusal.of(entry.name, error))
            continue
        row = file_of.get(entry.name)
        try:
            if row is None:
                raise DatasetError("It has no mask among the predictions.")
            voxels = reader.read(files[row], case.volume).voxels
        except InputError as error:
            work.failed.append(Refusal.of(entry.name, error))
            if asked.missing == "wrong":
                scored.add_failure(entry, case.mask)
            continue
        scored.add(
            entry, np.where(voxels == 255, 1, voxels) if 255 not in labels else voxels, case.mask
        )
    return scored


def _task(
    work: _Work,
) -> tuple[Task, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Task, label columns, classes (positive last), and the value that means "present"."""
    asked, opened = work.asked, work.opened
    columns = opened.label_columns
    if not columns:
        raise DatasetError(
            "The predictions are a table, and the data set has no labels to judge them by.",
            path=asked.dataset,
            remedy="Give a folder of masks for a segmentation set." if opened.has_masks else None,
        )
    if len(columns) > 1:
        values = tuple(positive_class(opened.classes[name], None)[0] for name in columns)
        return "multilabel", columns, columns, values
    classes = opened.classes[columns[0]]
    if len(classes) != 2:
        return "multiclass", columns, classes, ()
    positive, said = positive_class(classes, asked.positive)
    if said:
        work.notes.append(said)
    negative = next(name for name in classes if name != positive)
    return "binary", columns, (negative, positive), ()


def _wrong(truth: int | list[int], classes: int) -> list[float]:
    """The prediction that is most wrong."""
    if isinstance(truth, list):
        return [1.0 - y for y in truth]
    return [0.0 if k == truth else 1.0 / (classes - 1) for k in range(classes)]


def _apply_rule(scored: ScoredClasses | ScoredMasks, work: _Work, folder: Path) -> None:
    """Stop where the rule says so, or where nothing can be judged."""
    failed, asked = work.failed, work.asked
    if failed and asked.missing == "stop":
        rejected = write_refusals(folder, [*failed, *work.refused])
        raise DatasetError(
            f"{len(failed)} of {len(work.chosen)} cases have no usable prediction; the first is "
            f"'{failed[0].file}': {failed[0].problem}",
            path=asked.predictions,
            remedy=f"All are listed in {rejected}. Count them as failures with --missing wrong, "
            "or leave them out with --missing skip.",
        )
    judged = scored.entries if isinstance(scored, ScoredClasses) else scored.cases
    if not judged:
        rejected = write_refusals(folder, [*failed, *work.refused])
        raise DatasetError(
            "No case could be judged.",
            path=asked.predictions,
            remedy=f"All are listed in {rejected}." if rejected else None,
        )


def _table_of(
    scored: ScoredClasses | ScoredMasks, work: _Work
) -> tuple[Sequence[str], list[list[str]]]:
    if isinstance(scored, ScoredMasks):
        return scored.header(), scored.rows()
    failed = {refusal.file for refusal in work.failed}
    chances = [f"probability:{name}" for name in scored.classes]
    header = ("case", "group", "label", "seen", "failed", *chances)
    rows = [
        [
            entry.name, entry.group, scored.label(i), "0", str(int(entry.name in failed)),
            *(repr(p) for p in scored.probability[i]),
        ]
        for i, entry in enumerate(scored.entries)
    ]  # fmt: skip
    return header, rows


def _notes(work: _Work, evaluation: Evaluation) -> tuple[str, ...]:
    notes = [note_words(note, Language()) for note in work.notes]
    if work.failed and work.asked.missing == "wrong":
        notes.append(f"{len(work.failed)} cases without a usable prediction count as failures.")
        if evaluation.task == "segmentation":
            notes.append("Distances are of the others only: an empty mask has no surface.")
    elif work.failed:
        notes.append(f"{len(work.failed)} cases without a usable prediction are left out.")
    return tuple(notes)
