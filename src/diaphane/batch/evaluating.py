"""``evaluate``: how good a bundle is on a data set, counting only cases that it never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from diaphane.acquire import Entry, open_dataset
from diaphane.batch.running import answers
from diaphane.batch.segmenting import Judging, evaluate_segmenter
from diaphane.batch.tables import Refusal, cells, columns, together, write_refusals, write_table
from diaphane.batch.taking import (
    EvaluationSummary,
    nothing_used,
    require_free,
    require_split,
    take_entries,
)
from diaphane.batch.truth import label_columns, label_text, truth_of
from diaphane.bundle import AnyBundle, Bundle, Manifest, Segmenter, load_bundle
from diaphane.bundle.loaded import SEEN
from diaphane.core.errors import DatasetError, UsageError
from diaphane.core.evaluation import Evaluation, Interval
from diaphane.core.files import write_text
from diaphane.core.protocols import Progress, silent
from diaphane.evaluate import evaluate_classification
from diaphane.report import write_evaluation

METRICS = (
    "auc", "average_precision", "accuracy", "sensitivity", "specificity", "f1", "brier", "ece",
    "log_loss",
)  # fmt: skip


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
    bundle: AnyBundle | str | Path,
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
    require_split(split)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError("The output must be a folder.", path=folder)
    require_free(folder, dataset)
    if isinstance(bundle, str | Path):
        bundle = load_bundle(bundle)
    if isinstance(bundle, Segmenter):
        asked = Judging(tuple(subgroups), include_seen, seed, rounds)
        return evaluate_segmenter(bundle, dataset, split, folder, asked, progress=progress)
    manifest = bundle.manifest
    opened = open_dataset(dataset, subgroups=subgroups)
    named = label_columns(manifest, opened, dataset)
    entries, stored = take_entries(opened, manifest.seen, split, dataset)
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
        raise nothing_used(refused, rejected, split, dataset, stored=stored)
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
