"""``diaphane predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    BundleName,
    JsonFlag,
    Memory,
    Mirror,
    Overlap,
    QuietFlag,
    ReadAs,
    Seg,
    Spacing,
    Threads,
    Tilt,
    Units,
    progress_bar,
    read_options,
    say,
    say_json,
    stack_of,
    tell_refused,
    verb,
)
from diaphane.core.errors import UsageError


@verb
def predict(
    bundle: BundleName,
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files, folders or data sets.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="CSV file to write.", metavar="FILE.csv")],
    contributions: Annotated[
        bool,
        typer.Option("--contributions", help="Add the logit and the parts that add up to it."),
    ] = False,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Folder for a mask per case.", metavar="DIR"),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of masks: nii.gz, nii, mha, nrrd, png or seg (default: as the input).",
            metavar="FORMAT",
        ),
    ] = None,
    seg: Seg = None,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Write those as well, into DIR-probabilities."),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write a map of it as well, into DIR-uncertainty."),
    ] = False,
    overlap: Overlap = None,
    mirror: Mirror = None,
    memory: Memory = 2048,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what an interrupted run of this finished.")
    ] = False,
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Probabilities, or masks and volumes, for any number of cases: one CSV row each.

    Columns: file, probability:CLASS, prediction_set, unlike_training; of a segmentation bundle
    file, unit, volume:LABEL, predicted_dice:LABEL, mask. Inputs that cannot be used are listed
    with reasons in rejected.csv beside FILE.csv, and the rest is done.
    """
    from diaphane import batch
    from diaphane.bundle import load_bundle

    if seg is not None:
        form = _dicom_form(form, seg)
    loaded = load_bundle(bundle, threads=threads)
    drawing = batch.Drawing(
        masks, form, resume,
        batch.Outlining(overlap, mirror, memory, probabilities, uncertainty),
    )  # fmt: skip
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = batch.predict(
            loaded,
            inputs,
            out,
            contributions=contributions,
            stack=stack_of(layout),
            drawing=drawing,
            options=read_options(tilt, spacing, units, loaded.reading),
            progress=progress,
        )
    if as_json:
        say_json(
            {
                "out": None if done.out is None else str(done.out),
                "masks": None if masks is None else str(masks),
                "done": done.done,
                "kept": done.kept,
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
        kept = f" ({done.kept} of an earlier run)" if done.kept else ""
        say(f"{done.done} cases{kept}{unlike}: {done.out}", quiet=quiet)
        if masks is not None:
            say(f"Masks: {masks}", quiet=quiet)
    return tell_refused(done.refused, done.rejected, done=bool(done.done))


def _dicom_form(form: str | None, seg: str) -> str:
    """The format of masks that ``--format`` and ``--seg`` ask for together."""
    forms = {"binary": "seg", "labelmap": "labelmap"}
    if seg not in forms:
        raise UsageError(f"'{seg}' is no kind of Segmentation.", remedy="Use binary or labelmap.")
    if form not in (None, "seg", forms[seg]):
        raise UsageError("--seg is for DICOM Segmentations.", remedy="Use --format seg with it.")
    return forms[seg]
