"""Plants synthetic identities in DICOM files, and scores what a de-identifier did to each.

Every row of Table E.1-1 is planted in every file, at the top or up to three sequences deep;
besides it private attributes, file meta, the preamble, text outside the table, and the names of
files and folders. Each planted text has a word of its own, so that a leak shows in the bytes.
The score follows the MIDI-B challenge: one action for each planted value, right or wrong.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from diaphane.privacy.dicom.table import Row, rows

# VRs of attributes that are newer than pydicom's dictionary (PS3.6 2026c).
_NEW = {
    "SQ": "00081301 00081302 00081303 00081304 00100011 00100014 00100015 00100041 00100043 "
    "00100044 00100046",
    "UT": "00100013 00100016 00100042 00100045", "LT": "00100012", "UC": "00102162",
    "UR": "00100047 0040E012", "DT": "0040A034 0040A035 0040B034 0040B036", "LO": "0040B03B",
    "SH": "0040B03F",
}  # fmt: skip
_VR = {int(tag, 16): vr for vr, tags in _NEW.items() for tag in tags.split()}
CARRIERS = ("RelatedSeriesSequence", "ReferencedInstanceSequence", "DerivationImageSequence")
"""Sequences outside the table, in which values are planted."""

MIXED = ("DetectorManufacturerModelName", "AlgorithmName", "SegmentLabel")
"""Text outside the table that stays, but for the name in it."""

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1", "PT": "1.2.840.10008.5.1.4.1.1.128",
    "OT": "1.2.840.10008.5.1.4.1.1.7", "SR": "1.2.840.10008.5.1.4.1.1.88.22",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1", "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4", "ECG": "1.2.840.10008.5.1.4.1.1.9.1.1",
}  # fmt: skip
TECHNICAL = {
    "Manufacturer": "Acme Imaging", "ManufacturerModelName": "Spectra 7T",
    "SoftwareVersions": "VB20A HF04", "KVP": "120", "ConvolutionKernel": "B30f",
    "SliceThickness": "1.25", "ScanOptions": "HELIX", "BodyPartExamined": "CHEST",
    "PixelSpacing": ["0.7", "0.7"], "SeriesNumber": "4", "SequenceName": "*fl3d1",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "PhotometricInterpretation": "MONOCHROME2",
}  # fmt: skip
"""Attributes that tell nothing and must stay as they are."""
PHRASES = (
    "CT chest with contrast", "MR brain axial T2", "follow-up lung nodule", "liver arterial phase",
    "left knee sagittal", "PET whole body", "abdomen pelvis venous 1.25mm", "routine head",
)  # fmt: skip
_REFUSED = ("00420011",)  # an encapsulated document is refused, not cleaned
_GROUPS = ("0000", "0002", "0004")  # not of a stored data set


@dataclass
class Plant:
    """One planted value.

    Attributes
    ----------
    file:
        Where it was written, relative to the corpus.
    path:
        Sequence keywords down to it, then its tag.
    kind:
        row, technical, text, private, meta.
    row:
        Its row of the table.
    value:
        What stood there.
    token:
        A word that must be in no output; empty where the value may stay.
    """

    file: str
    path: tuple[str, ...]
    tag: int
    vr: str
    kind: str
    row: Row | None = None
    value: Any = None
    token: str = ""


@dataclass
class Corpus:
    """Planted files, SOPInstanceUID by file, and what was planted."""

    folder: Path
    plants: list[Plant] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


class Words:
    """Words that no dictionary has, each once."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.used: set[str] = set()

    def __call__(self) -> str:
        """A new one."""
        while True:
            pairs = (
                self.random.choice("bdfgjkpvzxqw") + self.random.choice("aeiouy") for _ in range(5)
            )
            word = "".join(pairs)
            if word not in self.used:
                self.used.add(word)
                return word

    def date(self) -> str:
        """A day of 1950 to 2019."""
        r = self.random
        return f"{r.randint(1950, 2019)}{r.randint(1, 12):02}{r.randint(1, 28):02}"

    def number(self) -> str:
        """A record number."""
        return str(self.random.randint(10**8, 10**9 - 1))


def value_for(vr: str, words: Words, *, descriptor: bool = False) -> tuple[Any, str]:
    """A value that identifies, valid for its VR, and the word in it to search for."""
    word, number, day = words(), words.number(), words.date()
    r = words.random
    if vr in ("LO", "LT", "ST", "UT", "UC"):
        if descriptor:
            phrase = r.choice(PHRASES)
            forms = (f"{phrase} {word.title()} {number}", f"{word.upper()}, {phrase} {day}")
            return r.choice(forms)[:64], word
        return f"{word.title()} {number}", word
    if vr == "SH":
        return f"CT {word}" if descriptor else word, word
    if vr == "DT":
        return f"{day}{r.randint(0, 23):02}{r.randint(0, 59):02}07.{number[:6]}", ""
    if vr == "UI":
        return f"1.2.826.0.99.{number}{r.randint(1, 9999)}.1", f"99.{number}"
    if vr == "SQ":
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = number, "99LOCAL"
        item.CodeMeaning = f"{word.title()} {number}"
        item.PersonName = f"{word.title()}^Jane"
        return [item], word
    if vr in ("OB", "UN", "OW"):
        return word.encode() + number.encode() + b"\0" * (len(word + number) % 2), word
    plain: dict[str, tuple[Any, str]] = {
        "PN": (f"{word.title()}^{words().title()}", word), "AE": (word.upper()[:16], word),
        "CS": (word.upper()[:16], word), "AS": (f"{r.randint(20, 80):03}Y", ""), "DA": (day, day),
        "TM": (f"112233.{number[:6]}", ""), "UR": (f"https://{word}.example/{number}", word),
        "DS": (f"{r.randint(40, 90)}.{number}", number), "IS": (number, number),
        "US": (r.randint(2, 60000), ""), "UL": (int(number), ""), "SS": (7, ""), "FD": (1.5, ""),
        "FL": (1.5, ""), "SL": (7, ""), "AT": (0x00100010, ""),
    }  # fmt: skip
    return plain[vr]


def planted_rows() -> Iterator[tuple[int, str, Row]]:
    """Tag, VR and row of everything in the table that a file can hold."""
    for row in rows():
        if row.tag == "private" or row.tag[:4] in _GROUPS or row.tag in _REFUSED:
            continue
        tag = int(row.tag.replace("50xxxxxx", "50003000").replace("xx", "00"), 16)
        if row.tag == "50xxxxxx" or row.tag == "60xx3000":
            vr = "OW"
        else:
            vr = _VR.get(tag) or {0xFFFAFFFA: "SQ", 0xFFFCFFFC: "OB"}.get(tag) or dictionary_VR(tag)
        yield tag, vr.split(" or ")[0], row


def plant_file(corpus: Corpus, name: str, patient: dict[str, str], words: Words, turn: int) -> None:
    """Write one file with everything planted; ``turn`` decides what goes how deep."""
    modality = list(CLASSES)[turn % len(CLASSES)]
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.Modality = CLASSES[modality], modality
    shared = {"PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"}
    chain = [data]
    for keyword in CARRIERS:
        item = Dataset()
        setattr(chain[-1], keyword, [item])
        chain.append(item)
    plants = corpus.plants
    for number, (tag, vr, row) in enumerate(planted_rows()):
        keyword = keyword_for_tag(tag)
        # FFFA and FFFC, overlays, curves and the keys of the study stand at the top.
        top = tag >> 16 >= 0x5000 or keyword in shared or keyword == "SOPInstanceUID"
        depth = 0 if top else (number + turn) % (len(CARRIERS) + 1)
        value, token = value_for(vr, words, descriptor="descriptors" in row.options)
        if keyword in shared:
            value = patient[keyword]
            token = patient.get(f"{keyword}/token", value)
        chain[depth].add_new(tag, vr, value)
        plants.append(Plant(name, CARRIERS[:depth], tag, vr, "row", row, value, token.lower()))
    for keyword, value in TECHNICAL.items():
        setattr(data, keyword, value)
        tag = data[keyword].tag
        plants.append(Plant(name, (), tag, data[keyword].VR, "technical", None, value))
    own = patient["PatientName"].split("^")[0]
    mixed = f"PACS {own} {patient['PatientID']}"
    for depth, keyword in enumerate(MIXED, start=1):
        setattr(chain[depth], keyword, mixed)
        tag = chain[depth][keyword].tag
        token = own.lower()
        plants.append(Plant(name, CARRIERS[:depth], tag, "LO", "text", None, mixed, token))
    for depth, group in enumerate((0x0029, 0x0019, 0x7053, 0x0009)):
        word, number = words(), words.number()
        block = chain[depth].private_block(group, f"Vendor {word}", create=True)
        block.add_new(0x01, "LO", f"{word} {number}")
        block.add_new(0x02, "UN", word.encode() + b"\0" * (len(word) % 2))
        for element, token in ((1, word), (2, word)):
            tag = group << 16 | 0x1000 | element
            plants.append(Plant(name, CARRIERS[:depth], tag, "LO", "private", None, None, token))
    if "PixelSpacing" in data and modality not in ("SR", "PR", "RTSTRUCT", "ECG"):
        data.Rows, data.Columns, data.SamplesPerPixel = 8, 8, 1
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.add_new(0x7FE00010, "OW", bytes(words.random.randbytes(128)))
    meta = FileMetaDataset()
    word = words()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.SourceApplicationEntityTitle = word.upper()[:16]
    plants.append(Plant(name, (), 0x00020016, "AE", "meta", None, word, word))
    data.file_meta = meta
    data.preamble = word.encode().ljust(128, b"\0")
    path = corpus.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    corpus.files[name] = str(data.SOPInstanceUID)


def plant(folder: Path, files: int, *, seed: int = 0) -> Corpus:
    """A corpus of ``files`` files, four a study, a patient with every second study."""
    words = Words(seed)
    corpus = Corpus(folder)
    patient: dict[str, str] = {}
    for number in range(files):
        if number % 8 == 0:
            name, first = words(), words()
            patient = {
                "PatientName": f"{name.title()}^{first.title()}", "PatientName/token": name,
                "PatientID": words.number(),
            }  # fmt: skip
            corpus.names += [name, first, patient["PatientID"]]
        if number % 4 == 0:
            patient["StudyInstanceUID"] = f"1.2.826.0.77.{words.number()}.1"
        patient["SeriesInstanceUID"] = f"1.2.826.0.78.{words.number()}.2"
        place = patient["PatientName"].replace("^", "_")
        label = f"{place}/{patient['PatientID']} {words.date()}/{place}_{number}.dcm"
        plant_file(corpus, label, patient, words, number)
    return corpus


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
            if target is not None and _holds(texts[Path(target.filename)], one.token):
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
