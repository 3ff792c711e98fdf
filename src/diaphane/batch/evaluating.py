"""``evaluate``: how good a bundle is on a data set, counting only cases that it never saw."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from diaphane.acquire import Dataset, Entry, open_dataset
from diaphane.batch.running import answers
from diaphane.batch.tables import Refusal, cells, columns, together, write_refusals, write_table
from diaphane.batch.truth import label_columns, label_text, truth_of
from diaphane.bundle import Bundle, Manifest, load_classifier
from diaphane.bundle.loaded import SEEN
from diaphane.core.errors import DatasetError, DiaphaneError, UsageError
from diaphane.core.evaluation import Evaluation, Interval
from diaphane.core.files import write_text
from diaphane.core.protocols import Progress, silent
from diaphane.evaluate import evaluate_classification
from diaphane.report import write_evaluation

SPLITS = ("train", "val", "test", "all")
METRICS = (
    "auc", "average_precision", "accuracy", "sensitivity", "specificity", "f1", "brier", "ece",
    "log_loss",
)  # fmt: skip


@dataclass(frozen=True)
class EvaluationSummary:
    """What ``evaluate`` found and wrote. ``seen`` counts cases that training saw."""

    evaluation: Evaluation
    out: Path
    seen: int
    unlike_training: int
    refused: tuple[Refusal, ...]
    rejected: Path | None
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _Rows:
    """What is gathered case by case."""

    table: list[list[str]] = field(default_factory=list)
    truth: list[Any] = field(default_factory=list)
    probability: list[list[float]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    seen: list[bool] = field(default_factory=list)
    unlike: int = 0


def evaluate(
    bundle: Bundle | str | Path,
    dataset: str | Path,
    split: str,
    out: str | Path,
    *,
    subgroups: Sequence[str] = (),
    include_seen: bool = False,
    seed: int = 0,
    rounds: int = 2000,
    progress: Progress = silent,
) -> EvaluationSummary:
    """Predict a split of a labelled data set and judge the predictions.

    Writes ``metrics.json``, ``predictions.csv``, ``report.html`` and, for cases that could not
    be used, ``rejected.csv`` into the folder ``out``. Cases that made the bundle stand in
    ``predictions.csv`` but not in the figures, unless ``include_seen``; where none is left the
    figures are null.

    Parameters
    ----------
    bundle:
        Loaded, or a name, folder or zip.
    split:
        "train", "val", "test" or "all". The data set's own splits count; without them those
        that the bundle stored, for the cases that it knows.
    subgroups:
        Columns of a manifest to judge by value, beside those called ``subgroup:``.
    seed, rounds:
        Of the bootstrap over groups.

    Raises
    ------
    UsageError
        An unknown split, or an ``out`` that is the data set or holds something else's report.
    DatasetError
        Nobody says which cases the split has, no labels, or labels that the bundle does not
        know.
    """
    if split not in SPLITS:
        raise UsageError(f"There is no split '{split}'.", remedy=f"Use {', '.join(SPLITS)}.")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError("The output must be a folder.", path=folder)
    require_free(folder, dataset)
    bundle = bundle if isinstance(bundle, Bundle) else load_classifier(bundle)
    manifest = bundle.manifest
    opened = open_dataset(dataset, subgroups=subgroups)
    named = label_columns(manifest, opened, dataset)
    entries, stored = _entries(opened, bundle, split, dataset)
    rows, refused, notes = _Rows(), [], list(opened.notes)
    found = answers(
        bundle, entries, known=True, wanted=(lambda s: s == split) if stored else None
    )  # fmt: skip
    for number, answer in enumerate(found, start=1):
        progress("evaluate", number / len(entries))
        entry, prediction = answer.entry, answer.prediction
        if answer.error is not None:
            refused.append(Refusal.of(entry.name, answer.error))
        if prediction is None:
            continue
        try:
            truth = truth_of(entry, manifest, named)
        except DatasetError as error:
            refused.append(Refusal.of(entry.name, error))
            continue
        seen = answer.split in SEEN
        rows.truth.append(truth)
        rows.probability.append([prediction.probability[c] for c in manifest.classes])
        rows.entries.append(entry)
        rows.seen.append(seen)
        rows.unlike += prediction.unlike_training
        text = label_text(entry, manifest, named)
        head = [entry.name, entry.group, text, str(int(seen))]
        rows.table.append(head + cells(manifest, entry.name, prediction))
    if not rows.table:
        rejected = write_refusals(folder, refused)
        raise _nothing(refused, rejected, split, dataset, stored=stored)
    evaluation = _judged(bundle, rows, split, include_seen=include_seen, seed=seed, rounds=rounds)
    evaluation = replace(
        evaluation,
        settings={
            **evaluation.settings,
            "bundle": {
                "name": manifest.name,
                "version": manifest.version,
                "sha256": bundle.sha256,
            },
            "split_from": "bundle" if stored else "dataset" if split != "all" else "all",
            "include_seen": include_seen,
            "unlike_training": rows.unlike,
            "refused": len(refused),
        },
    )
    if evaluation.n == 0:
        notes.append("Every case was seen in training, so no figure is given; see --include-seen.")
    header = ("case", "group", "label", "seen", *columns(manifest))
    worst = _worst(rows, manifest, include_seen=include_seen)
    text = json.dumps(evaluation.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
    with together(folder, ("metrics.json", "predictions.csv", "report.html")) as at:
        write_table(at["predictions.csv"], header, rows.table)
        write_evaluation(evaluation, at["report.html"], bundle=bundle.ref(), worst=worst)
        write_text(at["metrics.json"], text + "\n")
    rejected = write_refusals(folder, refused)
    return EvaluationSummary(
        evaluation, folder, sum(rows.seen), rows.unlike, tuple(refused), rejected, tuple(notes)
    )


def require_free(folder: Path, dataset: str | Path) -> None:
    """Refuse to write among a data set's own files, or over the report of a run or a study.

    Raises
    ------
    UsageError
        Naming the folder.
    """
    remedy = "Give a folder of its own: --out DIR"
    if folder.resolve() == Path(dataset).resolve():
        raise UsageError("This is the data set itself.", path=folder, remedy=remedy)
    if (folder / "report.html").exists() and not (folder / "metrics.json").exists():
        raise UsageError("The folder holds another report.", path=folder, remedy=remedy)


def _entries(
    opened: Dataset, bundle: Bundle, split: str, path: str | Path
) -> tuple[Sequence[Entry], bool]:
    """Entries to read, and whether the bundle's stored split must choose among them."""
    if split == "all":
        return opened.entries, False
    if opened.has_splits:
        own = opened.of_split(split)
        if not own:
            there = Counter(e.split for e in opened.entries if e.split is not None)
            raise DatasetError(
                f"The data set has no split '{split}'.",
                path=path,
                remedy=f"It has: {', '.join(f'{k} ({n})' for k, n in sorted(there.items()))}.",
            )
        return own, False
    seen = bundle.manifest.seen
    if not (seen.train or seen.val or seen.calibration or seen.test):
        raise DatasetError(
            f"Neither the data set nor the bundle says which cases are '{split}'.",
            path=path,
            remedy="Use --split all.",
        )
    return opened.entries, True


def _nothing(
    refused: Sequence[Refusal],
    rejected: Path | None,
    split: str,
    path: str | Path,
    *,
    stored: bool,
) -> DiaphaneError:
    if refused:
        first = refused[0]
        return DatasetError(
            f"No case could be used; the first of {len(refused)}: {first.problem}",
            path=path,
            remedy=f"All are listed in {rejected}." if rejected else first.remedy or None,
        )
    assert stored
    return DatasetError(
        f"The data set has no splits, and the bundle knows none of its cases as '{split}'.",
        path=path,
        remedy="Use --split all.",
    )


def _judged(
    bundle: Bundle, rows: _Rows, split: str, *, include_seen: bool, seed: int, rounds: int
) -> Evaluation:
    manifest = bundle.manifest
    left_out = 0 if include_seen else sum(rows.seen)
    kept = [i for i, seen in enumerate(rows.seen) if include_seen or not seen]
    if not kept:
        nothing = {name: Interval(None, None, None) for name in METRICS}
        settings = {"seed": seed, "rounds": rounds, "level": 0.95}
        return Evaluation(manifest.task, split, 0, 0, left_out, nothing, settings=settings)
    entries = [rows.entries[i] for i in kept]
    names = sorted({name for entry in entries for name in entry.subgroups})
    judged = evaluate_classification(
        np.array([rows.truth[i] for i in kept]),
        np.array([rows.probability[i] for i in kept]),
        [entry.group for entry in entries],
        task=manifest.task,
        classes=manifest.classes,
        subgroups={name: [entry.subgroups.get(name, "") for entry in entries] for name in names},
        seed=seed,
        rounds=rounds,
    )
    return judged.evaluation(split, left_out)


def _worst(rows: _Rows, manifest: Manifest, *, include_seen: bool) -> list[dict[str, Any]]:
    """The ten judged cases whose true class got the least probability, under pseudonyms."""
    found: list[dict[str, Any]] = []
    for i, entry in enumerate(rows.entries):
        if rows.seen[i] and not include_seen:
            continue
        p, truth = rows.probability[i], rows.truth[i]
        if isinstance(truth, list):  # multi-label: the label that is most wrong
            right = [v if y else 1 - v for v, y in zip(p, truth, strict=True)]
            k = int(np.argmin(right))
            label, chance = (
                manifest.classes[k] if truth[k] else f"not {manifest.classes[k]}",
                right[k],
            )
        else:
            label, chance = manifest.classes[truth], p[truth]
        found.append({"case": entry.key, "label": label, "probability": chance})
    return sorted(found, key=lambda row: float(row["probability"]))[:10]
