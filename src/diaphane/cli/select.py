"""``diaphane select``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    JsonFlag,
    QuietFlag,
    ReadAs,
    Spacing,
    Threads,
    Tilt,
    Units,
    progress_bar,
    read_options,
    say,
    say_json,
    stack_of,
    verb,
    warn,
)


@verb
def select(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a bundle.")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="UNLABELLED...", help="Files, folders or data sets.")
    ],
    *,
    n: Annotated[int, typer.Option("--n", min=1, help="How many cases.", metavar="N")] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file to write.", metavar="FILE.csv")
    ] = None,
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Which cases to label next, and why.

    The model's open questions first (or what it expects to outline worst), cases unlike its
    training set among them, and never many of a kind. Cases that it was trained on are left out.
    """
    from diaphane import batch
    from diaphane.bundle import load_bundle

    loaded = load_bundle(run, threads=threads)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.select(
            loaded,
            inputs,
            n,
            out,
            stack=stack_of(layout),
            options=read_options(tilt, spacing, units, loaded.reading),
            progress=progress,
        )
    if as_json:
        say_json(
            {
                "out": None if done.out is None else str(done.out),
                "chosen": [vars(case) for case in done.chosen],
                "left": done.left,
                "known": done.known,
                "refused": [vars(refusal) for refusal in done.refused],
            }
        )
    else:
        for number, case in enumerate(done.chosen, start=1):
            say(f"{number:4}  {case.file}  {case.reason}", quiet=quiet)
        if done.known:
            say(f"{done.known} cases made the model and are left out.", quiet=quiet)
        if done.out is not None:
            say(f"{len(done.chosen)} of {len(done.chosen) + done.left}: {done.out}", quiet=quiet)
    if done.refused:
        for refusal in done.refused[:5]:
            warn(f"diaphane: refused {refusal.file}: {refusal.problem}")
        warn(f"diaphane: {len(done.refused)} refused")
        return SOME_REFUSED
    return DONE
