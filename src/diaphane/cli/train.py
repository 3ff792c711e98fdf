"""``diaphane train``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    Concepts,
    Device,
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


def require_learn(feature: str) -> None:
    """Raise :class:`MissingExtra` when torch or its companions are absent."""
    from importlib.util import find_spec

    from diaphane.core.errors import MissingExtra

    for package in ("torch", "onnx", "sklearn"):
        if find_spec(package) is None:
            raise MissingExtra(feature, package, "learn")


@verb
def train(
    dataset: Labelled,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run, new.", metavar="RUN")],
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A plan to obey.", metavar="FILE")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Cross-validate in K folds.", metavar="K")
    ] = None,
    positive: Positive = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle.")] = None,
    concept: Concepts = None,
    group_regex: GroupRegex = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            "--time-budget", help="Time for all of it, as 20m, 90s or 1.5h.", metavar="TIME"
        ),
    ] = None,
    families: Annotated[
        str,
        typer.Option(
            "--families", help="'auto' chooses the plan's best, a name takes it.", metavar="NAME"
        ),
    ] = "auto",
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Start from what 'pretrain' learned.", metavar="DIR"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs at most.")] = None,
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of all randomness (plan's, or 0).")
    ] = None,
    anywhere: Annotated[
        bool,
        typer.Option("--anywhere", help="Resume on another machine, not bit for bit."),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write RUN/tensorboard, too.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Train, test and ship a model on labelled cases.

    Writes RUN/bundle, RUN/report.html and RUN/metrics.csv. A plan is made first and kept in
    RUN/plan.yaml. Ctrl-C leaves a run that --resume continues.
    """
    began = process_began()
    require_learn("Training")
    from diaphane.learn import TrainOptions
    from diaphane.learn import train as learn

    options = TrainOptions(
        resume=resume,
        folds=folds,
        epochs=epochs,
        seed=seed,
        name=name,
        positive=positive,
        concepts=tuple(concept or ()),
        group_regex=group_regex,
        reading=said_reading(tilt, spacing, units),
        families=families,
        encoder=encoder,
        time_budget=None if time_budget is None else seconds_of(time_budget),
        began=began,
        device=device,
        threads=threads,
        stack=stack_of(layout),
        anywhere=anywhere,
        tensorboard=tensorboard,
    )
    silent_lines = quiet or as_json
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        run = learn(
            dataset, out, plan, options,
            progress=progress,
            say=lambda line: say(line, quiet=silent_lines),
        )  # fmt: skip
    about = run.bundle.manifest.metrics_about
    metrics = {} if run.figures is None else run.figures.metrics
    if as_json:
        say_json(
            {
                "run": str(run.folder),
                "bundle": str(run.folder / "bundle"),
                "sha256": run.bundle.sha256,
                "metrics": {key: figure.to_dict() for key, figure in metrics.items()},
                "about": about,
                "refused": len(run.refused),
            }
        )
    else:
        if metrics:
            say(f"Figures ({about.get('split')}, n = {about.get('n')}):", quiet=quiet)
        else:
            why = "no case is left for testing"
            if run.plan.task != "segmentation":
                why = "the cases left for testing are all of one class"
            say(f"No figures: {why}.", quiet=quiet)
        shown = ("auc", "average_precision", "accuracy", "brier", "ece", "dice")
        for key in (*shown, *(key for key in metrics if key.startswith("dice:"))):
            figure = metrics.get(key)
            if figure is not None and figure.value is not None:
                span = "" if figure.low is None else f"  ({figure.low:.3f} to {figure.high:.3f})"
                say(f"  {key:18}{figure.value:.3f}{span}", quiet=quiet)
        say(f"Bundle: {run.folder / 'bundle'}", quiet=quiet)
        say(f"Report: {run.folder / 'report.html'}", quiet=quiet)
    if run.refused:
        path = run.folder / "rejected.csv"
        warn(f"diaphane: {len(run.refused)} refused, see {path}")
        return SOME_REFUSED
    return DONE


def process_began() -> float:
    """When this process began, in seconds of ``time.monotonic``; now where that is not known."""
    now = time.monotonic()
    try:
        ticks = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):  # no Linux
        return now
    return now - min(60.0, max(0.0, age))


def seconds_of(text: str) -> float:
    """What ``--time-budget`` means."""
    from diaphane.core.errors import UsageError
    from diaphane.learn.budget import read_duration

    try:
        return read_duration(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is no time.", remedy="Say 90s, 20m, 1.5h or 1h30m.") from error
