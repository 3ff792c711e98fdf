"""What a model decides, fitted anew on other cases, and measured on groups held out of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.decision import (
    Calibration,
    Floats,
    OperatingPoint,
    PredictionSets,
    UnlikeTraining,
)
from diaphane.evaluate.bootstrap import Measure, group_folds
from diaphane.evaluate.calibration import cross_fitted_probabilities, fit_calibration
from diaphane.evaluate.decisions import fit_operating_points, fit_prediction_sets
from diaphane.evaluate.metrics import Task
from diaphane.evaluate.weighted import divide, mean

FOLDS = 5
_FLAGGED = 0.02


@dataclass(frozen=True)
class Decisions:
    """From logits to what is said: calibration, prediction sets, operating points."""

    calibration: Calibration
    sets: PredictionSets | None
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True, eq=False)
class Decided:
    """What decisions made of cases.

    Attributes
    ----------
    probability:
        ``(n, classes)``.
    members:
        Whether a class is in the case's prediction set ``(n, classes)``; ``None`` without sets.
    called:
        Whether the case is positive at each operating point ``(n, points)``.
    points:
        Their names.
    """

    probability: Floats
    members: NDArray[np.bool_] | None
    called: NDArray[np.bool_]
    points: tuple[str, ...]


def least_cases(level: float) -> int:
    """Cases of a class that a refit needs.

    A prediction set of that level needs ``level / (1 - level)`` cases of the class (9 at 90 %),
    and four fifths of the cases are fitted on while the rest is held out.
    """
    needed = int(np.ceil(level / (1 - level) - 1e-9))
    return int(np.ceil(needed * FOLDS / (FOLDS - 1)))


def refit(
    logits: NDArray[Any],
    labels: NDArray[Any],
    groups: Sequence[Any],
    *,
    task: Task,
    level: float | None,
    seed: int = 0,
) -> Decisions:
    """Fit decisions on logits of cases that the model never saw.

    Sets and thresholds are fitted on cross-fitted probabilities.

    Parameters
    ----------
    logits, labels, groups, task:
        As in :func:`~diaphane.evaluate.fit_calibration`.
    level:
        Of the prediction sets; ``None`` fits none.
    """
    calibration = fit_calibration(logits, labels, task=task)
    crossed = cross_fitted_probabilities(logits, labels, groups, task=task, seed=seed)
    sets = None
    if level is not None and task != "multilabel":
        sets = fit_prediction_sets(crossed, labels, groups, level=level, seed=seed)
    points: tuple[OperatingPoint, ...] = ()
    if task == "binary":
        points = fit_operating_points(labels, crossed[:, 1], groups, seed=seed)
    return Decisions(calibration, sets, points)


def decide(decisions: Decisions, logits: NDArray[Any]) -> Decided:
    """Apply decisions to logits ``(n, k)``."""
    p = decisions.calibration.probabilities(logits)
    thresholds = [point.threshold for point in decisions.points]
    called = (
        p[:, -1:] >= np.asarray(thresholds)[None] if thresholds else np.empty((len(p), 0), bool)
    )
    members = None if decisions.sets is None else decisions.sets.members(p)
    return Decided(p, members, called, tuple(point.name for point in decisions.points))


def cross_refit(
    logits: NDArray[Any],
    labels: NDArray[Any],
    groups: Sequence[Any],
    *,
    task: Task,
    level: float | None,
    seed: int = 0,
) -> Decided:
    """What :func:`refit` decides of each group when it is fitted on the others.

    Calibration, sets and thresholds are all fitted without the group, so that the figures are
    those of new patients. Arguments as in :func:`refit`.
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    fold = group_folds(groups, len(x), FOLDS, seed)
    parts: list[Decided] = []
    order: list[NDArray[np.intp]] = []
    for k in range(int(fold.max()) + 1):
        rest, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        others = [groups[int(i)] for i in rest]
        fitted = refit(x[rest], y[rest], others, task=task, level=level, seed=seed)
        parts.append(decide(fitted, x[held]))
        order.append(held)
    back = np.argsort(np.concatenate(order))
    members = [part.members for part in parts if part.members is not None]
    return Decided(
        np.concatenate([part.probability for part in parts])[back],
        np.concatenate(members)[back] if members else None,
        np.concatenate([part.called for part in parts])[back],
        parts[0].points,
    )


def decision_measure(decided: Decided, labels: NDArray[Any], classes: Sequence[str]) -> Measure:
    """Coverage and size of prediction sets, sensitivity and specificity at operating points.

    "coverage", "coverage:CLASS", "mean_set_size", "sensitivity_at:POINT", "specificity_at:POINT".
    """
    y = np.asarray(labels)

    def figures(weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        if decided.members is not None:
            covered = decided.members[np.arange(len(y)), y].astype(np.float64)
            found["coverage"] = mean(covered, weights)
            for k, name in enumerate(classes):
                found[f"coverage:{name}"] = _share(covered, y == k, weights)
            found["mean_set_size"] = mean(decided.members.sum(axis=1).astype(np.float64), weights)
        for i, name in enumerate(decided.points):
            called = decided.called[:, i].astype(np.float64)
            found[f"sensitivity_at:{name}"] = _share(called, y == 1, weights)
            found[f"specificity_at:{name}"] = _share(1 - called, y == 0, weights)
        return found

    return figures


def refit_unlike_training(
    fitted: UnlikeTraining, features: NDArray[Any], concepts: NDArray[Any]
) -> UnlikeTraining:
    """The same distances with limits that about 2 % of a site's own cases exceed.

    What lies at the centre stays the training set; only two scales move. The limit of the
    distance of features becomes the 98th percentile of the site's; that of the concepts' scores
    only widens, since a range that a site keeps well inside tells nothing of its edge. With
    fewer than 49 cases the percentile is not known, and both only widen, to the farthest case.

    Parameters
    ----------
    features:
        ``(n, members, d)`` of the site's cases, which no member saw.
    concepts:
        ``(n, j)`` as the model gets them.
    """
    limit = _limit(fitted.distances(features), fitted.limit)
    scale = max(1.0, _limit(fitted.concept_scores(concepts), 1.0))
    return replace(
        fitted,
        limit=limit,
        slack=(fitted.slack * scale).astype(np.float32),
        joint=(fitted.joint / scale).astype(np.float32),
    )


def cross_unlike_scores(
    fitted: UnlikeTraining,
    features: NDArray[Any],
    concepts: NDArray[Any],
    groups: Sequence[Any],
    seed: int = 0,
) -> Floats:
    """Score of each case ``(n,)`` by limits refitted without its group; above 1 is flagged."""
    fold = group_folds(groups, len(features), FOLDS, seed)
    out = np.zeros(len(features))
    for k in range(int(fold.max()) + 1):
        rest, held = fold != k, fold == k
        moved = refit_unlike_training(fitted, features[rest], concepts[rest])
        out[held] = moved.scores(features[held], concepts[held])
    return out


def _limit(scores: Floats, before: float) -> float:
    ranked = np.sort(scores)
    if not len(ranked) or ranked[-1] <= 0:
        return before
    rank = int(np.ceil((len(ranked) + 1) * (1 - _FLAGGED) - 1e-9))
    if rank > len(ranked):
        return max(before, float(ranked[-1]))
    return max(float(ranked[rank - 1]), 1e-6)


def _share(values: Floats, chosen: NDArray[np.bool_], weights: Floats) -> Floats:
    part = weights[:, chosen]
    return divide(part @ values[chosen], part.sum(axis=1))
