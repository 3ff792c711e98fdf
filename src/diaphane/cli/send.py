"""``diaphane send``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    warn,
)
from diaphane.cli.line import Authority, Certificate, Key, Timeout, Title, tls_of
from diaphane.core.errors import EmptyInput, InputError, NetworkError, UsageError

if TYPE_CHECKING:
    from diaphane.acquire.network import Delivery, Outgoing


@verb
def send(
    paths: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="DICOM files or folders.")
    ],
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="AE@HOST:PORT|URL", help="A peer, or DICOMweb (STOW).")
    ],
    aet: Title = "DIAPHANE",
    commit: Annotated[
        bool, typer.Option("--commit", help="Have the peer promise to keep them.")
    ] = False,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Where the peer reports its promise."),
    ] = None,
    timeout: Timeout = 30.0,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_ca: Authority = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Send DICOM files to a peer as they are.

    Files in folders that are not DICOM are left out.
    """
    from diaphane.acquire.network import Line, Peer, Web, ae_title, is_web
    from diaphane.acquire.network import commit as promise
    from diaphane.acquire.network import send as deliver

    if commit and is_web(to):
        raise UsageError("DICOMweb knows no storage commitment.", remedy="Leave --commit out.")
    tls = tls_of(tls_cert, tls_key, tls_ca)
    files, refused = _files(paths)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        done: list[Delivery] = []

        def told(delivery: Delivery) -> None:
            done.append(delivery)
            progress("sending", len(done) / len(files))

        missing: frozenset[str] = frozenset()
        try:
            if is_web(to):
                Web(to, tls, timeout).send(files, told)
            else:
                line = Line(Peer.parse(to), ae_title(aet), tls, timeout)
                deliver(files, line, told)
                taken = [d.file for d in done if d.problem is None]
                if commit and taken:
                    missing = frozenset(file.sop_instance for file in taken)
                    try:
                        report = promise(taken, line, listen=_place(listen), wait=timeout)
                        missing = report.missing
                    except NetworkError as error:  # they are sent all the same
                        warn(f"No storage commitment: {error}")
        finally:
            _audit(done, to)
    problems = {str(d.file.path): d.problem for d in done if d.problem is not None}
    problems |= {str(d.file.path): "not committed" for d in done if d.file.sop_instance in missing}
    problems |= {str(path): problem for path, problem in refused}
    sent = len(done) - sum(d.problem is not None for d in done)
    converted = sum(d.converted for d in done)
    if as_json:
        told_all = [{"path": path, "problem": problem} for path, problem in problems.items()]
        say_json({"to": to, "sent": sent, "converted": converted, "refused": told_all})
    else:
        for path, problem in problems.items():
            typer.echo(f"refused  {path}: {problem}", err=True)
        unpacked = f", {converted} of them unpacked for it" if converted else ""
        committed = ", committed" if commit and not missing else ""
        say(f"{sent} of {len(files)} objects are with {to}{unpacked}{committed}", quiet=quiet)
    if not sent:
        return NOTHING_DONE
    return SOME_REFUSED if problems else DONE


def _files(paths: Sequence[Path]) -> tuple[list[Outgoing], list[tuple[Path, str]]]:
    """What can be sent, and files named by a person that cannot."""
    from diaphane.acquire.network import outgoing

    files: list[Outgoing] = []
    refused = []
    for path in paths:
        named = not path.is_dir()
        for file in [path] if named else sorted(p for p in path.rglob("*") if p.is_file()):
            try:
                files.append(outgoing(file))
            except InputError as error:
                if named:
                    refused.append((file, error.problem))
    if not files:
        raise EmptyInput("There is no DICOM file to send.", path=paths[0])
    return files, refused


def _place(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"'{text}' is not a place to listen.", remedy="Write HOST:PORT.")
    return host.strip("[]"), int(port)


def _audit(done: Sequence[Delivery], to: str) -> None:
    from diaphane.acquire.network import as_word
    from diaphane.privacy import Pseudonymiser
    from diaphane.privacy.audit import AuditChain
    from diaphane.privacy.events import Event

    studies = Counter(d.file.study for d in done if d.problem is None)
    names = Pseudonymiser.load()
    for study, count in studies.items():
        AuditChain().append(
            Event("send", names.pseudonym(study, "study"), {"files": count, "to": as_word(to)})
        )
