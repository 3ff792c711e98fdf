"""Associations that diaphane asks for, with pynetdicom; C-ECHO."""

from __future__ import annotations

import contextlib
import socket
import ssl
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
        return NetworkError(
            f"{line.peer}: the peer takes none of what is offered.",
            remedy="Its conformance statement says what it takes.",
        )
    secured = " with TLS" if line.tls else ""
    why, remedy = _obstacle(line)
    return NetworkError(f"{line.peer}: no connection{secured}: {why}.", remedy=remedy)


def _obstacle(line: Line) -> tuple[str, str]:
    """Why there is no connection and what to do: pynetdicom does not say, so it is tried again."""
    place, wait = (line.peer.host, line.peer.port or 0), min(line.timeout, 10.0)
    try:
        plain = socket.create_connection(place, wait)
    except ConnectionRefusedError:
        return "nobody listens there", "Check host and port, and whether it runs."
    except OSError as error:  # also TimeoutError
        said = "it does not answer" if isinstance(error, TimeoutError) else str(error.strerror)
        return said.lower(), "Check host, port and firewall."
    silent = "it gives no DICOM answer"
    with plain:
        if line.tls is None:
            return silent, "Check the port, whether it wants TLS, and who may call from where."
        ours = (
            "it does not accept our certificate",
            "Have what signed --tls-cert added to the authorities that it trusts.",
        )
        try:
            secured = line.tls.context(server=False).wrap_socket(
                plain, server_hostname=line.peer.host
            )
        except ssl.SSLCertVerificationError as error:
            return (
                f"its certificate is not accepted ({error.verify_message})",
                "Give as --tls-ca what its certificate is signed by, and as host what it names.",
            )
        except OSError as error:
            if "ALERT" in str(getattr(error, "reason", "")):
                return ours
            return "it does not speak TLS", "Leave the --tls options out, or give its port for TLS."
        with secured:
            secured.settimeout(1.0)  # our certificate is judged after the handshake (TLS 1.3)
            try:
                secured.recv(1)
            except TimeoutError:
                return silent, "Check the port."
            except OSError:
                return ours
    return silent, "Check the port."


@contextlib.contextmanager
def _no_traceback() -> Iterator[None]:
    """Threads of pynetdicom end silently when TLS fails; the caller says what happened."""
    before = threading.excepthook
    threading.excepthook = lambda _: None
    try:
        yield
    finally:
        threading.excepthook = before
