"""``diaphane compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.cli.console import (
    JsonFlag,
    Lang,
    QuietFlag,
    ReportLang,
    Seed,
    Spacing,
    Tilt,
    Units,
    aligned,
    figure_words,
    progress_bar,
    read_options,
    say,
    say_json,
    verb,
)
from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.batch import ComparisonSummary


@verb
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A run, an evaluation, or predictions.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The same of another model.")],
    *,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", help="Truth for predictions of other tools.", metavar="D"),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Of the data set (default: all).", metavar="S")
    ] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="Positive one of two classes of D.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for compare.json and report.html.", metavar="DIR"),
    ] = None,
    lang: ReportLang = Lang.en,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    seed: Seed = 0,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Put two models side by side, with paired intervals.

    A and B are each the folder of a run or of 'evaluate', or with --dataset another tool's CSV of
    probabilities or folder of masks. Figures are of the cases that both scored.
    """
    from diaphane import batch

    if dataset is None and (split is not None or positive is not None):
        raise UsageError("--split and --positive are of a data set: give --dataset.")
    reading = read_options(tilt, spacing, units)
    truth = None if dataset is None else batch.Truth(dataset, split or "all", positive, reading)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.compare(
            first, second, truth=truth, out=out, lang=lang.value, seed=seed, progress=progress
        )
    if as_json:
        say_json({**done.to_dict(), "out": None if out is None else str(out)})
    elif not quiet:
        _tell(done)


def _tell(done: ComparisonSummary) -> None:
    for note in done.notes:
        say(note)
    one, other = done.names
    say(
        f"{done.n} cases of {done.groups} groups scored by both; "
        f"only by {one}: {done.only[0]}, only by {other}: {done.only[1]}"
    )
    rows = [
        (
            name.replace("_", " "),
            figure_words(found.baseline_interval),
            figure_words(found.model_interval),
            figure_words(found.difference, sign="+"),
        )
        for name, found in done.differences.items()
        if found.difference.value is not None
    ]
    aligned([("", one, other, "difference"), *rows])
    if done.plan:
        say("What differs in the plan:")
        for key, was, now in done.plan:
            say(f"  {key}: {was} / {now}")
    if done.out is not None:
        say(f"Report: {done.out / 'report.html'}")
