"""``diaphane find``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.cli.console import (
    DONE,
    NOTHING_DONE,
    JsonFlag,
    QuietFlag,
    aligned,
    progress_bar,
    say,
    say_json,
    verb,
)
from diaphane.cli.line import Authority, Certificate, Key, Timeout, Title, tls_of
from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.acquire.network import Line, Query, Web

_OPEN = (
    "Modality", "ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    "NumberOfSeriesRelatedInstances", "SeriesNumber", "InstanceNumber",
)  # fmt: skip
_KEYED = {"PatientID": "patient", "StudyInstanceUID": "study", "SeriesInstanceUID": "series", "SOPInstanceUID": "case"}  # fmt: skip


class Level(StrEnum):
    """What is looked for."""

    study = "study"
    series = "series"
    image = "image"


class Shown(StrEnum):
    """Whether patients and UIDs are named."""

    hide = "hide"
    show = "show"


@verb
def find(
    peer: Annotated[str, typer.Argument(metavar="AE@HOST:PORT|URL", help="A peer, or DICOMweb.")],
    match: Annotated[
        list[str] | None, typer.Argument(metavar="KEYWORD=VALUE...", help="Such as PatientID=7.")
    ] = None,
    *,
    level: Annotated[Level, typer.Option("--level", help="What to look for.")] = Level.study,
    fetch: Annotated[
        Path | None, typer.Option("--fetch", metavar="DIR", help="Get what is found, too.")
    ] = None,
    move_to: Annotated[
        str | None, typer.Option("--move-to", metavar="AE", help="Have it sent to that title.")
    ] = None,
    echo: Annotated[
        bool, typer.Option("--echo", help="Only ask whether the peer is there.")
    ] = False,
    identity: Annotated[
        Shown, typer.Option("--identity", help="Show or hide patients, dates and UIDs.")
    ] = Shown.hide,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Of matches.")] = 100,
    aet: Title = "DIAPHANE",
    timeout: Timeout = 30.0,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_ca: Authority = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Find studies at a PACS (C-FIND, QIDO), and fetch them (C-GET, WADO) or have them moved."""
    from diaphane.acquire import network

    tls = tls_of(tls_cert, tls_key, tls_ca)
    if network.is_web(peer):
        if echo or move_to:
            raise UsageError("DICOMweb knows neither C-ECHO nor C-MOVE.")
        side: Web | Line = network.Web(peer, tls, timeout)
    else:
        side = network.Line(network.Peer.parse(peer), network.ae_title(aet), tls, timeout)
        if echo:
            network.echo(side)
            say_json({"peer": peer, "answers": True}) if as_json else say(
                f"{peer} answers", quiet=quiet
            )
            return DONE
    query = network.Query(level.value, dict(_pair(text) for text in match or ()))
    if isinstance(side, network.Web):
        found = side.find(query, limit)
    else:
        found = network.find(query, side, limit)
    brought = 0
    if found and (fetch or move_to):
        with progress_bar(quiet=quiet, as_json=as_json) as progress:
            wanted = [_only(level.value, row) for row in found]
            for number, one in enumerate(wanted):
                progress("fetching", number / len(wanted))
                brought += _bring(one, side, fetch, move_to)
    if identity is Shown.show:
        _record(found)
    rows = found if identity is Shown.show else _hidden(found)
    if as_json:
        say_json({"peer": peer, "matches": rows, "fetched": brought})
    elif not quiet:
        _table(rows)
        if fetch or move_to:
            say(f"{brought} objects are in {fetch}" if fetch else f"{brought} objects moved")
    return DONE if found else NOTHING_DONE


def _pair(text: str) -> tuple[str, str]:
    keyword, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"'{text}' is not KEYWORD=VALUE.", remedy="Such as PatientID=12345")
    return keyword.strip(), value.strip()


def _only(level: str, row: dict[str, str]) -> Query:
    """The query that names exactly what a row is about."""
    from diaphane.acquire.network import Query

    kept = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return Query(level, {key: row[key] for key in kept if row.get(key)})


def _bring(query: Query, side: Line | Web, folder: Path | None, title: str | None) -> int:
    from diaphane.acquire import network
    from diaphane.privacy import AuditChain, Event, Pseudonymiser

    if isinstance(side, network.Web):
        count = len(side.fetch(query, folder or Path()))
    elif folder is not None:
        count = len(network.fetch(query, side, folder))
    else:
        count = network.move(query, side, title or "")
    study = Pseudonymiser.load().pseudonym(query.keys["StudyInstanceUID"], "study")
    AuditChain().append(Event("fetch", study, {"files": count}))
    return count


def _record(found: Sequence[dict[str, str]]) -> None:
    """Enter in the audit chain whose identity is shown, before it is."""
    from diaphane.core.case import Identity
    from diaphane.privacy import AuditChain, Event, Pseudonymiser, study_pseudonym

    names, chain = Pseudonymiser.load(), AuditChain()
    told = ((row.get("PatientName", ""), row.get("PatientID", "")) for row in found)
    studies = (row.get("StudyInstanceUID", "") for row in found)
    whose = (Identity(*who, study_uid=uid) for who, uid in zip(told, studies, strict=True))
    for study, rows in Counter(study_pseudonym(who, names) for who in whose).items():
        chain.append(Event("find", study, {"identity": "show", "matches": rows}))


def _hidden(found: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Rows without identity: pseudonyms in place of IDs, and nothing that a person typed."""
    from diaphane.privacy import Pseudonymiser

    name: Callable[[str, str], str] = Pseudonymiser.load().pseudonym
    return [
        {key: name(row[key], kind) for key, kind in _KEYED.items() if row.get(key)}
        | {key: row[key] for key in _OPEN if key in row}
        for row in found
    ]


def _table(rows: Sequence[dict[str, str]]) -> None:
    if not rows:
        say("Nothing matches.")
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    aligned([columns, *([row.get(column, "") for column in columns] for row in rows)])
