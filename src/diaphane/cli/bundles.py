"""``diaphane bundles``: what is installed; verify, import, export, show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diaphane.cli.console import JsonFlag, QuietFlag, say, say_json, verb
from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.bundle import AnyBundle


class Action(StrEnum):
    """What to do with bundles."""

    list = "list"
    verify = "verify"
    show = "show"
    importing = "import"
    export = "export"


@verb
def bundles(
    action: Annotated[
        Action, typer.Argument(metavar="[list|verify|show|import|export]", help="What to do.")
    ] = Action.list,
    bundle: Annotated[
        str | None, typer.Argument(metavar="[BUNDLE]", help="Name, folder or zip.")
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.zip", help="Zip to write (export).")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an installed bundle (import).")
    ] = False,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """List bundles; verify, show, import or export one.

    verify checks every file against its hash and opens the model; show prints the model card;
    import puts a folder or zip into the user's folder; export writes a zip.
    """
    from diaphane.bundle import export_bundle, import_bundle, verify

    if action is Action.list:
        if bundle is not None:
            raise UsageError(f"'{bundle}' is not expected here.", remedy="See: diaphane bundles -h")
        _list(quiet=quiet, as_json=as_json)
        return
    if bundle is None:
        raise UsageError(f"Which bundle? Use: diaphane bundles {action} BUNDLE")
    if out is not None and action is not Action.export:
        raise UsageError("--out is for export.")
    if action is Action.export:
        checked = verify(bundle)
        target = out or Path(f"{checked.name}-{checked.manifest.version}.zip")
        if target.is_dir():
            raise UsageError("The output must be a file.", path=target, remedy="--out FILE.zip")
        written = export_bundle(bundle, target)
        _tell(checked, f"Written: {written}", quiet=quiet, as_json=as_json, out=str(written))
    elif action is Action.importing:
        place = import_bundle(bundle, replace=replace)
        _tell(verify(place), "Installed", quiet=quiet, as_json=as_json)
    elif action is Action.verify:
        _tell(verify(bundle), "Every file matches its hash", quiet=quiet, as_json=as_json)
    else:
        checked = verify(bundle)
        if as_json:
            say_json(checked.manifest.model_dump(mode="json", exclude={"seen"}))
        else:
            say(checked.card, quiet=quiet)


def _list(*, quiet: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from diaphane.bundle import installed

    found = installed()
    if as_json:
        rows = [{**vars(row), "path": str(row.path)} for row in found]
        say_json({"bundles": rows})
        return
    if quiet:
        return
    if not found:
        say("No bundle is installed. Add one with: diaphane bundles import FILE.zip")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "version", "task", "size", "licence", "from"):
        table.add_column(title, justify="right" if title == "size" else "left")
    for row in found:
        if row.problem is None:
            size = f"{row.size / 1e6:.1f} MB"
            table.add_row(row.name, row.version, row.task, size, row.licence, row.origin)
        else:
            table.add_row(row.name, "-", f"cannot be used: {row.problem}", "-", "-", row.origin)
    Console(soft_wrap=True).print(table)


def _tell(bundle: AnyBundle, text: str, *, quiet: bool, as_json: bool, **more: Any) -> None:
    if as_json:
        facts = {
            "name": bundle.name,
            "version": bundle.manifest.version,
            "sha256": bundle.sha256,
            "size": bundle.size,
        }
        say_json({**facts, **more})
    else:
        say(f"{bundle.name} {bundle.manifest.version}: {text}.", quiet=quiet)
