"""Decisions fitted anew: held-out figures are of groups that the fit never saw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.decision import UnlikeTraining, sigmoid
from diaphane.evaluate import (
    calibration_slope,
    cross_refit,
    decide,
    decision_measure,
    least_cases,
    paired_means,
    refit,
    refit_unlike_training,
)


def drawn(n, seed=0, slope=1.0, offset=0.0):
    """Logits, and labels that they foretell after ``slope * logit + offset``."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, (n, 1))
    labels = (rng.random(n) < sigmoid(slope * logit[:, 0] + offset)).astype(int)
    return logit, labels, [f"g{i // 2}" for i in range(n)]


def test_a_refit_finds_what_is_true():
    logit, labels, groups = drawn(4000, slope=0.5, offset=1.0)
    fitted = refit(logit, labels, groups, task="binary", level=0.9)
    assert fitted.calibration.slope[0] == pytest.approx(0.5, abs=0.06)
    assert fitted.calibration.offset[0] == pytest.approx(1.0, abs=0.12)
    assert [point.name for point in fitted.points] == [
        "sensitivity_95", "youden", "specificity_95",
    ]  # fmt: skip


def test_held_out_figures_are_as_aimed_at():
    logit, labels, groups = drawn(4000, slope=0.5, offset=1.0)
    held = cross_refit(logit, labels, groups, task="binary", level=0.9)
    figures = decision_measure(held, labels, ("no", "yes"))(np.ones((1, len(labels))))
    assert figures["coverage:no"][0] == pytest.approx(0.9, abs=0.03)
    assert figures["coverage:yes"][0] == pytest.approx(0.9, abs=0.03)
    assert figures["sensitivity_at:sensitivity_95"][0] == pytest.approx(0.95, abs=0.02)
    assert figures["specificity_at:specificity_95"][0] == pytest.approx(0.95, abs=0.03)


def test_a_group_is_judged_by_what_never_saw_it():
    """Whatever happens to a group's labels, its own held-out probabilities stay."""
    logit, labels, groups = drawn(60)
    before = cross_refit(logit, labels, groups, task="binary", level=0.9, seed=3)
    changed = labels.copy()
    changed[:2] = 1 - changed[:2]
    after = cross_refit(logit, changed, groups, task="binary", level=0.9, seed=3)
    same = np.isclose(before.probability[:, 1], after.probability[:, 1], atol=1e-12)
    assert same[:2].all()
    assert not same.all()
    assert (before.called[:2] == after.called[:2]).all()


def test_decide_is_cross_refit_without_folds_of_others():
    logit, labels, groups = drawn(200)
    fitted = refit(logit, labels, groups, task="binary", level=0.9)
    said = decide(fitted, logit)
    assert said.probability.shape == (200, 2)
    thresholds = [point.threshold for point in fitted.points]
    assert (said.called == (said.probability[:, 1:] >= thresholds)).all()


@pytest.mark.parametrize(("level", "least"), [(0.9, 12), (0.95, 24), (0.8, 5)])
def test_least_cases(level, least):
    assert least_cases(level) == least


def reference(limit=1.0):
    eye = np.eye(2, dtype=np.float32)
    one = np.ones(1, np.float32)
    return UnlikeTraining(
        np.zeros((1, 2), np.float32), eye[None], limit, -one, one, one, 0 * one, one[None]
    )


@given(st.integers(49, 300), st.floats(0.1, 5.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_about_two_of_a_hundred_are_flagged_afterwards(n, scale, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(0, scale, (n, 1, 2))
    concepts = rng.normal(0, scale, (n, 1))
    moved = refit_unlike_training(reference(), features, concepts)
    share = (moved.scores(features, concepts) > 1 + 1e-6).mean()
    assert share <= 0.05
    alone = (moved.distances(features) / moved.limit > 1 + 1e-6).mean()
    assert alone <= 0.021


def test_few_cases_only_widen_a_limit():
    rng = np.random.default_rng(0)
    near = 0.1 * rng.normal(size=(20, 1, 2))
    concepts = 0.1 * rng.normal(size=(20, 1))
    assert refit_unlike_training(reference(), near, concepts).limit == 1.0
    far = refit_unlike_training(reference(), 10 * near + 5, concepts)
    assert far.limit == pytest.approx(float(reference().distances(10 * near + 5).max()))


def test_slope_of_saturated_probabilities():
    logit, labels, _ = drawn(2000, slope=0.4)
    steep = sigmoid(8 * logit[:, 0])
    assert calibration_slope(labels, steep) == pytest.approx(0.05, abs=0.02)


def test_means_are_paired_where_both_are_defined():
    a = {"dice:x": [0.5, 0.7, None, 0.9], "dice:y": [0.4, None, 0.6, 0.8]}
    b = {"dice:x": [0.6, 0.8, 0.3, None], "dice:y": [0.4, 0.5, 0.6, 0.8]}
    found = paired_means(b, a, ["p", "p", "q", "r"], rounds=200)
    assert found["dice:x"].difference.value == pytest.approx(0.1)
    assert found["dice:y"].difference.value == pytest.approx(0.0)
    assert found["dice"].difference.value == pytest.approx(0.05)
    assert found["dice:x"].model == pytest.approx(0.7)
    assert list(found) == ["dice", "dice:x", "dice:y"]


def test_concepts_well_inside_their_ranges_do_not_tighten_them():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 1, 2))
    concepts = np.full((100, 1), 0.1)
    concepts[-1] = 1.01
    loose = UnlikeTraining(**{**vars(reference()), "joint": np.zeros((1, 1), np.float32)})
    moved = refit_unlike_training(loose, features, concepts)
    assert (moved.slack == loose.slack).all()
    assert moved.concept_scores(np.array([[1.2]]))[0] < 1
