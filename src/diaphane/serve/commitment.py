"""Storage commitment as the provider (PS3.4 annex J): are these objects really on the disk?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diaphane.acquire.network import Line, Peer, associated
from diaphane.core.errors import NetworkError
from diaphane.serve.heads import is_uid
from diaphane.serve.offered import COMMITMENT, COMMITMENT_INSTANCE
from diaphane.serve.store import Store

_LOG = logging.getLogger("diaphane.serve")
ABSENT = 0x0112  # no such object instance


@dataclass(frozen=True)
class Request:
    """A transaction and the objects that it asks about, ``(SOP class, SOP instance)``."""

    transaction: str
    objects: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, data: bytes, transfer_syntax: str) -> Request | None:
        """From the data set of an N-ACTION; ``None`` where it is malformed."""
        from io import BytesIO

        from pynetdicom.dsutils import decode

        try:
            found = decode(
                BytesIO(data), is_implicit_vr=transfer_syntax == "1.2.840.10008.1.2",
                is_little_endian=True,
            )  # fmt: skip
            objects = tuple(
                (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
                for item in found.ReferencedSOPSequence
            )
            transaction = str(found.TransactionUID)
        except Exception:  # noqa: BLE001  # whatever malformed bytes make the decoder meet
            return None
        whole = objects and all(is_uid(uid) for pair in objects for uid in pair)
        return cls(transaction, objects) if whole and is_uid(transaction) else None


@dataclass(frozen=True)
class Report:
    """The data set of an N-EVENT-REPORT: event type 1 all are here, 2 some are not."""

    event: int
    data: Any

    def encoded(self, transfer_syntax: str) -> bytes:
        """As bytes on the line."""
        from pynetdicom.dsutils import encode

        implicit = transfer_syntax == "1.2.840.10008.1.2"
        return bytes(encode(self.data, is_implicit_vr=implicit, is_little_endian=True) or b"")


@dataclass(frozen=True)
class Commitment:
    """The provider.

    Attributes
    ----------
    store:
        Where objects lie.
    keep:
        Has a request that is to be reported on a new association in the durable queue when it
        returns.
    """

    store: Store
    keep: Callable[[Request, Peer], None]

    def take(self, request: Request, peer: Peer) -> bool:
        """Whether the report goes out later, on an association of its own."""
        _LOG.info("storage commitment of %d objects asked by %s", len(request.objects), peer)
        if peer.port is None:
            return False
        self.keep(request, peer)
        return True

    def report(self, request: Request) -> Report:
        """Look for the objects now."""
        from pydicom.dataset import Dataset
        from pydicom.sequence import Sequence

        here = self.store.find({instance for _, instance in request.objects})
        data = Dataset()
        data.TransactionUID = request.transaction
        present, absent = [], []
        for sop_class, instance in request.objects:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
            if instance in here:
                present.append(item)
            else:
                item.FailureReason = ABSENT
                absent.append(item)
        if present:
            data.ReferencedSOPSequence = Sequence(present)
        if absent:
            data.FailedSOPSequence = Sequence(absent)
        return Report(2 if absent else 1, data)


def send_report(line: Line, report: Report) -> None:
    """Report on an association of its own, in the role of the provider.

    Raises
    ------
    NetworkError
        The peer cannot be reached or does not take it.
    """
    from pynetdicom import build_context, build_role

    role = build_role(COMMITMENT, scp_role=True)
    with associated(line, [build_context(COMMITMENT)], roles=[role]) as association:
        status, _ = association.send_n_event_report(
            report.data, report.event, COMMITMENT, COMMITMENT_INSTANCE
        )
    if status.get("Status") != 0:
        raise NetworkError(f"{line.peer}: the report of storage commitment is not taken.")
