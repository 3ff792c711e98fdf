"""``diaphane index``: a data set from a tree of DICOM and a spreadsheet."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diaphane.cli.console import (
    JsonFlag,
    QuietFlag,
    Spacing,
    Tilt,
    progress_bar,
    read_options,
    say,
    say_json,
    tell_refused,
    verb,
)


class Key(StrEnum):
    """What a row of the table is about."""

    PatientID = "PatientID"
    StudyInstanceUID = "StudyInstanceUID"
    AccessionNumber = "AccessionNumber"
    folder = "folder"


@verb
def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A tree of DICOM files.")],
    *,
    labels: Annotated[
        Path | None,
        typer.Option(help="The spreadsheet, saved as CSV (any delimiter and encoding)."),
    ] = None,
    on: Annotated[
        Key | None, typer.Option(help="What its rows are about (default: by its columns).")
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Its column of --on, where it has another name.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A column that is a label; repeatable.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Its encoding, where it is not to be guessed.")
    ] = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            help="Take one series of several: largest, thinnest, term:WORD, kernel:NAME, "
            "modality:NAME, plane:NAME; repeatable, in this order (default: a row for each).",
            metavar="RULE",
        ),
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="Only series of this modality; repeatable.")
    ] = None,
    localizers: Annotated[
        bool, typer.Option("--localizers", help="Scout images count as well.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="The table; at or above FOLDER.", metavar="labels.csv")
    ] = Path("labels.csv"),
    tilt: Tilt = None,
    spacing: Spacing = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Make a data set of a tree of DICOM: labels.csv with a row for each usable series.

    Rows of the spreadsheet without a series, and series without a row, are listed in
    unmatched.csv beside it; what cannot be read in rejected.csv. Groups are keyed pseudonyms.
    """
    from diaphane.batch.indexing import Indexing
    from diaphane.batch.indexing import index as index_folder

    how = Indexing(
        labels,
        encoding,
        None if on is None else on.value,
        column,
        tuple(label or ()),
        tuple(prefer or ()),
        tuple(modality or ()),
        localizers,
        read_options(tilt, spacing),
    )
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done = index_folder(folder, out, how, progress)
    if as_json:
        say_json(
            {
                "out": str(done.out),
                "rows": done.rows,
                "groups": done.groups,
                "labels": done.labels,
                "unmatched": None if done.unmatched is None else str(done.unmatched),
                "unmatched_table_rows": done.table_left,
                "unmatched_series": done.series_left,
                "notes": list(done.notes),
                "refused": [vars(refusal) for refusal in done.refused],
                "rejected": None if done.rejected is None else str(done.rejected),
            }
        )
    else:
        say(f"{done.rows} rows, of {done.groups} patients: {done.out}", quiet=quiet)
        for name, counts in done.labels.items():
            shown = ", ".join(f"{value} {count}" for value, count in list(counts.items())[:12])
            say(f"  {name:<9} {shown}", quiet=quiet)
        if done.unmatched is not None:
            told = f"{done.table_left} rows of the table and {done.series_left} series"
            say(f"Left out: {told}, see {done.unmatched}", quiet=quiet)
        for note in done.notes:
            typer.echo(f"note     {note}", err=True)
    return tell_refused(done.refused, done.rejected, done=True)
