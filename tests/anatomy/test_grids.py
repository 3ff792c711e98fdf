"""Upright views and coarser grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.anatomy.grids import Coarse, Even, Upright, closed, opened
from diaphane.core.geometry import Geometry

AXES = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


def turned(axes, flips, shape=(5, 6, 7), spacing=(2.0, 1.0, 0.5)):
    """Geometry of an upright grid whose array axes were swapped and flipped."""
    upright = Geometry.axial(shape, spacing, (3.0, -4.0, 10.0))
    native_shape = [0, 0, 0]
    affine = np.eye(4)
    origin_index = np.zeros(3)
    for up, native in enumerate(axes):
        native_shape[native] = shape[up]
        sign = -1.0 if flips[up] else 1.0
        affine[:3, native] = sign * upright.affine[:3, up]
        origin_index[up] = shape[up] - 1 if flips[up] else 0
    affine[:3, 3] = upright.to_patient(origin_index)
    return upright, Geometry.from_affine(tuple(native_shape), affine)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (True, True, True)])
def test_upright_view_undoes_any_swap_and_flip(axes, flips):
    upright, native = turned(axes, flips)
    view = Upright.of(native)
    points = native.to_patient(np.moveaxis(np.indices(native.shape), 0, -1))
    seen = np.stack([view.view(points[..., k]) for k in range(3)], axis=-1)
    expected = upright.to_patient(np.moveaxis(np.indices(upright.shape), 0, -1))
    np.testing.assert_allclose(seen, expected)
    assert view.spacing == pytest.approx(upright.spacing_mm)
    np.testing.assert_array_equal(view.back(view.view(points[..., 0])), points[..., 0])


@pytest.mark.parametrize("axes", AXES)
def test_indices_go_there_and_back(axes):
    _, native = turned(axes, (True, False, True))
    view = Upright.of(native)
    at = np.array([[1.0, 2.5, 3.0], [0.0, 0.0, 0.25]])
    np.testing.assert_allclose(view.native_index(view.index(at)), at)


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    target=st.floats(0.5, 4.0),
)
@settings(max_examples=40, deadline=None)
def test_block_mean_keeps_a_constant_and_the_shape(shape, target):
    grid = Coarse.toward(shape, (1.0, 0.7, 2.0), target)
    values = np.full(shape, 7.0, dtype=np.float32)
    coarse = grid.mean(values)
    np.testing.assert_allclose(coarse, 7.0, rtol=1e-6)
    assert grid.nearest(coarse).shape == shape
    assert grid.smooth(coarse > 0).shape == shape


def test_block_mean_is_the_mean_of_blocks():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    grid = Coarse((2, 3, 2), (2, 3, 4), (2.0, 3.0, 2.0))
    expected = values.reshape(1, 2, 1, 3, 2, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(grid.mean(values), expected)


def test_even_grid_samples_a_ramp_exactly():
    z, y, x = np.indices((12, 20, 24)).astype(np.float32)
    ramp = 3.0 * z - 2.0 * y + 0.5 * x
    even = Even.over((slice(2, 10), slice(3, 18), slice(4, 20)), (2.0, 0.8, 0.8), 1.0)
    index = even.upright_index(np.moveaxis(np.indices(even.shape), 0, -1))
    expected = 3.0 * index[..., 0] - 2.0 * index[..., 1] + 0.5 * index[..., 2]
    np.testing.assert_allclose(even.sample(ramp), expected, atol=1e-3)
    np.testing.assert_allclose(even.index(index)[1, 2, 3], (1, 2, 3), atol=1e-9)


def test_opening_and_closing_bound_the_mask():
    random = np.random.default_rng(0)
    mask = random.random((12, 14, 16)) > 0.6
    spacing = (2.0, 1.0, 1.0)
    assert (opened(mask, 1.5, spacing) <= mask).all()
    assert (closed(mask, 1.5, spacing) >= mask).all()
