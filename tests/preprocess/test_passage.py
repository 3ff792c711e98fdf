"""The one resampler, against SimpleITK's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from diaphane.core.errors import MissingSpacing
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import Passage, passage_to, resample

ITK = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "bspline": sitk.sitkBSpline}


def smooth_ct(shape=(12, 24, 20), spacing=(2.5, 0.7, 0.8), dtype=np.int16) -> Volume:
    rng = np.random.default_rng(3)
    z, y, x = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij")
    values = 400 * np.sin(2 * z + y) * np.cos(3 * x) + rng.normal(0, 40, shape)
    geometry = Geometry.axial(shape, spacing, (-12.0, 30.5, -200.0))
    return Volume(values.astype(dtype), geometry, "CT", "HU")


def turned(volume: Volume, degrees: float) -> Geometry:
    """The grid of a volume, turned about z and shifted."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[c, -s, 0, 3.0], [s, c, 0, -2.0], [0, 0, 1, 1.0], [0, 0, 0, 1]])
    return Geometry.from_affine(volume.shape, matrix @ volume.geometry.affine)


def by_itk(volume: Volume, grid: Geometry, how: str) -> np.ndarray:
    pattern = Volume(np.zeros(grid.shape, np.uint8), grid).to_sitk()
    kind = sitk.sitkInt16 if how == "nearest" else sitk.sitkFloat32
    image = volume.to_sitk()
    moved = sitk.Resample(image, pattern, sitk.Transform(), ITK[how], -1024.0, kind)
    return sitk.GetArrayFromImage(moved)


@pytest.mark.parametrize("how", ["linear", "nearest", "bspline"])
@pytest.mark.parametrize("spacing", [(1.07, 1.1, 0.93), (5.3, 1.3, 0.4)])
def test_spacing_equals_simpleitk_on_the_same_grid(how, spacing):
    volume = smooth_ct()
    grid = resample(volume, spacing).geometry
    # The centres of both grids coincide, so nearest has ties there; a hair's shift breaks them.
    grid = dataclasses.replace(grid, origin=tuple(p + 0.013 for p in grid.origin))
    ours = resample(volume, grid, how)
    theirs = by_itk(volume, grid, how)
    tolerance = {"linear": 0.01, "nearest": 0, "bspline": 1.0}[how]
    assert np.abs(ours.voxels - theirs).max() <= tolerance


@pytest.mark.parametrize("how", ["linear", "nearest"])
@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0])
def test_any_grid_equals_simpleitk(how, degrees):
    volume = smooth_ct()
    grid = turned(volume, degrees)
    ours = resample(volume, grid, how)
    theirs = by_itk(volume, grid, how)
    # ITK fills exactly at the border where rounding decides; those voxels are few.
    agree = np.abs(ours.voxels - theirs) <= 0.05
    assert agree.mean() > 0.995
    assert (ours.voxels == -1024).any()


def test_bspline_on_an_oblique_grid_equals_simpleitk_inside():
    volume = smooth_ct()
    grid = turned(volume, 17.0)
    ours, theirs = resample(volume, grid, "bspline").voxels, by_itk(volume, grid, "bspline")
    agree = np.abs(ours - theirs) <= 1.0
    assert agree.mean() > 0.995


def test_new_grid_shares_its_centre_with_the_old():
    volume = smooth_ct()
    for spacing in (1.0, 2.0, 3.3):
        grid = resample(volume, spacing).geometry
        old = volume.geometry.to_patient((np.array(volume.shape) - 1) / 2)
        new = grid.to_patient((np.array(grid.shape) - 1) / 2)
        assert np.allclose(old, new)
        assert grid.spacing == pytest.approx((spacing,) * 3)


def test_threads_give_the_same_bytes():
    volume = smooth_ct((40, 120, 120), (2.0, 0.7, 0.7))
    one, many = (resample(volume, 0.8, threads=n) for n in (1, 3))
    assert one.voxels.tobytes() == many.voxels.tobytes()


def test_linear_is_exact_on_a_ramp_and_float32():
    ramp = np.arange(10, dtype=np.float64)[:, None, None] * np.ones((10, 4, 4))
    volume = Volume(ramp, Geometry.axial((10, 4, 4), (1.0, 1.0, 1.0)))
    out = resample(volume, (0.5, None, None))
    assert out.voxels.dtype == np.float32
    assert np.allclose(out.voxels[1:-1, 0, 0], np.arange(18) / 2 + 0.25)
    assert np.allclose(out.voxels[[0, -1], 0, 0], [0, 9])


def test_channels_are_resampled_one_by_one():
    one = smooth_ct()
    both = Volume(np.stack([one.voxels, -one.voxels]), one.geometry)
    out = resample(both, 1.5)
    assert out.channels == 2
    assert np.array_equal(out.voxels[0], resample(one, 1.5).voxels)
    assert np.array_equal(out.voxels[1], -out.voxels[0])


def test_an_axis_without_spacing_is_left_alone_or_refused():
    flat = Volume(np.ones((1, 8, 6), np.float32), Geometry((1, 8, 6), (None, 0.5, 0.5)))
    assert resample(flat, (None, 1.0, 1.0)).geometry.spacing == (None, 1.0, 1.0)
    with pytest.raises(MissingSpacing):
        resample(flat, 1.0)
    with pytest.raises(MissingSpacing):
        resample(flat, smooth_ct().geometry)


def test_nothing_in_common_gives_only_fill():
    volume = smooth_ct()
    away = Geometry.axial((3, 3, 3), (1.0, 1.0, 1.0), (5000.0, 0.0, 0.0))
    assert (resample(volume, away).voxels == -1024).all()


def test_fill_that_the_voxel_type_cannot_hold_makes_float():
    volume = Volume(np.ones((2, 2, 2), np.uint8), Geometry.axial((2, 2, 2), (1.0, 1.0, 1.0)))
    larger = volume.geometry.crop((-1, -1, -1), (4, 4, 4))
    out = resample(volume, larger, "nearest", fill=-1000.0)
    assert out.voxels.min() == -1000
    assert out.voxels[1:3, 1:3, 1:3].min() == 1


def test_passage_goes_through_json():
    volume = smooth_ct()
    way = passage_to(volume.geometry, turned(volume, 10.0))
    again = Passage.from_dict(way.to_dict())
    assert np.allclose(again.index, way.index)
    assert again.after.close_to(way.after)
    point = np.array([3.0, 4.0, 5.0])
    assert np.allclose(way.to_after(way.to_before(point)), point)
