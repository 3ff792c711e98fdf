"""Names in the character sets of DICOM PS3.5, Annexes H to K, survive into reports and results."""

from __future__ import annotations

import html
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from diaphane.acquire import find_series
from diaphane.core.case import SourceRef
from diaphane.core.finding import BundleRef
from diaphane.core.volume import Volume
from diaphane.report import write_analysis
from diaphane.report.dicom import write_label_segmentation

# Character sets, the bytes as the annexes print them, and the name.
NAMES = {
    "H.3.1": (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "H.3.2": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        (
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J="
            b"\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
        ),
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "I.2": (
        ["", "ISO 2022 IR 149"],
        (
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="
            b"\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
        ),
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "J.1": (
        "ISO_IR 192",
        b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1",
        "Wang^XiaoDong=王^小東",
    ),
    "J.3": ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
    "J.4": ("GBK", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
    "K.2": (
        ["", "ISO 2022 IR 58"],
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
        "Zhang^XiaoDong=张^小东",
    ),
    "Latin 1": ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    "Latin 2": ("ISO_IR 101", b"Dvo\xf8\xe1k^Anton\xedn", "Dvořák^Antonín"),
    "Cyrillic": ("ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
    "Greek": ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    "Arabic": ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    "Hebrew": ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    "Thai": ("ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2^\xe3\xa8", "สมชาย^ใจ"),
    "Turkish": ("ISO_IR 148", b"\xc7a\xf0lar^I\xfe\xfdk", "Çağlar^Işık"),
    "none stated": (None, b"Doe^Jane", "Doe^Jane"),
}


def scan(path, charset, raw):
    """A CT image whose file holds the name's bytes as they are."""
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    data.pop("SpecificCharacterSet", None)
    if charset is not None:
        data.SpecificCharacterSet = charset
    raw += b" " * (len(raw) % 2)
    data.PatientName = "X" * len(raw)
    data.StudyID, data.AccessionNumber, data.PatientBirthDate = "1", "A", ""
    data.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"X" * len(raw), raw))
    return path


@pytest.mark.parametrize("annex", NAMES)
def test_names_survive(annex, tmp_path, analysis):
    charset, raw, name = NAMES[annex]
    path = scan(tmp_path / "ct.dcm", charset, raw)
    series = find_series(path).series[0]
    assert series.identity.patient_name == name

    identity = replace(series.identity, patient_id="P")
    write_analysis(analysis, tmp_path / "out", identity=identity)
    page = html.unescape((tmp_path / "out" / "report.html").read_text("utf-8"))
    text = (tmp_path / "out" / "report.txt").read_text("utf-8")
    for part in name.replace("=", "^").split("^"):
        assert part in page
        assert part in text

    labels = Volume(np.ones(series.shape, np.uint8), series.geometry, "SEG")
    maker = BundleRef("b", "1", "", "0" * 64)
    assert write_label_segmentation(
        labels, {1: "all"}, SourceRef([path]), tmp_path / "seg.dcm", maker
    )
    result = pydicom.dcmread(tmp_path / "seg.dcm")
    assert str(result.PatientName) == name
    assert find_series(tmp_path / "ct.dcm").series[0].matches(series.key)
