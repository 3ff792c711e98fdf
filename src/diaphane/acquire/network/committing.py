"""Storage commitment as the user (PS3.4 annex J): the peer promises to keep what was sent."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from diaphane.acquire.network.association import Line, associated, entity
from diaphane.acquire.network.peer import require_pynetdicom
from diaphane.acquire.network.sending import Outgoing
from diaphane.core.errors import NetworkError, UsageError

PUSH_MODEL = "1.2.840.10008.1.20.1"
_INSTANCE = "1.2.840.10008.1.20.1.1"


@dataclass(frozen=True)
class Promise:
    """SOP instances that the peer keeps, and those that it does not."""

    kept: frozenset[str]
    missing: frozenset[str]


def commit(
    files: Sequence[Outgoing],
    line: Line,
    *,
    listen: tuple[str, int] | None = None,
    wait: float = 60,
) -> Promise:
    """Ask a peer to commit to files, and wait for its report.

    The report comes on this association or on one that the peer opens to us; for the latter it
    must know our address, and we listen there.

    Parameters
    ----------
    files:
        What was sent.
    line:
        To whom; our title is the one that the peer knows our address by.
    listen:
        Our host and port, or ``None`` where the peer reports on the same association.
    wait:
        Seconds for the report.

    Raises
    ------
    NetworkError
        The peer does not offer it, refuses, or does not report in time.
    """
    require_pynetdicom("Storage commitment")
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid
    from pynetdicom import build_context, evt

    request = Dataset()
    request.TransactionUID = generate_uid()
    request.ReferencedSOPSequence = []
    for file in files:
        item = Dataset()
        item.ReferencedSOPClassUID = file.sop_class
        item.ReferencedSOPInstanceUID = file.sop_instance
        request.ReferencedSOPSequence.append(item)
    reported = threading.Event()
    reports: list[Any] = []

    def take(event: Any) -> tuple[int, None]:
        report = event.event_information
        if str(report.get("TransactionUID", "")) != request.TransactionUID:
            return 0x0115, None
        reports.append(report)
        reported.set()
        return 0x0000, None

    handlers = [(evt.EVT_N_EVENT_REPORT, take)]
    with ExitStack() as stack:
        if listen is not None:
            _listen(line, listen, handlers, stack)
        with associated(line, [build_context(PUSH_MODEL)], handlers) as association:
            status, _ = association.send_n_action(request, 1, PUSH_MODEL, _INSTANCE)
            if status.get("Status") != 0:
                raise NetworkError(f"{line.peer}: the peer does not take storage commitment.")
            if listen is None:
                reported.wait(wait)
        if not reported.wait(wait if listen else 0):
            raise NetworkError(
                f"{line.peer}: no report of storage commitment came within {wait:g} s.",
                remedy="Where the peer reports on a new association, have our address registered "
                "there and give it with --listen.",
            )
    kept = {str(i.ReferencedSOPInstanceUID) for i in reports[0].get("ReferencedSOPSequence", ())}
    wanted = {file.sop_instance for file in files}
    return Promise(frozenset(kept & wanted), frozenset(wanted - kept))


def _listen(line: Line, listen: tuple[str, int], handlers: Any, stack: ExitStack) -> None:
    made = entity(line)
    made.require_called_aet = True
    made.require_calling_aet = [line.peer.title]
    made.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    secured = None if line.tls is None else line.tls.context(server=True)
    try:
        server = made.start_server(
            listen, block=False, evt_handlers=list(handlers), ssl_context=secured
        )
    except OSError as error:
        raise UsageError(
            f"Nobody can listen on {listen[0]}:{listen[1]}: {error.strerror or error}."
        ) from error
    stack.callback(server.shutdown)
