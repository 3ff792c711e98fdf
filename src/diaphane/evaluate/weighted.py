"""Metrics under many weightings at once.

A bootstrap round is a weighting of the cases, so every function takes weights
``(rounds, n)`` and gives one figure a round, without a loop over rounds. A figure that is
not defined in a round (only one class drawn) is NaN there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def divide(top: Floats, bottom: Floats) -> Floats:
    """``top / bottom``, NaN where ``bottom`` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom == 0, np.nan, top / np.where(bottom == 0, 1.0, bottom))


def auc(truth: NDArray[Any], score: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve ``(rounds,)``; ties count half (Mann and Whitney 1947)."""
    order, starts = _ascending(score)
    drawn = weights[:, order]
    hits = drawn * (truth[order] != 0)
    positive = np.add.reduceat(hits, starts, axis=1)
    negative = np.add.reduceat(drawn - hits, starts, axis=1)
    below = np.cumsum(negative, axis=1) - 0.5 * negative
    return divide((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(truth: NDArray[Any], score: Floats, weights: Floats) -> Floats:
    """Sum over thresholds of precision times the gain in recall ``(rounds,)``."""
    order, starts = _ascending(-score)
    drawn = weights[:, order]
    positive = np.add.reduceat(drawn * (truth[order] != 0), starts, axis=1)
    found = np.cumsum(positive, axis=1)
    called = np.cumsum(np.add.reduceat(drawn, starts, axis=1), axis=1)
    precision = np.nan_to_num(divide(found, called))
    return divide((positive * precision).sum(axis=1), positive.sum(axis=1))


def mean(values: Floats, weights: Floats) -> Floats:
    """Weighted mean of ``values (n,)`` in each round."""
    return divide(weights @ values, weights.sum(axis=1))


def calibration_error(truth: Floats, chance: Floats, weights: Floats, bins: int = 10) -> Floats:
    """Expected calibration error over ``bins`` bins of equal mass ``(rounds,)``.

    Sum over bins of the share of cases times the gap between mean chance and share of
    events. ``truth`` may be ``(rounds, n)`` when outcomes differ by round.
    """
    order = np.argsort(chance, kind="stable")
    drawn = weights[:, order]
    middle = np.cumsum(drawn, axis=1) - 0.5 * drawn
    total = drawn.sum(axis=1, keepdims=True)
    place = np.minimum(
        (bins * middle / np.where(total == 0, 1.0, total)).astype(np.int64), bins - 1
    )
    rounds = len(drawn)
    place += bins * np.arange(rounds)[:, None]
    gap = drawn * (chance[order] - truth[..., order])
    sums = np.bincount(place.ravel(), weights=gap.ravel(), minlength=bins * rounds)
    return divide(np.abs(sums.reshape(rounds, bins)).sum(axis=1), total[:, 0])


def logistic_slope(truth: NDArray[Any], logit: Floats, weights: Floats) -> Floats:
    """Slope of a logistic regression of ``truth`` on ``logit`` in each round (Cox 1958).

    NaN where one class is missing or the two are separable, so that no finite slope fits.
    """
    y = (truth != 0).astype(np.float64)
    # In units of the logits' own spread, from no slope at all, the first step is a safe one.
    centre, spread = float(logit.mean()), float(logit.std()) or 1.0
    logit = (logit - centre) / spread
    slope, offset = np.zeros(len(weights)), np.zeros(len(weights))
    step = np.zeros(len(weights))
    for _ in range(25):
        p = 0.5 * (1.0 + np.tanh(0.5 * (slope[:, None] * logit + offset[:, None])))
        gap = weights * (y - p)
        curve = weights * p * (1.0 - p)
        a, b, c = curve @ logit**2, curve @ logit, curve.sum(axis=1)
        u, v = gap @ logit, gap.sum(axis=1)
        bottom = a * c - b * b
        safe = np.where(bottom > 1e-12, bottom, np.inf)
        # A bounded Newton step: far from the optimum the parabola promises too much.
        step = np.clip((c * u - b * v) / safe, -2.0, 2.0)
        slope += step
        offset += np.clip((a * v - b * u) / safe, -4.0, 4.0)
        if float(np.abs(step).max(initial=0.0)) < 1e-9:
            break
    settled = np.abs(step) < 1e-3
    return np.where(settled & ~_separable(y, logit, weights), slope / spread, np.nan)


def _separable(y: Floats, logit: Floats, weights: Floats) -> NDArray[np.bool_]:
    """Whether one cut parts the drawn cases of both classes, or one class was not drawn."""
    drawn = weights > 0
    low_of_1 = np.where(drawn & (y == 1), logit, np.inf).min(axis=1)
    high_of_1 = np.where(drawn & (y == 1), logit, -np.inf).max(axis=1)
    low_of_0 = np.where(drawn & (y == 0), logit, np.inf).min(axis=1)
    high_of_0 = np.where(drawn & (y == 0), logit, -np.inf).max(axis=1)
    return np.asarray((low_of_1 >= high_of_0) | (high_of_1 <= low_of_0), dtype=np.bool_)


def _ascending(score: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Order of rising score, and where each distinct score starts."""
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return order, starts
