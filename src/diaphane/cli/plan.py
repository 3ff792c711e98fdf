"""``diaphane plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    Concepts,
    GroupRegex,
    JsonFlag,
    Labelled,
    Positive,
    QuietFlag,
    ReadAs,
    Spacing,
    Threads,
    Tilt,
    Units,
    progress_bar,
    said_reading,
    say,
    say_json,
    stack_of,
    verb,
    warn,
)
from diaphane.cli.train import require_learn, seconds_of


@verb
def plan(
    dataset: Labelled,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    positive: Positive = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle.")] = None,
    concept: Concepts = None,
    group_regex: GroupRegex = None,
    time_budget: Annotated[
        str | None,
        typer.Option("--time-budget", help="What training may take, as 20m.", metavar="TIME"),
    ] = None,
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
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
    from diaphane.learn.planning import named
    from diaphane.learn.runs import write_refused

    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        made = decide(
            dataset,
            out,
            positive=positive,
            name=name,
            concepts=tuple(concept or ()),
            group_regex=group_regex,
            reading=said_reading(tilt, spacing, units),
            time_budget=None if time_budget is None else seconds_of(time_budget),
            stack=stack_of(layout),
            threads=threads,
            progress=progress,
        )
    if as_json:
        say_json(
            {
                "plan": str(out / "plan.yaml"),
                "task": made.plan.task,
                "fingerprint": plain_dict(made.fingerprint),
                "reasons": made.plan.reasons,
                "said": [named(line, made.names) for line in made.said],
                "refused": [[case.name, case.error.code] for case in made.refused],
            }
        )
    else:
        for line in made.said:
            say(named(line, made.names), quiet=quiet)
        for key, reason in made.plan.reasons.items():
            say(f"  {key:14}{reason}", quiet=quiet)
        say(f"Plan: {out / 'plan.yaml'}", quiet=quiet)
    if made.refused:
        path = out / "rejected.csv"
        write_refused(path, made.refused)
        warn(f"diaphane: {len(made.refused)} refused, see {path}")
        return SOME_REFUSED
    return DONE
