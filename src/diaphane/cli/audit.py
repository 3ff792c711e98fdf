"""``diaphane audit``: who did what to which study, when; and whether the record holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diaphane.cli.console import (
    DONE,
    NOTHING_DONE,
    JsonFlag,
    QuietFlag,
    say,
    say_json,
    verb,
    warn,
)
from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.privacy.audit import AuditChain
    from diaphane.privacy.events import Entry

_COLUMNS = ("number", "time", "user", "action", "study", "detail", "hash", "fault")
_SHOWN = 20


class Action(StrEnum):
    """What to do with the chain."""

    verify = "verify"
    show = "show"
    export = "export"


@verb
def audit(
    action: Annotated[Action, typer.Argument(metavar="verify|show|export", help="What to do.")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A chain (default: this installation's)."),
    ] = None,
    *,
    head: Annotated[
        str, typer.Option("--head", metavar="HASH", help="An entry that must be there (verify).")
    ] = "",
    study: Annotated[
        str,
        typer.Option("--study", metavar="ID", help="One study: UID, patient ID or pseudonym."),
    ] = "",
    only: Annotated[
        str, typer.Option("--action", metavar="CODE", help="One action: analyze, send, ...")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From this day or time on (UTC).")
    ] = "",
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="Up to this day or time (UTC).")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A .csv or .jsonl file (export).")
    ] = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Verify, show or export the audit chain.

    verify reads every entry again and tells what was changed, dropped, put in, reordered or cut
    off (exit code 3). show and export tell who did what to which study, when; an ID given to
    --study is turned into its pseudonym, never written anywhere.
    """
    from diaphane.privacy import AuditChain

    chain = AuditChain(file)
    if action is Action.verify:
        if study or only or since or until:
            raise UsageError("The whole chain is verified: --study and the like are for show.")
        return _verify(chain, head, quiet=quiet, as_json=as_json)
    if head:
        raise UsageError("--head is for verify.")
    if (out is None) is (action is Action.export):
        raise UsageError("export needs --out FILE; show has none.")
    rows = _rows(chain, _Wanted.parsed(study, only, since, until))
    if out is None:
        _show(rows, quiet=quiet, as_json=as_json)
    else:
        count = _export(rows, out)
        if as_json:
            say_json({"out": str(out), "entries": count})
        else:
            say(f"Written: {out} ({count} entries)", quiet=quiet)
    return DONE


def _verify(chain: AuditChain, head: str, *, quiet: bool, as_json: bool) -> int:
    found = chain.verify(head)
    if as_json:
        say_json({"path": str(chain.path), "intact": found.intact, **asdict(found)})
    else:
        if found.intact:
            say(f"{chain.path}: {found.entries} entries, all hold. Head {found.head}", quiet=quiet)
        else:
            warn(f"{chain.path}: does not hold ({found.entries} entries do).")
        for fault in found.faults[:_SHOWN]:
            warn(f"  {fault}")
        if len(found.faults) > _SHOWN:
            warn(f"  and {len(found.faults) - _SHOWN} more")
        for note in found.notes:
            say(f"  {note}", quiet=quiet)
    return DONE if found.intact else NOTHING_DONE


@dataclass(frozen=True)
class _Wanted:
    """Which entries are asked for; empty fields leave all in."""

    studies: frozenset[str]
    action: str
    since: datetime | None
    until: datetime | None

    @classmethod
    def parsed(cls, study: str, action: str, since: str, until: str) -> _Wanted:
        studies = {study} if study else set()
        if study:
            from diaphane.privacy import Pseudonymiser

            names = Pseudonymiser.load()
            studies |= {names.pseudonym(study, kind) for kind in ("study", "patient")}
        end = _time(until)
        if end is not None and len(until) == len("2026-11-28"):
            end += timedelta(days=1) - timedelta(microseconds=1)
        return cls(frozenset(studies), action, _time(since), end)

    def has(self, entry: Entry) -> bool:
        when = datetime.fromisoformat(entry.time)
        return (
            (not self.studies or entry.event.study in self.studies)
            and (not self.action or entry.event.action == self.action)
            and (self.since is None or when >= self.since)
            and (self.until is None or when <= self.until)
        )


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is no time.", remedy="Write 2026-11-28 or 2026-11-28T09:30."
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _rows(chain: AuditChain, wanted: _Wanted) -> Iterator[dict[str, Any]]:
    """The entries asked for; lines that are no entries always come, with their fault."""
    for entry, fault in chain.entries():
        if entry is None:
            yield {**dict.fromkeys(_COLUMNS, ""), "detail": {}, "fault": fault}
        elif wanted.has(entry):
            yield {
                "number": entry.number,
                "time": entry.time,
                "user": entry.user,
                "action": entry.event.action,
                "study": entry.event.study,
                "detail": dict(entry.event.detail),
                "hash": entry.hash,
                "fault": fault,
            }


def _show(rows: Iterator[dict[str, Any]], *, quiet: bool, as_json: bool) -> None:
    if as_json:
        say_json({"entries": list(rows)})
        return
    table = [("no", "time (UTC)", "user", "action", "study", "detail")]
    for row in rows:
        detail = row["fault"] or ", ".join(f"{k} {v}" for k, v in row["detail"].items())
        number = f"{row['number']}{'!' if row['fault'] else ''}"
        table.append((number, row["time"][:19], row["user"], row["action"], row["study"], detail))
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]) - 1)]
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        say("  ".join((*cells, line[-1])).rstrip(), quiet=quiet)


def _export(rows: Iterator[dict[str, Any]], out: Path) -> int:
    from diaphane.core.files import replacing
    from diaphane.core.tables import TableWriter

    if out.suffix not in (".csv", ".jsonl"):
        raise UsageError("An export is a .csv or a .jsonl file.", path=out)
    count = 0
    with replacing(out) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = TableWriter(file)
        if out.suffix == ".csv":
            writer.row(_COLUMNS)
        for row in rows:
            count += 1
            if out.suffix == ".csv":
                detail = json.dumps(row["detail"], sort_keys=True)
                writer.row({**row, "detail": detail}.values())
            else:
                file.write(json.dumps(row, sort_keys=True) + "\n")
    return count
