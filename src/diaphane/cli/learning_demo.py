"""``diaphane demo --learn``: from made-up labelled pictures to a judged model, step by step."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane.cli.console import DONE, progress_bar, say, say_json

DEMO_TIME = "2m"
"""Time budget of the demo's training."""


@dataclass(frozen=True)
class Asked:
    """What the command line asked of the demo."""

    out: Path
    seed: int
    threads: int | None
    time_budget: str
    quiet: bool
    as_json: bool


def learning_demo(asked: Asked) -> int:
    """Make 80 pictures, train on 60 of them, judge on the other 20, and say where all lies.

    Raises
    ------
    MissingExtra
        torch is not installed.
    UsageError
        Something else is in the way.
    """
    from diaphane.cli.train import require_learn, seconds_of

    require_learn("A demo of learning")
    from diaphane.acquire.phantom.pictures import write_lesion_pictures
    from diaphane.batch import evaluate
    from diaphane.learn import TrainOptions, train

    data, run, judged = (asked.out / name for name in ("dataset", "run", "evaluation"))
    _require_free(data, run, judged)
    silent = asked.quiet or asked.as_json

    def tell(text: str) -> None:
        say(text, quiet=silent)

    seconds = seconds_of(asked.time_budget)
    tell("1. Data: 80 made-up ultrasound pictures of 40 patients, each labelled benign or")
    tell(f"   malignant (generated, seed {asked.seed}). A table says which file is what:")
    write_lesion_pictures(data, asked.seed)
    tell(f"     {data / 'labels.csv'}")
    tell("   For your own images write such a table, or see what else is read: docs/datasets.md")
    tell("")
    tell("2. Plan and training. The pictures are looked at, a network is chosen, trained and")
    tell(f"   calibrated, all within {asked.time_budget}. The same by hand:")
    command = ["diaphane", "train", str(data), "--out", str(run)]
    command += ["--time-budget", asked.time_budget, "--seed", str(asked.seed)]
    tell(f"     {shlex.join(command)}")
    options = TrainOptions(
        seed=asked.seed, name="demo-lesions", positive="malignant", threads=asked.threads,
        time_budget=seconds,
    )  # fmt: skip
    with progress_bar(quiet=asked.quiet, as_json=asked.as_json) as progress:
        done = train(data, run, options=options, progress=progress, say=_sparing(tell))
    tell(f"   Bundle, the model that ships: {run / 'bundle'}")
    tell("")
    tell("3. Judgement on the 20 pictures of 10 patients that training never saw:")
    command = ["diaphane", "evaluate", str(run / "bundle"), str(data)]
    command += ["--split", "test", "--out", str(judged)]
    tell(f"     {shlex.join(command)}")
    found = evaluate(run / "bundle", data, "test", judged, seed=asked.seed).evaluation
    for name, words in (("auc", "area under the ROC curve"), ("accuracy", "accuracy")):
        tell(f"   {_figure(found.metrics.get(name), words)}")
    tell(f"   With n = {found.n} the interval is wide: a demo shows the way, not a model.")
    tell("")
    tell("4. Look at it in a browser:")
    tell(f"     {run / 'report.html'}")
    tell("       figures, the worst cases, why the plan is as it is, a methods paragraph")
    tell(f"     {judged / 'report.html'}")
    tell("   Ask the model about one picture, with the evidence for its answer:")
    picture = data / "images" / "patient06-1.png"
    command = ["diaphane", "analyze", str(picture), "--with", str(run / "bundle")]
    tell(f"     {shlex.join([*command, '--out', str(asked.out / 'one')])}")
    if asked.as_json:
        say_json(
            {
                "dataset": str(data),
                "run": str(run),
                "bundle": str(run / "bundle"),
                "report": str(run / "report.html"),
                "evaluation": str(judged / "report.html"),
                "n": found.n,
                "metrics": {name: figure.to_dict() for name, figure in found.metrics.items()},
                "refused": len(done.refused),
            }
        )
    return DONE


def _require_free(*folders: Path) -> None:
    from diaphane.core.errors import UsageError

    for folder in folders:
        if folder.exists():
            raise UsageError(
                "There is something where the demo would write.",
                path=folder,
                remedy="Give another --out folder.",
            )


def _sparing(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Passes on the notes and every tenth line of the training."""
    count = 0

    def said(line: str) -> None:
        nonlocal count
        if "epoch" in line and "loss" in line:
            count += 1
            if count % 10 != 1:
                return
        tell(f"   {line}")

    return said


def _figure(figure: Any, words: str) -> str:
    if figure is None or figure.value is None:
        return f"{words}: undefined"
    span = "" if figure.low is None else f" ({figure.low:.2f} to {figure.high:.2f})"
    return f"{words} {figure.value:.2f}{span}"
