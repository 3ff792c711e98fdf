"""From a case to network input: the one way for training and for use."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.bundle import InputSpec, case_hash, load_bundle, prepare_case
from diaphane.core.case import Case
from diaphane.core.errors import InvalidVoxels, NotApplicable
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.measure.concepts import concepts
from diaphane.preprocess import Recipe, make_step


def volume(voxels, spacing=None):
    voxels = np.asarray(voxels)
    grid = (
        Geometry(voxels.shape[-3:])
        if spacing is None
        else Geometry.axial(voxels.shape[-3:], spacing, (-10.0, 5.0, 30.0))
    )
    return Volume(voxels, grid)


def ball(depth=5, size=20, centre=(2, 12, 6), radius=3.5):
    z, y, x = np.ogrid[:depth, :size, :size]
    far = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    return ((far <= radius**2) * 200).astype(np.uint8)


def case(voxels, **more):
    return Case(key="K", volumes={"image": volume(voxels)}, **more)


SPEC = InputSpec(
    kind="sequence", size=(12, 12), max_slices=8, mask="foreground", concepts=("diameter", "area")
)
PLAIN = Recipe(())


def test_frame_is_centred_on_the_mask():
    made = prepare_case(case(ball()), SPEC, PLAIN)
    assert made.image.shape == (5, 1, 12, 12)
    assert made.image.dtype == made.mask.dtype == made.concepts.dtype == np.float32
    assert made.length == 5
    assert made.slices == (0, 1, 2, 3, 4)
    assert made.frame == (6, 0)
    assert not made.cut
    y, x = np.nonzero(made.mask.any(axis=0))
    assert (y.min(), y.max(), x.min(), x.max()) == (3, 9, 3, 9)
    np.testing.assert_array_equal(made.mask > 0, made.image[:, 0] > 0)
    assert made.image.sum() == ball().sum()


def test_slices_without_mask_are_left_out_and_the_rest_thinned_evenly():
    voxels = np.zeros((30, 8, 8), np.uint8)
    voxels[5:25, 3:5, 3:5] = np.arange(5, 25)[:, None, None]
    made = prepare_case(case(voxels), SPEC, PLAIN)
    assert made.length == 8
    assert made.thinned == 12
    assert made.slices[0] == 5
    assert made.slices[-1] == 24
    np.testing.assert_array_equal(made.image.max(axis=(1, 2, 3)), made.slices)
    assert set(np.diff(made.slices)) <= {2, 3}


def test_concepts_are_those_of_measure_on_all_slices():
    voxels = np.concatenate([ball(depth=5)] * 4)
    made = prepare_case(case(voxels), SPEC, PLAIN)
    whole = concepts(("diameter", "area"), voxels.astype(np.float32), voxels > 0)
    np.testing.assert_array_equal(made.concepts, whole)
    assert made.thinned > 0


def test_given_concepts_follow_and_absent_ones_are_nan():
    spec = SPEC.model_copy(update={"given_concepts": ("age", "dose")})
    made = prepare_case(case(ball(), concepts={"age": 61.0, "height": 2.0}), spec, PLAIN)
    assert made.concepts.shape == (4,)
    assert made.concepts[2] == 61
    assert np.isnan(made.concepts[3])


def test_a_mask_larger_than_the_frame_is_said_to_be_cut():
    made = prepare_case(case(ball(size=40, centre=(2, 20, 20), radius=9)), SPEC, PLAIN)
    assert made.cut


def test_no_mask_means_ones_where_the_frame_shows_the_image():
    spec = InputSpec(kind="image", size=(12, 12))
    made = prepare_case(case(np.zeros((1, 8, 12))), spec, PLAIN)
    assert made.mask.sum() == 8 * 12
    assert made.mask[0, :2].sum() == 0
    assert made.concepts.shape == (0,)


def test_given_mask():
    mask = volume(np.where(ball() > 0, 3, 0).astype(np.uint8))
    grey = np.random.default_rng(0).normal(size=(5, 20, 20))
    spec = SPEC.model_copy(update={"mask": "given"})
    made = prepare_case(case(grey, mask=mask), spec, PLAIN)
    assert made.mask.max() == 1
    assert made.mask.sum() == (ball() > 0).sum()


def test_channels_and_views_on_one_grid():
    spec = InputSpec(kind="image", size=(8, 8), channels=3)
    rgb = np.random.default_rng(0).random((3, 1, 8, 8))
    joined = prepare_case(case(rgb), spec, PLAIN)
    several = Case(key="K", volumes={str(i): volume(rgb[i]) for i in range(3)})
    np.testing.assert_array_equal(prepare_case(several, spec, PLAIN).image, joined.image)


@pytest.mark.parametrize(
    ("made", "spec", "said"),
    [
        (lambda: case(np.zeros((2, 8, 8))), SPEC, "no voxel above zero"),
        (lambda: case(ball()), SPEC.model_copy(update={"mask": "given"}), "has none"),
        (
            lambda: case(ball(), mask=volume(np.zeros((5, 20, 20), np.uint8))),
            SPEC.model_copy(update={"mask": "given"}),
            "mask is empty",
        ),
        (
            lambda: case(ball(), mask=volume(np.ones((5, 20, 19), np.uint8))),
            SPEC.model_copy(update={"mask": "given"}),
            "not on the grid",
        ),
        (lambda: case(ball()), InputSpec(kind="image", size=(8, 8)), "single images"),
        (lambda: case(np.ones((3, 2, 8, 8))), SPEC, "3 channels"),
        (
            lambda: Case("K", {"a": volume(ball()), "b": volume(ball(size=21))}),
            SPEC,
            "different grids",
        ),
    ],
)
def test_what_does_not_fit_is_refused(made, spec, said):
    with pytest.raises(NotApplicable, match=said):
        prepare_case(made(), spec, PLAIN)


def test_nan_is_refused():
    voxels = np.ones((1, 8, 8), np.float32)
    voxels[0, 0, 0] = np.nan
    with pytest.raises(InvalidVoxels):
        prepare_case(case(voxels), SPEC, PLAIN)


def test_native_slices_through_a_resampling_recipe():
    placed = Case("K", {"image": volume(ball(depth=9, centre=(4, 12, 6)), (2.0, 1.0, 1.0))})
    recipe = Recipe((make_step("resample", {"spacing": [1.0, 1.0, 1.0]}),))
    made = prepare_case(placed, SPEC.model_copy(update={"max_slices": 40}), recipe)
    assert made.pixel_mm == 1.0
    assert made.length > 9
    assert set(made.slices) == set(range(1, 8)) or set(made.slices) == set(range(9))
    middle = made.placement @ [0, *(-np.asarray(made.frame)), 1]
    np.testing.assert_allclose(middle[1:3], 0, atol=1e-6)
    shown = made.placement @ np.array([made.length - 1, 0, 0, 1])
    assert abs(shown[0] - made.slices[-1]) <= 0.5


@settings(max_examples=25, deadline=None)
@given(
    depth=st.integers(1, 12),
    size=st.tuples(st.integers(4, 24), st.integers(4, 24)),
    frame=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    most=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_every_kept_pixel_is_the_native_one(depth, size, frame, most, seed):
    """Crop, pad and thinning only move pixels: placement finds each of them again."""
    voxels = np.random.default_rng(seed).integers(1, 255, (depth, *size))
    spec = InputSpec(kind="sequence", size=frame, max_slices=most)
    made = prepare_case(case(voxels), spec, PLAIN)
    for t, y, x in np.argwhere(made.mask > 0)[::7]:
        z = made.slices[t]
        assert made.image[t, 0, y, x] == voxels[z, y + made.frame[0], x + made.frame[1]]


def test_hash_is_of_content_alone():
    first = case(ball())
    other = Case(
        key="another",
        volumes={"scan": Volume(ball().astype(np.float64), Geometry.axial((5, 20, 20), (2, 1, 1)))},
        labels={"label": "x"},
    )
    assert case_hash(first, "salt") == case_hash(other, "salt")
    assert case_hash(first, "salt") != case_hash(first, "pepper")
    changed = ball()
    changed[0, 0, 0] = 1
    assert case_hash(case(changed), "salt") != case_hash(first, "salt")
    assert case_hash(case(ball().reshape(5, 40, 10)), "salt") != case_hash(first, "salt")


def test_seen_and_stored_splits(toys, tmp_path):
    from diaphane.bundle import Seen

    a, b, c = (case(ball(radius=r)) for r in (2.0, 2.5, 3.0))
    seen = Seen(
        salt="s",
        train=(case_hash(a, "s"),),
        test=(case_hash(a, "s"), case_hash(b, "s")),
    )
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=toys.toy_manifest(seen=seen)))
    assert [bundle.split_of(x) for x in (a, b, c)] == ["train", "test", None]
    assert [bundle.has_seen(x) for x in (a, b, c)] == [True, False, False]
