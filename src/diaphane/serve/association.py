"""One association from the calling side's request to its release, on the listening side."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diaphane.acquire.network import Peer
from diaphane.core.errors import NetworkError
from diaphane.serve import wire
from diaphane.serve.access import Access, Limits
from diaphane.serve.answers import UNKNOWN, Answer
from diaphane.serve.commitment import Commitment, Request
from diaphane.serve.offered import COMMITMENT, COMMITMENT_INSTANCE, VERIFICATION
from diaphane.serve.store import Arrival, Sent, Store
from diaphane.serve.wire import Wire

_LOG = logging.getLogger("diaphane.serve")
_STORE, _ECHO, _ACTION, _EVENT = 0x0001, 0x0030, 0x0130, 0x0100
_UNANSWERED = frozenset((0x0FFF, 0x8100))  # C-CANCEL, and the answer to our report
_REQUEST_BYTES = 64 * 2**20  # of a storage commitment: some hundred thousand objects
# Result, source, diagnostic of A-ASSOCIATE-RJ (PS3.8 table 9-21), and what the log says.
_CALLED = (1, 1, 7), "it calls another title than ours; its entry for us or our --aet is wrong"
_CALLING = (1, 1, 3), "no such title at that address among ours; add it as --peer"
_BUSY = (2, 3, 2), "as many associations as --max-associations allows"


@dataclass(frozen=True)
class Node:
    """What every association of one receiver shares.

    Attributes
    ----------
    offered:
        Presentation contexts; built once, since there are many.
    full:
        Whether there are as many associations as are allowed.
    count:
        Told each answer to a C-STORE.
    """

    access: Access
    limits: Limits
    store: Store
    commitment: Commitment
    offered: list[Any]
    full: Callable[[], bool]
    count: Callable[[Answer], None]


class Conversation:
    """An association; :meth:`hold` returns when it is over."""

    def __init__(self, line: Wire, address: str, node: Node) -> None:
        self._line, self._address, self._node = line, address, node
        self._peer = Peer("", address)
        self._contexts: dict[int, tuple[str, str]] = {}
        self._longest = 0
        self._command = bytearray()
        self._asked: dict[int, int | str] | None = None
        self._arrival: Arrival | Answer | bytearray | None = None
        self._study = ""
        self._awake = 0.0

    def hold(self) -> None:
        """Negotiate, serve until the release, abort on anything that is not as it should be."""
        try:
            if self._negotiated():
                while self._served(*self._line.read()):
                    pass
        except NetworkError as error:
            _LOG.info("association with %s ended: %s", self._peer, error.problem)
            self._line.abort()
        finally:
            if isinstance(self._arrival, Arrival):
                self._arrival.drop()

    # -- negotiation -------------------------------------------------------------------------

    def _negotiated(self) -> bool:
        from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
        from pynetdicom.pdu_primitives import A_ASSOCIATE
        from pynetdicom.presentation import negotiate_as_acceptor

        kind, body = self._line.read()
        if kind != wire.ASSOCIATE_RQ:
            raise NetworkError("The peer did not ask for an association.")
        request = A_ASSOCIATE_RQ()
        try:
            request.decode(b"\x01\0" + len(body).to_bytes(4, "big") + body)
            asked: Any = request.to_primitive()
            calling, called = asked.calling_ae_title.strip(), asked.called_ae_title.strip()
        except Exception as error:  # whatever a malformed request makes the decoder meet
            raise NetworkError("The peer's request cannot be understood.") from error
        self._peer = Peer(calling or "-", self._address)
        known = self._node.access.peer(calling, self._address)
        refusal = None
        if called != self._node.access.title:
            refusal = _CALLED
        elif known is None:
            refusal = _CALLING
        elif self._node.full():
            refusal = _BUSY
        if refusal is not None or known is None:
            codes, reason = refusal or _CALLING
            _LOG.warning("association with %s rejected: %s", self._peer, reason)
            self._line.send(wire.ASSOCIATE_RJ, bytes((0, *codes)))
            return False
        self._peer = known
        roles = {
            item.sop_class_uid: (item.scu_role, item.scp_role)
            for item in asked.user_information
            if hasattr(item, "scu_role")
        }
        try:
            results, _ = negotiate_as_acceptor(
                asked.presentation_context_definition_list, self._node.offered, roles
            )
        except Exception as error:
            raise NetworkError("The peer's proposals cannot be understood.") from error
        self._contexts = {
            int(c.context_id or 0): (str(c.abstract_syntax), str(c.transfer_syntax[0]))
            for c in results
            if c.result == 0
        }
        self._longest = asked.maximum_length_received or 0
        if 0 < self._longest < 128:
            raise NetworkError("The peer takes no PDU of a useful size.")
        answer = A_ASSOCIATE()
        answer.application_context_name = asked.application_context_name
        answer.calling_ae_title, answer.called_ae_title = calling, called
        answer.result, answer.result_source = 0, 1
        answer.presentation_context_definition_results_list = results
        answer.user_information = self._about_us()
        accepted = A_ASSOCIATE_AC()
        accepted.from_primitive(answer)
        self._line.write(accepted.encode())
        self._line.patience(self._node.limits.idle_seconds)
        return True

    def _about_us(self) -> list[Any]:
        from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
        from pynetdicom.pdu_primitives import (
            ImplementationClassUIDNotification,
            ImplementationVersionNameNotification,
            MaximumLengthNotification,
        )

        length = MaximumLengthNotification()
        length.maximum_length_received = self._node.limits.pdu_bytes
        implementation = ImplementationClassUIDNotification()
        implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
        version = ImplementationVersionNameNotification()
        version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
        return [length, implementation, version]

    # -- messages ----------------------------------------------------------------------------

    def _served(self, kind: int, body: bytes) -> bool:
        """Whether the association goes on."""
        if kind == wire.DATA:
            for context, command, last, part in wire.values(body):
                if context not in self._contexts:
                    raise NetworkError("The peer used a context that was not accepted.")
                if command:
                    self._take_command(context, part, last=last)
                else:
                    self._take_data(context, part, last=last)
            return True
        if kind == wire.RELEASE_RQ:
            self._line.send(wire.RELEASE_RP, bytes(4))
            return False
        if kind == wire.ABORT:
            return False
        raise NetworkError("The peer sent a PDU out of turn.")

    def _take_command(self, context: int, part: memoryview, *, last: bool) -> None:
        self._command += part
        if len(self._command) > 2**16 or self._asked is not None:
            raise NetworkError("The peer sent a command out of turn or without end.")
        if not last:
            return
        asked = wire.decode_command(bytes(self._command))
        self._command.clear()
        field = asked[wire.FIELD]
        if field in _UNANSWERED:
            return
        sop_class, syntax = self._contexts[context]
        with_data = asked.get(wire.DATA_SET, wire.NO_DATA_SET) != wire.NO_DATA_SET
        if field == _ECHO and sop_class == VERIFICATION:
            self._answer(context, asked, 0)
        elif with_data:
            self._asked = asked
            if field == _STORE and sop_class not in (VERIFICATION, COMMITMENT):
                named = str(asked.get(wire.SOP_CLASS, "")), str(asked.get(wire.SOP_INSTANCE, ""))
                self._arrival = self._node.store.begin(Sent(*named, syntax, self._peer.title))
            elif field == _ACTION and sop_class == COMMITMENT:
                self._arrival = bytearray()
            else:
                self._arrival = UNKNOWN
        else:
            self._answer(context, asked, UNKNOWN.status)

    def _take_data(self, context: int, part: memoryview, *, last: bool) -> None:
        asked, arrival = self._asked, self._arrival
        if asked is None:
            raise NetworkError("The peer sent data without a command.")
        if isinstance(arrival, Arrival):
            arrival.write(part)
            self._keep_awake()
        elif isinstance(arrival, bytearray):
            if len(arrival) + len(part) > _REQUEST_BYTES:
                raise NetworkError("The peer's request is too long.")
            arrival += part
        if not last:
            return
        self._asked = self._arrival = None
        if isinstance(arrival, bytearray):
            self._commit(context, asked, bytes(arrival))
        elif arrival is not None:
            answer = arrival.finish() if isinstance(arrival, Arrival) else arrival
            if isinstance(arrival, Arrival):
                self._study = arrival.study
            self._node.count(answer)
            if not answer.stored:
                _LOG.warning("object from %s refused: %s", self._peer, answer.code)
            self._answer(context, asked, answer.status, answer)

    def _keep_awake(self) -> None:
        """While an object comes in, the study that this association filled last is not quiet."""
        now = time.monotonic()
        if self._study and now - self._awake > 0.5:
            self._awake = now
            self._node.store.keep_awake(self._study)

    def _answer(
        self,
        context: int,
        asked: dict[int, int | str],
        status: int,
        answer: Answer | None = None,
    ) -> None:
        reply: dict[int, int | str] = {
            wire.SOP_CLASS: asked.get(wire.SOP_CLASS) or asked.get(wire.ASKED_CLASS, ""),
            wire.FIELD: int(asked[wire.FIELD]) | 0x8000,
            wire.ANSWERED_ID: asked.get(wire.MESSAGE_ID, 0),
            wire.DATA_SET: wire.NO_DATA_SET,
            wire.STATUS: status,
        }
        instance = asked.get(wire.SOP_INSTANCE) or asked.get(wire.ASKED_INSTANCE)
        if instance:
            reply[wire.SOP_INSTANCE] = instance
        if wire.ACTION_TYPE in asked:
            reply[wire.ACTION_TYPE] = asked[wire.ACTION_TYPE]
        if answer is not None and not answer.stored:
            reply[wire.COMMENT] = answer.meaning[:64]
        self._say(context, reply)

    def _say(self, context: int, command: wire.Command, data: bytes = b"") -> None:
        longest = self._longest
        message = wire.data_pdus(context, wire.encode_command(command), longest, command=True)
        if data:
            message += wire.data_pdus(context, data, longest, command=False)
        self._line.write(message)

    def _commit(self, context: int, asked: dict[int, int | str], data: bytes) -> None:
        """Take a request for storage commitment; report here where no port to call is known."""
        request = Request.read(data, self._contexts[context][1])
        if request is None or asked.get(wire.ACTION_TYPE) != 1:
            self._answer(context, asked, 0x0115)
            return
        later = self._node.commitment.take(request, self._peer)
        self._answer(context, asked, 0)
        if later:
            return
        report = self._node.commitment.report(request)
        event: dict[int, int | str] = {
            wire.SOP_CLASS: COMMITMENT,
            wire.FIELD: _EVENT,
            wire.MESSAGE_ID: 1,
            wire.DATA_SET: 1,
            wire.SOP_INSTANCE: COMMITMENT_INSTANCE,
            wire.EVENT_TYPE: report.event,
        }
        self._say(context, event, report.encoded(self._contexts[context][1]))
