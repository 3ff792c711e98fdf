"""What a peer has: C-FIND, C-GET and C-MOVE of the study root (PS3.4 annex C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diaphane.acquire.network.association import Line, associated
from diaphane.acquire.network.peer import require_pynetdicom
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import NetworkError, UsageError
from diaphane.core.files import write_bytes
from diaphane.privacy import Pseudonymiser

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
LEVELS: dict[str, tuple[str, ...]] = {
    "study": (
        "StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber",
        "StudyDate", "StudyTime", "StudyDescription", "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    ),
    "series": (
        "StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    ),
    "image": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber"),
}  # fmt: skip
"""What is asked back at each level, besides what is matched on."""
FETCHED_SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5",
)  # fmt: skip
Match = dict[str, str]


@dataclass(frozen=True)
class Query:
    """What to look for.

    Attributes
    ----------
    level:
        "study", "series" (needs StudyInstanceUID) or "image" (needs SeriesInstanceUID, too).
    keys:
        DICOM keyword to value; ``*`` and ``?`` as wild cards, dates as ``20250101-20250131``.
    """

    level: str = "study"
    keys: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what no peer could answer.

        Raises
        ------
        UsageError
            An unknown level or keyword, or a UID that the level needs is missing.
        """
        from pydicom.datadict import tag_for_keyword

        if self.level not in LEVELS:
            raise UsageError(f"There is no level '{self.level}'.", remedy="study, series or image")
        unknown = [key for key in self.keys if tag_for_keyword(key) is None]
        if unknown:
            raise UsageError(
                f"'{unknown[0]}' is not a DICOM keyword.", remedy="Such as PatientID=12345"
            )
        needed = {
            "series": ("StudyInstanceUID",),
            "image": ("StudyInstanceUID", "SeriesInstanceUID"),
        }
        for key in needed.get(self.level, ()):
            if not self.keys.get(key):
                raise UsageError(f"At the level '{self.level}' give {key}=UID, too.")


def find(query: Query, line: Line, limit: int = 1000) -> list[Match]:
    """Matches at a peer, as keyword to text; several values are parted by a comma.

    Raises
    ------
    UsageError
        The query is wrong.
    NetworkError
        The peer cannot be reached, refuses or breaks off.
    """
    require_pynetdicom("C-FIND")
    from pynetdicom import build_context

    query.check()
    asked = _identifier(query, LEVELS[query.level])
    found: list[Match] = []
    with associated(line, [build_context(FIND)]) as association, quiet():
        for status, answer in association.send_c_find(asked, FIND):
            code = status.get("Status")
            if code in (0xFF00, 0xFF01) and answer is not None:
                found.append(as_text(answer))
                if len(found) == limit:
                    association.abort()  # the only way out that every peer understands
                    break
            elif code != 0:
                raise _failed(line, "C-FIND", code)
    return found


def fetch(
    query: Query, line: Line, out: Path, told: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """Get objects over the same association (C-GET), each written as it came.

    Parameters
    ----------
    query:
        With the UIDs of its level.
    line:
        From whom.
    out:
        Folder; objects are named by pseudonyms: ``E-.../C-....dcm``.
    told:
        Called with the number so far.

    Raises
    ------
    UsageError, NetworkError, OutputError
        The query is wrong; the peer cannot, or breaks off; nothing can be written.
    """
    require_pynetdicom("C-GET")
    from pynetdicom import StoragePresentationContexts, build_context, build_role, evt

    query.check()
    names = Pseudonymiser.load()
    written: list[Path] = []
    failures: list[Exception] = []

    def take(event: Any) -> int:
        try:
            path = place(out, names, event.dataset.get("StudyInstanceUID", ""), event.request)
            write_bytes(path, event.encoded_dataset())
        except Exception as error:  # noqa: BLE001  # told below; the peer gets a status
            failures.append(error)
            return 0xA700
        written.append(path)
        told(len(written))
        return 0x0000

    classes = [str(c.abstract_syntax) for c in StoragePresentationContexts][:127]
    contexts = [build_context(GET), *(build_context(c, list(FETCHED_SYNTAXES)) for c in classes)]
    roles = [build_role(uid, scp_role=True) for uid in classes]
    handlers = [(evt.EVT_C_STORE, take)]
    with associated(line, contexts, handlers, roles) as association, quiet():
        _follow(association.send_c_get(_identifier(query, ()), GET), line, "C-GET")
    if failures:
        raise failures[0]
    return written


def move(query: Query, line: Line, to: str) -> int:
    """Have a peer send objects to a title that it knows (C-MOVE); how many arrived there.

    Raises
    ------
    UsageError, NetworkError
        The query is wrong; the peer cannot, does not know the title, or breaks off.
    """
    require_pynetdicom("C-MOVE")
    from pynetdicom import build_context

    query.check()
    with associated(line, [build_context(MOVE)]) as association, quiet():
        return _follow(association.send_c_move(_identifier(query, ()), to, MOVE), line, "C-MOVE")


def place(out: Path, names: Pseudonymiser, study: str, request: Any) -> Path:
    """Where a fetched object goes."""
    folder = out / names.pseudonym(str(study), "study")
    return folder / f"{names.pseudonym(str(request.AffectedSOPInstanceUID), 'case')}.dcm"


def as_text(answer: Any) -> Match:
    """A match's elements as text."""
    found = {}
    for element in answer:
        if element.keyword and element.VR != "SQ":
            value = element.value
            several = not isinstance(value, (str, bytes)) and hasattr(value, "__iter__")
            found[element.keyword] = (
                ", ".join(map(str, value)) if several and element.VR != "PN" else str(value or "")
            )
    return found


def _identifier(query: Query, back: tuple[str, ...]) -> Any:
    from pydicom.dataset import Dataset

    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = query.level.upper()
    for keyword in back:
        setattr(asked, keyword, None if keyword.startswith("Number") else "")
    for keyword, value in query.keys.items():
        setattr(asked, keyword, value)
    return asked


def _follow(answers: Any, line: Line, what: str) -> int:
    """Wait until a transfer is over; how many objects came through."""
    completed = 0
    for status, _ in answers:
        code = status.get("Status")
        completed = status.get("NumberOfCompletedSuboperations", completed) or completed
        if code == 0xA801:
            raise NetworkError(
                f"{line.peer}: the peer does not know where to send.",
                remedy="Have the title of --move-to registered there with its address.",
            )
        if code in (0xFF00, 0x0000):
            continue
        failed = status.get("NumberOfFailedSuboperations") or 0
        if code == 0xB000:
            raise NetworkError(f"{line.peer}: {failed} objects could not be sent.")
        raise _failed(line, what, code)
    return int(completed)


def _failed(line: Line, what: str, code: int | None) -> NetworkError:
    if code is None:
        return NetworkError(f"{line.peer}: the peer broke off.")
    return NetworkError(f"{line.peer}: the peer cannot do the {what} (status {code:04X}).")
