"""``diaphane evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    JsonFlag,
    Memory,
    Mirror,
    Overlap,
    QuietFlag,
    Seed,
    Spacing,
    Threads,
    Tilt,
    Units,
    figure_words,
    progress_bar,
    read_options,
    say,
    say_json,
    verb,
    warn,
)
from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.batch import EvaluationSummary

_SHOWN = ("auc", "average_precision", "accuracy", "brier", "ece", "dice", "hd95", "volume_error")
_MOST_LABELS = 8


@verb
def evaluate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[BUNDLE] DATASET",
            help="A bundle's name, folder or zip (not with --predictions); a labelled data set.",
        ),
    ],
    *,
    split: Annotated[str, typer.Option("--split", help="train, val, test or all.", metavar="S")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Judge another tool: its CSV of probabilities or folder of masks.",
            metavar="DIR_OR_CSV",
        ),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            "--missing",
            help="Cases without a usable prediction: stop, count as wrong, or skip (listed).",
            metavar="stop|wrong|skip",
        ),
    ] = "stop",
    positive: Annotated[
        str | None,
        typer.Option("--positive", help="Positive one of two classes (with --predictions)."),
    ] = None,
    subgroup: Annotated[
        list[str] | None,
        typer.Option("--subgroup", help="Manifest column to judge by value; repeatable."),
    ] = None,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Count cases that training saw.")
    ] = False,
    overlap: Overlap = None,
    mirror: Mirror = None,
    memory: Memory = 2048,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    seed: Seed = 0,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Test a bundle, or another tool's predictions, on labelled cases.

    Writes metrics.json, predictions.csv and report.html. Splits are the data set's own, or else
    those that the bundle remembers for the cases that it knows; cases that the bundle was
    trained on are left out of the figures.
    """
    from diaphane import batch

    if predictions is None:
        if len(what) != 2:
            raise UsageError(
                "Give a bundle and a data set.",
                remedy="Or another tool's output: --predictions DIR_OR_CSV DATASET",
            )
        if positive is not None or missing != "stop":
            raise UsageError("--positive and --missing are for --predictions.")
        from diaphane.bundle import load_bundle

        loaded = load_bundle(what[0], threads=threads)
        with progress_bar(quiet=quiet, as_json=as_json) as progress:
            done = batch.evaluate(
                loaded,
                what[1],
                split,
                out,
                subgroups=subgroup or (),
                include_seen=include_seen,
                seed=seed,
                outlining=batch.Outlining(overlap, mirror, memory),
                options=read_options(tilt, spacing, units, loaded.reading),
                progress=progress,
            )
    else:
        if len(what) != 1:
            raise UsageError("With --predictions give the data set alone, without a bundle.")
        if include_seen:
            raise UsageError("--include-seen is for bundles: nobody knows what another tool saw.")
        asked = batch.Outside(
            predictions,
            Path(what[0]),
            split,
            tuple(subgroup or ()),
            positive,
            missing,
            seed,
            options=read_options(tilt, spacing, units),
        )
        with progress_bar(quiet=quiet, as_json=as_json) as progress:
            done = batch.evaluate_predictions(asked, out, progress=progress)
    if as_json:
        said = {**done.evaluation.to_dict(), "out": str(done.out), "notes": list(done.notes)}
        say_json(said)
    else:
        _tell(done, split, quiet=quiet)
    if done.refused:
        warn(f"diaphane: {len(done.refused)} refused, see {done.rejected}")
        return SOME_REFUSED
    return DONE


def _tell(done: EvaluationSummary, split: str, *, quiet: bool) -> None:
    found = done.evaluation
    for note in done.notes:
        say(note, quiet=quiet)
    left = f"; {found.seen} seen in training left out" if found.seen else ""
    say(f"{split}: {found.n} cases of {found.groups} groups{left}", quiet=quiet)
    labels = [name for name in found.metrics if name.startswith("dice:")]
    shown = (*_SHOWN[:6], *labels[:_MOST_LABELS], *_SHOWN[6:])
    undefined = dict(found.settings.get("undefined", {}))
    if found.task == "segmentation" and found.n and found.metrics["dice"].value is None:
        undefined["dice"] = "neither the truth nor the masks hold a label"
    width = max([18, *(len(name) + 2 for name in (*labels, *undefined))])
    for name in shown:
        figure = found.metrics.get(name)
        if figure is not None and figure.value is not None:
            say(f"  {name:{width}}{figure_words(figure)}", quiet=quiet)
    for name, reason in undefined.items():
        say(f"  {name:{width}}undefined: {reason}", quiet=quiet)
    if done.unlike_training:
        say(f"  {done.unlike_training} cases are unlike the training set", quiet=quiet)
    say(f"Report: {done.out / 'report.html'}", quiet=quiet)
