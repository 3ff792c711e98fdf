"""Which figures a task is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.evaluate import weighted
from diaphane.evaluate.weighted import Floats, divide

Task = Literal["binary", "multiclass", "multilabel"]
Figures = dict[str, Floats]

_TINY = float(np.finfo(np.float64).eps)


def binary_metrics(
    truth: NDArray[Any], chance: Floats, weights: Floats, threshold: float = 0.5
) -> Figures:
    """Every figure of a two-class task, one value a round.

    Parameters
    ----------
    truth:
        1 for the positive class, else 0 ``(n,)``.
    chance:
        Probability of the positive class ``(n,)``.
    weights:
        ``(rounds, n)``.
    threshold:
        A case is called positive at this probability or above.
    """
    y = (np.asarray(truth) != 0).astype(np.float64)
    p = np.asarray(chance, dtype=np.float64)
    called = (p >= threshold).astype(np.float64)
    tp, fp = weights @ (y * called), weights @ ((1 - y) * called)
    fn, tn = weights @ (y * (1 - called)), weights @ ((1 - y) * (1 - called))
    sensitivity, specificity = divide(tp, tp + fn), divide(tn, tn + fp)
    safe = np.clip(p, _TINY, 1 - _TINY)
    logit = np.log(safe) - np.log1p(-safe)
    return {
        "auc": weighted.auc(y, p, weights),
        "average_precision": weighted.average_precision(y, p, weights),
        "accuracy": divide(tp + tn, tp + tn + fp + fn),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": divide(2 * tp, 2 * tp + fp + fn),
        "brier": weighted.mean((p - y) ** 2, weights),
        "ece": weighted.calibration_error(y, p, weights),
        "log_loss": weighted.mean(-y * np.log(safe) - (1 - y) * np.log1p(-safe), weights),
        "calibration_slope": weighted.logistic_slope(y, logit, weights),
    }


def multiclass_metrics(
    truth: NDArray[Any], chances: Floats, weights: Floats, classes: Sequence[str]
) -> Figures:
    """Every figure of a task with several classes, one value a round.

    The most likely class is the answer. "auc", "average_precision", "sensitivity",
    "specificity" and "f1" are means over classes of one against the rest (classes that are
    absent left out), and stand per class as "auc:CLASS" and so on. "ece" is that of the
    answer's probability; "brier" sums over classes.

    Parameters
    ----------
    truth:
        Class index ``(n,)``.
    chances:
        Probabilities ``(n, classes)``.
    """
    y = np.asarray(truth, dtype=np.int64)
    p = np.asarray(chances, dtype=np.float64)
    answer = p.argmax(axis=1)
    right = (answer == y).astype(np.float64)
    per_class: dict[str, list[Floats]] = {}
    for k in range(len(classes)):
        is_k, said_k = (y == k).astype(np.float64), (answer == k).astype(np.float64)
        tp, fp = weights @ (is_k * said_k), weights @ ((1 - is_k) * said_k)
        fn, tn = weights @ (is_k * (1 - said_k)), weights @ ((1 - is_k) * (1 - said_k))
        figures = {
            "auc": weighted.auc(is_k, p[:, k], weights),
            "average_precision": weighted.average_precision(is_k, p[:, k], weights),
            "sensitivity": divide(tp, tp + fn),
            "specificity": divide(tn, tn + fp),
            "f1": divide(2 * tp, 2 * tp + fp + fn),
        }
        for name, values in figures.items():
            per_class.setdefault(name, []).append(values)
    chosen = np.clip(p[np.arange(len(y)), y], _TINY, 1.0)
    whole = np.eye(len(classes))[y]
    found: Figures = {name: _mean_defined(values) for name, values in per_class.items()}
    found["accuracy"] = weighted.mean(right, weights)
    found["balanced_accuracy"] = found["sensitivity"]
    found["brier"] = weighted.mean(((p - whole) ** 2).sum(axis=1), weights)
    found["ece"] = weighted.calibration_error(right, p.max(axis=1), weights)
    found["log_loss"] = weighted.mean(-np.log(chosen), weights)
    for name, each in per_class.items():
        for label, value in zip(classes, each, strict=True):
            found[f"{name}:{label}"] = value
    return found


def ordinal_metrics(truth: NDArray[Any], chances: Floats, weights: Floats) -> Figures:
    """By how far the answers of grades miss, one value a round.

    "kappa_quadratic" is Cohen's kappa with quadratic weights (1968): 1 for perfect, 0 for
    chance; undefined when truth and answers are one and the same grade throughout.
    "mean_absolute_error" is in grades. The most likely grade is the answer.

    Parameters
    ----------
    truth:
        Index of the grade ``(n,)``, in the order of grades.
    chances:
        Probabilities ``(n, grades)``.
    """
    y = np.asarray(truth, dtype=np.int64)
    answer = np.asarray(chances).argmax(axis=1)
    grades = np.arange(np.asarray(chances).shape[1], dtype=np.float64)
    missed = (grades[:, None] - grades[None]) ** 2
    total = weights.sum(axis=1)
    of_truth = weights @ np.eye(len(grades))[y]
    of_answers = weights @ np.eye(len(grades))[answer]
    seen = weights @ missed[y, answer]
    by_chance = divide(((of_truth @ missed) * of_answers).sum(axis=1), total)
    return {
        "kappa_quadratic": 1.0 - divide(seen, by_chance),
        "mean_absolute_error": divide(weights @ np.abs(answer - y).astype(np.float64), total),
    }


def multilabel_metrics(
    truth: NDArray[Any],
    chances: Floats,
    weights: Floats,
    classes: Sequence[str],
    threshold: float = 0.5,
) -> Figures:
    """Every two-class figure per label as "auc:LABEL", and its mean over labels as "auc".

    ``truth`` and ``chances`` are ``(n, labels)``.
    """
    each = [
        binary_metrics(truth[:, k], chances[:, k], weights, threshold) for k in range(len(classes))
    ]
    found: Figures = {name: _mean_defined([one[name] for one in each]) for name in each[0]}
    for label, one in zip(classes, each, strict=True):
        found.update({f"{name}:{label}": value for name, value in one.items()})
    return found


def order_metrics(
    views: Mapping[str, tuple[NDArray[Any], Floats]], weights: Floats, *, several: bool
) -> Figures:
    """Figures "auc" and "average_precision" of scores, one value a round.

    Parameters
    ----------
    views:
        Truth, 0 or 1, and score ``(n,)`` by class or label.
    several:
        Whether the figures are means, and stand per class as "auc:CLASS" as well.
    """
    each = {
        name: {
            "auc": weighted.auc(y.astype(np.float64), score, weights),
            "average_precision": weighted.average_precision(y.astype(np.float64), score, weights),
        }
        for name, (y, score) in views.items()
    }
    figures = next(iter(each.values()))
    found: Figures = {n: _mean_defined([one[n] for one in each.values()]) for n in figures}
    if several:
        found |= {f"{n}:{name}": value for name, one in each.items() for n, value in one.items()}
    return found


def _mean_defined(values: Sequence[Floats]) -> Floats:
    stack = np.stack(values)
    defined = ~np.isnan(stack)
    return divide(np.where(defined, stack, 0.0).sum(axis=0), defined.sum(axis=0).astype(float))
