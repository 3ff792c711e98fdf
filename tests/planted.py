"""Plants synthetic identities in DICOM files; ``plant_score`` judges what became of each.

Every row of Table E.1-1 is planted in every file, at the top or up to three sequences deep;
besides it private attributes, file meta, the preamble, text outside the table, and the names of
files and folders. Each planted text has a word of its own, so that a leak shows in the bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

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
