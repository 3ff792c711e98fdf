"""No verb lets an identity out: every byte that it writes or prints is searched.

A study is planted with names, numbers, dates and UIDs in its headers, in sequences and in private
attributes, and another name in the folders that it lies in. Headers may come out only in DICOM
results, and where an option asks for it; the folders' names only where paths are echoed. Outputs
are searched inside of archives, compressed streams, PNG chunks, data URIs, escapes and entities.
"""

from __future__ import annotations

import base64
import binascii
import csv
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

import segments
import toys
from commands import diaphane
from diaphane.acquire.phantom import chest_phantom, write_dicom_series
from diaphane.bundle import InputSpec
from diaphane.cli import VERBS
from diaphane.core.decision import Calibration
from diaphane.preprocess import Recipe, make_step

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


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """A chest CT in a folder that bears a name."""
    folder = tmp_path_factory.mktemp("c") / f"{FOLDER}_scan"
    phantom = chest_phantom(5, (4, 2.4, 2.4), (80, 150, 150), nodules=((16.0, "free"),))
    for path in write_dicom_series(phantom, folder):
        identify(path, 77)
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A manifest of 24 series, each in a folder that bears a name."""
    root = tmp_path_factory.mktemp("d") / "ct_set"  # a data set is known by its folder
    rows = []
    for k in range(24):
        write_study(root / f"{FOLDER}{k:02}", k, bright=150 * (k % 2))
        # Beside the label a table has what nobody asked for.
        label = ("calm", "suspicious")[k % 2]
        rows.append((f"{FOLDER}{k:02}", label, f"QZ-730915-{k // 2}", "Zwetschgenbaum^Quirin"))
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("file", "label", "group", "name"), *rows])
    return root


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    step = make_step("rescale_intensity", {"in_low": -100.0, "in_high": 300.0})
    made = toys.toy_manifest(
        classes=("calm", "suspicious"), positive="suspicious",
        input=InputSpec(kind="sequence", size=(16, 16), max_slices=6),
        recipe=Recipe((step,)).to_dict(),
        calibration=Calibration("binary", (4.0,), (1.0,)),
    )  # fmt: skip
    return toys.write_toy(tmp_path_factory.mktemp("b") / "toy", manifest=made)


@pytest.fixture(scope="module")
def rings(tmp_path_factory):
    step = make_step("rescale_intensity", {"in_low": -100.0, "in_high": 300.0})
    made = segments.segment_manifest(recipe=Recipe((step,)).to_dict())
    return segments.write_rings(tmp_path_factory.mktemp("b") / "rings", manifest=made)


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
    return {n for text in forms(data) for n in names if n.lower() in text.lower()}


@pytest.mark.parametrize(
    "hide",
    [
        lambda t: t,
        gzip.compress,
        lambda t: base64.b64encode(b"xx" + t + b"xx"),
        lambda t: b"".join(b"\\u%04x" % c for c in t),
        lambda t: b"".join(b"&#%d;" % c for c in t),
        lambda t: t.decode().encode("utf-16-le"),
        lambda t: b"data:image/png;base64," + base64.b64encode(png_with(t)),
        lambda t: zipped(gzip.compress(t)),
    ],
)
def test_the_search_finds_what_is_hidden(hide):
    assert found_in(hide(b"Patient ZWETSCHGENbaum, born"), HEADER) == {"Zwetschgen"}
    assert not found_in(hide(b"Nobody is named in this text."), HEADER)


def png_with(text: bytes) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", text.decode(), zip=True)
    out = io.BytesIO()
    Image.new("L", (3, 3)).save(out, "png", pnginfo=info)
    return out.getvalue()


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inner.gz", data)
    return out.getvalue()


class Ran:
    """A verb at work in a folder of its own, with its own home and temporary folder."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        for name, folder in (("DIAPHANE_HOME", "home"), ("TMPDIR", "tmp"), ("HOME", "user")):
            (place / folder).mkdir()
            monkeypatch.setenv(name, str(place / folder))

    def __call__(self, *words: object, code: int = 0) -> str:
        done = diaphane(*words, cwd=self.place)
        assert done.returncode == code, done.stderr
        said = done.stdout + done.stderr
        assert not found_in(said.encode(), HEADER), f"printed by {words[0]}"
        return said

    def leaks(self, *, dicom: bool = True) -> list[str]:
        """What stands where it may not, in every file and file name below the folder."""
        found = []
        for path in sorted(self.place.rglob("*")):
            relative = str(path.relative_to(self.place))
            found += [f"{relative}: named {name}" for name in found_in(relative.encode(), HEADER)]
            if not path.is_file():
                continue
            data = path.read_bytes()
            if not (dicom and path.name in DICOM):
                found += [f"{relative}: {name}" for name in found_in(data, HEADER)]
            if path.name not in PATHS and found_in(data, (FOLDER,)):
                found.append(f"{relative}: the folder's name")
        return found


@pytest.fixture
def ran(tmp_path, monkeypatch):
    place = tmp_path / "w"
    place.mkdir()
    return Ran(place, monkeypatch)


def test_info(ran, chest, studies):
    for words in ((chest,), (chest, "--json"), (studies,), (studies, "--json")):
        ran("info", *words)
    assert not ran.leaks()


def test_analyze_lung_ct(ran, chest):
    ran("analyze", chest, "--with", "lung-ct", "--out", ran.place / "out", "--threads", 1)
    assert not ran.leaks()
    # The result that a PACS files carries the identity of its study, and so proves the search.
    assert found_in((ran.place / "out" / "seg.dcm").read_bytes(), HEADER)


def test_analyze_with_bundles(ran, studies, bundle, rings):
    study = studies / f"{FOLDER}01"
    ran("analyze", study, "--with", bundle, "--out", ran.place / "a", "--json")
    ran("analyze", study, "--with", rings, "--out", ran.place / "b", "--lang", "zh")
    assert not ran.leaks()


def test_an_option_may_ask_for_the_identity(ran, studies, bundle):
    study = studies / f"{FOLDER}01"
    ran("analyze", study, "--with", bundle, "--out", ran.place / "a", "--identity", "show")
    shown = {leak.split(":")[0] for leak in ran.leaks()}
    assert shown == {"a/report.html", "a/report.txt"}


def test_predict(ran, studies, bundle, rings):
    ran("predict", bundle, studies, "--out", ran.place / "predictions.csv", "--contributions")
    one = studies / f"{FOLDER}03"
    masks = ran.place / "masks"
    ran(
        "predict", rings, one, "--out", ran.place / "b" / "predictions.csv", "--masks", masks,
        "--uncertainty", "--format", "nii.gz",
    )  # fmt: skip
    assert not ran.leaks()


def test_evaluate_calibrate_compare(ran, studies, bundle):
    ran("evaluate", bundle, studies, "--split", "all", "--out", ran.place / "e")
    ran("calibrate", bundle, studies, "--out", ran.place / "site")
    ran("evaluate", bundle, studies, "--split", "all", "--out", ran.place / "f", "--seed", 1)
    ran("compare", ran.place / "e", ran.place / "f", "--out", ran.place / "c")
    assert not ran.leaks()


def test_preprocess_and_denoise(ran, studies):
    recipe = ran.place / "recipe.yaml"
    recipe.write_text(
        json.dumps(Recipe((make_step("window", {"level": 50.0, "width": 300.0}),)).to_dict())
    )
    one = studies / f"{FOLDER}03"
    for name, report in (("a.nii.gz", "a.html"), ("a.mha", "b.png"), ("a.nrrd", "c.html")):
        ran("preprocess", one, ran.place / name, "--recipe", recipe, "--report", ran.place / report)
    ran("denoise", one, ran.place / "b.nii", "--picture", ran.place / "b.png", "--figures")
    assert not ran.leaks()


@pytest.mark.learn
def test_plan_and_train(ran, studies):
    ran("plan", studies, "--out", ran.place / "p", "--positive", "suspicious")
    ran(
        "train", studies, "--out", ran.place / "run", "--epochs", 1, "--threads", 1,
        "--positive", "suspicious", "--folds", 2,
    )  # fmt: skip
    assert not ran.leaks()


@pytest.mark.learn
def test_pretrain(ran, studies):
    ran("pretrain", studies, "--out", ran.place / "e", "--threads", 1, "--steps", 2)
    assert not ran.leaks()


def test_select_and_anomaly(ran, studies, bundle):
    ran("select", bundle, studies, "--n", 4, "--out", ran.place / "predictions.csv")
    ran("anomaly", "fit", studies, "--out", ran.place / "m", "--threads", 1)
    one = studies / f"{FOLDER}03"
    ran(
        "anomaly", "score", ran.place / "m", one, "--out", ran.place / "s" / "predictions.csv",
        "--maps", ran.place / "maps", "--threads", 1,
    )  # fmt: skip
    assert not ran.leaks()


def needs(name: str) -> Any:
    return pytest.mark.skipif(name not in VERBS, reason=f"there is no verb {name} yet")


@needs("convert")
def test_convert(ran, studies):
    one = studies / f"{FOLDER}03"
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        ran("convert", one, ran.place / name)
    ran("convert", one, ran.place / "dicom", "--format", "dicom")
    assert not ran.leaks(dicom=False)


@needs("index")
def test_index(ran, studies):
    table = studies.parent / f"{FOLDER}.csv"
    table.write_text("PatientID,diagnosis\n" + "".join(f"QZ-730915-{k},x\n" for k in range(20)))
    said = diaphane("index", studies, "--labels", table, "--out", studies.parent / "labels.csv")
    assert said.returncode in (0, 1), said.stderr
    # The table of paths; what did not match may show the rows of the person's own spreadsheet.
    assert not found_in((studies.parent / "labels.csv").read_bytes(), HEADER)


@needs("deidentify")
def test_deidentify(ran, studies):
    ran("deidentify", studies, ran.place / "out", "--report", ran.place / "changes.csv")
    assert not ran.leaks(dicom=False)


def test_a_refusal_names_the_path_and_nobody(ran, studies, bundle):
    one = studies / f"{FOLDER}05"
    odd = ran.place / "odd"
    odd.mkdir()
    for k, path in enumerate(sorted(one.iterdir())):
        data = pydicom.dcmread(path)
        if k == 1:
            data.PixelData = data.PixelData[:100]
        data.save_as(odd / path.name)
    said = ran("analyze", odd, "--with", bundle, "--out", ran.place / "a", code=3)
    assert str(odd) in said
    for path in odd.iterdir():
        path.unlink()
    assert not ran.leaks()
