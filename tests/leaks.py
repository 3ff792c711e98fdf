"""Studies of a person that nobody is, and a search for that person in every byte of outputs.

Headers bear names, numbers, dates and UIDs, in sequences and in private attributes, and folders
another name. Headers may come out only in DICOM results, and where an option asks for it; the
folders' names only where paths are echoed. What is searched is opened first: archives, compressed
streams, PNG chunks, data URIs, escapes and entities.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import json
import re
import struct
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from commands import diaphane

ROOT = "1.2.826.0.1.3680043.10.90817263"
HEADER = (
    "Zwetschgen", "Quirin", "QZ-730915", "ACCQ55712", "19310417", "1931-04-17", "19870423",
    "1987-04-23", "Haselnuss", "Kastanienklinik", "Mispelgasse", ROOT,
)  # fmt: skip
FOLDER = "Quittenmus"
DICOM = {"seg.dcm", "sr.dcm", "rtstruct.dcm"}
PATHS = {"predictions.csv", "rejected.csv", "masks.json"}
"""Tables that echo the paths that a person typed; what lies under --masks."""


def identify(path: Path, patient: int) -> None:
    """Plant the identity in a DICOM file."""
    data = pydicom.dcmread(path)
    data.PatientName, data.PatientID = "Zwetschgenbaum^Quirin", f"QZ-730915-{patient}"
    data.PatientBirthDate, data.PatientSex = "19310417", "M"
    data.PatientAddress, data.PatientComments = "Mispelgasse 7", "Zwetschgenbaum, called Quirin"
    data.AccessionNumber, data.StudyDate, data.SeriesDate = "ACCQ55712", "19870423", "19870423"
    data.ReferringPhysicianName, data.InstitutionName = "Haselnuss^Dora", "Kastanienklinik"
    data.StudyDescription = "Zwetschgenbaum control"
    data.SeriesDescription = "Chest Zwetschgenbaum QZ-730915"
    data.ProtocolName = data.ImageComments = "Lung Quirin"
    data.StudyID = data.StationName = data.DeviceSerialNumber = "ACCQ55712"
    inner = Dataset()
    inner.PatientName, inner.PatientID = "Zwetschgenbaum^Quirin", "QZ-730915"
    inner.ReferencedSOPInstanceUID = UID(f"{ROOT}.{patient}.9")
    data.RequestAttributesSequence = [inner]
    block = data.private_block(0x0011, "Kastanienklinik", create=True)
    block.add_new(1, "LO", "Zwetschgenbaum^Quirin")
    block.add_new(2, "OB", b"QZ-730915")
    data.StudyInstanceUID = UID(f"{ROOT}.{patient}.1")
    data.SeriesInstanceUID = UID(f"{ROOT}.{patient}.2")
    data.FrameOfReferenceUID = UID(f"{ROOT}.{patient}.3")
    data.SOPInstanceUID = UID(f"{ROOT}.{patient}.4.{int(data.InstanceNumber)}")
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.save_as(path)


def write_study(folder: Path, patient: int, *, bright: int = 0) -> Path:
    """A small CT series of one patient."""
    from diaphane.core.geometry import Geometry
    from diaphane.core.volume import Volume
    from diaphane.report.series import Filing, write_series

    values = np.random.default_rng(patient).integers(-40, 40, (4, 20, 20)).astype(np.int16)
    values[:, 6:14, 6:14] += np.int16(60 + bright)
    values[:, 0] = values[:, :, 0] = -1000
    volume = Volume(values, Geometry.axial((4, 20, 20), (2.5, 1, 1)), "CT", "HU")
    for path in write_series(volume, folder, Filing()).files:
        identify(path, patient)
    return folder


def forms(data: bytes, depth: int = 0) -> Iterator[str]:
    """A file's content as text, with whatever is packed, encoded or escaped in it laid open."""
    for text in {data.decode("latin-1"), data.decode("utf-8", "ignore")}:
        yield text
        if "&" in text:
            yield html.unescape(text)
        if "%" in text:
            yield urllib.parse.unquote(text)
        if "\\u" in text:
            yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    yield data.replace(b"\0", b"").decode("latin-1")  # UTF-16
    if depth > 4:
        return
    for inner in packed(data):
        yield from forms(inner, depth + 1)


def packed(data: bytes) -> Iterator[bytes]:
    """What is packed inside."""
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        at = 8
        while at < len(data):
            (size,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
            body = data[at + 8 : at + 8 + size]
            if kind in (b"zTXt", b"iTXt"):
                for k in range(len(body)):
                    if body[k : k + 1] == b"\x78":
                        yield zlib.decompressobj().decompress(body[k:])
                        break
            at += size + 12
    for found in re.finditer(rb"[A-Za-z0-9+/]{24,}={0,2}", data):
        text = found[0]
        try:
            yield base64.b64decode(text[: len(text) - len(text) % 4])
        except binascii.Error:
            continue


def found_in(data: bytes, names: tuple[str, ...]) -> set[str]:
    """Which of the names stand in the data, in whatever form and case."""
    wanted = {name: name.lower() for name in names}
    return {n for text in map(str.lower, forms(data)) for n, low in wanted.items() if low in text}


class Ran:
    """Verbs at work in a folder of their own, with their own home and temporary folder."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        for name, folder in (("DIAPHANE_HOME", "home"), ("TMPDIR", "tmp"), ("HOME", "user")):
            (place / folder).mkdir()
            monkeypatch.setenv(name, str(place / folder))

    def __call__(self, *words: object, code: int = 0) -> str:
        """Run one; what it printed, in which nobody is named."""
        done = diaphane(*words, cwd=self.place)
        assert done.returncode == code, done.stderr
        said = done.stdout + done.stderr
        assert not found_in(said.encode(), HEADER), f"printed by {words[0]}"
        return said

    def leaks(self, *, dicom: bool = True, apart: tuple[str, ...] = ()) -> list[str]:
        """What stands where it may not, in every file and file name below the folder.

        ``dicom`` lets results be of their study; what is or lies in ``apart`` is not searched.
        """
        found = []
        for path in sorted(self.place.rglob("*")):
            relative = path.relative_to(self.place)
            if {str(place) for place in (relative, *relative.parents)} & set(apart):
                continue
            found += [f"{relative}: named {n}" for n in found_in(str(relative).encode(), HEADER)]
            if not path.is_file():
                continue
            names = found_in(path.read_bytes(), (*HEADER, FOLDER))
            if path.name in PATHS:
                names.discard(FOLDER)
            if dicom and path.name in DICOM:
                names &= {FOLDER}
            found += [f"{relative}: {name}" for name in names]
        return found

    def audited(self) -> list[tuple[str, dict[str, Any]]]:
        """Action and detail of each entry of the audit chain."""
        lines = (self.place / "home" / "audit.jsonl").read_text().splitlines()
        return [(entry["action"], entry["detail"]) for entry in map(json.loads, lines)]
