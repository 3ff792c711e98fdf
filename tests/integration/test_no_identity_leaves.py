"""No verb lets an identity out: every byte that it writes or prints is searched (``leaks.py``)."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import shutil
import signal
import zipfile

import pydicom
import pytest

import peers
import segments
import toys
from commands import Command, diaphane
from diaphane.acquire.phantom import chest_phantom, write_dicom_series
from diaphane.bundle import InputSpec
from diaphane.core.decision import Calibration
from diaphane.preprocess import Recipe, make_step
from leaks import FOLDER, HEADER, ROOT, Ran, found_in, identify, write_study


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """A chest CT in a folder that bears a name, and where a nodule is in it."""
    folder = tmp_path_factory.mktemp("c") / f"{FOLDER}_scan"
    phantom = chest_phantom(5, (6, 3.6, 3.6), (28, 100, 100), nodules=((20.0, "free"),))
    for path in write_dicom_series(phantom, folder):
        identify(path, 77)
    return folder, ",".join(map(str, phantom.nodules[0].centre))


def write_table(root, count):
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "group", "name"))
        for k in range(count):
            # Beside the label a table has what nobody asked for.
            label, group = ("calm", "suspicious")[k % 2], f"QZ-730915-{k // 2}"
            writer.writerow((f"{FOLDER}{k:02}", label, group, "Zwetschgenbaum^Quirin"))
    return root


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A manifest of 24 series, each in a folder that bears a name."""
    root = tmp_path_factory.mktemp("d") / "ct_set"
    for k in range(24):
        write_study(root / f"{FOLDER}{k:02}", k, bright=150 * (k % 2))
    return write_table(root, 24)


@pytest.fixture(scope="module")
def few(studies, tmp_path_factory):
    """The first six of them, for what learns, in a folder that bears the patient's name."""
    root = tmp_path_factory.mktemp("f") / "zwetschgenbaum_ct"
    for k in range(6):
        shutil.copytree(studies / f"{FOLDER}{k:02}", root / f"{FOLDER}{k:02}")
    return write_table(root, 6)


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


@pytest.fixture
def ran(tmp_path, monkeypatch):
    place = tmp_path / "w"
    place.mkdir()
    return Ran(place, monkeypatch)


def test_info(ran, chest, studies):
    for words in ((chest[0],), (chest[0], "--json"), (studies,), (studies, "--json")):
        ran("info", *words)
    assert not ran.leaks()


def test_analyze_lung_ct(ran, chest):
    folder, nodule = chest
    ran(
        "analyze", folder, "--with", "lung-ct", "--at", nodule, "--out", ran.place / "out",
        "--threads", 1,
    )  # fmt: skip
    assert not ran.leaks()
    # The result that a PACS files carries the identity of its study, and so proves the search.
    assert found_in((ran.place / "out" / "seg.dcm").read_bytes(), HEADER)


def test_analyze_with_bundles(ran, studies, bundle, rings):
    study = studies / f"{FOLDER}01"
    ran("analyze", study, "--with", bundle, "--out", ran.place / "a", "--json")
    ran("analyze", study, "--with", rings, "--out", ran.place / "b", "--lang", "zh")
    assert not ran.leaks()


def test_options_may_ask_for_the_identity_and_are_audited(ran, studies, bundle):
    study = studies / f"{FOLDER}01"
    ran("analyze", study, "--with", bundle, "--out", ran.place / "a", "--identity", "show")
    ran("convert", study, ran.place / "b", "--format", "dicom", "--identity", "study")
    shown = {leak.split(":")[0] for leak in ran.leaks()}
    dicom = {str(path.relative_to(ran.place)) for path in (ran.place / "b").iterdir()}
    assert shown == {"a/report.html", "a/report.txt"} | dicom
    assert [(what, detail["identity"]) for what, detail in ran.audited()] == [
        ("analyze", "show"),
        ("convert", "study"),
    ]


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
def test_plan_and_train(ran, few):
    said = ran("plan", few, "--out", ran.place / "p", "--positive", "suspicious")
    assert "the folder names a patient, so the model is called 'model'" in said
    ran(
        "train", few, "--out", ran.place / "run", "--epochs", 1, "--threads", 1,
        "--positive", "suspicious", "--folds", 2, "--families", "cnn-rnn",
    )  # fmt: skip
    assert not ran.leaks()


@pytest.mark.learn
def test_pretrain(ran, few):
    ran("pretrain", few, "--out", ran.place / "e", "--threads", 1, "--steps", 2)
    assert not ran.leaks()


def test_select_and_anomaly(ran, studies, few, bundle):
    ran("select", bundle, studies, "--n", 4, "--out", ran.place / "predictions.csv")
    ran("anomaly", "fit", few, "--out", ran.place / "m", "--threads", 1)
    one = studies / f"{FOLDER}03"
    ran(
        "anomaly", "score", ran.place / "m", one, "--out", ran.place / "s" / "predictions.csv",
        "--maps", ran.place / "maps", "--threads", 1,
    )  # fmt: skip
    assert not ran.leaks()


def test_convert(ran, studies):
    one = studies / f"{FOLDER}03"
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        ran("convert", one, ran.place / name)
    ran("convert", one, ran.place / "dicom", "--format", "dicom")
    assert not ran.leaks(dicom=False)


def test_index(ran, studies):
    table = studies.parent / f"{FOLDER}.csv"
    table.write_text("PatientID,diagnosis\n" + "".join(f"QZ-730915-{k},x\n" for k in range(20)))
    said = diaphane("index", studies, "--labels", table, "--out", studies.parent / "labels.csv")
    assert said.returncode in (0, 1), said.stderr
    # The table of paths; what did not match may show the rows of the person's own spreadsheet.
    assert not found_in((studies.parent / "labels.csv").read_bytes(), HEADER)


def test_deidentify_and_back(ran, few):
    link = ran.place / "link.csv"
    said = ran(
        "deidentify", few, ran.place / "out", "--report", ran.place / "changes.csv",
        "--link", link, "--json",
    )  # fmt: skip
    assert not ran.leaks(dicom=False, apart=("link.csv",))
    assert json.loads(said)["files"] == 24
    ran("reidentify", ran.place / "out", ran.place / "back", "--link", link)
    assert not ran.leaks(dicom=False, apart=("link.csv", "back"))
    for path in (ran.place / "back").rglob("*.dcm"):
        assert not found_in(str(path.relative_to(ran.place)).encode(), HEADER)
        assert {"Zwetschgen", ROOT} <= found_in(path.read_bytes(), HEADER)
    actions = [what for what, _ in ran.audited()]
    assert actions == ["deidentify"] * 6 + ["reidentify"] * 6


@pytest.mark.integration
@pytest.mark.skipif(peers.program("Orthanc") is None, reason="Orthanc is not here")
def test_receive_send_and_find(ran, studies, rings, tmp_path):
    """A study is sent to a receiver, analysed, and its results sent on to a PACS and found there.

    A receiver's folder holds studies as they came: objects, and folders and jobs by their UID.
    """
    port, out = peers.free_port(), ran.place / "in"
    with peers.orthanc(tmp_path / "orthanc") as archive:
        pacs = f"ORTHANC@127.0.0.1:{archive.dicom}"
        receiver = Command(
            "receive", "--out", out, "--port", port, "--quiet-for", 0.5, "--analyze", rings,
            "--send-to", pacs, cwd=ran.place,
        )  # fmt: skip
        peers.until(lambda: peers.listens(port) or not receiver.running)
        ran("send", studies / f"{FOLDER}01", "--to", f"DIAPHANE@127.0.0.1:{port}")
        peers.until(lambda: [*(out / "queue").glob("[df]*/*.json")])
        receiver.send(signal.SIGTERM)
        said = receiver.done()
        assert archive.ask("/instances")
        for more in ((), ("--json",), ("--fetch", ran.place / "fetched")):
            ran("find", pacs, *more)
        shown = diaphane("find", pacs, "--identity", "show", cwd=ran.place)
    assert found_in(shown.stdout.encode(), HEADER)
    assert not found_in((said.stdout + said.stderr).encode(), HEADER)
    assert not ran.leaks(apart=("in", "fetched"))
    for folder in (out, ran.place / "fetched"):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert any(path.suffix == ".dcm" for path in files)
        for path in files:
            held = found_in(path.read_bytes(), (*HEADER, FOLDER))
            named = found_in(str(path.relative_to(folder)).encode(), (*HEADER, FOLDER))
            assert path.suffix == ".dcm" or held <= {ROOT}, path
            assert named <= ({ROOT} if folder == out else set()), path
    audited = ran.audited()
    assert {"receive", "analyze", "send", "fetch"} < {what for what, _ in audited}
    assert audited[-1] == ("find", {"identity": "show", "matches": 1})


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
