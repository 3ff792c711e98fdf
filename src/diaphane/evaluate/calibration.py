"""Making probabilities honest, and saying how honest they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.decision import Calibration, Floats, sigmoid, softmax
from diaphane.evaluate import weighted
from diaphane.evaluate.bootstrap import group_folds
from diaphane.evaluate.metrics import Task

_LEAST_SLOPE = 1e-3  # calibration never turns the order of cases around
_RIDGE = 0.1  # pull of vector scaling towards no change, in cases


def fit_calibration(
    logits: NDArray[Any], labels: NDArray[Any] | Sequence[Any], *, task: Task
) -> Calibration:
    """Fit slope and offset of each output on logits of cases that the model never saw.

    Binary and multi-label: Platt scaling with Platt's smoothed targets (1999), so that
    separable data give a finite slope. Several classes: vector scaling (Guo 2017) with a
    weak pull towards no change. The slope stays above zero.

    Parameters
    ----------
    logits:
        Out of fold ``(n, k)``; k = 1 for binary tasks.
    labels:
        Class index ``(n,)``; 0 or 1 ``(n, k)`` for multi-label tasks.

    Raises
    ------
    ValueError
        When shapes do not fit or there are no cases.
    """
    x = np.asarray(logits, dtype=np.float64)
    y = np.asarray(labels)
    if x.ndim == 1:
        x = x[:, None]
    if not len(x) or len(x) != len(y) or not np.isfinite(x).all():
        raise ValueError(f"Logits {x.shape} and labels {y.shape} do not fit.")
    if task == "multiclass":
        slope, offset = _vector_scaling(x, y.astype(np.int64))
        return Calibration(task, tuple(map(float, slope)), tuple(map(float, offset)))
    columns = y[:, None] if y.ndim == 1 else y
    if columns.shape != x.shape:
        raise ValueError(f"Logits {x.shape} and labels {y.shape} do not fit.")
    pairs = [_platt(x[:, k], columns[:, k]) for k in range(x.shape[1])]
    return Calibration(task, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))


def _platt(x: Floats, y: NDArray[Any]) -> tuple[float, float]:
    from scipy.optimize import minimize

    positive = int((y != 0).sum())
    negative = len(y) - positive
    target = np.where(y != 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # In units of the logits' own spread, so that the search is well scaled.
    centre, spread = float(x.mean()), float(x.std()) or 1.0
    z = (x - centre) / spread

    def loss(at: Floats) -> tuple[float, Floats]:
        s = at[0] * z + at[1]
        value = float((np.logaddexp(0.0, s) - target * s).mean())
        gap = sigmoid(s) - target
        return value, np.array([(gap * z).mean(), gap.mean()])

    start = np.array([1.0, np.log((positive + 1) / (negative + 1))])
    bounds = [(_LEAST_SLOPE, None), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_EXACT)
    slope = float(found.x[0]) / spread
    return slope, float(found.x[1]) - slope * centre


_EXACT = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}


def _vector_scaling(x: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    from scipy.optimize import minimize

    n, k = x.shape
    truth = np.eye(k)[y]
    pull = _RIDGE / n

    def loss(at: Floats) -> tuple[float, Floats]:
        slope, offset = at[:k], at[k:]
        scaled = x * slope + offset
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        value = float((total - (scaled * truth).sum(axis=1)).mean())
        value += 0.5 * pull * float(((slope - 1) ** 2).sum() + (offset**2).sum())
        gap = softmax(scaled) - truth
        steps = np.concatenate([(gap * x).mean(axis=0), gap.mean(axis=0)])
        return value, steps + pull * np.concatenate([slope - 1, offset])

    start = np.concatenate([np.ones(k), np.zeros(k)])
    bounds = [(_LEAST_SLOPE, None)] * k + [(None, None)] * k
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_EXACT)
    return np.asarray(found.x[:k]), np.asarray(found.x[k:])


def cross_fitted_probabilities(
    logits: NDArray[Any],
    labels: NDArray[Any] | Sequence[Any],
    groups: Sequence[Any] | NDArray[Any] | None,
    *,
    task: Task,
    folds: int = 5,
    seed: int = 0,
) -> Floats:
    """Probabilities ``(n, classes)``, each by a calibration that never saw the case's group.

    Arguments as in :func:`fit_calibration`; ``groups`` ``(n,)``.
    """
    x = np.asarray(logits, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    y = np.asarray(labels)
    fold = group_folds(groups, len(x), folds, seed)
    if fold.max() == 0:
        return fit_calibration(x, y, task=task).probabilities(x)
    parts: list[Floats] = []
    places: list[NDArray[np.intp]] = []
    for k in range(int(fold.max()) + 1):
        held = np.flatnonzero(fold == k)
        fitted = fit_calibration(x[fold != k], y[fold != k], task=task)
        parts.append(fitted.probabilities(x[held]))
        places.append(held)
    joined = np.concatenate(parts)
    out = np.empty_like(joined)
    out[np.concatenate(places)] = joined
    return out


def calibration_slope(labels: NDArray[Any] | Sequence[Any], chance: NDArray[Any]) -> float | None:
    """Slope of the labels on the logit of the chance (1 is perfect; below 1: too extreme).

    ``chance`` is the positive class's probability ``(n,)``. ``None`` when only one class is
    present or the classes are separable.
    """
    p = np.clip(np.asarray(chance, dtype=np.float64), 1e-12, 1 - 1e-12)
    logit = np.log(p) - np.log1p(-p)
    slope = float(weighted.logistic_slope(np.asarray(labels), logit, np.ones((1, len(p))))[0])
    return slope if np.isfinite(slope) else None


def expected_calibration_error(
    labels: NDArray[Any] | Sequence[Any], chance: NDArray[Any], bins: int = 10
) -> float:
    """Calibration error over ``bins`` bins of equal mass; ``chance`` ``(n,)``."""
    p = np.asarray(chance, dtype=np.float64)
    y = (np.asarray(labels) != 0).astype(np.float64)
    return float(weighted.calibration_error(y, p, np.ones((1, len(p))), bins)[0])


def perfect_ece_quantile(
    probabilities: NDArray[Any],
    bins: int = 10,
    *,
    quantile: float = 0.95,
    rounds: int = 2000,
    seed: int = 0,
) -> float:
    """The calibration error that a perfect model of this n stays under, by simulation.

    Outcomes are drawn from the probabilities themselves, so any error left is chance.
    ``probabilities`` is ``(n,)`` or ``(n, classes)`` (two: the last column; more: the
    largest).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim == 2:
        p = p[:, 1] if p.shape[1] == 2 else p.max(axis=1)
    rng = np.random.default_rng(seed)
    size = max(1, 2_000_000 // len(p))
    errors = []
    for first in range(0, rounds, size):
        count = min(size, rounds - first)
        outcome = (rng.random((count, len(p))) < p).astype(np.float64)
        errors.append(weighted.calibration_error(outcome, p, np.ones((count, len(p))), bins))
    return float(np.quantile(np.concatenate(errors), quantile))
