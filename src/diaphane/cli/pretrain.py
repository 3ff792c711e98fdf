"""``diaphane pretrain``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    Device,
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
from diaphane.cli.train import process_began, require_learn, seconds_of
from diaphane.core.options import AS_IS


class How(StrEnum):
    """What is asked of the encoder."""

    masked = "masked"
    agreement = "agreement"


@verb
def pretrain(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Images; labels are not looked at.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the encoder, new.", metavar="ENCODER")
    ],
    time_budget: Annotated[
        str, typer.Option("--time-budget", help="Time for all of it: 90s, 10m, 1h.", metavar="TIME")
    ] = "10m",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="That many steps instead.")
    ] = None,
    method: Annotated[
        How, typer.Option("--method", help="Draw hidden pixels, or agree on two views.")
    ] = How.masked,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="Take input and network from a plan.", metavar="FILE"),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Use validation and test cases too.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="Name of the encoder.")] = "encoder",
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Learn from images without labels.

    Writes ENCODER/encoder.safetensors, encoder.json and report.html. 'diaphane train --encoder
    ENCODER' starts from it. Cases of a validation or test part are left out.
    """
    began = process_began()
    require_learn("Learning without labels")
    from diaphane.learn.plans import Plan
    from diaphane.learn.pretraining import PretrainOptions
    from diaphane.learn.pretraining import pretrain as learn

    given = None if plan is None else Plan.read(plan)
    like = AS_IS if given is None else given.reading.options
    options = PretrainOptions(
        method=method.value,
        plan=given,
        seconds=seconds_of(time_budget),
        began=began,
        steps=steps,
        everything=everything,
        seed=seed,
        name=name,
        device=device,
        threads=threads,
        stack=stack_of(layout),
        options=read_options(tilt, spacing, units, like),
    )
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = learn(
            dataset, out, options,
            progress=progress,
            say=lambda line: say(line, quiet=quiet or as_json),
        )  # fmt: skip
    facts = done.encoder.facts
    if as_json:
        say_json(
            {
                "encoder": str(done.folder),
                "sha256": facts.sha256,
                "method": facts.method,
                "cases": facts.cases,
                "slices": facts.slices,
                "steps": facts.steps,
                "seconds": facts.seconds,
                "loss": list(facts.loss),
                "refused": [[case.name, case.error.code] for case in done.refused],
            }
        )
    else:
        say(
            f"{facts.steps} steps on {facts.slices} images of {facts.cases} cases: loss "
            f"{facts.loss[0]:.3f} to {facts.loss[1]:.3f}",
            quiet=quiet,
        )
        say(f"Encoder: {done.folder}", quiet=quiet)
    if done.refused:
        for case in done.refused[:5]:
            warn(f"diaphane: refused {case.name}: {case.error.problem}")
        warn(f"diaphane: {len(done.refused)} cases cannot be used")
        return SOME_REFUSED
    return DONE
