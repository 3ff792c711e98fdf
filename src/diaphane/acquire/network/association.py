"""Associations that diaphane asks for, with pynetdicom; C-ECHO."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from diaphane.acquire.network.peer import Peer, Tls, require_pynetdicom
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import NetworkError

Handlers = Sequence[tuple[Any, Callable[..., Any]]]


@dataclass(frozen=True)
class Line:
    """How a peer is spoken to.

    Attributes
    ----------
    peer:
        With its port.
    title:
        Own AE title.
    tls:
        Secured, or ``None``.
    timeout:
        Seconds for connecting and for each answer.
    """

    peer: Peer
    title: str = "DIAPHANE"
    tls: Tls | None = None
    timeout: float = 30.0


def entity(line: Line) -> Any:
    """Pynetdicom's application entity for a line."""
    require_pynetdicom("DICOM networking")
    from pynetdicom import AE

    made = AE(ae_title=line.title)
    made.connection_timeout = made.acse_timeout = min(line.timeout, 30.0)
    made.dimse_timeout = made.network_timeout = line.timeout
    made.maximum_pdu_size = 131_072
    return made


@contextlib.contextmanager
def associated(
    line: Line, contexts: Sequence[Any], handlers: Handlers = (), roles: Sequence[Any] = ()
) -> Iterator[Any]:
    """An association with a peer, released at the end.

    Raises
    ------
    NetworkError
        When there is none: nobody listens, TLS fails, or the peer rejects.
    """
    made = entity(line)
    peer = line.peer
    secured = None if line.tls is None else (line.tls.context(server=False), peer.host)
    with quiet(), _no_traceback():
        try:
            association = made.associate(
                peer.host, peer.port, list(contexts), ae_title=peer.title, ext_neg=list(roles),
                tls_args=secured, evt_handlers=list(handlers),
            )  # fmt: skip
        except OSError as error:
            raise NetworkError(
                f"{peer}: the host is not known.", remedy="Check its name."
            ) from error
    if not association.is_established:
        raise _refusal(association, line)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def echo(line: Line) -> None:
    """Ask whether the peer is there and talks to us (C-ECHO, PS3.4 annex A).

    Raises
    ------
    NetworkError
        When it is not or does not.
    """
    require_pynetdicom("C-ECHO")
    from pynetdicom import build_context

    with associated(line, [build_context("1.2.840.10008.1.1")]) as association:
        answer = association.send_c_echo()
    if answer.get("Status") != 0:
        raise NetworkError(f"{line.peer}: the peer does not answer C-ECHO.")


_REASONS = {
    (1, 3): ("it does not know the calling title", "Have {title} registered there, or give --aet."),
    (1, 7): ("it has another title", "Check the title before the @."),
    (3, 1): ("it is busy", "Try again later."),
    (3, 2): ("it has as many associations as it allows", "Try again later."),
}


def _refusal(association: Any, line: Line) -> NetworkError:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        key = (answer.result_source, answer.diagnostic)
        why, remedy = _REASONS.get(key, ("it gives no useful reason", "Ask its administrator."))
        return NetworkError(
            f"{line.peer}: the association is rejected: {why}.",
            remedy=remedy.format(title=line.title),
        )
    if answer is not None and not association.accepted_contexts:
        return NetworkError(f"{line.peer}: the peer takes none of what is offered.")
    secured = " with TLS" if line.tls else ""
    return NetworkError(
        f"{line.peer}: no connection{secured}.",
        remedy="Check host, port, firewall" + (" and certificates." if line.tls else "."),
    )


@contextlib.contextmanager
def _no_traceback() -> Iterator[None]:
    """Threads of pynetdicom end silently when TLS fails; the caller says what happened."""
    before = threading.excepthook
    threading.excepthook = lambda _: None
    try:
        yield
    finally:
        threading.excepthook = before
