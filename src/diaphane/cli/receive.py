"""``diaphane receive``."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from diaphane.cli.console import DONE, INTERRUPTED, JsonFlag, QuietFlag, say, say_json, verb
from diaphane.cli.line import Authority, Certificate, Key, Title, tls_of
from diaphane.core.errors import InputError, UsageError

_MIB = 2**20


@verb
def receive(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for what comes in.")],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; loopback unless named.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port.")] = 11112,
    aet: Title = "DIAPHANE",
    peer: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="AE@HOST[:PORT]", help="Who may call; repeatable."),
    ] = None,
    quiet_for: Annotated[
        float,
        typer.Option("--quiet-for", min=0, metavar="S", help="Hand a study on after so long."),
    ] = 30.0,
    analyze: Annotated[
        str | None, typer.Option("--analyze", metavar="NAME", help="App or bundle for each study.")
    ] = None,
    send_to: Annotated[
        str | None,
        typer.Option("--send-to", metavar="AE@HOST:PORT", help="Who gets SEG and SR."),
    ] = None,
    max_associations: Annotated[int, typer.Option(min=1, help="At once.")] = 32,
    max_pdu: Annotated[int, typer.Option(min=4096, max=2**20, help="Bytes of one PDU.")] = 131_072,
    max_object: Annotated[int, typer.Option(min=1, metavar="MIB", help="Of one object.")] = 4096,
    keep_free: Annotated[int, typer.Option(min=0, metavar="MIB", help="Of the disk.")] = 1024,
    keep_days: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Delete finished studies after.")
    ] = None,
    idle: Annotated[float, typer.Option(min=1, metavar="S", help="Abort silent callers.")] = 120.0,
    retry: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="First wait while a peer is down.")
    ] = 5.0,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_ca: Authority = None,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="Log there, not to the terminal.")
    ] = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Receive studies over DICOM, keep them, and hand each on once it is quiet.

    An object is acknowledged when it is on the disk. Studies appear whole under DIR/studies.
    With --analyze each is analysed, and with --send-to its results are sent on. Ends with
    SIGTERM or Ctrl-C; what is not done is done at the next start.
    """
    from diaphane.acquire.network import Line, Peer, ae_title
    from diaphane.serve import Access, Limits, Receiver, Room, Service

    if send_to is not None and analyze is None:
        raise UsageError(
            "--send-to sends results, and nothing is analysed.", remedy="Add --analyze."
        )
    _log_to(log, quiet=quiet)
    title, tls = ae_title(aet), tls_of(tls_cert, tls_key, tls_ca)
    app = None if analyze is None else Analysis(analyze)
    service = Service(
        folder=out,
        access=Access(title, [Peer.parse(text, with_port=False) for text in peer or ()]),
        host=host,
        port=port,
        limits=Limits(max_associations, max_pdu, idle),
        room=Room(max_object * _MIB, keep_free * _MIB),
        quiet=quiet_for,
        tls=tls,
        analyze=app,
        send_to=None if send_to is None else Line(Peer.parse(send_to), title, tls),
        retry=retry,
        keep_days=keep_days,
    )
    receiver = Receiver(service)
    ended: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        ended.append(number)
        receiver.stop()
        if app is not None:
            app.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    secured = "with TLS" if tls else "without TLS"
    logging.getLogger("diaphane.serve").info(
        "listening on %s:%d as %s, %s", host, receiver.port, title, secured
    )
    receiver.run()
    counts = dict(sorted(receiver.counts.items()))
    if as_json:
        say_json({"out": str(out), "port": receiver.port, "objects": counts})
    else:
        told = ", ".join(f"{code} {n}" for code, n in counts.items()) or "none"
        say(f"Stopped. Objects since the start: {told}", quiet=quiet)
    return INTERRUPTED if signal.SIGINT in ended else DONE


class Analysis:
    """``diaphane analyze`` as a process of its own: it may break down without the receiver."""

    def __init__(self, name: str) -> None:
        from diaphane.apps import find_app

        find_app(name)  # better refused now than at the first study
        self._name = name
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._over = False

    def __call__(self, study: Path, out: Path) -> Sequence[Path]:
        """DICOM results of a study, in ``out``.

        Raises
        ------
        InputError
            The app refuses the study.
        ChildProcessError
            It broke down.
        """
        words = [sys.executable, "-m", "diaphane", "analyze", str(study)]
        words += ["--with", self._name, "--out", str(out), "--json"]
        with self._lock:
            if self._over:
                raise ChildProcessError
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        said, _ = self._process.communicate()
        if self._process.returncode == 0:
            return sorted(out.rglob("*.dcm"))
        try:
            told = json.loads(said)
            raise InputError(f"The app refuses the study ({told['error']}).")
        except (ValueError, KeyError):
            raise ChildProcessError from None

    def stop(self) -> None:
        """End what is under way, and begin nothing."""
        with self._lock:
            self._over = True
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()


def _log_to(path: Path | None, *, quiet: bool) -> None:
    """Log of the receiver: pseudonyms, titles and addresses of peers, never a patient."""
    log = logging.getLogger("diaphane.serve")
    handler = (
        logging.StreamHandler() if path is None else logging.FileHandler(path, encoding="utf-8")
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.WARNING if quiet else logging.INFO)
