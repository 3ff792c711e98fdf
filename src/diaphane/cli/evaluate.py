"""``diaphane evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    JsonFlag,
    QuietFlag,
    Seed,
    Threads,
    progress_bar,
    say,
    say_json,
    verb,
)


@verb
def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Name, folder or zip.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A labelled data set.")],
    *,
    split: Annotated[str, typer.Option("--split", help="train, val, test or all.", metavar="S")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    subgroup: Annotated[
        list[str] | None,
        typer.Option("--subgroup", help="Manifest column to judge by value; repeatable."),
    ] = None,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Count cases that training saw.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Test a bundle on labelled cases.

    Writes metrics.json, predictions.csv and report.html. Splits are the data set's own, or else those that the bundle remembers for the cases that
    it knows. Cases that it was trained on are left out of the figures, and counted.
    """
    from diaphane import batch
    from diaphane.bundle import load_classifier

    loaded = load_classifier(bundle, threads=threads)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.evaluate(
            loaded,
            dataset,
            split,
            out,
            subgroups=subgroup or (),
            include_seen=include_seen,
            seed=seed,
            progress=progress,
        )
    found = done.evaluation
    if as_json:
        say_json({**found.to_dict(), "out": str(done.out), "notes": list(done.notes)})
    else:
        for note in done.notes:
            say(note, quiet=quiet)
        left = f"; {found.seen} seen in training left out" if found.seen else ""
        say(f"{split}: {found.n} cases of {found.groups} groups{left}", quiet=quiet)
        for name in ("auc", "average_precision", "accuracy", "brier", "ece"):
            figure = found.metrics.get(name)
            if figure is not None and figure.value is not None:
                span = (
                    ""
                    if figure.low is None or figure.high is None
                    else f"  ({figure.low:.3f} to {figure.high:.3f})"
                )
                say(f"  {name:18}{figure.value:.3f}{span}", quiet=quiet)
        for name, reason in found.settings.get("undefined", {}).items():
            say(f"  {name:18}undefined: {reason}", quiet=quiet)
        if done.unlike_training:
            say(f"  {done.unlike_training} cases are unlike the training set", quiet=quiet)
        say(f"Report: {done.out / 'report.html'}", quiet=quiet)
    if done.refused:
        typer.echo(f"diaphane: {len(done.refused)} refused, see {done.rejected}", err=True)
        return SOME_REFUSED
    return DONE
