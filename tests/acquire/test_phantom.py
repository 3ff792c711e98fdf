"""The synthetic chest, its truth and its DICOM series."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from diaphane.acquire.phantom import chest_phantom, insert_nodule, write_dicom_series
from diaphane.core.errors import InputError, UsageError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

COARSE = {"spacing": (5.0, 2.4, 2.4), "shape": (66, 152, 152)}
NODULES = [(14.0, "free"), (12.0, "pleural"), (12.0, "vascular")]


@pytest.fixture(scope="module")
def phantom():
    return chest_phantom(3, nodules=NODULES, **COARSE)


def test_same_seed_gives_the_same_voxels(phantom):
    again = chest_phantom(3, nodules=NODULES, **COARSE)
    np.testing.assert_array_equal(again.volume.voxels, phantom.volume.voxels)
    assert again.nodules == phantom.nodules
    other = chest_phantom(4, nodules=NODULES, **COARSE)
    assert not np.array_equal(other.volume.voxels, phantom.volume.voxels)


def test_densities_are_those_of_a_chest(phantom):
    hu = phantom.volume.voxels
    assert phantom.volume.unit == "HU"
    assert -1024 <= hu.min() < -950
    assert 400 < hu.max() <= 3071
    assert -900 < np.median(hu[phantom.lungs > 0]) < -800
    assert np.median(hu[phantom.airways]) < -900


def test_lungs_lie_on_their_sides_and_have_a_size(phantom):
    voxel = np.prod(phantom.volume.geometry.spacing_mm) / 1000.0
    for label, sign in ((1, -1.0), (2, 1.0)):
        points = phantom.volume.geometry.to_patient(np.argwhere(phantom.lungs == label))
        assert sign * points[:, 0].mean() > 30.0
        assert 1200 < len(points) * voxel < 4500


def test_nodules_are_where_the_truth_says(phantom):
    assert [n.kind for n in phantom.nodules] == [k for _, k in NODULES]
    for nodule in phantom.nodules:
        at = np.round(phantom.volume.geometry.to_index(nodule.centre)).astype(int)
        assert phantom.volume.voxels[tuple(at)] > -250.0
        assert phantom.lungs[tuple(at)] > 0


def test_impossible_nodules_are_refused():
    with pytest.raises(UsageError):
        chest_phantom(0, nodules=[(90.0, "free")], **COARSE)


def test_inserted_nodule_adds_its_volume():
    geometry = Geometry.axial((40, 40, 40), (1.25, 1.0, 1.0))
    lung = Volume(np.full((40, 40, 40), -850.0, dtype=np.float32), geometry, "CT", "HU")
    changed = insert_nodule(lung, (20.0, 20.0, 25.0), 12.0, seed=1, noise=0.0, density=30.0)
    filled = (np.asarray(changed.voxels) + 850.0).sum() / 880.0 * 1.25
    assert filled == pytest.approx(np.pi / 6 * 12.0**3, rel=0.2)
    assert (np.asarray(changed.voxels) >= np.asarray(lung.voxels)).all()
    with pytest.raises(InputError):
        insert_nodule(lung, (500.0, 0.0, 0.0), 12.0)


def test_series_can_be_read_back(phantom, tmp_path):
    files = write_dicom_series(phantom, tmp_path)
    assert len(files) == phantom.volume.shape[0]
    first, last = pydicom.dcmread(files[0]), pydicom.dcmread(files[-1])
    assert str(first.PatientName) == "Phantom^Chest"
    assert first.SeriesInstanceUID == last.SeriesInstanceUID
    assert first.SOPInstanceUID != last.SOPInstanceUID
    hu = last.pixel_array * float(last.RescaleSlope) + float(last.RescaleIntercept)
    np.testing.assert_allclose(hu, phantom.volume.voxels[-1], atol=0.51)
    here = phantom.volume.geometry.to_patient((len(files) - 1, 0, 0))
    np.testing.assert_allclose([float(v) for v in last.ImagePositionPatient], here, atol=1e-3)
    again = write_dicom_series(phantom, tmp_path / "again")
    assert again[3].read_bytes() == files[3].read_bytes()


@pytest.mark.integration
def test_series_conforms(phantom, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    file = write_dicom_series(phantom, tmp_path)[0]
    told = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
    assert "Error" not in told.stderr + told.stdout
