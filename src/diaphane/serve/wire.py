"""Bytes on the line: PDUs of PS3.8 chapter 9 and command sets of PS3.7 chapter 6.

pynetdicom's own acceptor polls its queues every millisecond, in two threads an association, which
bounds it to a few hundred objects a second. Here one blocking thread an association reads and
answers; the association itself is negotiated by pynetdicom (see ``association``).
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping

from diaphane.core.errors import NetworkError

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ = 0x01, 0x02, 0x03
DATA, RELEASE_RQ, RELEASE_RP, ABORT = 0x04, 0x05, 0x06, 0x07
_LONGEST_REQUEST = 2**20  # 128 contexts of many transfer syntaxes fit several times

# Elements of group 0000 (PS3.7 annex E), all encoded implicit VR little endian.
SOP_CLASS, ASKED_CLASS, FIELD, MESSAGE_ID, ANSWERED_ID = 0x0002, 0x0003, 0x0100, 0x0110, 0x0120
DATA_SET, STATUS, COMMENT, SOP_INSTANCE, ASKED_INSTANCE = 0x0800, 0x0900, 0x0902, 0x1000, 0x1001
EVENT_TYPE, ACTION_TYPE = 0x1002, 0x1008
_NUMBERS = frozenset((FIELD, MESSAGE_ID, ANSWERED_ID, DATA_SET, STATUS, EVENT_TYPE, ACTION_TYPE))
NO_DATA_SET = 0x0101
_ELEMENT = struct.Struct("<HHI")
_PDV = struct.Struct(">IBB")
Command = Mapping[int, int | str]


class Wire:
    """One connection, read PDU by PDU.

    Parameters
    ----------
    connection:
        With its timeout set; plain or TLS.
    longest:
        Largest PDU that is taken, bytes after its header.
    """

    def __init__(self, connection: socket.socket, longest: int) -> None:
        self._connection = connection
        self._longest = longest
        self._reader = connection.makefile("rb", buffering=2**17)

    def read(self) -> tuple[int, bytes]:
        """Type and body of the next PDU.

        Raises
        ------
        NetworkError
            The peer closed, fell silent for too long, or sent one that is too long.
        """
        try:
            header = self._reader.read(6)
            if len(header) < 6:
                raise NetworkError("The peer closed the connection.")
            kind, length = header[0], int.from_bytes(header[2:], "big")
            allowed = self._longest if kind == DATA else _LONGEST_REQUEST
            if not 0 < kind <= ABORT or length > allowed:
                raise NetworkError("The peer sent what is no PDU, or one that is too long.")
            body = self._reader.read(length)
        except OSError as error:
            raise NetworkError("The peer fell silent or broke off.") from error
        if len(body) < length:
            raise NetworkError("The peer broke off within a PDU.")
        return kind, body

    def write(self, data: bytes) -> None:
        """Send.

        Raises
        ------
        NetworkError
            The peer is gone.
        """
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise NetworkError("The peer is gone.") from error

    def send(self, kind: int, body: bytes) -> None:
        """Send one PDU."""
        self.write(struct.pack(">BxI", kind, len(body)) + body)

    def patience(self, seconds: float) -> None:
        """How long to wait for the peer's next word."""
        self._connection.settimeout(seconds)

    def abort(self) -> None:
        """Say that the provider gives up (A-ABORT, reason not specified), if anybody listens."""
        with contextlib.suppress(NetworkError):
            self.send(ABORT, b"\0\0\2\0")

    def close(self) -> None:
        """End the connection; also from another thread, whose read then fails."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._connection.close()


def values(body: bytes) -> Iterator[tuple[int, bool, bool, memoryview]]:
    """Presentation data values in a P-DATA-TF: context, is a command, is the last, fragment.

    Raises
    ------
    NetworkError
        When lengths do not fit.
    """
    at, view = 0, memoryview(body)
    while at < len(body):
        if at + 6 > len(body):
            raise NetworkError("The peer sent a broken data PDU.")
        length, context, control = _PDV.unpack_from(body, at)
        end = at + 4 + length
        if length < 2 or end > len(body):
            raise NetworkError("The peer sent a broken data PDU.")
        yield context, bool(control & 1), bool(control & 2), view[at + 6 : end]
        at = end


def data_pdus(context: int, payload: bytes, longest: int, *, command: bool) -> bytes:
    """A command or data set as P-DATA-TF PDUs no longer than the peer takes (0: no limit)."""
    step = (longest or 2**16) - 6
    pdus = []
    for at in range(0, len(payload), step):
        part = payload[at : at + step]
        control = int(command) | 2 * (at + step >= len(payload))
        pdus.append(struct.pack(">BxI", DATA, len(part) + 6))
        pdus.append(_PDV.pack(len(part) + 2, context, control) + part)
    return b"".join(pdus)


def encode_command(fields: Command) -> bytes:
    """A command set, its group length first."""
    parts = []
    for element, value in sorted(fields.items()):
        if isinstance(value, int):
            data = value.to_bytes(2, "little")
        else:
            data = value.encode("ascii", "replace")
            data += (b" " if element == COMMENT else b"\0") * (len(data) % 2)
        parts.append(_ELEMENT.pack(0, element, len(data)) + data)
    body = b"".join(parts)
    return _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body


def decode_command(data: bytes) -> dict[int, int | str]:
    """The elements of a command set.

    Raises
    ------
    NetworkError
        When it is broken.
    """
    fields: dict[int, int | str] = {}
    at = 0
    while at + 8 <= len(data):
        group, element, length = _ELEMENT.unpack_from(data, at)
        value = data[at + 8 : at + 8 + length]
        if group != 0 or len(value) < length:
            break
        number = element in _NUMBERS and length == 2
        fields[element] = (
            int.from_bytes(value, "little")
            if number
            else value.rstrip(b"\0 ").decode("ascii", "replace")
        )
        at += 8 + length
    if at != len(data) or not isinstance(fields.get(FIELD), int):
        raise NetworkError("The peer sent a broken command.")
    return fields
