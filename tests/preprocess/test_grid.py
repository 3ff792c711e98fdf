"""Steps that move whole voxels."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from diaphane.core.errors import GeometryError, MissingSpacing, RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import (
    crop,
    crop_foreground,
    crop_or_pad,
    limit_slices,
    orient,
    pad,
    resize,
    thin_slices,
)


def numbered(shape=(4, 5, 6), **kind) -> Volume:
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    return Volume(values, Geometry.axial(shape, (2.0, 1.0, 1.0)), **kind)


def test_crop_takes_the_box_and_moves_the_origin():
    out = crop(numbered(), (1, 2, 3), (2, 3, 2))
    assert np.array_equal(out.voxels, numbered().voxels[1:3, 2:5, 3:5])
    assert out.geometry.origin == (3.0, 2.0, 2.0)
    assert out.voxels.dtype == np.int16
    with pytest.raises(RecipeError, match="leaves"):
        crop(numbered(), (1, 2, 3), (4, 1, 1))


def test_pad_fills_by_unit():
    out = pad(numbered(unit="HU"), (1, 0, 0), (0, 0, 2))
    assert out.shape == (5, 5, 8)
    assert (out.voxels[0] == -1024).all()
    assert (out.voxels[..., 6:] == -1024).all()
    assert pad(numbered(), (1, 0, 0), (0, 0, 0)).voxels[0].max() == 0
    assert pad(numbered(), (1, 0, 0), (0, 0, 0), fill=7).voxels[0].min() == 7


def test_crop_or_pad_keeps_the_centre():
    out = crop_or_pad(numbered(), (2, None, 10))
    assert out.shape == (2, 5, 10)
    assert np.array_equal(out.voxels[:, :, 2:8], numbered().voxels[1:3])
    with pytest.raises(RecipeError):
        crop_or_pad(numbered(), (0, None, None))


def test_orient_equals_simpleitk():
    turned = sitk.DICOMOrient(numbered().to_sitk(), "PIR")
    back = orient(Volume.from_sitk(turned), "LPS")
    assert np.array_equal(back.voxels, numbered().voxels)
    assert back.geometry.close_to(numbered().geometry)
    ours = orient(numbered(), "RAS")
    theirs = Volume.from_sitk(sitk.DICOMOrient(numbered().to_sitk(), "RAS"))
    assert np.array_equal(ours.voxels, theirs.voxels)
    assert ours.geometry.close_to(theirs.geometry)


def test_orient_refuses_what_it_cannot_know():
    with pytest.raises(GeometryError):
        orient(Volume(np.zeros((2, 2, 2)), Geometry((2, 2, 2))))
    with pytest.raises(RecipeError):
        orient(numbered(), "LRS")


def test_crop_foreground_by_mask_threshold_and_value():
    volume = numbered((6, 8, 8))
    inside = np.zeros((6, 8, 8), np.uint8)
    inside[2:4, 3:5, 6] = 1
    mask = volume.with_voxels(inside)
    assert crop_foreground(volume, mask).shape == (2, 2, 1)
    assert crop_foreground(volume, mask, margin=1).shape == (4, 4, 3)
    assert crop_foreground(volume, mask, margin_mm=2.0).shape == (4, 6, 4)
    assert crop_foreground(mask).shape == (2, 2, 1)
    assert crop_foreground(volume, mask, threshold=382).shape == (1, 1, 1)
    colour = Volume(np.stack([inside] * 3), volume.geometry)
    assert crop_foreground(colour).shape == (2, 2, 1)
    with pytest.raises(RecipeError, match="no foreground"):
        crop_foreground(volume, threshold=1e6)
    with pytest.raises(MissingSpacing):
        crop_foreground(Volume(inside, Geometry(inside.shape)), margin_mm=1.0)


def test_thin_and_limit_slices():
    volume = numbered((10, 2, 2))
    assert np.array_equal(thin_slices(volume, 3, 1).voxels, volume.voxels[1::3])
    assert thin_slices(volume, 3).geometry.spacing == (6.0, 1.0, 1.0)
    assert limit_slices(volume, 4).shape[0] == 4
    assert limit_slices(volume, 40).shape[0] == 10
    assert np.array_equal(limit_slices(volume, 4, "centre").voxels, volume.voxels[3:7])
    for most in range(1, 12):
        assert 1 <= limit_slices(volume, most).shape[0] <= most
    with pytest.raises(RecipeError):
        thin_slices(volume, 0)
    with pytest.raises(RecipeError):
        limit_slices(volume, 0)


def test_resize_is_antialiased():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    volume = Volume(board[None], Geometry((1, 64, 64)))
    small = resize(volume, (16, 16)).voxels
    assert np.abs(small - 100).max() < 5  # a plain lookup would give 0 or 200
    assert resize(volume, longest=32).shape == (1, 32, 32)
    assert resize(volume, (16, 8), interpolation="nearest").voxels.dtype == np.uint8
    wide = Volume(np.zeros((3, 40, 80), np.float32), Geometry((3, 40, 80)))
    assert resize(wide, longest=20).shape == (3, 10, 20)
    for wrong in ({"size": None}, {"size": (4, 4), "longest": 4}, {"size": (0, 4)}):
        with pytest.raises(RecipeError):
            resize(volume, **wrong)


def test_resize_keeps_colour_and_extent():
    colour = np.random.default_rng(0).random((3, 2, 12, 10)).astype(np.float32)
    volume = Volume(colour, Geometry.axial((2, 12, 10), (3.0, 1.0, 1.0)))
    out = resize(volume, (6, 5))
    assert out.voxels.shape == (3, 2, 6, 5)
    assert out.geometry.spacing == pytest.approx((3.0, 2.0, 2.0))
    assert out.voxels.mean() == pytest.approx(colour.mean(), abs=0.02)
