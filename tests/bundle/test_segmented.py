"""Components are kept by rule in bounded memory, and features of quality are what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from diaphane.bundle import LabelSpec, keep_components, quality_features, segmented

SPECS = (
    LabelSpec(value=1, name="a", keep="largest"),
    LabelSpec(value=2, name="b", least=3),
    LabelSpec(value=3, name="c"),
)


def directly(index):
    """The rules of SPECS on the whole array at once."""
    out = index.copy()
    for number, spec in enumerate(SPECS, start=1):
        numbers, count = ndimage.label(index == number, np.ones((3, 3, 3)))
        if not count:
            continue
        sizes = np.bincount(numbers.ravel())[1:]
        keep = sizes >= spec.least
        if spec.keep == "largest":
            keep &= np.arange(count) == sizes.argmax()
        out[np.isin(numbers, 1 + np.flatnonzero(~keep))] = 0
    return out


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.sampled_from([0, 0, 1, 2, 3])
    ),
    st.sampled_from([1, 20, 1000]),
)
def test_components_in_slabs_are_those_of_the_whole(index, most):
    before = index.copy()
    kept = segmented.MOST_VOXELS
    segmented.MOST_VOXELS = most
    try:
        found = keep_components(index, SPECS)
    finally:
        segmented.MOST_VOXELS = kept
    np.testing.assert_array_equal(index, before)
    wanted = directly(index)
    # Of equally large components either may stay.
    for number in (1, 2, 3):
        assert (found == number).sum() == (wanted == number).sum()
    np.testing.assert_array_equal(found == 2, wanted == 2)
    np.testing.assert_array_equal(found == 3, wanted == 3)
    assert ((found == 0) | (found == index)).all()
    np.testing.assert_array_equal(keep_components(index.copy(), SPECS, copy=False), found)
    assert ndimage.label(found == 1, np.ones((3, 3, 3)))[1] <= 1


def test_nothing_to_drop_copies_nothing():
    index = np.zeros((3, 4, 5), np.uint8)
    index[1, 1:3, 1:3] = 1
    assert keep_components(index, SPECS) is index


def test_features_by_hand():
    p = np.array([[0.1, 0.4, 0.9], [0.9, 0.6, 0.1]], np.float32).reshape(2, 1, 1, 3)
    found = quality_features(p, p.argmax(axis=0))[1]
    assert found["expected_dice"] == pytest.approx(2 * 1.5 / (2 + 1.6), abs=1e-6)
    assert found["margin"] == pytest.approx((0.8 + 0.2) / 2, abs=1e-6)
    h = [-(q * np.log(q) + (1 - q) * np.log(1 - q)) for q in (0.9, 0.6)]
    assert found["entropy"] == pytest.approx(np.mean(h), abs=1e-6)


def test_features_of_a_label_without_a_voxel():
    p = np.array([[0.7, 0.8], [0.3, 0.2]], np.float32).reshape(2, 1, 1, 2)
    found = quality_features(p, np.zeros((1, 1, 2), int))[1]
    assert found == {"expected_dice": pytest.approx(0.7), "entropy": 0.0, "margin": 1.0}


@given(st.integers(2, 4), st.integers(0, 99))
def test_features_slab_by_slab_are_those_of_the_whole(classes, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(classes), (4, 3, 5)).astype(np.float32)
    p = np.moveaxis(p, -1, 0)
    index = p.argmax(axis=0)
    sums = segmented.QualitySums(classes - 1)
    for z in range(4):
        sums.add(p[:, z], index[z])
    whole = quality_features(p, index)
    for label, features in sums.features().items():
        assert features == pytest.approx(whole[label], abs=1e-6)
