"""What every recipe keeps: places, bytes, labels, and itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.errors import GeometryError, MissingSpacing, RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import STEPS, Recipe, Trace

QUICK = settings(max_examples=40, deadline=None)

sizes = st.tuples(*[st.integers(6, 14)] * 3)
steps_mm = st.tuples(*[st.floats(0.4, 4.0)] * 3)


@st.composite
def volumes(draw, spatial=True):
    """A volume and a mask of a blob, anywhere, in any of the 48 axis orders, or oblique."""
    shape = draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = rng.integers(-1000, 1000, shape).astype(np.int16)
    inside = np.zeros(shape, np.uint8)
    inside[tuple(slice(n // 4, n - n // 4) for n in shape)] = draw(st.integers(1, 9))
    if not spatial:
        grid = Geometry(shape)
    else:
        order = draw(st.permutations(range(3)))
        signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
        turn = np.eye(3)[order] * signs
        angle = draw(st.sampled_from([0.0, 0.1, 0.4]))
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ turn
        affine = np.eye(4)
        affine[:3, :3] = turn * draw(steps_mm)
        affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
        grid = Geometry.from_affine(shape, affine)
    volume = Volume(values, grid, "CT", "HU")
    return volume, volume.with_voxels(inside, unit="1")


pixel_steps = st.sampled_from(
    [
        {"crop_or_pad": {"shape": [8, 9, 7]}},
        {"pad": {"before": [1, 0, 2], "after": [0, 3, 1]}},
        {"crop": {"start": [1, 0, 2], "shape": [4, 5, 3]}},
        {"crop_foreground": {"margin": 1}},
        {"thin_slices": {"every": 2, "start": 1}},
        {"limit_slices": {"most": 3}},
        {"resize": {"size": [9, 17]}},
        {"window": {"level": 0, "width": 800}},
        {"clip": {"low": -500, "high": 400}},
        {"zscore": {"within": "mask"}},
        {"denoise_median": {"size": 3}},
        "grey",
    ]
)
mm_steps = st.one_of(
    st.sampled_from(["LPS", "RAS", "PIR"]).map(lambda axes: {"orient": {"axes": axes}}),
    st.tuples(steps_mm, st.sampled_from(["linear", "nearest", "bspline"])).map(
        lambda pair: {"resample": {"spacing": list(pair[0]), "interpolation": pair[1]}}
    ),
)


def recipes(steps):
    return st.lists(steps, max_size=4).map(lambda s: Recipe.from_dict({"version": 1, "steps": s}))


@QUICK
@given(volumes(), recipes(st.one_of(pixel_steps, mm_steps)), st.integers(0, 2**16))
def test_a_voxel_keeps_its_place_in_the_patient(pair, recipe, seed):
    volume, mask = pair
    try:
        done = recipe.apply(volume, mask)
    except RecipeError:  # a crop that leaves the image
        return
    index = np.random.default_rng(seed).uniform(0, 20, (8, 3))
    here = done.volume.geometry.to_patient(index)
    there = volume.geometry.to_patient(done.trace.to_native(index))
    assert np.abs(here - there).max() < 1e-6
    assert np.allclose(done.trace.to_prepared(done.trace.to_native(index)), index)
    for passage in done.trace.passages:
        step = passage.after.to_patient(index) - passage.before.to_patient(passage.to_before(index))
        assert np.abs(step).max() < 1e-6


@QUICK
@given(volumes(spatial=False), recipes(pixel_steps))
def test_images_without_a_place_go_there_and_back(pair, recipe):
    volume, mask = pair
    try:
        done = recipe.apply(volume, mask)
    except RecipeError:
        return
    assert done.volume.geometry.spacing == (None, None, None)
    assert recipe.undo(done.mask, done.trace).shape == volume.shape


@QUICK
@given(volumes(spatial=False), mm_steps)
def test_steps_in_mm_refuse_images_without_a_place(pair, step):
    with pytest.raises((MissingSpacing, GeometryError)):
        Recipe.from_dict({"version": 1, "steps": [step]}).apply(pair[0])


@QUICK
@given(volumes(), recipes(st.one_of(pixel_steps, mm_steps)))
def test_replay_gives_the_same_bytes(pair, recipe):
    again = Recipe.from_text(recipe.to_json())
    try:
        first = recipe.apply(*pair)
    except RecipeError:
        return
    second = again.apply(*pair, threads=1)
    assert first.volume.voxels.tobytes() == second.volume.voxels.tobytes()
    assert first.mask.voxels.tobytes() == second.mask.voxels.tobytes()
    assert first.volume.geometry == second.volume.geometry


@QUICK
@given(volumes())
def test_doubling_the_grid_brings_labels_back(pair):
    volume, mask = pair
    half = [s / 2 for s in volume.geometry.spacing_mm]
    recipe = Recipe.from_dict({"version": 1, "steps": [{"resample": {"spacing": half}}]})
    done = recipe.apply(volume, mask)
    assert done.mask.shape == tuple(2 * n for n in volume.shape)
    back = recipe.undo(done.mask, done.trace)
    both = ((back.voxels > 0) & (mask.voxels > 0)).sum()
    dice = 2 * both / ((back.voxels > 0).sum() + (mask.voxels > 0).sum())
    assert dice >= 0.99
    assert back.geometry == volume.geometry


@QUICK
@given(volumes(), st.sampled_from(["LPS", "RAS", "AIL", "SRP"]))
def test_turn_crop_and_pad_are_undone_exactly(pair, axes):
    volume, mask = pair
    recipe = Recipe.from_dict(
        {
            "version": 1,
            "steps": [
                {"orient": {"axes": axes}},
                {"pad": {"before": [2, 1, 0], "after": [0, 1, 2]}},
                {"crop_foreground": {}},
                {"crop_or_pad": {"shape": [17, 20, 19]}},
            ],
        }
    )
    done = recipe.apply(volume, mask)
    back = recipe.undo(done.mask, done.trace)
    assert np.array_equal(back.voxels, mask.voxels)
    assert back.voxels.dtype == mask.voxels.dtype
    image = recipe.undo(done.volume, done.trace)
    assert np.array_equal(image.voxels[mask.voxels > 0], volume.voxels[mask.voxels > 0])


@QUICK
@given(volumes())
def test_maps_come_back_smoothly(pair):
    volume, _ = pair
    z, y, x = np.indices(volume.shape)
    ramp = volume.with_voxels((0.3 * z + 0.2 * y - 0.1 * x).astype(np.float32), unit="1")
    half = [s / 2 for s in volume.geometry.spacing_mm]
    recipe = Recipe.from_dict({"version": 1, "steps": [{"resample": {"spacing": half}}]})
    done = recipe.apply(ramp)
    back = recipe.undo(done.volume, done.trace, interpolation="linear")
    inner = (slice(1, -1),) * 3
    assert np.abs(back.voxels[inner] - ramp.voxels[inner]).max() < 1e-3


@QUICK
@given(recipes(st.one_of(pixel_steps, mm_steps)))
def test_recipes_go_through_yaml_and_json(recipe):
    for text in (recipe.to_yaml(), recipe.to_json()):
        again = Recipe.from_text(text)
        assert again == recipe
        assert again.sha256 == recipe.sha256


@QUICK
@given(volumes(), recipes(st.one_of(pixel_steps, mm_steps)))
def test_traces_go_through_json(pair, recipe):
    try:
        trace = recipe.apply(*pair).trace
    except RecipeError:
        return
    again = Trace.from_dict(json.loads(json.dumps(trace.to_dict())))
    assert np.allclose(again.passage.index, trace.passage.index)
    assert again.prepared.shape == trace.prepared.shape


def test_every_step_of_the_table_is_tried_somewhere():
    assert {"grey", "resample", "denoise_tv", "masked_background"} <= set(STEPS)
    assert all(kind.name == name for name, kind in STEPS.items())
