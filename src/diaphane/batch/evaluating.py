"""``evaluate``: how good a bundle is on a data set, counting only cases that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diaphane.acquire import open_dataset
from diaphane.batch.outlining import AS_SHIPPED, Outlining
from diaphane.batch.running import answers
from diaphane.batch.scoring import ScoredClasses, write_scored
from diaphane.batch.segmenting import Judging, evaluate_segmenter
from diaphane.batch.tables import Refusal, cells, columns, write_refusals
from diaphane.batch.taking import (
    EvaluationSummary,
    nothing_used,
    require_free,
    require_split,
    take_entries,
)
from diaphane.batch.truth import label_columns, truth_of
from diaphane.bundle import AnyBundle, Segmenter, load_bundle
from diaphane.bundle.loaded import SEEN
from diaphane.core.errors import DatasetError, UsageError
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Progress, silent


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
    outlining: Outlining = AS_SHIPPED,
    options: ReadOptions | None = None,
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
    outlining:
        How a segmentation bundle goes over images.
    options:
        How DICOM is read; ``None``: as the bundle says.

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
        asked = Judging(tuple(subgroups), include_seen, seed, rounds, outlining, options)
        return evaluate_segmenter(bundle, dataset, split, folder, asked, progress=progress)
    manifest = bundle.manifest
    opened = open_dataset(dataset, subgroups=subgroups, options=options or bundle.reading)
    named = label_columns(manifest, opened, dataset)
    entries, stored = take_entries(opened, manifest.seen, split, dataset)
    scored = ScoredClasses(manifest.task, manifest.classes, manifest.ordinal)
    table: list[list[str]] = []
    refused: list[Refusal] = []
    notes, unlike = list(opened.notes), 0
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
        chances = [prediction.probability[name] for name in manifest.classes]
        scored.add(entry, truth, chances, seen=seen)
        unlike += prediction.unlike_training
        head = [entry.name, entry.group, scored.label(len(table)), str(int(seen))]
        table.append(head + cells(manifest, entry.name, prediction))
    if not table:
        rejected = write_refusals(folder, refused)
        raise nothing_used(refused, rejected, split, dataset, stored=stored)
    settings = {
        "bundle": {"name": manifest.name, "version": manifest.version, "sha256": bundle.sha256},
        "split_from": "bundle" if stored else "dataset" if split != "all" else "all",
        "include_seen": include_seen,
        "unlike_training": unlike,
        "refused": len(refused),
    }
    evaluation = scored.evaluation(
        split, include_seen=include_seen, seed=seed, rounds=rounds, settings=settings
    )
    if evaluation.n == 0:
        notes.append("Every case was seen in training, so no figure is given; see --include-seen.")
    header = ("case", "group", "label", "seen", *columns(manifest))
    worst = scored.worst(include_seen=include_seen)
    write_scored(folder, evaluation, header, table, worst=worst, bundle=bundle.ref())
    rejected = write_refusals(folder, refused)
    return EvaluationSummary(
        evaluation, folder, sum(scored.seen), unlike, tuple(refused), rejected, tuple(notes)
    )
