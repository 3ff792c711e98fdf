"""``diaphane preprocess``: one image through one recipe."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    JsonFlag,
    QuietFlag,
    Spacing,
    Threads,
    Tilt,
    Units,
    read_options,
    say,
    say_json,
    verb,
)


@verb
def preprocess(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Any image, volume or DICOM series.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .nii.gz, .nii, .mha, .nrrd or .png file.")
    ],
    *,
    recipe: Annotated[Path, typer.Option(help="The recipe, as YAML or JSON.")],
    mask: Annotated[
        Path | None, typer.Option(help="Labels on the same grid; they travel along.")
    ] = None,
    mask_out: Annotated[Path | None, typer.Option(help="Where the mask goes.")] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series, by UID or number.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Before and after, as .html or .png.")] = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    threads: Threads = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Run one image through a recipe and write the result."""
    from diaphane.acquire import read
    from diaphane.core.errors import UsageError
    from diaphane.preprocess import Recipe, volume_format, write_volume
    from diaphane.preprocess.guard import refuse_overwriting
    from diaphane.preprocess.picture import before_after, describe, write_report

    if (mask is None) != (mask_out is None):
        raise UsageError("--mask and --mask-out go together.")
    refuse_overwriting([out, mask_out, report], [source, recipe, mask])
    for path in (out, mask_out):
        if path is not None:
            volume_format(path)
    if report is not None and report.suffix.lower() not in (".html", ".htm", ".png"):
        raise UsageError("A report is written as .html or .png.", path=report)
    steps = Recipe.from_file(recipe)
    native = read(source, series=series, options=read_options(tilt, spacing, units))
    labels = None if mask is None else read(mask)
    began = time.perf_counter()
    done = steps.apply(native, labels, threads=threads)
    seconds = time.perf_counter() - began
    write_volume(out, done.volume)
    if mask_out is not None and done.mask is not None:
        write_volume(mask_out, done.mask)
    if report is not None:
        facts = {
            "Input": describe(native),
            "Result": describe(done.volume),
            "Recipe": steps.name or "unnamed",
            "Recipe hash (sha256)": steps.sha256,
            "Time": f"{seconds:.2f} s",
        }
        listed = [
            f"{name}: {values}"
            for step in steps.to_dict()["steps"]
            for name, values in step.items()
        ]
        write_report(report, before_after(native, done.volume), facts, listed)
    if as_json:
        say_json(
            {
                "out": str(out),
                "input": native.geometry.to_dict(),
                "result": done.volume.geometry.to_dict(),
                "recipe_sha256": steps.sha256,
                "steps": len(steps.steps),
                "seconds": seconds,
            }
        )
        return
    say(f"{describe(native)}  ->  {describe(done.volume)}", quiet=quiet)
    say(f"{len(steps.steps)} steps in {seconds:.2f} s; written to {out}", quiet=quiet)
