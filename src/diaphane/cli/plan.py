"""``diaphane plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    JsonFlag,
    QuietFlag,
    Threads,
    progress_bar,
    say,
    say_json,
    verb,
)
from diaphane.cli.train import require_learn, stack_of


@verb
def plan(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A labelled data set.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    positive: Annotated[
        str | None, typer.Option("--positive", help="The positive class.", metavar="CLASS")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle.")] = None,
    read_as: Annotated[
        str | None, typer.Option("--as", help="Read a folder as 'stack' or 'images'.")
    ] = None,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Look at a data set and decide how to learn from it.

    Writes fingerprint.json and plan.yaml. Edit plan.yaml, then train with --plan.
    """
    require_learn("Planning")
    from diaphane.learn import plan as decide
    from diaphane.learn.fingerprint import plain_dict

    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        made = decide(
            dataset,
            out,
            positive=positive,
            name=name,
            stack=stack_of(read_as),
            threads=threads,
            progress=progress,
        )
    if as_json:
        say_json(
            {
                "plan": str(out / "plan.yaml"),
                "fingerprint": plain_dict(made.fingerprint),
                "said": list(made.said),
                "refused": [[case.name, case.error.code] for case in made.refused],
            }
        )
    else:
        for line in made.said:
            say(line, quiet=quiet)
        for key, reason in made.plan.reasons.items():
            say(f"  {key:14}{reason}", quiet=quiet)
        say(f"Plan: {out / 'plan.yaml'}", quiet=quiet)
    if made.refused:
        typer.echo(f"diaphane: {len(made.refused)} cases cannot be read", err=True)
        return SOME_REFUSED
    return DONE
