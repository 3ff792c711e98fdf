"""Measurements of shapes whose size is known, and concepts that mean what they say."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diaphane.core.errors import InvalidVoxels, UsageError
from diaphane.measure import CONCEPTS, concept_names, concepts, measure_mask


def ball(radius: float, spacing: tuple[float, float, float], size: int = 48) -> np.ndarray:
    axes = [(np.arange(size) - size / 2) * s for s in spacing]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius**2


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (1.0, 0.6, 0.9)])
def test_a_ball_measures_what_it_is(spacing: tuple[float, float, float]) -> None:
    found = measure_mask(ball(10.0, spacing), spacing)
    assert found.unit == "mm"
    assert found.long_axis == pytest.approx(20.0, rel=0.06)
    assert found.short_axis == pytest.approx(20.0, rel=0.06)
    assert found.mean_diameter == pytest.approx((found.long_axis + found.short_axis) / 2)
    assert found.volume == pytest.approx(4 / 3 * np.pi * 1000, rel=0.03)
    assert 0.85 < found.sphericity <= 1.0
    assert found.centroid == pytest.approx((24, 24, 24), abs=0.01)
    assert found.slice_index in range(22, 27)
    assert not found.touches_edge


def test_a_bar_has_exact_axes() -> None:
    mask = np.zeros((5, 20, 30), dtype=bool)
    mask[2, 5:9, 3:23] = True
    found = measure_mask(mask, (3.0, 0.5, 0.5))
    diagonal = np.hypot(20 * 0.5, 3 * 0.5)
    assert found.long_axis == pytest.approx(diagonal, abs=0.01)
    assert 1.9 <= found.short_axis <= 2.1
    assert found.slice_index == found.largest_slice == 2
    assert found.slice_range == (2, 2)
    assert found.volume == pytest.approx(80 * 0.75)
    ends = np.array(found.long_axis_ends) * (3.0, 0.5, 0.5)
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(found.long_axis)
    across = np.array(found.short_axis_ends) * (3.0, 0.5, 0.5)
    assert np.linalg.norm(across[0] - across[1]) == pytest.approx(found.short_axis)
    assert (ends[1] - ends[0]) @ (across[1] - across[0]) == pytest.approx(0.0, abs=1e-9)


def test_without_spacing_it_is_pixels() -> None:
    mask = np.zeros((1, 8, 8), dtype=bool)
    mask[0, 3, 2:6] = True
    found = measure_mask(mask, None)
    assert (found.unit, found.long_axis, found.volume) == ("px", 4.0, 4.0)
    assert found.short_axis == 1.0


def test_one_voxel_is_a_lesion_too() -> None:
    mask = np.zeros((1, 1, 1), dtype=bool)
    mask[0, 0, 0] = True
    found = measure_mask(mask, (2.0, 1.0, 1.0), np.array([[[7]]]))
    assert found.long_axis == pytest.approx(1.0)
    assert found.density_mean == found.density_min == found.density_max == 7.0
    assert found.density_std == 0.0
    assert np.isfinite(concepts(concept_names(), np.ones((1, 1, 1), np.float32), mask)).all()


def test_a_cut_lesion_says_so() -> None:
    mask = np.zeros((1, 8, 8), dtype=bool)
    mask[0, :3, 2:5] = True
    assert measure_mask(mask, None).touches_edge
    assert not measure_mask(np.pad(mask, ((0, 0), (1, 1), (1, 1))), None).touches_edge


def test_density_is_of_the_inside() -> None:
    mask = np.zeros((2, 4, 4), dtype=bool)
    mask[:, 1:3, 1:3] = True
    image = np.where(mask, np.arange(32).reshape(2, 4, 4), -1000)
    found = measure_mask(mask, (1.0, 1.0, 1.0), image)
    assert found.density_min == image[mask].min()
    assert found.density_mean == pytest.approx(image[mask].mean())


@pytest.mark.parametrize(
    ("mask", "spacing", "image"),
    [
        (np.zeros((2, 3, 3), bool), None, None),
        (np.ones((3, 3), bool), None, None),
        (np.ones((2, 3, 3), bool), (1.0, 0.0, 1.0), None),
        (np.ones((2, 3, 3), bool), (1.0, np.nan, 1.0), None),
        (np.ones((2, 3, 3), bool), None, np.ones((1, 3, 3))),
        (np.ones((2, 3, 3), bool), None, np.full((2, 3, 3), np.nan)),
    ],
)
def test_what_cannot_be_measured_is_refused(mask, spacing, image) -> None:
    with pytest.raises(InvalidVoxels):
        measure_mask(mask, spacing, image)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    shift=st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
    factor=st.floats(0.3, 3.0),
)
def test_place_does_not_matter_and_spacing_scales(
    seed: int, shift: tuple[int, int, int], factor: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((6, 18, 18), dtype=bool)
    part = rng.random((3, 9, 9)) > 0.6
    part[1, 4, 4] = True
    image = rng.random(mask.shape).astype(np.float32)
    mask[:3, :9, :9] = part
    here = measure_mask(mask, (2.0, 1.0, 1.0))
    moved = np.roll(mask, shift, (0, 1, 2))
    scaled = measure_mask(moved, (2.0 * factor, factor, factor))
    assert scaled.long_axis == pytest.approx(here.long_axis * factor)
    assert scaled.volume == pytest.approx(here.volume * factor**3)
    assert scaled.sphericity == pytest.approx(here.sphericity, rel=1e-4)
    assert here.short_axis <= here.long_axis + 1e-9
    ours = concepts(concept_names(), image, mask)
    theirs = concepts(concept_names(), np.roll(image, shift, (0, 1, 2)), moved)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_concepts_of_a_disc() -> None:
    mask = ball(9.0, (50.0, 1.0, 1.0), 40)
    image = np.where(mask, 0.5, 0.0).astype(np.float32)
    value = dict(zip(concept_names(), concepts(concept_names(), image, mask), strict=True))
    assert value["slices"] == 1
    assert value["area"] == value["volume"] == mask.sum()
    assert value["equivalent_diameter"] == pytest.approx(18, rel=0.03)
    assert value["diameter"] == pytest.approx(18, rel=0.07)
    assert value["circularity"] == pytest.approx(1, abs=0.07)
    assert value["solidity"] > 0.93
    assert value["elongation"] > 0.93
    assert value["spiculation"] < 0.05
    assert value["mean_intensity"] == value["median_intensity"] == 0.5
    assert value["intensity_spread"] == value["margin_step"] == value["entropy"] == 0.0


def test_a_star_is_rougher_than_a_disc() -> None:
    y, x = np.mgrid[-24:25, -24:25]
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    disc, star = (radius <= 14)[None], (radius <= 14 + 6 * np.sin(7 * angle))[None]
    image = np.ones(disc.shape, np.float32)
    names = ("solidity", "radial_deviation", "spiculation", "circularity")
    smooth, rough = concepts(names, image, disc), concepts(names, image, star)
    assert rough[0] < smooth[0]
    assert rough[1] > smooth[1]
    assert rough[2] > smooth[2]
    assert rough[3] < smooth[3]


@given(seed=st.integers(0, 10_000), slices=st.integers(1, 9), share=st.floats(0.02, 0.9))
@settings(deadline=None, max_examples=60)
def test_elongation_is_of_the_slice_with_the_longest_diameter(seed, slices, share) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((slices, *random.integers(2, 20, 2))) < share * random.random(
        (slices, 1, 1)
    )
    mask[random.integers(slices), 0, 0] = True
    image = mask.astype(np.float32)
    planes = [i for i in range(slices) if mask[i].any()]
    longest = max(planes, key=lambda i: measure_mask(mask[i : i + 1], (1.0, 1.0, 1.0)).long_axis)
    alone = slice(longest, longest + 1)
    whole = concepts(("elongation",), image, mask)
    np.testing.assert_array_equal(whole, concepts(("elongation",), image[alone], mask[alone]))


def test_a_soft_margin_brightens_inwards() -> None:
    y, x = np.mgrid[-12:13, -12:13]
    radius = np.hypot(y, x)
    mask = (radius <= 10)[None]
    sharp = np.where(mask, 0.8, 0.0).astype(np.float32)
    soft = np.where(mask, 0.8 - 0.05 * radius, 0.0).astype(np.float32)
    names = ("margin_step", "rim_contrast")
    assert (concepts(names, soft, mask) > 0.03).all()
    np.testing.assert_allclose(concepts(names, sharp, mask), 0.0, atol=1e-6)


def test_what_lies_outside_the_mask_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    mask = ball(6.0, (2.0, 1.0, 1.0), 20)
    image = rng.random(mask.shape).astype(np.float32)
    hidden = np.where(mask, image, 0.0).astype(np.float32)
    names = concept_names()
    np.testing.assert_array_equal(concepts(names, image, mask), concepts(names, hidden, mask))


def test_an_empty_mask_gives_nothing() -> None:
    empty = np.zeros((2, 5, 5), dtype=bool)
    assert np.isnan(concepts(("area", "slices"), np.ones((2, 5, 5), np.float32), empty)).all()


def test_names_are_checked_and_ordered() -> None:
    mask, image = np.ones((1, 4, 4), bool), np.ones((1, 4, 4), np.float32)
    assert concepts(("slices", "area"), image, mask).tolist() == [1.0, 16.0]
    assert concepts((), image, mask).shape == (0,)
    with pytest.raises(UsageError, match="malignancy"):
        concepts(("malignancy",), image, mask)
    with pytest.raises(InvalidVoxels):
        concepts(("area",), image, np.ones((1, 5, 5), bool))


def test_every_concept_explains_itself() -> None:
    for name, concept in CONCEPTS.items():
        assert concept.name == name
        assert concept.description
        assert concept.formula
        assert concept.unit in {"px", "px2", "px3", "slices", "grey", "1"}


@pytest.mark.shared_data
def test_concepts_of_real_nodules(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("lidc_nodules")
    rows = list(csv.DictReader((folder / "labels.csv").open()))[::15]
    names = ("diameter", "log_area", "slices")
    found, drawn = [], []
    for row in rows:
        files = sorted((folder / row["file"]).iterdir())
        stack = np.stack([np.asarray(Image.open(file)) for file in files])
        values = concepts(concept_names(), stack.astype(np.float32) / 255, stack > 0)
        assert np.isfinite(values).all()
        found.append(concepts(names, stack.astype(np.float32) / 255, stack > 0))
        drawn.append(float(row["diameter_mm"]))
    assert np.corrcoef(np.array(found)[:, 0], drawn)[0, 1] > 0.8
