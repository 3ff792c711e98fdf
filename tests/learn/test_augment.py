"""Random changes: what was drawn decides what happens, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diaphane.learn.augment import (
    Augmentation,
    Sample,
    Shade,
    Turn,
    augment_batch,
    draw_shade,
    draw_turn,
    mix,
    shade,
    turn,
)


def ball(size: int = 33, radius: float = 8.0, slices: int = 5) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size) - size // 2
    inside = np.hypot(*np.meshgrid(axis, axis)) < radius
    mask = np.repeat(inside[None], slices, 0).astype(np.float32)
    return (mask * 0.6)[:, None], mask


def test_nothing_drawn_changes_nothing():
    image, mask = ball()
    same = turn(image, mask, Turn(), outlined=True)
    assert (same[0] == image).all()
    assert (same[1] == mask).all()
    sample = shade(Sample(image, mask, np.zeros(0, np.float32)), Shade(), outlined=True)
    assert np.allclose(sample.image, image)


def test_the_same_generator_draws_the_same():
    how = Augmentation(rotation=90, scale=0.3, thinning=0.5, gamma=0.2, transpose=True)
    for make in (
        lambda random: draw_turn(how, 9, random),
        lambda random: draw_shade(how, random),
    ):
        assert make(np.random.default_rng(3)) == make(np.random.default_rng(3))
        assert make(np.random.default_rng(3)) != make(np.random.default_rng(4))


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_scale_changes_area_by_its_square_and_keeps_the_grey(scale):
    image, mask = ball()
    shown, inside = turn(image, mask, Turn(angle=0.7, scale=scale), outlined=True)
    assert inside.sum() == pytest.approx(mask.sum() * scale**2, rel=0.06)
    # The rim does not darken although the background is black.
    assert np.allclose(shown[:, 0][inside > 0.5], 0.6, atol=1e-5)
    assert (shown[:, 0][inside < 0.5] == 0).all()


def test_a_turn_is_about_its_centre():
    image, mask = ball()
    image, mask = np.roll(image, (6, -4), (-2, -1)), np.roll(mask, (6, -4), (-2, -1))
    centre = (33 // 2 + 6.0, 33 // 2 - 4.0)
    _, inside = turn(image, mask, Turn(angle=2.0, scale=1.2), outlined=True, centre=centre)
    found = np.argwhere(inside[0] > 0.5).mean(0)
    assert np.allclose(found, centre, atol=0.3)


def test_a_quarter_turn_is_exact():
    random = np.random.default_rng(0)
    image = random.random((2, 1, 16, 16), np.float32)
    mask = np.ones((2, 16, 16), np.float32)
    shown, _ = turn(image, mask, Turn(angle=np.pi / 2), outlined=False)
    quarter = [np.rot90(image, k, (-2, -1)) for k in (1, 3)]
    assert min(np.abs(shown - q).max() for q in quarter) < 1e-4


def test_shift_is_a_share_of_the_size():
    image, mask = ball()
    _, inside = turn(image, mask, Turn(shift=(0.1, -0.2)), outlined=True)
    moved = np.argwhere(inside[0] > 0.5).mean(0) - np.argwhere(mask[0] > 0.5).mean(0)
    assert np.allclose(moved, [3.3, -6.6], atol=0.3)


def test_thinning_keeps_every_nth_slice():
    image, mask = ball(slices=7)
    image = image * np.arange(1, 8, dtype=np.float32)[:, None, None, None] / 7
    shown, _ = turn(image, mask, Turn(step=2, start=1), outlined=True)
    assert (shown == image[1::2]).all()


def test_outlined_images_stay_black_outside():
    image, mask = ball()
    sample = Sample(image, mask, np.zeros(0, np.float32))
    change = Shade(flip_x=True, transpose=True, contrast=1.3, brightness=0.2, gamma=0.8, noise=0.1)
    done = shade(sample, change, outlined=True)
    assert (done.image[:, 0][done.mask < 0.5] == 0).all()
    assert (done.image[:, 0][done.mask > 0.5] > 0).all()
    assert done.image.max() <= 1.0
    whole = shade(sample, change, outlined=False)
    assert (whole.image[:, 0][whole.mask < 0.5] != 0).any()


def test_the_sample_given_is_never_changed():
    image, mask = ball()
    before = image.copy()
    shade(
        Sample(image, mask, np.zeros(0, np.float32)), Shade(flip_y=True, noise=0.3), outlined=True
    )
    turn(image, mask, Turn(angle=1.0), outlined=True)
    assert (image == before).all()


EVERYTHING = Augmentation(
    rotation=20, scale=0.2, stretch=0.1, shift=0.1, flip_y=True, elastic=0.05, blur=0.5, tint=0.1,
    erase=0.5, gamma=0.2, noise=0.03, thinning=0.5,
)  # fmt: skip


def cases(count: int = 6) -> list[Sample]:
    random = np.random.default_rng(5)
    made = []
    for i in range(count):
        slices = (1, 5)[i % 2]
        image = random.random((slices, 3, 20, 20), np.float32)
        made.append(Sample(image, np.ones((slices, 20, 20), np.float32), np.full(1, i, np.float32)))
    return made


@pytest.mark.parametrize("outlined", [False, True])
def test_a_case_is_changed_alike_in_any_company(outlined):
    samples = cases()
    generators = [np.random.default_rng([1, i]) for i in range(len(samples))]
    together = augment_batch(samples, EVERYTHING, generators, outlined=outlined)
    for i, sample in enumerate(samples):
        alone = augment_batch(
            [sample], EVERYTHING, [np.random.default_rng([1, i])], outlined=outlined
        )[0]
        assert np.array_equal(alone.image, together[i].image)
        assert np.array_equal(alone.mask, together[i].mask)
        assert together[i].concepts == i
        assert not np.array_equal(sample.image, together[i].image)


def test_a_batch_is_changed_as_its_cases_are():
    how = EVERYTHING
    sample = cases(2)[1]
    (batched,) = augment_batch([sample], how, [np.random.default_rng(8)], outlined=False)
    random = np.random.default_rng(8)
    image, mask = turn(
        sample.image, sample.mask, draw_turn(how, len(sample.mask), random), outlined=False
    )
    single = shade(Sample(image, mask, sample.concepts), draw_shade(how, random, 3), outlined=False)
    assert np.array_equal(batched.image, single.image)


def test_an_elastic_bend_moves_no_pixel_further_than_it_may():
    axis = np.linspace(0, 1, 40, dtype=np.float32)
    image = np.stack(np.meshgrid(axis, axis))[None]
    mask = np.ones((1, 40, 40), np.float32)
    shown, _ = turn(image, mask, Turn(bend=0.05, bend_seed=3), outlined=False)
    moved = np.abs(shown - image)
    assert 0.01 < moved.max() < 0.08  # bicubic interpolation may overshoot a little


def test_a_box_is_painted_and_nothing_else():
    sample = cases(1)[0]
    done = shade(sample, Shade(box=(0.25, 0.5, 0.25, 0.25)), outlined=False)
    painted = np.zeros((20, 20), bool)
    painted[5:10, 10:15] = True
    assert np.allclose(done.image[..., painted], sample.image.mean(), atol=1e-5)
    assert np.allclose(done.image[..., ~painted], sample.image[..., ~painted])


def test_tint_multiplies_channels_and_blur_keeps_the_mean():
    sample = cases(1)[0]
    tinted = shade(sample, Shade(tint=(1.0, 0.5, 2.0)), outlined=False)
    assert np.allclose(tinted.image[:, 1], sample.image[:, 1] * 0.5)
    blurred = shade(sample, Shade(blurred=True), outlined=False).image
    assert blurred.std() < sample.image.std()
    assert blurred.mean() == pytest.approx(sample.image.mean(), abs=0.01)


def test_mixup_blends_images_and_targets_alike():
    image = torch.arange(4.0).reshape(4, 1)
    target = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    blended, aim = mix(image, target, 0.4, np.random.default_rng(0))
    assert torch.equal(blended, aim)
    assert not torch.equal(blended, image)
    assert bool((blended - image).abs().max() <= 1.5)  # the case itself keeps at least half
    assert mix(image, target, 0.0, np.random.default_rng(0))[0] is image
    target[1] = float("nan")
    assert bool(mix(image, target, 0.4, np.random.default_rng(0))[1][1].isnan())
