"""``diaphane anomaly``: learn what is normal; score what is not."""

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
    ReadAs,
    Seed,
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
from diaphane.core.errors import UsageError


class Action(StrEnum):
    """What to do."""

    fit = "fit"
    score = "score"


@verb
def anomaly(
    action: Annotated[Action, typer.Argument(metavar="fit|score", help="What to do.")],
    places: Annotated[
        list[str],
        typer.Argument(metavar="NORMALS | DIR INPUT...", help="Normal images; or DIR and inputs."),
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", help="DIR to make (fit), or FILE.csv (score).", metavar="OUT")
    ],
    maps: Annotated[
        Path | None,
        typer.Option("--maps", help="Folder for heat maps (score), new.", metavar="DIR"),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder", help="Remember a pretrained encoder's features (fit).", metavar="ENCODER"
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Take validation and test cases too (fit).")
    ] = False,
    layout: ReadAs = None,
    name: Annotated[str, typer.Option("--name", help="Name of what is made (fit).")] = "normal",
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    seed: Seed = 0,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Find what is unlike normal, from normal images alone.

    fit NORMALS remembers what normal images look like. score DIR INPUT... tells for each input
    how unlike them it is, its place among held-out normals, and where.
    """
    stack, reading = stack_of(layout), read_options(tilt, spacing, units)
    if action is Action.fit:
        if len(places) != 1 or maps is not None:
            raise UsageError(
                "'anomaly fit' takes one folder of normal images, and no --maps.",
                remedy="Use: diaphane anomaly fit NORMALS --out DIR",
            )
        from diaphane.cli.train import require_learn

        require_learn("Learning what is normal")
        from diaphane.learn.anomaly import FitOptions, fit_anomaly

        options = FitOptions(
            encoder=encoder, everything=everything, seed=seed, name=name, threads=threads,
            stack=stack, options=reading,
        )  # fmt: skip
        with progress_bar(quiet=quiet, as_json=as_json) as progress:
            made = fit_anomaly(places[0], out, options, progress=progress)
        facts = made.detector.facts
        if as_json:
            say_json(
                {
                    "out": str(made.folder),
                    "cases": facts.cases,
                    "features": facts.features,
                    "patches": len(made.detector.memory.memory),
                    "refused": [[case.name, case.error.code] for case in made.refused],
                }
            )
        else:
            patches = len(made.detector.memory.memory)
            say(f"{patches} patches of {facts.cases} normal cases: {made.folder}", quiet=quiet)
        for case in made.refused[:5]:
            warn(f"diaphane: refused {case.name}: {case.error.problem}")
        return SOME_REFUSED if made.refused else DONE
    if len(places) < 2 or encoder is not None or everything:
        raise UsageError(
            "'anomaly score' takes a folder made by 'anomaly fit', and inputs.",
            remedy="Use: diaphane anomaly score DIR INPUT... --out FILE.csv",
        )
    from diaphane import batch
    from diaphane.bundle.anomaly import load_detector

    detector = load_detector(places[0], threads=threads)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.score_anomaly(
            detector,
            places[1:],
            out,
            maps=maps,
            stack=stack,
            options=reading,
            progress=progress,
        )
    if as_json:
        say_json(
            {
                "out": None if done.out is None else str(done.out),
                "done": done.done,
                "unlike": done.unlike,
                "refused": [vars(refusal) for refusal in done.refused],
            }
        )
    elif done.out is not None:
        say(f"{done.done} cases, {done.unlike} unlike normal: {done.out}", quiet=quiet)
    if done.refused:
        for refusal in done.refused[:5]:
            warn(f"diaphane: refused {refusal.file}: {refusal.problem}")
        warn(f"diaphane: {len(done.refused)} refused, see {done.rejected}")
        return SOME_REFUSED if done.done else NOTHING_DONE
    return DONE
