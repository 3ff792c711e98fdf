"""Prediction sets and operating points, from probabilities out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.decision import Floats, OperatingPoint, PredictionSets
from diaphane.evaluate.bootstrap import group_folds


def fit_prediction_sets(
    probabilities: NDArray[Any],
    labels: NDArray[Any] | Sequence[Any],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    *,
    level: float = 0.9,
    folds: int = 5,
    seed: int = 0,
) -> PredictionSets:
    """Class-conditional conformal limits (Vovk 2012) on one out-of-fold score per case.

    The limit of a class is the ``ceil((n + 1) * level)``-th smallest ``1 - p`` of its n
    cases, 1 (always in the set) when there are too few. Coverage and mean size are
    cross-fitted: each group is judged by limits that never saw it.

    Parameters
    ----------
    probabilities:
        Cross-fitted, ``(n, classes)``.
    labels:
        Class index ``(n,)``.
    groups:
        Patient of each case ``(n,)``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    y = np.asarray(labels, dtype=np.int64)
    if not 0 < level < 1 or len(p) != len(y) or not len(y):
        raise ValueError(f"Sets of level {level} do not fit {len(p)} cases.")
    fold = group_folds(groups, len(p), folds, seed)
    members = np.zeros(p.shape, dtype=bool)
    for k in range(int(fold.max()) + 1):
        held = fold == k
        rest = ~held if fold.max() else held
        limits = _limits(p[rest], y[rest], level)
        members[held] = PredictionSets(level, limits, 0.0, 0.0).members(p[held])
    covered = float(members[np.arange(len(y)), y].mean())
    return PredictionSets(level, _limits(p, y, level), covered, float(members.sum(axis=1).mean()))


def _limits(p: Floats, y: NDArray[np.int64], level: float) -> tuple[float, ...]:
    limits = []
    for k in range(p.shape[1]):
        scores = np.sort(1.0 - p[y == k, k])
        rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
        limits.append(float(scores[rank - 1]) if rank <= len(scores) else 1.0)
    return tuple(limits)


def fit_operating_points(
    labels: NDArray[Any] | Sequence[Any],
    chance: NDArray[Any],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    *,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    folds: int = 5,
    seed: int = 0,
) -> tuple[OperatingPoint, ...]:
    """Thresholds for a wanted sensitivity, for Youden's index, and for a wanted specificity.

    A case is positive at the threshold or above. The thresholds come from all cases; the
    figures beside them are cross-fitted: each group is judged by thresholds that never saw
    it. Empty when only one class is present.

    Parameters
    ----------
    labels:
        1 for the positive class, else 0 ``(n,)``.
    chance:
        Cross-fitted probability of the positive class ``(n,)``.
    """
    y = np.asarray(labels) != 0
    p = np.asarray(chance, dtype=np.float64)
    if not y.any() or y.all():
        return ()
    names = (f"sensitivity_{sensitivity:.0%}", "youden", f"specificity_{specificity:.0%}")
    fold = group_folds(groups, len(p), folds, seed)
    called = np.zeros((len(p), 3), dtype=bool)
    whole = _thresholds(y, p, sensitivity, specificity)
    for k in range(int(fold.max()) + 1):
        held = fold == k
        fit = ~held & bool(fold.max())
        usable = bool(y[fit].any() and not y[fit].all())
        chosen = _thresholds(y[fit], p[fit], sensitivity, specificity) if usable else whole
        called[held] = p[held, None] >= chosen
    return tuple(
        OperatingPoint(
            name.rstrip("%"),
            float(whole[i]),
            float(called[y, i].mean()),
            float((~called[~y, i]).mean()),
        )
        for i, name in enumerate(names)
    )


def _thresholds(y: NDArray[np.bool_], p: Floats, sensitivity: float, specificity: float) -> Floats:
    """The three thresholds, half way between neighbouring chances."""
    values = np.unique(p)
    cuts = np.concatenate(
        [[values[0] / 2], (values[1:] + values[:-1]) / 2, [(1.0 + values[-1]) / 2]]
    )
    positive, negative = np.sort(p[y]), np.sort(p[~y])
    sens = 1.0 - np.searchsorted(positive, cuts, side="left") / len(positive)
    spec = np.searchsorted(negative, cuts, side="left") / len(negative)
    enough = np.flatnonzero(sens >= sensitivity - 1e-12)
    strict = np.flatnonzero(spec >= specificity - 1e-12)
    return np.array([cuts[enough[-1]], cuts[(sens + spec).argmax()], cuts[strict[0]]])
