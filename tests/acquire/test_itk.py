"""MetaImage and NRRD through SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from diaphane.acquire import read
from diaphane.core import errors
from diaphane.core.volume import Volume

SUFFIXES = [".mha", ".mhd", ".nrrd", ".nhdr"]


def image(dtype=np.int16):
    voxels = np.random.default_rng(0).integers(0, 200, (4, 5, 6)).astype(dtype)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing((0.7, 0.8, 2.5))
    made.SetOrigin((1, -2, 3))
    made.SetDirection([0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1])
    return made


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
def test_place_and_voxels(tmp_path, suffix, compressed):
    made = image()
    sitk.WriteImage(made, str(tmp_path / f"a{suffix}"), compressed)
    volume = read(tmp_path / f"a{suffix}")
    expected = Volume.from_sitk(made)
    np.testing.assert_array_equal(volume.voxels, expected.voxels)
    assert volume.geometry.close_to(expected.geometry, 1e-6)


def test_floats_are_single(tmp_path):
    sitk.WriteImage(image(np.float64), str(tmp_path / "a.mha"))
    assert read(tmp_path / "a.mha").voxels.dtype == np.float32


def test_colour_becomes_channels(tmp_path):
    made = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(made, str(tmp_path / "a.mha"))
    assert read(tmp_path / "a.mha").voxels.shape == (3, 4, 5, 6)


def test_nrrd_without_space_is_not_placed(tmp_path):
    body = np.arange(60, dtype=np.uint8).tobytes()
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 3 4 5\nencoding: raw\n"
    (tmp_path / "a.nrrd").write_bytes(f"{head}\n".encode() + body)
    (tmp_path / "b.nrrd").write_bytes(f"{head}spacings: 1 2 3\n\n".encode() + body)
    bare, spaced = read(tmp_path / "a.nrrd"), read(tmp_path / "b.nrrd")
    assert bare.geometry.spacing == (None, None, None)
    assert spaced.geometry.spacing == (3, 2, 1)
    assert spaced.geometry.direction is None


def test_metaimage_without_spacing_is_not_placed(tmp_path):
    head = "ObjectType = Image\nNDims = 3\nDimSize = 3 4 5\nElementType = MET_UCHAR\n"
    (tmp_path / "a.mha").write_bytes(f"{head}ElementDataFile = LOCAL\n".encode() + bytes(60))
    assert read(tmp_path / "a.mha").geometry.spacing == (None, None, None)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image(), str(path))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(errors.UnreadableFile):
        read(path)


def test_declared_size_larger_than_the_file(tmp_path):
    head = "ObjectType = Image\nNDims = 3\nDimSize = 9999 9999 9999\nElementType = MET_UCHAR\n"
    (tmp_path / "a.mha").write_bytes(f"{head}ElementDataFile = LOCAL\n".encode() + bytes(60))
    with pytest.raises(errors.UnreadableFile, match="cannot hold"):
        read(tmp_path / "a.mha")


def test_header_without_its_data(tmp_path):
    sitk.WriteImage(image(), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(errors.UnreadableFile):
        read(tmp_path / "a.mhd")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize(
    "name", ["../secret.raw", "/etc/hostname", "sub/a.raw", "LIST\n/etc/hostname"]
)
def test_header_that_names_a_file_elsewhere(tmp_path, suffix, name):
    sitk.WriteImage(image(), str(tmp_path / f"a{suffix}"))
    path = tmp_path / f"a{suffix}"
    path.write_text(path.read_text().replace("a.raw", name))
    assert name in path.read_text()
    with pytest.raises(errors.UnreadableFile, match="another folder"):
        read(path)


def test_not_a_number(tmp_path):
    made = sitk.GetImageFromArray(np.full((2, 3, 4), np.nan, np.float32))
    sitk.WriteImage(made, str(tmp_path / "a.nrrd"))
    with pytest.raises(errors.InvalidVoxels):
        read(tmp_path / "a.nrrd")


def test_complex_voxels(tmp_path):
    made = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.complex64))
    sitk.WriteImage(made, str(tmp_path / "a.nrrd"))
    with pytest.raises(errors.InvalidVoxels):
        read(tmp_path / "a.nrrd")


def test_flat_image(tmp_path):
    made = sitk.GetImageFromArray(np.zeros((3, 4), np.uint8))
    made.SetSpacing((0.5, 0.6))
    sitk.WriteImage(made, str(tmp_path / "a.mha"))
    volume = read(tmp_path / "a.mha")
    assert volume.shape == (1, 3, 4)
    assert volume.geometry.spacing == (None, 0.6, 0.5)


def test_four_dimensions(tmp_path):
    made = sitk.JoinSeries([image(), image()])
    sitk.WriteImage(made, str(tmp_path / "a.mha"))
    with pytest.raises(errors.NotApplicable):
        read(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_garbage(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"no image at all")
    with pytest.raises(errors.UnreadableFile):
        read(tmp_path / f"a{suffix}")
