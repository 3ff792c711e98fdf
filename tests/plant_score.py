"""Judges what a de-identifier did to each planted value: one action each, right or wrong.

As the MIDI-B challenge does, and against the table, not against the engine.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from planted import PHRASES, Corpus, Plant


@dataclass
class Score:
    """Right actions by kind of action, what was wrong, and tokens that leaked."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.right.values()) + len(self.wrong)

    @property
    def share(self) -> float:
        return sum(self.right.values()) / max(1, self.total)


def score(corpus: Corpus, out: Path, retain: set[str], clean: set[str]) -> Score:
    """Judge what was written to ``out``, against the table and nothing of the engine's.

    Which output belongs to which input only the installation's key tells.
    """
    from diaphane.privacy import load_key
    from diaphane.privacy.dicom.values import Secret

    result = Score()
    written = {
        str(dcmread(p, stop_before_pixels=True).SOPInstanceUID): p for p in out.rglob("*.dcm")
    }
    texts = {p: p.read_bytes().lower() for p in written.values()}
    secret = Secret(load_key())
    data: dict[str, Any] = {}
    for name, uid in corpus.files.items():
        new = uid if "uids" in retain else secret.uid(uid)
        data[name] = dcmread(written[new]) if new in written else None
    moved: dict[str, set[int]] = {}
    uids: dict[str, set[str]] = {}
    for one in corpus.plants:
        judged, kept = _judge(one, data[one.file], retain, clean, moved)
        label = f"{one.file} {'/'.join(one.path)} ({one.tag:08X}) {judged}"
        if judged == "uid replaced":
            uids.setdefault(one.value, set()).add(_uid_at(one, data[one.file]))
        if judged.startswith("wrong"):
            result.wrong.append(label)
        else:
            result.right[judged] += 1
        if one.token and not kept:
            target = data[one.file]
            if target is None or not _holds(texts[Path(target.filename)], one.token):
                continue
            if not ("modified-dates" in retain and _is_a_date_of(target, one.token)):
                result.leaks.append(label)
    result.wrong += [f"{old}: several new UIDs" for old, new in uids.items() if len(new) > 1]
    if len({uid for new in uids.values() for uid in new}) < len(uids):
        result.wrong.append("one new UID for several")
    places = "/".join(str(p.relative_to(out)).lower() for p in out.rglob("*"))
    result.leaks += [f"name of a file: {word}" for word in corpus.names if word in places]
    result.wrong += [
        f"{file}: dates moved by {days}" for file, days in moved.items() if len(days) > 1
    ]
    return result


def _holds(text: bytes, token: str) -> bool:
    """Whether bytes hold a word; a number not as digits of a UID, which are there by chance."""
    before = rb"(?<![\d.])" if token.isdigit() else b""
    return re.search(before + re.escape(token.encode()), text) is not None


def _is_a_date_of(data: Any, token: str) -> bool:
    """Whether a date, moved by a secret number of days, came to be the planted one by chance.

    Each date is judged at its own place as well, so none that was not moved hides here.
    """
    return any(e.VR in ("DA", "DT") and str(e.value)[:8] == token for e in data.iterall())


def _uid_at(one: Plant, data: Any) -> str:
    for keyword in one.path:
        data = data[keyword].value[0]
    return str(data[one.tag].value)


def _judge(
    one: Plant, data: Any, retain: set[str], clean: set[str], moved: dict[str, set[int]]
) -> tuple[str, bool]:
    """What was done to a plant, or "wrong: ..."; and whether its value may stay."""
    if data is None:
        return "wrong: not written", False
    place = data.file_meta if one.kind == "meta" else data
    for keyword in one.path:
        if keyword not in place:
            return "wrong: its sequence is gone", False
        place = place[keyword].value[0]
    element = place.get(one.tag) if one.tag in place else None
    value = None if element is None else element.value
    if one.kind in ("private", "meta"):
        return ("private removed" if element is None else "wrong: kept"), False
    if one.kind == "technical":
        same = element is not None and _text(value) == _text(one.value)
        return ("retained" if same else "wrong: changed"), True
    if one.kind == "text":
        good = element is not None and _text(value).startswith("PACS")
        return ("text cleaned" if good else "wrong: not cleaned"), False
    assert one.row is not None
    allowed = _allowed(one, retain, clean)
    if allowed == {"K"}:
        same = element is not None and _same(value, one.value)
        return (
            "retained" if same or (one.vr == "SQ" and element is not None) else "wrong: lost"
        ), True
    if allowed == {"moved"}:
        # Another date that was moved may have come to lie on this day: the value itself is judged.
        return _judge_date(one, value, moved)
    if element is None:
        return ("removed" if "X" in allowed or allowed == {"C"} else "wrong: removed"), False
    if allowed == {"C"}:
        return _judge_text(one, value), False
    empty = value is None or _text(value) == "" or (one.vr == "SQ" and len(value) == 0)
    if empty:
        return ("emptied" if allowed & {"Z", "X"} and "Z" in allowed else "wrong: emptied"), False
    code = _text(value) == _text(data.PatientID)
    if one.vr == "UI" and allowed & {"U", "D"}:
        good = UID(str(value)).is_valid and value != one.value
        return ("uid replaced" if good else "wrong: uid"), False
    if "D" in allowed or code or "U" in allowed:
        return ("replaced" if not _same(value, one.value) else "wrong: kept"), False
    return "wrong: kept", False


def _allowed(one: Plant, retain: set[str], clean: set[str]) -> set[str]:
    assert one.row is not None
    options = {one.row.options[name] for name in retain | clean if name in one.row.options}
    dated = one.vr in ("DA", "DT", "TM")
    if dated and "modified-dates" in retain and "modified-dates" in one.row.options:
        return {"moved"}
    if "K" in options:
        return {"K"}
    if "C" in options and one.vr in ("LO", "LT", "ST", "UT", "UC", "SH"):
        return {"C"}
    if "C" in options and one.vr in ("SQ", "AE", "OW", "OB"):
        return {"X", "Z", "D", "U"}
    return set(one.row.basic.replace("*", "").split("/"))


def _judge_date(one: Plant, value: Any, moved: dict[str, set[int]]) -> tuple[str, bool]:
    from datetime import date

    text = _text(value)
    if one.vr == "TM":
        return ("date moved" if text == one.value else "wrong: time"), True
    try:
        new, old = (date(int(t[:4]), int(t[4:6]), int(t[6:8])) for t in (text, one.value))
    except ValueError:
        return "wrong: no date", False
    moved.setdefault(one.file, set()).add((new - old).days)
    good = new != old and text[8:] == one.value[8:]
    return ("date moved" if good else "wrong: date"), True


def _judge_text(one: Plant, value: Any) -> str:
    text, original = _text(value).lower(), str(one.value)
    phrase = next((p for p in PHRASES if p in original), "CT" if one.vr == "SH" else "")
    if one.token in text:
        return "wrong: identity in text"
    return "text cleaned" if phrase.lower() in text else "wrong: text lost"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str | PersonName) or not hasattr(value, "__iter__"):
        return "" if value is None else str(value)
    return "\\".join(str(part) for part in value)


def _same(new: Any, old: Any) -> bool:
    return _text(new) == _text(old)
