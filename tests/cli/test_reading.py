"""How DICOM is read, said alike to every verb, and kept with the model that learned so."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import yaml
from pydicom import uid
from pydicom.dataset import Dataset

import malformed
from commands import diaphane
from diaphane.acquire import read
from diaphane.bundle import load_bundle

HALF_LIFE, DOSE, WEIGHT, HOUR = 6586.2, 370e6, 75.0, 3600
FACTOR = 1000 * WEIGHT / (DOSE * 2 ** (-HOUR / HALF_LIFE))


def series(folder, count=4, shear=0.0, pet=None, name="case", light=0):
    """A CT series, sheared by so many mm a slice; or a PET series with these changes."""
    folder.mkdir(parents=True)
    for index in range(count):
        data = malformed.ct(index, (24, 24))
        noise = np.random.default_rng([index, *name.encode()])
        values = (900 + 60 * light + noise.integers(0, 50, (24, 24))).astype(np.uint16)
        values[8:16, 8:16] += 100 + 20 * index + 100 * light
        data.PixelData = values.tobytes()
        data.PatientID = data.PatientName = name
        for key in ("StudyInstanceUID", "SeriesInstanceUID"):
            data[key].value = f"{data[key].value}.{sum(name.encode())}{len(name)}"
        data.SOPInstanceUID = f"{data.SeriesInstanceUID}.{index}"
        data.ImagePositionPatient = [-10.0, -20.0 + shear * index, 2.5 * index]
        if pet is not None:
            as_pet(data, index, pet)
        (folder / f"{index}.dcm").write_bytes(malformed.dumped(data))
    return folder


def as_pet(data, index, changes):
    """What a GE scanner writes of an F-18 study an hour after the injection."""
    data.SOPClassUID, data.Modality = uid.PositronEmissionTomographyImageStorage, "PT"
    data.RescaleSlope, data.RescaleIntercept = 2.0 + index, 0
    data.Units, data.DecayCorrection = "BQML", "START"
    data.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    data.SeriesDate = data.AcquisitionDate = "20260101"
    data.SeriesTime, data.AcquisitionTime = "110000", "110005"
    data.PatientWeight, data.PatientSize, data.PatientSex = WEIGHT, 1.8, "M"
    item = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = DOSE, HALF_LIFE
    item.RadiopharmaceuticalStartTime = "100000"
    data.RadiopharmaceuticalInformationSequence = [item]
    for key, value in changes.items():
        setattr(data, key, value)


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pets")
    series(folder / "whole", pet={}, name="a")
    series(folder / "without", pet={"PatientWeight": None}, name="b")
    series(folder / "ct", name="c")
    return folder


def test_convert_to_suv(pets, tmp_path):
    plain = read(pets / "whole")
    done = diaphane("convert", pets / "whole", tmp_path / "a.nii.gz", "--units", "suv")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(read(tmp_path / "a.nii.gz").voxels, plain.voxels * FACTOR, rtol=1e-5)
    lean = 1.10 * WEIGHT - 120 * (WEIGHT / 180) ** 2
    done = diaphane("convert", pets / "whole", tmp_path / "b.nii.gz", "--units", "suv-lbm")
    found = read(tmp_path / "b.nii.gz").voxels / plain.voxels
    np.testing.assert_allclose(found, FACTOR * lean / WEIGHT, rtol=1e-4)


def test_what_cannot_become_suv_is_refused_by_name(pets, tmp_path):
    done = diaphane("convert", pets, tmp_path / "out", "--units", "suv")
    assert done.returncode == 1
    assert "cannot become SUVbw: no weight in kg" in done.stderr
    assert done.stderr.count("CT has no SUV: values as they are") == 1
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8") as stream:
        [row] = csv.DictReader(stream)
    assert row["file"].endswith("without")
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2  # the CT stays as it is
    done = diaphane("convert", pets / "without", tmp_path / "x.nii.gz", "--units", "suv")
    assert done.returncode == 3
    assert diaphane("convert", pets / "without", tmp_path / "x.nii.gz").returncode == 0


def test_info_tells_the_unit(pets):
    done = diaphane("info", pets, "--units", "suv", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert {item["unit"] for item in told["series"]} == {"SUVbw", "HU"}
    assert "SUVbw" in told["refused"][0]["problem"]
    assert "(SUVbw)" in diaphane("info", pets / "whole", "--units", "suv").stdout
    plain = json.loads(diaphane("info", pets / "whole", "--json").stdout)
    assert plain["series"][0]["unit"] == "Bq/ml"


def test_other_verbs_take_it(pets, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps:\n- rescale: {low: 0.0, high: 10.0}\n")
    for units, code in (("stored", 0), ("suv", 3)):
        words = ["--out", tmp_path / f"{units}.csv", "--units", units]
        assert diaphane("predict", "lung-nodule", pets / "without", *words).returncode == code
    done = diaphane("analyze", pets / "without", "--with", "lung-nodule", "--units", "suv", "--out", tmp_path / "o")  # fmt: skip
    assert done.returncode == 3
    assert "SUVbw" in done.stderr


@pytest.fixture(scope="module")
def tilted(tmp_path_factory):
    """A data set whose cases all come from a tilted gantry."""
    folder = tmp_path_factory.mktemp("tilted")
    lines = ["file,label,group,split"]
    for number in range(12):
        light = number % 2
        series(folder / f"c{number}", shear=0.5, name=f"p{number:02d}", light=light)
        split = "test" if number >= 8 else "train"
        lines.append(f"c{number},{'light' if light else 'dark'},p{number},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_model_reads_as_it_learned(tilted, tmp_path):
    run, out = tmp_path / "run", tmp_path / "eval"
    done = diaphane("plan", tilted, "--out", tmp_path / "no", "--positive", "light", "--threads", 1)
    assert done.returncode == 3
    assert "tilt" in done.stderr
    done = diaphane(
        "train", tilted, "--out", run, "--epochs", 1, "--threads", 1, "--positive", "light",
        "--tilt", "resample", "--folds", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = yaml.safe_load((run / "plan.yaml").read_text())
    assert plan["reading"] == {"tilt": "resample", "spacing": "refuse", "units": "stored"}
    assert load_bundle(run / "bundle").reading.tilt == "resample"
    words = [run / "bundle", tilted, "--split", "test", "--out", out, "--threads", 1, "--json"]
    done = diaphane("evaluate", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 4
    done = diaphane("evaluate", *words, "--tilt", "refuse")
    assert done.returncode == 3
    assert "tilt" in done.stderr
    new = series(tmp_path / "new", shear=0.5, name="new")
    done = diaphane("predict", run / "bundle", new, "--out", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    done = diaphane("select", run / "bundle", new)
    assert done.returncode == 0, done.stderr
    done = diaphane("analyze", new, "--with", run / "bundle", "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr


def test_learning_without_labels_takes_it(tilted, tmp_path):
    words = ["anomaly", "fit", tilted, "--out", tmp_path / "n", "--all", "--threads", 1]
    assert diaphane(*words).returncode == 3
    done = diaphane(*words, "--tilt", "resample")
    assert done.returncode == 0, done.stderr
    words = ["anomaly", "score", tmp_path / "n", tilted / "c1", "--out", tmp_path / "s.csv"]
    assert diaphane(*words).returncode == 3
    done = diaphane(*words, "--tilt", "resample")
    assert done.returncode == 0, done.stderr
