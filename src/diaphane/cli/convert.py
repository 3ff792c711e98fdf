"""``diaphane convert``: an image to another format, a data set to another layout."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    JsonFlag,
    Layout,
    QuietFlag,
    ReadAs,
    Spacing,
    Tilt,
    Units,
    progress_bar,
    read_options,
    say,
    say_json,
    stack_of,
    tell_refused,
    verb,
    warn,
)


class Target(StrEnum):
    """Layouts of a data set that are written."""

    manifest = "manifest"
    nnunet = "nnunet"


class Carried(StrEnum):
    """Whose name DICOM made from DICOM carries."""

    none = "none"
    study = "study"


@verb
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="An image, a folder of images, or a data set.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A .nii.gz, .nii, .mha, .nrrd, .png or .dcm file, or a folder."
        ),
    ],
    *,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="nii.gz, nii, mha, nrrd, png or dicom; default: by OUT's ending, and for a folder "
            "nii.gz from DICOM, dicom from everything else.",
            metavar="FORMAT",
        ),
    ] = None,
    to: Annotated[
        Target | None, typer.Option("--to", help="Layout for a data set: manifest or nnunet.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series, by number, key or UID (default: each).")
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(help="What IN is, where its format cannot say (CT, MR, ...)."),
    ] = None,
    identity: Annotated[
        Carried,
        typer.Option(
            help="DICOM to DICOM: 'study' copies patient and study, 'none' writes pseudonyms."
        ),
    ] = Carried.none,
    mask: Annotated[
        Path | None, typer.Option(help="A mask on IN's grid, converted with it.")
    ] = None,
    mask_out: Annotated[
        Path | None, typer.Option(help="Where the mask goes (default: beside OUT).")
    ] = None,
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Convert images between DICOM, NIfTI, MHA, NRRD and pictures, or a data set's layout.

    Voxels and geometry are kept; what the new format cannot hold is told. A folder gives each of
    its series or images, named by keyed series ids, never by patient names. Inputs that cannot be
    used are listed with reasons in rejected.csv in OUT.
    """
    from diaphane.batch.converting import Conversion, convert_images
    from diaphane.batch.layouts import Relaying, convert_dataset
    from diaphane.core.errors import UsageError

    if mask_out is not None and mask is None:
        raise UsageError("--mask-out needs --mask.")
    options = read_options(tilt, spacing, units)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        if to is None:
            how = Conversion(
                form,
                series,
                None if modality is None else modality.upper(),
                identity is Carried.study,
                mask,
                mask_out,
                layout is not Layout.images,
                options,
            )
            done = convert_images(source, out, how, progress)
        else:
            relaying = Relaying(to.value, form, stack_of(layout), options)
            done = convert_dataset(source, out, relaying, progress)
    if as_json:
        say_json(
            {
                "out": str(out),
                "written": [str(path) for path in done.written],
                "notes": list(done.notes),
                "refused": [vars(refusal) for refusal in done.refused],
                "rejected": None if done.rejected is None else str(done.rejected),
            }
        )
    else:
        for path in done.written[:12]:
            say(f"written  {path}", quiet=quiet)
        if len(done.written) > 12:
            say(f"and {len(done.written) - 12} more", quiet=quiet)
        for note in done.notes:
            warn(f"note     {note}")
    return tell_refused(done.refused, done.rejected, done=bool(done.written))
