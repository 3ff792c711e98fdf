"""Calibration, prediction sets, operating points."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.core.decision import sigmoid
from diaphane.evaluate import (
    calibration_slope,
    cross_fitted_probabilities,
    expected_calibration_error,
    fit_calibration,
    fit_operating_points,
    fit_prediction_sets,
    perfect_ece_quantile,
)


def overconfident(n=4000, seed=0):
    """Logits that are twice too extreme and shifted; truth, logits, groups."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0.3, 1.5, n)
    y = (rng.random(n) < sigmoid(honest)).astype(int)
    return y, 2.0 * honest + 1.0, rng.integers(0, n // 2, n)


def test_platt_finds_the_slope_and_offset_that_were_planted():
    y, logits, _ = overconfident()
    fitted = fit_calibration(logits[:, None], y, task="binary")
    assert fitted.slope[0] == pytest.approx(0.5, rel=0.08)
    assert fitted.offset[0] == pytest.approx(-0.5, abs=0.1)
    p = fitted.probabilities(logits[:, None])[:, 1]
    assert calibration_slope(y, p) == pytest.approx(1, abs=0.01)


def test_platt_equals_scikit_learn_sigmoid_calibration():
    calibration = pytest.importorskip("sklearn.calibration")
    y, logits, _ = overconfident(500)
    theirs = calibration._SigmoidCalibration().fit(logits, y)
    ours = fit_calibration(logits, y, task="binary")
    assert ours.slope[0] == pytest.approx(-theirs.a_, rel=1e-3)
    assert ours.offset[0] == pytest.approx(-theirs.b_, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_separable_data_give_a_finite_calibration_at_any_scale(scale):
    x = scale * np.array([-3.0, -2, -1, 1, 2, 3])
    y = np.array([0, 0, 0, 1, 1, 1])
    fitted = fit_calibration(x, y, task="binary")
    p = fitted.probabilities(x[:, None])[:, 1]
    assert np.isfinite(fitted.slope[0])
    assert 0.5 < p[-1] < 0.99
    assert np.all(np.diff(p) > 0)


def test_calibration_never_turns_the_order_around():
    x = np.linspace(-2, 2, 50)
    y = (x < 0).astype(int)
    assert fit_calibration(x, y, task="binary").slope[0] > 0
    only = fit_calibration(x, np.ones(50, int), task="binary")
    assert only.probabilities(x[:, None])[:, 1].min() > 0.9


def test_vector_scaling_makes_several_classes_honest():
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (3000, 3))
    p = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    y = (rng.random((3000, 1)) > np.cumsum(p, axis=1)).sum(axis=1)
    fitted = fit_calibration(honest * [3.0, 1.0, 0.5] + [0, 1, -1], y, task="multiclass")
    assert np.array(fitted.slope) == pytest.approx([1 / 3, 1, 2], rel=0.15)
    back = fitted.probabilities(honest * [3.0, 1.0, 0.5] + [0, 1, -1])
    assert np.abs(back - p).mean() < 0.02
    apart = fit_calibration(10 * np.eye(3), np.arange(3), task="multiclass")
    assert np.isfinite(apart.slope).all()


def test_labels_are_calibrated_one_by_one():
    y, logits, _ = overconfident(800)
    both = fit_calibration(
        np.stack([logits, -logits], 1), np.stack([y, 1 - y], 1), task="multilabel"
    )
    alone = fit_calibration(logits, y, task="binary")
    assert both.slope == pytest.approx((alone.slope[0], alone.slope[0]), rel=1e-4)
    assert both.probabilities(np.stack([logits, -logits], 1)).shape == (800, 2)


def test_cross_fitting_never_uses_a_case_for_itself():
    y, logits, groups = overconfident(300)
    before = cross_fitted_probabilities(logits, y, groups, task="binary", seed=2)
    flipped = y.copy()
    held = groups == groups[7]
    flipped[held] = 1 - flipped[held]
    after = cross_fitted_probabilities(logits, flipped, groups, task="binary", seed=2)
    assert np.array_equal(before[held], after[held])
    assert not np.array_equal(before[~held], after[~held])
    one_group = cross_fitted_probabilities(logits, y, ["a"] * 300, task="binary")
    assert one_group.shape == (300, 2)


def test_a_perfect_model_stays_under_its_own_quantile_19_times_of_20():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, 400)
    limit = perfect_ece_quantile(p, rounds=800)
    errors = [expected_calibration_error(rng.random(400) < p, p) for _ in range(400)]
    assert np.mean(np.array(errors) <= limit) == pytest.approx(0.95, abs=0.03)
    assert expected_calibration_error(rng.random(400) < p**2, p) > limit
    assert perfect_ece_quantile(np.stack([1 - p, p], 1), rounds=800) == limit


def test_slope_is_undefined_for_one_class():
    assert calibration_slope([1, 1], np.array([0.4, 0.6])) is None


def test_sets_hold_the_truth_as_often_as_aimed_in_every_class():
    y, logits, groups = overconfident()
    p = cross_fitted_probabilities(logits, y, groups, task="binary")
    sets = fit_prediction_sets(p, y, groups, level=0.9)
    assert sets.coverage == pytest.approx(0.9, abs=0.03)
    fresh_y, fresh_logits, _ = overconfident(seed=9)
    fresh = fit_calibration(logits, y, task="binary").probabilities(fresh_logits[:, None])
    members = sets.members(fresh)
    for k in (0, 1):
        assert members[fresh_y == k, k].mean() == pytest.approx(0.9, abs=0.03)
    assert 1 <= sets.mean_size <= 2
    assert members.sum(axis=1).min() >= 1


def test_the_limit_is_the_corrected_rank():
    # 1 - p of class 1: 0.1 ... 0.9; rank ceil(10 x 0.8) = 8 of 9 -> 0.8.
    p1 = np.concatenate([1 - np.arange(1, 10) / 10, [0.0]])
    y = np.array([1] * 9 + [0])
    sets = fit_prediction_sets(np.stack([1 - p1, p1], 1), y, level=0.8)
    assert sets.limit[1] == pytest.approx(0.8)
    assert sets.limit[0] == 1.0  # one case is too few for any limit
    with pytest.raises(ValueError):
        fit_prediction_sets(np.empty((0, 2)), [])


def test_operating_points_reach_what_they_are_named_for():
    y, logits, groups = overconfident()
    p = cross_fitted_probabilities(logits, y, groups, task="binary")[:, 1]
    points = {point.name: point for point in fit_operating_points(y, p, groups)}
    assert list(points) == ["sensitivity_95", "youden", "specificity_95"]
    assert points["sensitivity_95"].sensitivity == pytest.approx(0.95, abs=0.02)
    assert points["specificity_95"].specificity == pytest.approx(0.95, abs=0.02)
    low, high = points["sensitivity_95"].threshold, points["specificity_95"].threshold
    assert 0 < low < points["youden"].threshold < high < 1
    assert np.mean(p[y == 1] >= low) >= 0.95
    assert np.mean(p[y == 0] < high) >= 0.95


def test_operating_points_at_the_edges():
    assert fit_operating_points([1, 1], np.array([0.2, 0.3])) == ()
    points = fit_operating_points([0, 0, 1, 1], np.array([0.1, 0.2, 0.8, 0.9]))
    assert points[1].threshold == pytest.approx(0.5)
    tied = fit_operating_points([0, 1, 0, 1], np.full(4, 0.5))
    assert tied[0].threshold < 0.5 < tied[2].threshold


def test_logits_that_do_not_fit_are_refused():
    for x, y, task in (
        (np.empty((0, 1)), [], "binary"),
        (np.array([np.nan, 1.0]), [0, 1], "binary"),
        (np.zeros((2, 3)), [0, 1], "binary"),
    ):
        with pytest.raises(ValueError):
            fit_calibration(x, y, task=task)
