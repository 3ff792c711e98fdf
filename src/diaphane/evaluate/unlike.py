"""Which inputs are unlike the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.decision import Floats, UnlikeTraining

_FLAGGED_BY_DISTANCE = 0.02
_FLAGGED_BY_RANGES = 0.0075
_FLAGGED_BY_JOINT = 0.0125
_FOLDS = 5
_TAIL = 0.5  # percent of training cases beyond a concept's range on either side
_SLACK = 0.25  # least slack, in widths of the range


def ledoit_wolf(values: NDArray[Any]) -> tuple[Floats, float]:
    """Shrunk covariance ``(d, d)`` of rows ``(n, d)`` and its shrinkage (Ledoit & Wolf 2004)."""
    x = np.asarray(values, dtype=np.float64)
    x = x - x.mean(axis=0)
    n, d = x.shape
    sample = x.T @ x / n
    mu = float(np.trace(sample)) / d
    squares = x**2
    beta = float((squares.T @ squares / n - sample**2).sum()) / (d * n)
    delta = float(((sample - mu * np.eye(d)) ** 2).sum()) / d
    shrinkage = 0.0 if delta == 0 else min(1.0, max(0.0, beta / delta))
    return (1 - shrinkage) * sample + shrinkage * mu * np.eye(d), shrinkage


def fit_unlike_training(
    training: Sequence[NDArray[Any]],
    out_of_fold: NDArray[Any],
    concepts: NDArray[Any] | None = None,
) -> UnlikeTraining:
    """Fit distance and ranges so that few cases like the training set are flagged.

    At most about 2 % of out-of-fold cases lie beyond the distance limit (its 98th
    percentile, rounded up), at most 0.75 % more beyond a concept's range, and about 1.25 %
    beyond the joint distance of concepts (each judged by the others' mean and covariance).

    Parameters
    ----------
    training:
        Per member, pooled features of the cases that it was trained on ``(n_m, d)``.
    out_of_fold:
        Features of every case by every member ``(n, members, d)``; NaN where the member saw
        the case.
    concepts:
        Concept values ``(n, j)`` as the model gets them; NaN where not measured.

    Raises
    ------
    ValueError
        When shapes do not fit, or a case was seen by every member.
    """
    fits = [_whitening(np.asarray(member, dtype=np.float64)) for member in training]
    mean = np.stack([m for m, _ in fits]).astype(np.float32)
    whiten = np.stack([w for _, w in fits]).astype(np.float32)
    values = np.empty((len(out_of_fold), 0)) if concepts is None else np.asarray(concepts)
    low, high, slack = _ranges(np.asarray(values, dtype=np.float64))
    centre, joint = _joint(np.asarray(values, dtype=np.float64))
    bare = UnlikeTraining(mean, whiten, 1.0, low, high, slack, centre, joint)
    distances = np.sort(_distances(bare, out_of_fold))
    rank = int(np.ceil((len(distances) + 1) * (1 - _FLAGGED_BY_DISTANCE) - 1e-9))
    limit = float(distances[min(rank, len(distances)) - 1])
    return replace(bare, limit=max(limit, 1e-6))


def out_of_fold_scores(
    fitted: UnlikeTraining, out_of_fold: NDArray[Any], concepts: NDArray[Any] | None = None
) -> Floats:
    """Score of each case ``(n,)`` by the members that never saw it; above 1 is flagged.

    Arguments as in :func:`fit_unlike_training`.
    """
    scores = _distances(fitted, out_of_fold) / fitted.limit
    if concepts is None:
        return scores
    return np.maximum(scores, fitted.concept_scores(concepts))


def _whitening(features: Floats) -> tuple[Floats, Floats]:
    """Mean, and the matrix that makes the features' covariance the identity."""
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise ValueError(f"Training features of shape {features.shape} cannot be used.")
    mean, spread = features.mean(axis=0), features.std(axis=0)
    # A feature that never moves in training must still tell when it moves.
    scale = np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-12))
    covariance, _ = ledoit_wolf((features - mean) / scale)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 1e-6 * max(float(values.max()), 1e-12))
    root = (vectors / np.sqrt(values)) @ vectors.T
    return mean, root / scale


def _distances(fitted: UnlikeTraining, out_of_fold: NDArray[Any]) -> Floats:
    features = np.asarray(out_of_fold, dtype=np.float64)
    if features.ndim != 3 or features.shape[1:] != fitted.mean.shape:
        raise ValueError(f"Features {features.shape} do not fit members {fitted.mean.shape}.")
    seen = np.asarray(np.isnan(features).any(axis=2), dtype=np.bool_)
    if bool(np.all(seen, axis=1).any()):
        raise ValueError("Every member saw some case; its distance is not out of fold.")
    white = np.einsum("mde,nme->nmd", fitted.whiten.astype(np.float64), features - fitted.mean)
    each = np.linalg.norm(white, axis=2)
    return np.asarray(np.where(seen, 0.0, each).sum(axis=1) / (~seen).sum(axis=1))


def _ranges(
    values: Floats,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    count = values.shape[1]
    low, high = np.zeros(count), np.zeros(count)
    for j in range(count):
        known = values[np.isfinite(values[:, j]), j]
        if known.size:
            low[j], high[j] = np.percentile(known, [_TAIL, 100 - _TAIL])
    width = high - low
    slack = _SLACK * np.maximum(width, 1e-3 * np.maximum(1.0, np.abs(high)))
    if count and len(values):
        worst = _outside(values, low, high, slack)
        slack = slack * max(1.0, float(np.quantile(worst, 1 - _FLAGGED_BY_RANGES, method="higher")))
    return low.astype(np.float32), high.astype(np.float32), slack.astype(np.float32)


def _joint(values: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean ``(j,)`` and whitening ``(j, j)`` of concepts, scaled to 1 at the limit."""
    count = values.shape[1]
    known = values[np.isfinite(values).all(axis=1)]
    if not count or len(known) < 2 * _FOLDS * (count + 1):  # too few to know a covariance
        centre = np.zeros(count, np.float32)
        return centre, np.zeros((count, count), np.float32)
    fold = np.arange(len(known)) % _FOLDS
    distance = np.empty(len(known))
    for k in range(_FOLDS):
        mean, white = _whitening(known[fold != k])
        distance[fold == k] = np.linalg.norm((known[fold == k] - mean) @ white.T, axis=1)
    limit = float(np.quantile(distance, 1 - _FLAGGED_BY_JOINT, method="higher"))
    mean, white = _whitening(known)
    return mean.astype(np.float32), (white / max(limit, 1e-6)).astype(np.float32)


def _outside(
    values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], slack: NDArray[Any]
) -> Floats:
    """How far the worst concept of each case lies outside its range, in widths of slack."""
    beyond = np.maximum((low - values) / slack, (values - high) / slack)
    return np.asarray(np.nan_to_num(beyond, nan=0.0).max(axis=1), dtype=np.float64)
