"""Which inputs are unlike training: few that are like it, most that are not."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.core.decision import UnlikeTraining
from diaphane.evaluate import fit_unlike_training, ledoit_wolf, out_of_fold_scores


def cohort(n=600, folds=5, d=24, seed=0):
    """Features of every case by every member, NaN where seen; skewed concepts."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) * rng.lognormal(0, 1, d)
    features = np.stack([rng.normal(size=(n, d)) @ mix + k for k in range(folds)], axis=1)
    fold = np.arange(n) % folds
    held = np.where((np.arange(folds) == fold[:, None])[..., None], features, np.nan)
    training = [features[fold != k, k] for k in range(folds)]
    concepts = rng.lognormal(0, 1, (n, 6))
    concepts[::17, 2] = np.nan
    return features, training, held, concepts


def test_shrinkage_equals_scikit_learn():
    covariance = pytest.importorskip("sklearn.covariance")
    for n, d in ((30, 50), (400, 8)):
        x = np.random.default_rng(n).normal(size=(n, d)) * np.arange(1, d + 1)
        theirs, shrinkage = covariance.ledoit_wolf(x)
        ours, ours_shrinkage = ledoit_wolf(x)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
        assert ours_shrinkage == pytest.approx(shrinkage)


def test_few_cases_like_training_are_flagged():
    _, training, held, concepts = cohort()
    fitted = fit_unlike_training(training, held, concepts)
    assert np.mean(out_of_fold_scores(fitted, held) > 1) <= 0.02
    assert 0 < np.mean(out_of_fold_scores(fitted, held, concepts) > 1) <= 0.04


def test_fresh_cases_pass_and_strange_ones_do_not():
    _, training, held, concepts = cohort()
    fitted = fit_unlike_training(training, held, concepts)
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(24, 24)) * rng.lognormal(0, 1, 24)
    like = np.stack(
        [np.random.default_rng(5).normal(size=(500, 24)) @ mix + k for k in range(5)], 1
    )
    usual = np.full((500, 6), np.nan)
    assert np.mean(fitted.scores(like, usual) > 1) < 0.05
    assert np.mean(fitted.scores(like * 3 + 40, usual) > 1) > 0.99
    far = np.ones((500, 6))
    far[:, 4] = 1e4
    assert (fitted.scores(like, far) > 1).all()
    far[:, 4] = -1e4
    assert (fitted.scores(like, far) > 1).all()


def test_features_that_never_move_tell_when_they_do():
    _, training, held, _ = cohort()
    training = [np.concatenate([t, np.zeros((len(t), 1))], 1) for t in training]
    held = np.concatenate([held, np.where(np.isnan(held[..., :1]), np.nan, 0.0)], 2)
    fitted = fit_unlike_training(training, held)
    assert isinstance(fitted, UnlikeTraining)
    case = np.stack([t.mean(axis=0) for t in training])[None]
    assert fitted.distances(case)[0] < fitted.limit
    case[..., -1] = 5.0
    assert fitted.distances(case)[0] > fitted.limit


def test_what_does_not_fit_is_refused():
    _, training, held, _ = cohort()
    with pytest.raises(ValueError, match="saw"):
        fit_unlike_training(training, np.full_like(held, np.nan))
    with pytest.raises(ValueError, match="fit members"):
        fit_unlike_training(training, held[:, :2])
    with pytest.raises(ValueError, match="cannot be used"):
        fit_unlike_training([np.full((4, 3), np.nan)], held)
