"""``diaphane predict``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    NOTHING_DONE,
    SOME_REFUSED,
    JsonFlag,
    QuietFlag,
    Threads,
    progress_bar,
    say,
    say_json,
    verb,
)


class Layout(StrEnum):
    """How a folder of images is read."""

    stack = "stack"
    images = "images"


@verb
def predict(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Name, folder or zip.")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files, folders or data sets.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="CSV file to write.", metavar="FILE.csv")],
    contributions: Annotated[
        bool,
        typer.Option("--contributions", help="Add the logit and the parts that add up to it."),
    ] = False,
    layout: Annotated[
        Layout | None,
        typer.Option("--as", help="Read a folder of images as one stack, or one by one."),
    ] = None,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Probabilities for any number of cases, one CSV row each.

    Columns: file, probability:CLASS, prediction_set, unlike_training. Inputs that cannot be
    read are listed with reasons in rejected.csv beside FILE.csv, and the rest is done.
    """
    from diaphane import batch
    from diaphane.bundle import load_classifier

    loaded = load_classifier(bundle, threads=threads)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.predict(
            loaded,
            inputs,
            out,
            contributions=contributions,
            stack=None if layout is None else layout is Layout.stack,
            progress=progress,
        )
    if as_json:
        say_json(
            {
                "out": None if done.out is None else str(done.out),
                "done": done.done,
                "unlike_training": done.unlike_training,
                "refused": [vars(refusal) for refusal in done.refused],
                "rejected": None if done.rejected is None else str(done.rejected),
                "bundle": {
                    "name": loaded.name,
                    "version": loaded.manifest.version,
                    "sha256": loaded.sha256,
                },
            }
        )
    elif done.out is not None:
        unlike = f", {done.unlike_training} unlike training" if done.unlike_training else ""
        say(f"{done.done} cases{unlike}: {done.out}", quiet=quiet)
    if done.refused:
        for refusal in done.refused[:5]:
            then = f" {refusal.remedy}" if refusal.remedy else ""
            typer.echo(f"diaphane: refused {refusal.file}: {refusal.problem}{then}", err=True)
        typer.echo(f"diaphane: {len(done.refused)} refused, see {done.rejected}", err=True)
        return SOME_REFUSED if done.done else NOTHING_DONE
    return DONE
