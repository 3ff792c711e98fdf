"""``diaphane deidentify``: DICOM files without identity, and the search for what is left of it."""

from __future__ import annotations

from collections import Counter
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

_SHOWN = 20


@verb
def deidentify(
    source: Annotated[
        Path | None, typer.Argument(metavar="IN", help="A DICOM file or a folder of them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="The folder that is written.")
    ] = None,
    *,
    profile: Annotated[
        str, typer.Option(help="'basic', or a YAML file with retain and clean.")
    ] = "basic",
    retain: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep: uids, device, institution, patient-characteristics, full-dates, "
            "modified-dates, safe-private; repeatable.",
            metavar="NAME",
        ),
    ] = None,
    clean: Annotated[
        list[str] | None,
        typer.Option(
            help="Clean instead of removing: descriptors, structured-content, graphics, pixels, "
            "pixels-everywhere; repeatable.",
            metavar="NAME",
        ),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="CSV: PatientID, subject code[, days].", metavar="MAP.csv")
    ] = None,
    id_format: Annotated[
        str | None,
        typer.Option(help="Number the other patients: 'SITE01-{n:04}'.", metavar="FORMAT"),
    ] = None,
    link: Annotated[
        Path | None, typer.Option(help="The link table (mode 0600), outside OUT.", metavar="FILE")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Every attribute changed, as .csv or .html.")
    ] = None,
    previews: Annotated[
        Path | None,
        typer.Option(
            help="With --clean pixels: pictures before and after, for a person to confirm; they "
            "show identity.",
            metavar="DIR",
        ),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Search a folder for what is left, instead.", metavar="DIR")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="With --check: the originals.", metavar="ORIGINALS")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Write DICOM files without identity (PS3.15 Basic Profile), or search for leftovers.

    Refused files are listed in rejected.csv beside OUT. With --check the exit code is 1 when
    something is found.
    """
    from diaphane.acquire.frames import try_pixels
    from diaphane.batch.tables import Refusal, write_refusals
    from diaphane.core.errors import UsageError
    from diaphane.privacy.dicom.files import inside
    from diaphane.privacy.dicom.folder import Order, deidentify_folder
    from diaphane.privacy.dicom.people import Naming, check_format, read_codes
    from diaphane.privacy.dicom.profile import Profile
    from diaphane.report.changes import check_changes, write_changes

    if check is not None:
        if source is not None or out is not None:
            raise UsageError("--check DIR takes no IN and OUT.")
        return _check(check, against, as_json=as_json, quiet=quiet)
    if source is None or out is None:
        raise UsageError("Give IN and OUT, or --check DIR.")
    if against is not None:
        raise UsageError("--against goes with --check.")
    if report is not None:
        check_changes(report)
        if inside(report, source) or (link is not None and inside(report, link)):
            raise UsageError("The report must not lie in the input, nor be the link table.")
    naming = Naming(
        None if ids is None else read_codes(ids),
        None if id_format is None else check_format(id_format),
    )
    chosen = Profile.read(profile).with_options(retain or [], clean or [])
    order = Order(source, out, chosen, naming, link, workers, previews, try_pixels)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        outcome = deidentify_folder(order, progress)
    if report is not None:
        write_changes(report, outcome.done)
    refused = [Refusal.of(str(path), error) for path, error in outcome.refused]
    listed = write_refusals(out.absolute().parent, refused)
    actions = Counter(change.action for one in outcome.done for change in one.changes)
    if as_json:
        say_json(
            {
                "out": str(out),
                "files": len(outcome.done),
                "patients": outcome.patients,
                "studies": outcome.studies,
                "refused": [vars(item) for item in refused],
                "ignored": outcome.ignored,
                "actions": dict(actions),
                "profile": chosen.name,
                "retain": sorted(chosen.retain),
                "clean": sorted(chosen.clean),
            }
        )
    else:
        if outcome.done:
            say(
                f"Files: {len(outcome.done)}, patients: {outcome.patients}, "
                f"studies: {outcome.studies}; written to {out}",
                quiet=quiet,
            )
            done = ", ".join(f"{count} {action}" for action, count in actions.most_common())
            say(f"Attributes: {done}", quiet=quiet)
        if outcome.ignored:
            say(f"{outcome.ignored} files are no DICOM objects; not copied.", quiet=quiet)
        if not chosen.cleans_pixels and outcome.done:
            say("Pixels are as they were; --clean pixels blanks text in them.", quiet=quiet)
        if listed is not None:
            typer.echo(f"Refused: {len(refused)}; see {listed}", err=True)
    if not outcome.done:
        return NOTHING_DONE
    return SOME_REFUSED if refused else DONE


def _check(folder: Path, against: Path | None, *, as_json: bool, quiet: bool) -> int:
    from diaphane.acquire.frames import try_pixels
    from diaphane.privacy.dicom.checking import check_folder

    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        found = check_folder(folder, against, progress, try_pixels=try_pixels)
    if as_json:
        say_json(
            {"folder": str(folder), "files": found.files, "left": [vars(x) for x in found.left]}
        )
    else:
        first = {(item.where, item.what): item.file for item in reversed(found.left)}
        counted = Counter((item.where, item.what) for item in found.left)
        for (where, what), count in counted.most_common(_SHOWN):
            more = f" and {count - 1} more" if count > 1 else ""
            typer.echo(f"{where}: {what}, in {first[where, what]}{more}", err=True)
        if len(counted) > _SHOWN:
            typer.echo(f"and {len(counted) - _SHOWN} more kinds; --json lists all", err=True)
        say(f"{found.files} files searched, {len(found.left)} leftovers", quiet=quiet)
    return SOME_REFUSED if found.left else DONE
