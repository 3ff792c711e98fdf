"""Volumes keep their voxels and their place through every converter."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from diaphane.core.errors import InvalidVoxels
from diaphane.core.geometry import Geometry
from diaphane.core.thumbnail import png
from diaphane.core.volume import Volume


def oblique(channels: int = 0) -> Volume:
    affine = np.array(
        [[0.0, -0.2, 0.79, 10], [0.1, 0.68, 0.17, -20], [2.49, -0.03, 0.0, 30], [0, 0, 0, 1]]
    )
    shape = (5, 6, 7)
    voxels = np.random.default_rng(0).normal(size=(channels, *shape) if channels else shape)
    return Volume(voxels.astype(np.float32), Geometry.from_affine(shape, affine), "CT", "HU")


@pytest.mark.parametrize("channels", [0, 3])
def test_round_trip_through_simpleitk_and_nibabel(channels: int) -> None:
    volume = oblique(channels)
    # ITK insists on orthonormal directions, so it gets an upright grid.
    upright = volume.with_voxels(volume.voxels, Geometry.axial(volume.shape, (2.5, 0.7, 0.8)))
    for original, back in (
        (upright, Volume.from_sitk(upright.to_sitk(), modality="CT", unit="HU")),
        (volume, Volume.from_nibabel(volume.to_nibabel(), modality="CT", unit="HU")),
    ):
        assert np.array_equal(back.voxels, original.voxels)
        assert back.geometry.close_to(original.geometry)
        assert (back.modality, back.unit, back.channels) == ("CT", "HU", max(1, channels))


@pytest.mark.learn
def test_round_trip_through_monai() -> None:
    pytest.importorskip("monai", reason="MONAI is not installed")
    volume = oblique()
    tensor = volume.to_metatensor()
    back = Volume.from_metatensor(tensor, modality="CT", unit="HU")
    assert np.array_equal(back.voxels, volume.voxels)
    assert back.geometry.close_to(volume.geometry)


def test_a_sitk_point_is_our_point() -> None:
    volume = oblique().with_voxels(
        oblique().voxels, Geometry.axial((5, 6, 7), (2.5, 0.7, 0.8), (1.0, 2.0, 3.0))
    )
    there = volume.to_sitk().TransformIndexToPhysicalPoint((3, 2, 1))
    assert np.allclose(there, volume.geometry.to_patient([1, 2, 3]))


def test_voxels_cannot_be_changed() -> None:
    volume = oblique()
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1
    copy = volume.to_numpy()
    copy[:] = 0
    assert volume.voxels.any()


def test_misfits_are_refused() -> None:
    with pytest.raises(InvalidVoxels, match="do not fit"):
        Volume(np.zeros((2, 2, 2)), Geometry((2, 2, 3)))
    with pytest.raises(InvalidVoxels, match="numbers"):
        Volume(np.array([[["a"]]]), Geometry((1, 1, 1)))
    with pytest.raises(InvalidVoxels, match="1 voxels are NaN"):
        Volume(np.array([[[np.nan, 1.0]]]), Geometry((1, 1, 2))).require_finite("scan.nii")


def test_a_notebook_sees_three_planes_and_no_markup_from_data() -> None:
    html = oblique()._repr_html_()
    assert html.count("data:image/png;base64,") == 3
    first = html.split("base64,")[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(first))).size[0] > 0
    odd = Volume(np.zeros((1, 4, 4)), Geometry((1, 4, 4)), modality="<b>")
    assert "<b>" not in odd._repr_html_()


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (3, 5, 4)])
def test_our_png_is_what_pillow_reads(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
