"""``diaphane reidentify``: results that come back get their patient's identity again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    DONE,
    NOTHING_DONE,
    SOME_REFUSED,
    JsonFlag,
    QuietFlag,
    progress_bar,
    say,
    say_json,
    verb,
)


@verb
def reidentify(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A DICOM file or folder with codes for patients.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that is written.")],
    *,
    link: Annotated[Path, typer.Option(help="The link table of deidentify.", metavar="FILE")],
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Give DICOM results (SEG, SR, ...) the identity of their patient and study again."""
    from diaphane.batch.tables import Refusal, write_refusals
    from diaphane.privacy.dicom.back import reidentify_folder

    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        outcome = reidentify_folder(source, out, link, progress)
    refused = [Refusal.of(str(path), error) for path, error in outcome.refused]
    listed = write_refusals(out.absolute().parent, refused)
    if as_json:
        say_json(
            {
                "out": str(out),
                "files": len(outcome.done),
                "patients": outcome.patients,
                "studies": outcome.studies,
                "refused": [vars(item) for item in refused],
                "ignored": outcome.ignored,
            }
        )
    else:
        say(
            f"{len(outcome.done)} files of {outcome.patients} patients, {outcome.studies} studies, "
            f"written to {out}",
            quiet=quiet,
        )
        if listed is not None:
            typer.echo(f"{len(refused)} files refused; see {listed}", err=True)
    if not outcome.done:
        return NOTHING_DONE
    return SOME_REFUSED if refused else DONE
