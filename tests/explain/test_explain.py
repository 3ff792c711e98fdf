"""Explanations: sums are kept, occlusion is real, unfaithful maps are found out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.bundle import load_bundle
from diaphane.core.case import Case
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.explain import (
    contribution_maps,
    faithfulness,
    map_agreement,
    native_map,
    occlude,
    order_curves,
    shuffled_runner,
    slice_attention,
    upsample,
)
from diaphane.preprocess import Recipe, make_step


def case(seed, depth=4, spacing=None):
    rng = np.random.default_rng(seed)
    voxels = np.zeros((depth, 20, 22), np.float32)
    voxels[:, 3:11, 5:17] = rng.uniform(0.1, 1.0, (depth, 8, 12))
    grid = Geometry(voxels.shape) if spacing is None else Geometry.axial(voxels.shape, spacing)
    return Case(f"K{seed}", {"image": Volume(voxels, grid)}, group=f"G{seed // 2}")


@pytest.fixture(scope="module")
def bundle(toys, tmp_path_factory):
    """Every cell of the grid weighs differently, so that maps say something."""
    return load_bundle(toys.write_toy(tmp_path_factory.mktemp("b") / "toy", seed=1), threads=1)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 3),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    factor=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    smooth=st.booleans(),
    seed=st.integers(0, 99),
)
def test_upsampling_keeps_every_slice_sum(steps, grid, factor, smooth, seed):
    maps = np.random.default_rng(seed).normal(size=(steps, *grid))
    size = (grid[0] * factor[0], grid[1] * factor[1])
    pixels = upsample(maps, size, smooth=smooth)
    assert pixels.shape == (steps, *size)
    np.testing.assert_allclose(pixels.sum(axis=(1, 2)), maps.sum(axis=(1, 2)), atol=1e-5)


def test_blocks_are_even():
    pixels = upsample(np.array([[[4.0, 0.0]]]), (2, 4), smooth=False)
    np.testing.assert_allclose(pixels[0], [[1, 1, 0, 0], [1, 1, 0, 0]])


def test_maps_sum_to_the_image_part(bundle):
    found = bundle.predict(case(0))
    part = found.contributions["malignant"]["image"]
    assert contribution_maps(bundle, found).sum() == pytest.approx(part, abs=1e-5)
    weights = slice_attention(bundle, found)
    assert [w.z for w in weights] == [0, 1, 2, 3]
    assert sum(w.attention for w in weights) == pytest.approx(1, abs=1e-5)
    assert sum(w.contribution for w in weights) == pytest.approx(part, abs=1e-5)


def test_native_map_without_resampling_only_moves(bundle):
    prepared = bundle.prepare(case(0))
    pixels = np.random.default_rng(0).normal(size=prepared.mask.shape).astype(np.float32)
    pixels *= prepared.mask
    back = native_map(pixels, prepared)
    assert back.shape == (4, 20, 22)
    assert prepared.frame == (-1, 3)
    np.testing.assert_allclose(back[:, :15, 3:19], pixels[:, 1:], atol=1e-6)


@pytest.mark.parametrize("spacing", [(3.0, 0.5, 0.5), (0.7, 1.6, 1.6), (1.0, 0.8, 1.3)])
def test_native_map_keeps_the_sum_through_resampling(toys, tmp_path, spacing):
    recipe = Recipe((make_step("resample", {"spacing": [1.5, 1.0, 1.0]}),))
    made = toys.toy_manifest(recipe=recipe.to_dict())
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made, seed=1), threads=1)
    found = bundle.predict(case(1, depth=7, spacing=spacing))
    pixels = contribution_maps(bundle, found)
    back = native_map(pixels, found.prepared)
    assert back.shape == (7, 20, 22)
    assert back.sum() == pytest.approx(float(pixels.sum()), abs=1e-4)
    outside = np.abs(back)[:, :, 19:].sum() + np.abs(back)[:, 18:].sum()
    assert outside <= 0.2 * np.abs(back).sum()


def test_native_map_leaves_thinned_slices_at_zero(bundle):
    found = bundle.predict(case(2, depth=12))
    back = native_map(contribution_maps(bundle, found), found.prepared)
    shown = set(np.flatnonzero(np.abs(back).sum(axis=(1, 2))))
    assert shown <= set(found.prepared.slices)
    assert len(found.prepared.slices) == 6


def test_occlusion_is_a_real_second_run(bundle):
    prepared = bundle.prepare(case(0))
    found = occlude(bundle, prepared, patch=4, slices=[1, 2])
    assert found.change.shape == (2, 4, 4)
    assert found.slices == (1, 2)
    touched = ~np.isnan(found.change)
    assert 0 < touched.sum() < touched.size
    row, y, x = np.argwhere(touched)[3]
    image = prepared.image.copy()
    inside = prepared.mask > 0.5
    here = np.zeros_like(inside)
    here[found.slices[row], 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = True
    image[:, 0][here & inside] = prepared.image[:, 0][inside].mean()
    again = bundle.run([replace(prepared, image=image)])[0]
    assert found.change[row, y, x] == pytest.approx(float(again.logit[0]) - found.logit, abs=1e-5)
    with pytest.raises(ValueError, match="divide"):
        occlude(bundle, prepared, patch=5)


def test_deletion_and_insertion_meet_at_both_ends(bundle):
    curves = order_curves(bundle, bundle.prepare(case(0)), rng=np.random.default_rng(0))
    assert curves.share[0] == 0
    assert curves.share[-1] == 1
    assert curves.deletion[0] == pytest.approx(curves.insertion[-1], abs=1e-5)
    assert curves.deletion[-1] == pytest.approx(curves.insertion[0], abs=1e-5)
    assert curves.deletion_random[-1] == pytest.approx(curves.deletion[-1], abs=1e-5)


def test_faithful_maps_beat_chance_and_the_figures_are_plain(bundle):
    import json

    cases = [case(i, 2 + i % 3) for i in range(8)]
    found = faithfulness(bundle, cases, seed=0, rounds=200)
    json.dumps(found, allow_nan=False)
    assert found["cases"] == 8
    for name in ("deletion_background", "insertion_background"):
        assert 0 < found[name]["low"] <= found[name]["value"] <= found[name]["high"]
        assert found[name]["share"] > 0.7
    assert found["deletion"]["value"] < found["deletion_background"]["value"]
    assert found["adds_up"] < 1e-4
    assert found["inside_mask"]["value"] > found["mask_share"]
    assert found["outside_change"] == pytest.approx(0, abs=1e-6)
    assert found == faithfulness(bundle, cases, seed=0, rounds=200)
    assert len(found["curves"]["share"]) == len(found["curves"]["deletion"])


def test_maps_that_lie_are_found_out(bundle):
    """With the sign of its maps turned, the same model must not look faithful."""

    class Liar:
        def __call__(self, feeds):
            out = dict(bundle.runner(feeds))
            return {**out, "maps": -out["maps"]}

    honest = load_bundle(bundle.path, threads=1)
    liar = load_bundle(bundle.path, threads=1)
    liar.runner = Liar()
    cases = [case(i) for i in range(6)]
    lies = faithfulness(liar, cases, rounds=100, random_runner=honest.runner)
    assert lies["deletion_background"]["high"] < 0
    assert lies["adds_up"] > 1e-4
    assert lies["randomised_weights"]["value"] == pytest.approx(-1, abs=1e-6)


def test_shuffled_weights_change_the_maps(bundle):
    prepared = [bundle.prepare(case(i)) for i in range(6)]
    same = map_agreement(bundle, prepared, bundle.runner)
    assert same == pytest.approx([1.0] * 6)
    other = map_agreement(bundle, prepared, shuffled_runner(bundle, 5))
    assert abs(np.mean(other)) < 0.6


def test_no_cases(bundle):
    found = faithfulness(bundle, [])
    assert found["deletion"]["value"] is None
    assert found["curves"] == {}
