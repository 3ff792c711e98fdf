"""A recipe as a file: what it refuses, and what its hash means."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.core.errors import MissingSpacing, RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import Recipe, make_step

FULL = """
version: 1
name: everything
steps:
  - grey
  - orient: {axes: LPS}
  - resample: {spacing: [2, null, 1.5], interpolation: bspline}
  - denoise_median:
  - denoise_gaussian: {sigma: 0.5}
  - denoise_nlm: {patch: 3, reach: 2}
  - denoise_tv: {strength: 0.5}
  - clip: {low: -1000, high: 500}
  - rescale_intensity: {in_low: -1000, in_high: 500}
  - percentile: {low: 0.5, high: 99.5}
  - zscore: {within: mask}
  - minmax
  - window: {level: 0.5, width: 1}
  - crop_foreground: {margin_mm: 3}
  - resize: {longest: 12}
  - crop_or_pad: {shape: [null, 12, 12]}
  - pad: {before: [0, 1, 1], after: [0, 1, 1]}
  - crop: {start: [0, 1, 1], shape: [2, 12, 12]}
  - thin_slices: {every: 1}
  - limit_slices: {most: 2, keep: centre}
  - masked_background: {value: -1}
"""


def scan() -> tuple[Volume, Volume]:
    rng = np.random.default_rng(0)
    grid = Geometry.axial((6, 24, 30), (2.5, 1.0, 1.0))
    inside = np.zeros(grid.shape, np.uint8)
    inside[1:5, 6:18, 8:20] = 2
    voxels = rng.normal(-300, 200, grid.shape).astype(np.float32)
    return Volume(voxels, grid, "CT", "HU"), Volume(inside, grid)


def test_every_step_runs_in_one_recipe():
    volume, mask = scan()
    recipe = Recipe.from_text(FULL)
    done = recipe.apply(volume, mask)
    assert done.volume.shape == (2, 12, 12)
    assert done.mask.shape == (2, 12, 12)
    assert set(np.unique(done.mask.voxels)) == {0, 2}
    assert (done.volume.voxels[done.mask.voxels == 0] == -1).all()
    back = recipe.undo(done.mask, done.trace)
    assert back.geometry == volume.geometry


def test_a_grid_can_be_given():
    volume, mask = scan()
    grid = Geometry.axial((4, 10, 10), (3.0, 2.0, 2.0), (4.0, 4.0, 1.0))
    recipe = Recipe.from_dict(
        {"version": 1, "steps": [{"resample_grid": {"grid": grid.to_dict()}}]}
    )
    assert recipe.apply(volume, mask).volume.geometry == grid
    assert Recipe.from_text(recipe.to_yaml()).sha256 == recipe.sha256


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[grey, resampel: {spacing: [1, 1, 1]}]", r"Step 2: .*'resampel'.*'resample'"),
        ("[window: {level: 0, widht: 1}]", r"Step 1: 'window' has no key 'widht'"),
        ("[window: {level: 0}]", r"Step 1: 'window', width"),
        ("[window: {level: low, width: 3}]", r"Step 1: 'window', level"),
        ("[window: {level: .inf, width: 3}]", r"Step 1: 'window': .*finite"),
        ("[clip: {low: .nan}]", r"Step 1: 'clip': .*finite"),
        ("[window: {level: 0, width: -3}]", r"Step 1: .*width above zero"),
        ("[resample: {spacing: [1, 1]}]", r"Step 1: 'resample', spacing"),
        ("[resample: {spacing: [1, 1, -1]}]", r"Step 1: .*positive"),
        ("[resample: {spacing: [1, 1, 1], interpolation: cubic}]", r"Step 1: .*interpolation"),
        ("[resample_grid: {grid: {shape: [1]}}]", r"Step 1: .*not a geometry"),
        ("[orient: {axes: XYZ}]", r"Step 1: .*XYZ"),
        ("[grey: 3]", r"Step 1: .*by name"),
        ("[{grey: {}, minmax: {}}]", r"Step 1: a step is one name"),
        ("[percentile: {low: 90, high: 10}]", r"Step 1: "),
        ("[clip: {low: 3, high: 1}]", r"Step 1: "),
        ("[denoise_nlm: {strength: 0}]", r"Step 1: "),
        ("[denoise_median: {size: 0}]", r"Step 1: "),
        ("[denoise_gaussian: {sigma: 0}]", r"Step 1: "),
        ("[denoise_tv: {strength: 0}]", r"Step 1: "),
        ("[rescale_intensity: {in_low: 1, in_high: 1}]", r"Step 1: "),
        ("[resize: {}]", r"Step 1: "),
        ("3", r"list of 'steps'"),
    ],
)
def test_wrong_recipes_say_where(steps, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_text(f"version: 1\nsteps: {steps}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\nsteps: []", "Update diaphane"),
        ("steps: []", "version"),
        ("version: 1\nsteps: []\nsource: x", "no key 'source'"),
        ("[1, 2]", "mapping"),
        ("version: [", "YAML"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.from_file(path)
    assert caught.value.path == str(path)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(RecipeError):
        Recipe.from_file(tmp_path / "absent.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError):
        Recipe.from_file(tmp_path / "b.yaml")


def test_steps_that_do_not_fit_the_image_say_which():
    volume, mask = scan()
    recipe = Recipe.from_text("version: 1\nsteps: [grey, masked_background]")
    with pytest.raises(RecipeError, match=r"Step 2 \(masked_background\)"):
        recipe.apply(volume)
    with pytest.raises(RecipeError, match="mask"):
        recipe.apply(volume, Volume(np.zeros((1, 2, 2)), Geometry((1, 2, 2))))
    done = recipe.apply(volume, mask)
    with pytest.raises(RecipeError, match="prepared grid"):
        recipe.undo(Volume(np.zeros((1, 2, 2)), Geometry((1, 2, 2))), done.trace)
    with pytest.raises(MissingSpacing):
        Recipe((make_step("resample", {"spacing": [1, 1, 1]}),)).apply(
            Volume(np.zeros((2, 2, 2)), Geometry((2, 2, 2)))
        )


def test_hash_follows_what_is_done_not_how_it_is_written(tmp_path):
    short = Recipe.from_text("version: 1\nname: a\nsteps: [window: {level: 0, width: 2}]")
    long = Recipe.from_text(
        "version: 1\nname: b\nsteps: [window: {width: 2.0, out_high: 1, level: 0}]"
    )
    other = Recipe.from_text("version: 1\nsteps: [window: {level: 0, width: 3}]")
    assert short.sha256 == long.sha256 != other.sha256
    # sha256 of {"steps":[],"version":1}: a change here breaks every stored hash.
    assert Recipe(()).sha256 == "a5dd3ce7993c63ad01d8a9a45922bc5f17d2c41c5f21a10671ec8c05c5ffc4aa"
    for name in ("r.yaml", "r.json"):
        long.save(tmp_path / name)
        assert Recipe.from_file(tmp_path / name) == long
