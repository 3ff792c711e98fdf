"""The formulas between a logit and a decision."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from diaphane.core.decision import (
    Calibration,
    PredictionSets,
    UnlikeTraining,
    sigmoid,
    softmax,
)

logits = st.lists(st.floats(-700, 700), min_size=2, max_size=5)


@given(logits)
def test_sigmoid_and_softmax_equal_scipy(values: list[float]) -> None:
    x = np.array([values])
    assert np.allclose(sigmoid(x), expit(x), atol=1e-12)
    assert np.allclose(softmax(x), scipy_softmax(x, axis=1), atol=1e-12)


@pytest.mark.parametrize(("task", "k", "classes"), [("binary", 1, 2), ("multiclass", 3, 3)])
def test_probabilities_sum_to_one(task: str, k: int, classes: int) -> None:
    calibration = Calibration(task, (0.7,) * k, (0.1,) * k)
    p = calibration.probabilities(np.random.default_rng(0).normal(size=(20, k)))
    assert p.shape == (20, classes)
    assert np.allclose(p.sum(1), 1)
    stored = json.loads(json.dumps(calibration.to_dict()))
    assert Calibration.from_dict(stored) == calibration


def test_binary_puts_the_positive_class_last() -> None:
    p = Calibration.identity("binary", 1).probabilities(np.array([[2.0]]))
    assert p[0].tolist() == pytest.approx([1 - expit(2.0), expit(2.0)])


def test_a_set_is_never_empty() -> None:
    sets = PredictionSets(0.9, (0.0, 0.0, 0.0), 0.9, 1.0)
    members = sets.members(np.array([[0.2, 0.5, 0.3]]))
    assert members.tolist() == [[False, True, False]]
    assert PredictionSets.from_dict(json.loads(json.dumps(sets.to_dict()))) == sets


def test_unlike_training_looks_at_features_and_at_ranges() -> None:
    one = np.eye(2, dtype=np.float32)[None]
    unlike = UnlikeTraining(
        mean=np.zeros((1, 2), np.float32),
        whiten=one,
        limit=5.0,
        low=np.array([0.0], np.float32),
        high=np.array([10.0], np.float32),
        slack=np.array([2.0], np.float32),
        centre=np.array([5.0], np.float32),
        joint=np.array([[0.2]], np.float32),
    )
    features = np.array([[[3.0, 4.0]], [[6.0, 8.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]])
    concepts = np.array([[5.0], [5.0], [14.0], [np.nan], [9.0]])
    assert unlike.distances(features).tolist() == pytest.approx([5.0, 10.0, 0.0, 0.0, 0.0])
    assert unlike.scores(features, concepts).tolist() == pytest.approx([1.0, 2.0, 2.0, 0.0, 0.8])
