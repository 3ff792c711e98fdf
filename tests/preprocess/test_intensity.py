"""Steps that change values."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.core.errors import RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import (
    clip,
    grey,
    masked_background,
    minmax,
    percentile,
    rescale_intensity,
    window,
    zscore,
)


def of(values, dtype=np.float32, unit="1") -> Volume:
    array = np.asarray(values, dtype=dtype)
    array = array.reshape(1, 1, -1) if array.ndim == 1 else array
    return Volume(array, Geometry(array.shape[-3:]), "CT", unit)


def test_window_goes_from_edge_to_edge():
    out = window(of([-2000, -1350, -600, 150, 3000], np.int16, "HU"), -600, 1500)
    assert out.voxels.ravel() == pytest.approx([0, 0, 0.5, 1, 1])
    assert (out.unit, out.voxels.dtype) == ("1", np.float32)
    eight_bit = window(of([-600]), -600, 1500, 0, 255)
    assert eight_bit.voxels.item() == pytest.approx(127.5)


def test_rescale_without_clipping_extrapolates():
    out = rescale_intensity(of([-1, 0, 2, 4]), 0, 2, 10, 20, clipped=False)
    assert out.voxels.ravel() == pytest.approx([5, 10, 20, 30])
    with pytest.raises(RecipeError):
        rescale_intensity(of([1]), 2, 2)


def test_clip_keeps_the_voxel_type_where_it_can():
    volume = of([-5, 0, 7, 300], np.int16)
    out = clip(volume, -1, 100)
    assert out.voxels.dtype == np.int16
    assert out.voxels.ravel().tolist() == [-1, 0, 7, 100]
    assert clip(volume, None, 6.5).voxels.max() == pytest.approx(6.5)
    assert clip(volume, -1e9, 1e9).voxels.ravel().tolist() == [-5, 0, 7, 300]
    assert clip(volume) is volume


def test_zscore_minmax_percentile():
    values = np.random.default_rng(0).normal(40, 7, 5000)
    normal = zscore(of(values)).voxels
    assert normal.mean() == pytest.approx(0, abs=1e-5)
    assert normal.std() == pytest.approx(1, abs=1e-5)
    whole = minmax(of(values)).voxels
    assert (whole.min(), whole.max()) == (0, 1)
    robust = percentile(of(values), 5, 95).voxels
    assert np.mean(robust == 0) == pytest.approx(0.05, abs=0.002)
    assert np.mean(robust == 1) == pytest.approx(0.05, abs=0.002)


def test_flat_images_become_zero():
    for step in (zscore, minmax, percentile):
        assert (step(of([7, 7, 7])).voxels == 0).all()


def test_statistics_within_a_region():
    volume, mask = of([0, 10, 20, 1000]), of([0, 1, 1, 0], np.uint8)
    assert zscore(volume, mask, "mask").voxels.ravel()[1:3] == pytest.approx([-1, 1])
    assert minmax(volume, mask, "mask").voxels.ravel() == pytest.approx([0, 0, 1, 1])
    assert percentile(volume, 0, 100, within="nonzero").voxels.ravel()[1] == 0
    with pytest.raises(RecipeError):
        zscore(volume, None, "mask")


def test_grey_of_colour():
    colour = np.zeros((3, 1, 1, 2), np.uint8)
    colour[:, 0, 0, 0] = (255, 0, 0)
    colour[:, 0, 0, 1] = (90, 90, 90)
    assert grey(of(colour)).voxels.ravel() == pytest.approx([76.245, 90])
    alpha = np.concatenate([colour, np.full((1, 1, 1, 2), 255, np.uint8)])
    assert np.array_equal(grey(of(alpha)).voxels, grey(of(colour)).voxels)
    same = np.repeat(colour[:1], 3, axis=0)
    assert grey(of(same)).voxels.ravel().tolist() == [255, 90]
    one = of([1, 2])
    assert grey(one) is one
    with pytest.raises(RecipeError):
        grey(of(np.zeros((5, 1, 1, 2))))


def test_masked_background():
    volume, mask = of([5, 6, 7], np.uint8), of([0, 3, 0], np.uint8)
    out = masked_background(volume, mask)
    assert (out.voxels.dtype, out.voxels.ravel().tolist()) == (np.uint8, [0, 6, 0])
    air = masked_background(volume, mask, -1000)
    assert air.voxels.ravel().tolist() == [-1000, 6, -1000]


def test_input_is_never_changed():
    volume = of([1, 2, 3])
    for step in (zscore, minmax, percentile, lambda v: window(v, 2, 1)):
        step(volume)
    assert volume.voxels.ravel().tolist() == [1, 2, 3]
