"""``diaphane info``: every kind, every exit code, no identity."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from diaphane.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["info", *map(str, arguments)])


def run_json(path):
    result = run(path, "--json")
    return result.exit_code, json.loads(result.stdout)


def ct(folder, positions, **attributes):
    folder.mkdir(parents=True, exist_ok=True)
    for index, z in enumerate(positions):
        data = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
        data.SOPInstanceUID = f"1.2.3.4.{index + 1}"
        data.ImagePositionPatient = [0, 0, z]
        data.PatientName, data.PatientID = "Nightingale^Florence", "NHS-1820"
        data.SeriesDescription = "Thorax NIGHTINGALE lung"
        for name, value in attributes.items():
            setattr(data, name, value)
        data.save_as(folder / f"{index}.dcm")
    return folder


def test_series(tmp_path):
    ct(tmp_path, [0, 5, 10])
    (tmp_path / "notes.txt").write_text("words")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "1 series, 3 files" in result.stdout
    assert "3 x 128 x 128" in result.stdout
    assert "axial" in result.stdout
    assert "Thorax lung" in result.stdout
    code, found = run_json(tmp_path)
    assert code == 0
    [series] = found["series"]
    assert series["shape"] == [3, 128, 128]
    assert series["spacing"] == pytest.approx([5, 0.661468, 0.661468])
    assert series["axes"] == "LPS"
    assert series["files"] == 3


def test_no_identity_in_any_output(tmp_path):
    ct(tmp_path, [0, 5, 10])
    header = pydicom.dcmread(tmp_path / "0.dcm")
    for result in (run(tmp_path), run(tmp_path, "--json")):
        for secret in (
            "Nightingale",
            "NIGHTINGALE",
            "NHS-1820",
            header.SeriesInstanceUID,
            header.StudyInstanceUID,
            header.SOPInstanceUID,
        ):
            assert secret not in result.stdout + result.stderr


def test_some_refused(tmp_path):
    ct(tmp_path / "good", [0, 5, 10])
    ct(tmp_path / "gap", [0, 5, 15, 20], SeriesInstanceUID="1.2.3.9")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "refused" in result.stderr
    assert "missing" in result.stderr
    code, found = run_json(tmp_path)
    assert code == 1
    assert found["refused"][0]["error"] == "MissingSlice"
    assert found["refused"][0]["path"].endswith("gap")


@pytest.mark.parametrize("name", ["empty", "nowhere", "text"])
def test_nothing_can_be_done(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("words")
    result = run(tmp_path / name)
    assert result.exit_code == 3
    assert "Traceback" not in result.output
    code, found = run_json(tmp_path / name)
    assert code == 3
    assert found["error"] == "EmptyInput"


def test_neither_file_nor_folder():
    result = run(os.devnull)
    assert result.exit_code == 3
    assert "unexpected" not in result.stderr


def test_index_of_a_disc():
    """Read as the folder that it stands for; a series on it has a gap and is refused by name."""
    done = run(get_testdata_file("dicomdirtests/DICOMDIR", download=False))
    assert done.exit_code == 1
    assert "700.7" in done.stdout
    assert "slices are missing" in done.stderr


def test_only_refused(tmp_path):
    ct(tmp_path, [0, 5, 15])
    assert run(tmp_path).exit_code == 3


def test_report_beside_the_images(tmp_path):
    ct(tmp_path, [0, 5])
    shutil.copy(get_testdata_file("reportsi.dcm", download=False), tmp_path / "r.dcm")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "SR 1" in result.stdout


def test_single_images(tmp_path):
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png")
    result = run(tmp_path / "a.png")
    assert "picture" in result.stdout
    assert "1 x 4 x 5 x 3 channels, spacing unknown" in result.stdout
    nibabel.save(
        nibabel.Nifti1Image(np.ones((3, 4, 5), np.int16), np.diag([1, 2, 3, 1.0])),
        tmp_path / "a.nii",
    )
    code, found = run_json(tmp_path / "a.nii")
    assert code == 0
    assert found["kind"] == "nifti"
    assert found["image"]["shape"] == [5, 4, 3]
    assert found["image"]["spacing"] == [3, 2, 1]
    assert found["image"]["axes"] == "RAS"
    assert "x to R, y to A, z to S" in run(tmp_path / "a.nii").stdout


def test_folder_of_images_reads_each(tmp_path):
    for index in range(3):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "bad.png").write_bytes(b"words")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "3 readable" in result.stdout
    assert "bad.png" in result.stderr


def test_data_set(tmp_path):
    rows = ["file,label,group,split,concept:d,subgroup:sex,extra"]
    for index in range(4):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / f"{index}.png")
        split = "test" if index == 3 else "train"
        rows.append(f"{index}.png,{'ab'[index % 2]},g{index},{split},1,F,x")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "4, of 4 groups" in result.stdout
    assert "a 2, b 2" in result.stdout
    assert "train 3, test 1" in result.stdout
    assert "ignored columns: extra" in result.stdout
    code, found = run_json(tmp_path)
    assert code == 0
    assert found["dataset"]["classes"] == {"label": {"a": 2, "b": 2}}
    assert found["dataset"]["concepts"] == ["d"]
    (tmp_path / "labels.csv").write_text("file,label\nnot.png,x\n")
    assert run(tmp_path).exit_code == 3


def test_quiet_says_nothing(tmp_path):
    ct(tmp_path, [0, 5])
    assert run(tmp_path, "--quiet").stdout == ""


def test_wrong_usage():
    assert run().exit_code == 2


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lung_pet_ct_dx", "2 series, 128 files"),
        ("lidc_nodules", "benign 466, malignant 209"),
        ("msd_hippocampus", "1 Anterior, 2 Posterior"),
        ("breastmnist/breastmnist.npz", "train 546, val 78"),
    ],
)
def test_real_data(shared_data, name, words):
    result = run(shared_data(name.split("/")[0]).parent / Path(name))
    assert result.exit_code == 0
    assert words in result.stdout


def test_data_set_whose_first_image_is_damaged(tmp_path):
    (tmp_path / "a.png").write_bytes(b"words")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,x\nb.png,y\n")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "a.png" in result.stderr
    assert run(tmp_path / "labels.csv").exit_code == 1


def test_nothing_in_a_file_or_its_name_steers_the_terminal(tmp_path):
    escape = "\x1b]0;owned\x07\x9b"
    folder = ct(tmp_path / f"a{escape}", [0, 5], SeriesDescription=f"Thorax {escape}")
    (folder / f"bad{escape}.dcm").write_bytes(b"no DICOM")
    for result in (run(folder), run(folder, "--json"), run(folder / f"bad{escape}.dcm")):
        written = result.stdout + result.stderr
        assert "owned" in written
        assert not {"\x1b", "\x07", "\x9b"} & set(written)
