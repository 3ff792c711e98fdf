"""Verbs with a segmentation bundle: exit codes, output for people and for machines."""

import json

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from diaphane.cli import app


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def rings(segments, tmp_path_factory):
    return segments.write_rings(tmp_path_factory.mktemp("b") / "rings")


@pytest.fixture
def scans(segments, tmp_path):
    """Two volumes with masks."""
    for k in range(2):
        image, truth = segments.ring_image((6, 20, 22), seed=k)
        for name, voxels in (("i", image), ("m", truth)):
            file = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([1, 1, 2, 1]))
            (tmp_path / "set").mkdir(exist_ok=True)
            nibabel.save(file, tmp_path / "set" / f"{name}{k}.nii.gz")
    (tmp_path / "set" / "labels.csv").write_text(
        "file,mask\ni0.nii.gz,m0.nii.gz\ni1.nii.gz,m1.nii.gz\n"
    )
    return tmp_path / "set"


def test_predict(rings, scans, tmp_path):
    out, masks = tmp_path / "o.csv", tmp_path / "masks"
    done = run("predict", rings, scans, "--out", out, "--masks", masks, "--no-mirror")
    assert done.exit_code == 0, done.output
    assert "2 cases" in done.output
    assert str(masks) in done.output
    again = run("predict", rings, scans, "--out", out, "--masks", masks, "--no-mirror",
                "--resume", "--json")  # fmt: skip
    said = json.loads(again.stdout)
    assert (said["done"], said["kept"], said["refused"]) == (2, 2, [])
    assert said["masks"] == str(masks)


def test_predict_goes_on_after_a_bad_case(rings, scans, tmp_path):
    (scans / "i0.nii.gz").write_bytes(b"nothing")
    done = run("predict", rings, scans, "--out", tmp_path / "o.csv", "--masks", tmp_path / "m")
    assert done.exit_code == 1
    assert "i0.nii.gz" in done.output
    assert (tmp_path / "rejected.csv").is_file()
    only = run("predict", rings, scans / "i0.nii.gz", "--out", tmp_path / "p.csv")
    assert only.exit_code == 3
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--format", "gif", "--masks", "m"),
        ("--probabilities",),
        ("--contributions",),
        ("--overlap", "1.5"),
        ("--memory", "0"),
    ],
)
def test_wrong_usage(rings, scans, tmp_path, wrong, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("predict", rings, scans, "--out", tmp_path / "o.csv", *wrong)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "o.csv").exists()


def test_masks_of_a_classifier_are_wrong_usage(toy_bundle, scans, tmp_path):
    done = run("predict", toy_bundle, scans, "--out", tmp_path / "o.csv", "--masks", tmp_path / "m")
    assert done.exit_code == 2
    assert "classifies" in done.output
    assert not (tmp_path / "m").exists()


def test_too_little_memory_names_what_is_needed(rings, segments, tmp_path):
    image = np.zeros((40, 128, 128), np.uint8)
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "s.nii.gz")
    done = run("predict", rings, tmp_path / "s.nii.gz", "--out", tmp_path / "o.csv", "--memory", 1)
    assert done.exit_code == 3
    assert "--memory" in done.output


def test_evaluate(rings, scans, tmp_path):
    done = run("evaluate", rings, scans, "--split", "all", "--out", tmp_path / "e", "--json")
    assert done.exit_code == 0, done.output
    metrics = json.loads(done.stdout)["metrics"]
    assert {"dice", "dice:rim", "dice:core", "hd95"} <= set(metrics)
    shown = run("evaluate", rings, scans, "--split", "all", "--out", tmp_path / "e")
    assert "dice:core" in shown.output
    run("evaluate", rings, scans, "--split", "all", "--out", tmp_path / "p",
        "--overlap", "0.25", "--no-mirror")  # fmt: skip
    settings = json.loads((tmp_path / "p" / "metrics.json").read_text())["settings"]
    assert (settings["overlap"], settings["mirror"]) == (0.25, "")


def test_analyze(rings, scans, tmp_path):
    done = run("analyze", scans / "i0.nii.gz", "--with", rings, "--out", tmp_path / "a")
    assert done.exit_code == 0, done.output
    assert "Findings: 2" in done.output
    assert "mm3" in done.output
    assert "predicted Dice" in done.output
    said = json.loads(
        run(
            "analyze", scans / "i0.nii.gz", "--with", rings, "--out", tmp_path / "a", "--json"
        ).stdout
    )
    assert said["findings"][0]["measurements"]["volume"]["unit"] == "mm3"


def test_bundles(rings, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path / "home"))
    packed = tmp_path / "rings.zip"
    assert run("bundles", "export", rings, "--out", packed).exit_code == 0
    assert run("bundles", "import", packed).exit_code == 0
    line = next(x for x in run("bundles").output.splitlines() if x.startswith("rings"))
    assert "segmentation" in line
    assert run("bundles", "verify", "rings").exit_code == 0
    assert "# Rings" in run("bundles", "show", "rings").output
    shown = json.loads(run("bundles", "show", "rings", "--json").stdout)
    assert [label["name"] for label in shown["labels"]] == ["rim", "core"]
