"""``diaphane calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    BundleName,
    JsonFlag,
    Lang,
    QuietFlag,
    ReportLang,
    Seed,
    Spacing,
    Threads,
    Tilt,
    Units,
    aligned,
    figure_words,
    progress_bar,
    read_options,
    say,
    say_json,
    verb,
    warn,
)

if TYPE_CHECKING:
    from diaphane.batch import CalibrationSummary


@verb
def calibrate(
    bundle: BundleName,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Your own labelled cases.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the new bundle.", metavar="BUNDLE2")
    ],
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="train, val, test or all (default: all but 'test').", metavar="S"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the new bundle (default: the old one-site).")
    ] = None,
    lang: ReportLang = Lang.en,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    seed: Seed = 0,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Fit a bundle's decisions anew on your own labelled cases.

    Calibration, prediction sets, operating points and the limit of unlike training are refitted;
    the model stays byte for byte. Figures before and after are of groups held out of the
    fitting. Cases that the bundle was trained on are left out. A report BUNDLE2.html is put
    beside the new bundle.
    """
    from diaphane import batch
    from diaphane.bundle import load_classifier

    loaded = load_classifier(bundle, threads=threads)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.calibrate(
            loaded,
            dataset,
            out,
            split=split,
            name=name,
            lang=lang.value,
            seed=seed,
            options=read_options(tilt, spacing, units, loaded.reading),
            progress=progress,
        )
    if as_json:
        say_json(_facts(done))
    elif not quiet:
        _tell(done)
    if done.refused:
        warn(f"diaphane: {len(done.refused)} refused, see {done.rejected}")
        return SOME_REFUSED
    return DONE


def _facts(done: CalibrationSummary) -> dict[str, object]:
    return {
        "out": str(done.out),
        "report": str(done.report),
        "n": done.n,
        "groups": done.groups,
        "cases": dict(done.counts),
        "seen": done.seen,
        "kept_for_test": done.kept_for_test,
        "helped": done.helped,
        "verdict": done.verdict,
        "changes": {name: change.to_dict() for name, change in done.changes.items()},
        "refused": [vars(refusal) for refusal in done.refused],
        "rejected": None if done.rejected is None else str(done.rejected),
        "notes": list(done.notes),
    }


def _tell(done: CalibrationSummary) -> None:
    for note in done.notes:
        say(note)
    if done.seen:
        say(f"{done.seen} cases are left out: the bundle was trained on them.")
    if done.kept_for_test:
        say(f"{done.kept_for_test} cases of the data set's test part are left out.")
    counts = ", ".join(f"{n} {label}" for label, n in done.counts.items())
    say(f"Fitted on {done.n} cases of {done.groups} groups: {counts}.")
    rows = [
        (
            label.replace("_", " "),
            figure_words(change.baseline_interval),
            figure_words(change.model_interval),
            figure_words(change.difference, sign="+"),
        )
        for label, change in done.changes.items()
    ]
    aligned([("on groups held out", "before", "after", "change"), *rows])
    say(done.verdict)
    say(f"Bundle: {done.out}")
    say(f"Report: {done.report}")
