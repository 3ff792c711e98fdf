"""NIfTI: into LPS, scaled, or refused."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from diaphane.acquire import read
from diaphane.core import errors
from diaphane.core.volume import Volume

AFFINE = np.array([[-0.7, 0, 0, 10], [0, 0.8, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])


def write(path, data, affine=AFFINE, **header):
    image = nibabel.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_place_and_voxels(tmp_path, suffix):
    data = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    volume = read(write(tmp_path / f"a{suffix}", data))
    np.testing.assert_array_equal(volume.voxels, data.transpose(2, 1, 0))
    assert volume.geometry.spacing == pytest.approx((2.5, 0.8, 0.7))
    ras = AFFINE @ (1, 2, 3, 1)
    np.testing.assert_allclose(
        volume.geometry.to_patient((3, 2, 1)), (-ras[0], -ras[1], ras[2]), atol=1e-5
    )


def test_oblique_affine_agrees_with_nibabel(tmp_path):
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] * (1, 2, 3)
    turn[:3, 3] = (4, 5, 6)
    path = write(tmp_path / "a.nii", np.zeros((3, 4, 5), np.float32), turn)
    expected = Volume.from_nibabel(nibabel.load(path))
    assert read(path).geometry.close_to(expected.geometry, 1e-4)


def test_scaling_is_applied(tmp_path):
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii")
    expected = nibabel.load(tmp_path / "a.nii").get_fdata().transpose(2, 1, 0)
    np.testing.assert_allclose(read(tmp_path / "a.nii").voxels, expected, atol=1e-3)


def test_without_forms_the_place_is_unknown(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), None)
    image.header.set_zooms((1.5, 1.6, 1.7))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "a.nii")
    geometry = read(tmp_path / "a.nii").geometry
    assert geometry.spacing == pytest.approx((1.7, 1.6, 1.5))
    assert geometry.direction is None
    assert not geometry.is_spatial


def test_micrometres_are_converted(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.diag([500, 500, 500, 1.0]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    assert read(tmp_path / "a.nii").geometry.spacing == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("row", [0, 2])
def test_singular_affine(tmp_path, row):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), AFFINE)
    image.header[("srow_x", "srow_y", "srow_z")[row]] = 0
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    raw = image.header.binaryblock
    path = tmp_path / "a.nii"
    path.write_bytes(raw + bytes(4) + bytes(60))
    with pytest.raises(errors.GeometryError) as caught:
        read(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers(tmp_path, value):
    data = np.zeros((3, 4, 5), np.float32)
    data[1, 1, 1] = value
    with pytest.raises(errors.InvalidVoxels, match="1 voxels are NaN or infinite"):
        read(write(tmp_path / "a.nii.gz", data))


def test_complex_voxels(tmp_path):
    with pytest.raises(errors.InvalidVoxels):
        read(write(tmp_path / "a.nii", np.zeros((3, 4, 5), np.complex64)))


def test_long_integers_and_colours(tmp_path):
    small = write(tmp_path / "a.nii", np.full((3, 4, 5), 7, np.int32))
    assert read(small).voxels.dtype == np.int32
    long = nibabel.Nifti1Image(np.full((3, 4, 5), 7, np.int64), AFFINE, dtype=np.int64)
    nibabel.save(long, tmp_path / "b.nii")
    assert read(tmp_path / "b.nii").voxels.dtype == np.int32
    rgb = np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 9
    assert read(write(tmp_path / "c.nii", rgb)).voxels[1].max() == 9


def test_integers_beyond_32_bits(tmp_path):
    long = nibabel.Nifti1Image(np.full((3, 4, 5), 2**40, np.int64), AFFINE, dtype=np.int64)
    nibabel.save(long, tmp_path / "a.nii")
    with pytest.raises(errors.InvalidVoxels, match="32 bits"):
        read(tmp_path / "a.nii")


def test_four_dimensions(tmp_path):
    with pytest.raises(errors.NotApplicable, match="4 dimensions"):
        read(write(tmp_path / "a.nii", np.zeros((3, 4, 5, 6), np.uint8)))
    assert read(write(tmp_path / "b.nii", np.zeros((3, 4, 5, 1), np.uint8))).shape == (5, 4, 3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated(tmp_path, suffix):
    data = np.random.default_rng(0).integers(0, 255, (20, 20, 20)).astype(np.uint8)
    path = write(tmp_path / f"a{suffix}", data)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(errors.UnreadableFile):
        read(path)


def test_declared_size_larger_than_the_file(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.uint8))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(errors.UnreadableFile, match="cannot hold"):
        read(path)


def test_garbage(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"this is no image")
    with pytest.raises(errors.UnreadableFile):
        read(path)


@pytest.mark.shared_data
def test_real_files_agree_with_nibabel(shared_data):
    for path in sorted(shared_data("totalsegmentator_example").glob("*_sm.nii.gz")):
        expected = Volume.from_nibabel(nibabel.load(path))
        volume = read(path)
        assert volume.geometry.close_to(expected.geometry, 1e-3)
        np.testing.assert_allclose(volume.voxels, expected.voxels, rtol=1e-6)
