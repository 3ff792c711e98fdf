"""C-STORE as the user (PS3.4 annex B): files go out as they are."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS, require_proportion
from diaphane.acquire.declared import check_pixels
from diaphane.acquire.headers import read_header
from diaphane.acquire.isolation import Budget, Load, isolated
from diaphane.acquire.network.association import Line, associated
from diaphane.acquire.network.peer import require_pynetdicom
from diaphane.acquire.parsing import parsed
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import DiaphaneError, NetworkError, OverLimit, UnreadableFile
from diaphane.core.options import Limits

_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
_PAIRS = 60  # two contexts a pair of class and syntax, of 128 that an association may have
REFUSED = {
    0xA700: "the peer is out of room",
    0xA900: "the peer finds that the object does not match its class",
    0xC000: "the peer cannot understand the object",
    0x0111: "the peer keeps another object under this UID",
    0x0122: "the peer does not take this class",
    0x0124: "the peer does not allow it",
}


@dataclass(frozen=True)
class Outgoing:
    """A file to send and what it is."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    study: str


@dataclass(frozen=True)
class Delivery:
    """What became of a file: ``problem`` is ``None`` where the peer has it."""

    file: Outgoing
    problem: str | None = None
    converted: bool = False


def outgoing(path: Path, limits: Limits = LIMITS) -> Outgoing:
    """What a file is.

    Raises
    ------
    UnreadableFile
        Not a DICOM file, or one without its UIDs.
    OverLimit
        Beyond ``limits``.
    """
    try:
        with quiet():
            data = parsed(path, tags=_UIDS, limits=limits)
            return Outgoing(
                path,
                str(data.SOPClassUID),
                str(data.SOPInstanceUID),
                str(data.file_meta.TransferSyntaxUID),
                str(data.get("StudyInstanceUID", "")),
            )
    except OverLimit:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise UnreadableFile("Not a whole DICOM file, so it cannot be sent.", path=path) from error


def send(
    files: Sequence[Outgoing], line: Line, told: Callable[[Delivery], None] = lambda _: None
) -> list[Delivery]:
    """Send files to a peer, each data set byte for byte.

    Where a peer does not take a file's transfer syntax but takes an uncompressed one, a copy is
    unpacked for it and marked as converted.

    Parameters
    ----------
    files:
        Each once.
    line:
        To whom.
    told:
        Called after each file.

    Raises
    ------
    NetworkError
        The peer cannot be reached or breaks off; what ``told`` heard of is there.
    """
    require_pynetdicom("Sending")
    deliveries: list[Delivery] = []
    for batch in _batches(files):
        with associated(line, _contexts(batch)) as association:
            accepted = {
                (str(c.abstract_syntax), str(c.transfer_syntax[0]))
                for c in association.accepted_contexts
            }
            for file in batch:
                deliveries.append(_sent(file, association, accepted, line))
                told(deliveries[-1])
    return deliveries


def _batches(files: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    pairs: set[tuple[str, str]] = set()
    for file in files:
        pair = (file.sop_class, file.transfer_syntax)
        if pair not in pairs and len(pairs) == _PAIRS:
            yield batch
            batch, pairs = [], set()
        pairs.add(pair)
        batch.append(file)
    if batch:
        yield batch


def _contexts(files: Sequence[Outgoing]) -> list[Any]:
    """Each class in its files' own syntax, and uncompressed in case that is not taken."""
    from pynetdicom import build_context

    pairs = sorted({(file.sop_class, file.transfer_syntax) for file in files})
    contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in pairs]
    classes = sorted({sop_class for sop_class, _ in pairs})
    return contexts + [
        build_context(c, [s]) for c in classes for s in _PLAIN if (c, s) not in pairs
    ]


def _sent(file: Outgoing, association: Any, accepted: set[tuple[str, str]], line: Line) -> Delivery:
    if not association.is_established:
        raise NetworkError(f"{line.peer}: the peer broke off.", remedy="Send again what is left.")
    converted = (file.sop_class, file.transfer_syntax) not in accepted
    with contextlib.ExitStack() as stack:
        path = file.path
        if converted:
            plain = next((s for s in _PLAIN if (file.sop_class, s) in accepted), None)
            if plain is None:
                return Delivery(file, "the peer takes neither its class nor its transfer syntax")
            room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                path = _unpacked(file.path, room / "plain.dcm", plain)
            except DiaphaneError as error:
                return Delivery(file, error.problem)
        try:
            with quiet():
                status = association.send_c_store(path).get("Status")
        except (ValueError, AttributeError) as error:
            raise UnreadableFile("It cannot be sent.", path=file.path) from error
    if status is None:
        raise NetworkError(f"{line.peer}: the peer broke off.", remedy="Send again what is left.")
    if status == 0 or status >> 12 == 0xB:
        return Delivery(file, converted=converted)
    family = status if status in REFUSED else status & 0xFF00
    reason = REFUSED.get(family if family != 0xC000 else 0xC000, "the peer refuses it")
    return Delivery(file, f"{reason} (status {status:04X})")


def _unpacked(path: Path, target: Path, syntax: str) -> Path:
    """A copy in an uncompressed transfer syntax, made by a worker process."""
    header = read_header(path)
    check_pixels(header)
    require_proportion(path, header.bytes_expected, header.elements.file_size)
    load = Load(header.bytes_expected, header.bytes_expected, header.elements.file_size)
    ((_, content),) = isolated(plain_bytes, path, Budget.of(load), syntax=syntax)
    target.write_bytes(content.data)
    return target


def plain_bytes(path: Path, syntax: str) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8]]]:
    """The bytes of the file in an uncompressed transfer syntax, as a task of a worker process."""
    out = io.BytesIO()
    try:
        with quiet():
            data = parsed(path, pixels=True)
            if data.file_meta.TransferSyntaxUID.is_compressed:
                data.decompress(generate_instance_uid=False)
            data.file_meta.TransferSyntaxUID = syntax
            data.save_as(out, implicit_vr=syntax == _PLAIN[1], little_endian=True)
    except Exception as error:  # a codec or pydicom, whatever the file makes them meet
        raise UnreadableFile("It cannot be unpacked for the peer.", path=path) from error
    yield {}, np.frombuffer(out.getbuffer(), np.uint8)
