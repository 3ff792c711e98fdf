"""Overlap and surface distances: by hand, on edge cases, and against MONAI."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.evaluate import evaluate_segmentation, summarise_segmentation


def ball(centre, radius, shape=(20, 24, 28), spacing=(1.0, 1.0, 1.0)):
    at = np.indices(shape).reshape(3, -1).T * spacing
    return (np.linalg.norm(at - centre, axis=1) <= radius).reshape(shape)


def test_a_shift_by_one_voxel_by_hand():
    truth = np.zeros((1, 6, 8), np.uint8)
    truth[0, 1:5, 1:5] = 1
    predicted = np.roll(truth, 1, axis=2)
    found = evaluate_segmentation(predicted, truth, (1.0, 0.5, 2.0))[1]
    assert found.dice == pytest.approx(2 * 12 / 32)
    assert found.volume_error == 0
    assert found.volume == pytest.approx(16.0)
    assert found.hd95 == pytest.approx(2.0)


def test_identical_masks_are_perfect():
    mask = ball((10, 12, 14), 6).astype(np.uint8) * 3
    found = evaluate_segmentation(mask, mask)
    assert list(found) == [3]
    assert found[3].to_dict() == {
        "dice": 1.0,
        "hd95": 0.0,
        "surface_distance": 0.0,
        "volume_error": 0.0,
        "volume": float((mask > 0).sum()),
        "true_volume": float((mask > 0).sum()),
    }


def test_empty_cases_are_defined():
    nothing, something = np.zeros((4, 4, 4), np.uint8), np.ones((4, 4, 4), np.uint8)
    missed = evaluate_segmentation(nothing, something)[1]
    invented = evaluate_segmentation(something, nothing)[1]
    neither = evaluate_segmentation(nothing, nothing, labels=[1])[1]
    assert (missed.dice, missed.hd95, missed.volume_error) == (0.0, None, -1.0)
    assert (invented.dice, invented.surface_distance, invented.volume_error) == (0.0, None, None)
    assert (neither.dice, neither.hd95, neither.volume) == (None, None, 0.0)
    assert evaluate_segmentation(nothing, nothing) == {}


def test_two_dimensions_and_what_does_not_fit():
    a = ball((10, 12, 14), 6)[10]
    assert evaluate_segmentation(a, a)[1].dice == 1
    with pytest.raises(ValueError, match="grid"):
        evaluate_segmentation(a, a[:-1])
    with pytest.raises(ValueError, match="axes"):
        evaluate_segmentation(a, a, (1.0, 1.0, 1.0))


@pytest.mark.learn
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_monai(spacing, seed):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(seed)
    size = np.array((20, 24, 28)) * spacing
    truth = ball(size / 2, 0.25 * size.min(), spacing=spacing)
    predicted = ball(size / 2 + rng.normal(0, 2, 3), 0.3 * size.min(), spacing=spacing)
    predicted ^= (rng.random(truth.shape) < 0.02) & predicted
    ours = evaluate_segmentation(predicted, truth, spacing)[1]
    one_hot = [
        torch.from_numpy(np.stack([~m, m]).astype(np.float32))[None] for m in (predicted, truth)
    ]
    hd95 = metrics.compute_hausdorff_distance(*one_hot, percentile=95, spacing=list(spacing))
    mean = metrics.compute_average_surface_distance(*one_hot, symmetric=True, spacing=list(spacing))
    dice = metrics.compute_dice(*one_hot, include_background=False)
    assert ours.dice == pytest.approx(dice.item(), abs=1e-6)
    assert ours.hd95 == pytest.approx(hd95.item(), rel=1e-5)
    assert ours.surface_distance == pytest.approx(mean.item(), rel=1e-5)


def test_summary_is_the_mean_over_cases_that_define_a_figure():
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[1:5, 1:5, 1:3] = 1
    both = truth.copy()
    both[1:5, 1:5, 3:5] = 2
    worse = both.copy()
    worse[1] = 0
    cases = [evaluate_segmentation(p, both) for p in (both, worse)]
    cases.append(evaluate_segmentation(truth, truth))
    found = summarise_segmentation(cases, ["a", "b", "c"], names={1: "front"}, rounds=200)
    dice = [case[1].dice for case in cases]
    assert found["dice:front"].value == pytest.approx(np.mean(dice))
    second = np.mean([case[2].dice for case in cases[:2]])
    assert found["dice:2"].value == pytest.approx(second)
    assert found["dice"].value == pytest.approx((np.mean(dice) + second) / 2)
    assert found["dice:front"].low <= found["dice:front"].value <= found["dice:front"].high
    assert summarise_segmentation([]) == {}
