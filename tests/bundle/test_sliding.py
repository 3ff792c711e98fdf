"""Windows: whatever their size and overlap, they say what the network says of the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.bundle import PatchSpec
from diaphane.bundle.sliding import Lattice, slide, window_starts
from diaphane.core.errors import BundleCorrupt, UsageError

sizes = st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
patches = st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12))


def pointwise(feeds):
    """Three classes that depend on each voxel alone."""
    image = feeds["image"]
    assert image.dtype == np.float32
    first = image[:, :1]
    return {"logit": np.concatenate([first, 2 - first**2, image.sum(axis=1, keepdims=True)], 1)}


def whole(slabs, axis):
    return np.moveaxis(np.concatenate([slab.copy() for slab in slabs]), 0, axis + 1)


@settings(max_examples=60, deadline=None)
@given(
    sizes,
    patches,
    st.floats(0, 0.8),
    st.sets(st.sampled_from("zyx")),
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(0, 9),
)
def test_windows_of_a_pointwise_network_are_the_whole(
    shape, size, overlap, mirror, axis, channels, seed
):
    image = np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)
    patch = PatchSpec(channels=channels, size=size, overlap=overlap, mirror=tuple(mirror))
    shares = []
    found = whole(slide(image, patch, pointwise, axis=axis, progress=shares.append), axis)
    wanted = pointwise({"image": image[None]})["logit"][0]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


@given(st.integers(1, 300), st.integers(1, 64), st.floats(0, 0.9))
def test_starts_cover_evenly_and_keep_the_overlap(length, size, overlap):
    starts = window_starts(length, size, overlap)
    if length <= size:
        assert len(starts) == 1
        assert starts[0] <= 0 <= starts[0] + size - length
        return
    assert starts[0] == 0
    assert starts[-1] == length - size
    steps = np.diff(starts)
    assert (steps >= 1).all()
    assert steps.max() <= max(1, size * (1 - overlap)) + 1
    assert np.ptp(steps) <= 1


@given(sizes, patches, st.floats(0, 0.9))
def test_weights_sum_to_one_everywhere(shape, size, overlap):
    lattice = Lattice.over(shape, size, overlap)
    for starts, weights, length in zip(lattice.starts, lattice.weights, shape, strict=True):
        total = np.zeros(length)
        for start, line in zip(starts, weights, strict=True):
            for k, w in enumerate(line):
                if 0 <= start + k < length:
                    total[start + k] += w
        np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_the_middle_of_a_window_counts_most():
    """Two windows share a third: there the nearer one decides."""
    calls = iter((0.0, 1.0))

    def constant(feeds):
        return {"logit": np.full((1, 2, *feeds["image"].shape[2:]), next(calls), np.float32)}

    image = np.zeros((1, 1, 1, 100_000), np.float32)
    patch = PatchSpec(size=(1, 1, 60_000), overlap=1 / 3)
    line = whole(slide(image, patch, constant), 0)[0, 0, 0]
    assert (line[:40_000] == 0).all()
    assert (line[60_000:] == 1).all()
    assert line[50_000] == pytest.approx(0.5, abs=1e-3)
    assert (np.diff(line) >= -1e-6).all()


def test_held_planes_are_bounded_by_the_patch_not_by_the_image():
    deep, shallow = (Lattice.over((n, 64, 64), (16, 48, 48), 0.5) for n in (800, 80))
    assert deep.held(0, 3) == shallow.held(0, 3)
    assert deep.held(0, 3) <= 4 * 3 * 64 * 64 * 32


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 7.0])
def test_an_overlap_that_is_none_is_refused(overlap):
    with pytest.raises(UsageError, match="Overlap"):
        list(slide(np.zeros((1, 2, 2, 2)), PatchSpec(size=(1, 1, 1)), pointwise, overlap=overlap))


def test_a_network_that_gives_another_shape_is_named():
    with pytest.raises(BundleCorrupt, match=r"model\.onnx"):
        list(
            slide(
                np.zeros((1, 4, 4, 4)),
                PatchSpec(size=(2, 4, 4)),
                lambda feeds: {"logit": feeds["image"][:, :, :, ::2]},
            )
        )
