"""``diaphane preprocess``, as a person types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from diaphane.cli import app
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import write_volume

RECIPE = (
    "version: 1\nsteps:\n  - resample: {spacing: [2, 2, 2]}\n  - window: {level: 0, width: 900}\n"
)


@pytest.fixture
def place(tmp_path):
    values = np.random.default_rng(0).integers(-500, 500, (6, 20, 24)).astype(np.int16)
    volume = Volume(values, Geometry.axial((6, 20, 24), (4.0, 1.0, 1.0), (5.0, 6.0, 7.0)))
    write_volume(tmp_path / "in.nii.gz", volume)
    write_volume(tmp_path / "mask.nii.gz", volume.with_voxels((values > 0).astype(np.uint8)))
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["preprocess", *(str(word) for word in words)])


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
def test_writes_the_result_and_the_mask(place, ending):
    done = run(
        *(place / "in.nii.gz", place / f"out{ending}", "--recipe", place / "r.yaml"),
        *("--mask", place / "mask.nii.gz", "--mask-out", place / f"m{ending}"),
        *("--report", place / "report.html"),
    )
    assert done.exit_code == 0, done.output
    assert "2 steps" in done.output
    image = sitk.ReadImage(place / f"out{ending}")
    assert image.GetSpacing() == pytest.approx((2, 2, 2))
    assert image.GetSize() == (12, 10, 12)
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(place / f"m{ending}")))) == {0, 1}
    page = (place / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page
    assert "in.nii.gz" not in page


def test_says_it_in_json(place):
    done = run(
        place / "in.nii.gz", place / "o.mha", "--recipe", place / "r.yaml", "--json",
        "--report", place / "r.png",
    )  # fmt: skip
    said = json.loads(done.output)
    assert said["result"]["shape"] == [12, 10, 12]
    assert said["steps"] == 2
    assert (place / "r.png").read_bytes()[:4] == b"\x89PNG"


def test_never_overwrites_its_input(place):
    before = (place / "in.nii.gz").read_bytes()
    for out in (place / "in.nii.gz", place / "." / "in.nii.gz"):
        done = run(place / "in.nii.gz", out, "--recipe", place / "r.yaml")
        assert done.exit_code == 2
        assert "overwrite" in done.stderr
    assert run(place / "in.nii.gz", place / "r.yaml", "--recipe", place / "r.yaml").exit_code == 2
    assert (place / "in.nii.gz").read_bytes() == before


@pytest.mark.parametrize(
    ("recipe", "out", "code", "word"),
    [
        ("version: 1\nsteps: [sharpen]", "o.mha", 3, "Step 1"),
        ("version: 1\nsteps: [zscore: {within: mask}]", "o.mha", 3, "Step 1"),
        (RECIPE, "o.png", 3, "one slice"),
        (RECIPE, "o.txt", 2, "ending"),
    ],
)
def test_errors_name_what_is_wrong_and_leave_nothing(place, recipe, out, code, word):
    (place / "r.yaml").write_text(recipe)
    before = sorted(p.name for p in place.iterdir())
    done = run(place / "in.nii.gz", place / out, "--recipe", place / "r.yaml")
    assert done.exit_code == code, done.output
    assert word in done.stderr
    assert "Traceback" not in done.output + done.stderr
    assert sorted(p.name for p in place.iterdir()) == before


def test_wrong_options(place):
    one = run(
        place / "in.nii.gz", place / "o.mha", "--recipe", place / "r.yaml",
        "--mask", place / "mask.nii.gz",
    )  # fmt: skip
    two = run(
        place / "in.nii.gz", place / "o.mha", "--recipe", place / "r.yaml",
        "--report", place / "r.pdf",
    )  # fmt: skip
    assert (one.exit_code, two.exit_code) == (2, 2)
    absent = run(place / "absent.nii", place / "o.mha", "--recipe", place / "r.yaml")
    assert absent.exit_code == 3


@pytest.mark.shared_data
def test_a_real_chest_ct(shared_data, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "version: 1\nsteps:\n  - resample: {spacing: [5, 2, 2]}\n"
        "  - crop_foreground: {threshold: -500}\n  - window: {level: -600, width: 1500}\n"
    )
    scan = shared_data("lung_pet_ct_dx") / "A0001_L"
    done = run(scan, tmp_path / "o.nii.gz", "--recipe", tmp_path / "r.yaml", "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    result = sitk.ReadImage(tmp_path / "o.nii.gz")
    assert result.GetSpacing() == pytest.approx((2, 2, 5), abs=1e-4)
    assert sitk.GetArrayViewFromImage(result).max() == 1
