"""The tables of the DICOM conformance statement, written from what the code offers."""

from __future__ import annotations

from collections.abc import Iterable

from diaphane.serve.access import Limits
from diaphane.serve.answers import ANSWERS
from diaphane.serve.offered import (
    COMMITMENT,
    RETIRED,
    VERIFICATION,
    storage_classes,
    transfer_syntaxes,
)


def tables() -> dict[str, str]:
    """Markdown tables by name: "services", "classes", "syntaxes", "answers", "limits"."""
    from pydicom.uid import UID

    from diaphane.acquire.network.finding import FETCHED_SYNTAXES, FIND, GET, MOVE

    services = [
        ("`receive`", "Verification", VERIFICATION, "SCP"),
        ("`receive`", "Storage (the classes below)", "", "SCP"),
        ("`receive`", "Storage Commitment Push Model", COMMITMENT, "SCP"),
        ("`send`, `receive --send-to`", "Storage (any class, in the file's own syntax)", "", "SCU"),
        ("`send --commit`", "Storage Commitment Push Model", COMMITMENT, "SCU"),
        ("`find --echo`", "Verification", VERIFICATION, "SCU"),
        ("`find`", "Study Root Query/Retrieve, FIND", FIND, "SCU"),
        ("`find --fetch`", "Study Root Query/Retrieve, GET", GET, "SCU"),
        ("`find --move-to`", "Study Root Query/Retrieve, MOVE", MOVE, "SCU"),
        ("`find URL`, `send --to URL`", "QIDO-RS, WADO-RS, STOW-RS", "", "user agent"),
    ]
    classes = [(RETIRED.get(uid) or UID(uid).name, uid) for uid in storage_classes()]
    fetched = set(FETCHED_SYNTAXES)
    syntaxes = [
        (UID(uid).name, uid, "yes" if uid in fetched else "no") for uid in transfer_syntaxes()
    ]
    answers = [(f"{a.status:04X}", f"`{a.code}`", a.meaning) for a in ANSWERS]
    bounds = Limits()
    limits = [
        ("associations at once", bounds.associations, "`--max-associations`"),
        ("bytes of a PDU", bounds.pdu_bytes, "`--max-pdu`"),
        ("seconds of silence", f"{bounds.idle_seconds:g}", "`--idle`"),
        ("seconds until the association is asked for", f"{bounds.request_seconds:g}", "-"),
    ]
    return {
        "services": _table(("verb", "service", "SOP class UID", "role"), services),
        "classes": _table(("SOP class", "UID"), classes),
        "syntaxes": _table(("transfer syntax", "UID", "also asked for by C-GET"), syntaxes),
        "answers": _table(("status", "code in the log", "meaning"), answers),
        "limits": _table(("limit", "default", "option"), limits),
    }


def fill(page: str) -> str:
    """A page with each table put between its marks ``<!-- NAME -->`` and ``<!-- end -->``."""
    for name, table in tables().items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = f"{before}{mark}\n{table}\n{end}{after}"
    return page


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
