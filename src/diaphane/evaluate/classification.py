"""How good probabilities are: figures with intervals, curves, subgroups, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.evaluation import Evaluation, Interval
from diaphane.evaluate.bootstrap import Bootstrap, Measure, group_numbers
from diaphane.evaluate.calibration import perfect_ece_quantile
from diaphane.evaluate.curves import precision_recall_curve, reliability_curve, roc_curve
from diaphane.evaluate.metrics import (
    Figures,
    Task,
    binary_metrics,
    multiclass_metrics,
    multilabel_metrics,
    order_metrics,
    ordinal_metrics,
)
from diaphane.evaluate.pairing import Difference, paired
from diaphane.evaluate.weighted import Floats


@dataclass(frozen=True)
class Classification:
    """The figures of one set of probabilities.

    Attributes
    ----------
    task, classes, n, groups:
        What was judged, and on how much.
    metrics:
        Figures by name.
    undefined:
        Why a figure has no value, by name.
    curves:
        "roc", "precision_recall" and "reliability": class or label -> points
        (``x``, ``y``, ...), or ``None`` where undefined.
    subgroups:
        Column -> value -> ``{"n", "groups", "metrics"}``.
    settings:
        Seed, rounds, level, threshold, positive class, and the 95 % point of the "ece" that
        a perfectly calibrated model of this n shows ("ece_perfect_95").
    """

    task: Task
    classes: tuple[str, ...]
    n: int
    groups: int
    metrics: Mapping[str, Interval]
    undefined: Mapping[str, str]
    curves: Mapping[str, Any]
    subgroups: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def evaluation(self, split: str, seen: int = 0) -> Evaluation:
        """As :class:`~diaphane.core.evaluation.Evaluation`, for ``metrics.json``."""
        return Evaluation(
            task=self.task,
            split=split,
            n=self.n,
            groups=self.groups,
            seen=seen,
            metrics=self.metrics,
            subgroups=self.subgroups,
            curves=self.curves,
            settings={**self.settings, "undefined": dict(self.undefined)},
        )


def evaluate_classification(
    labels: NDArray[Any] | Sequence[Any],
    probabilities: NDArray[Any],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    *,
    task: Task | None = None,
    classes: Sequence[str] | None = None,
    threshold: float = 0.5,
    subgroups: Mapping[str, Sequence[str]] | None = None,
    ordinal: bool = False,
    order: NDArray[Any] | None = None,
    seed: int = 0,
    rounds: int = 2000,
    level: float = 0.95,
) -> Classification:
    """Judge probabilities against labels.

    Parameters
    ----------
    labels:
        Class index ``(n,)``, in two-class tasks 1 for the positive class; for multi-label
        tasks 0 or 1 ``(n, labels)``.
    probabilities:
        ``(n, classes)``, for two classes the positive one last; for multi-label tasks
        ``(n, labels)``.
    groups:
        Patient of each case ``(n,)``; the bootstrap draws patients.
    task:
        "binary", "multiclass" or "multilabel"; told from the shapes when ``None``.
    classes:
        Names; "0", "1", ... when ``None``.
    threshold:
        Probability from which a case counts as positive (two-class and multi-label tasks).
    subgroups:
        Column -> value of each case ``(n,)``; empty values are left out.
    ordinal:
        The classes of a multi-class task are grades in their order: by how far an answer
        misses counts too ("kappa_quadratic", "mean_absolute_error").
    order:
        Scores ``(n, classes)`` from 0 to 1 whose order is judged ("auc", "average_precision" and
        their curves) where it is not that of the probabilities: cross-fitted ones come from
        several calibrations, each without the label that it is held against, which turns the
        order of cases that a model hardly tells apart around.
    seed, rounds, level:
        Of the bootstrap.

    Raises
    ------
    ValueError
        When shapes do not fit, there are no cases, or a probability is not within 0 to 1.
    """
    y, p, kind = _checked(labels, probabilities, task)
    names = tuple(classes) if classes is not None else tuple(str(k) for k in range(p.shape[1]))
    if len(names) != p.shape[1]:
        raise ValueError(f"{len(names)} class names do not fit {p.shape[1]} columns.")
    bootstrap = Bootstrap(rounds, level, seed)
    numbers = group_numbers(groups, len(y))
    ranked = None if order is None else _checked(labels, order, kind)[1]
    judge = _Judge(y, p, kind, names, threshold, ordinal, ranked)
    metrics = judge.figures(numbers, bootstrap)
    settings: dict[str, Any] = {"seed": seed, "rounds": rounds, "level": level}
    if kind != "multiclass":
        settings["threshold"] = threshold
    if kind == "binary":
        settings["positive"] = names[1]
    if kind != "multilabel":
        settings["ece_perfect_95"] = perfect_ece_quantile(p, seed=seed)
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for column, values in (subgroups or {}).items():
        tables[column] = {}
        for value in sorted({v for v in values if v != ""}):
            chosen = np.array([v == value for v in values])
            part = group_numbers(list(numbers[chosen]), int(chosen.sum()))
            tables[column][value] = {
                "n": int(chosen.sum()),
                "groups": int(part.max()) + 1,
                "metrics": judge.part(chosen).figures(part, bootstrap),
            }
    return Classification(
        task=kind,
        classes=names,
        n=len(y),
        groups=int(numbers.max()) + 1,
        metrics=metrics,
        undefined=_reasons(metrics, y, kind),
        curves={
            **_curves(y, p if ranked is None else ranked, kind, names),
            "reliability": _curves(y, p, kind, names)["reliability"],
        },
        subgroups=tables,
        settings=settings,
    )


def paired_bootstrap(
    labels: NDArray[Any] | Sequence[Any],
    model: NDArray[Any],
    baseline: NDArray[Any],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    *,
    metrics: Sequence[str] = ("auc", "brier"),
    task: Task | None = None,
    classes: Sequence[str] | None = None,
    threshold: float = 0.5,
    orders: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None),
    seed: int = 0,
    rounds: int = 2000,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Is the model better than the baseline on the same patients?

    ``model`` and ``baseline`` are probabilities as in :func:`evaluate_classification`, and
    ``orders`` the ``order`` of each; ``classes`` names those of figures such as "auc:CLASS".
    """
    y, p, kind = _checked(labels, model, task)
    _, q, _ = _checked(labels, baseline, kind)
    names = tuple(classes) if classes is not None else tuple(str(k) for k in range(p.shape[1]))
    one, other = (None if o is None else _checked(labels, o, kind)[1] for o in orders)
    first = _Judge(y, p, kind, names, threshold, ranked=one)
    second = replace(first, chance=q, ranked=other)

    def chosen(judge: _Judge) -> Measure:
        def figures(weights: Floats) -> Figures:
            found = judge(weights)
            return {metric: found[metric] for metric in metrics}

        return figures

    numbers = group_numbers(groups, len(y))
    return paired(chosen(first), chosen(second), numbers, Bootstrap(rounds, level, seed))


def _checked(
    labels: NDArray[Any] | Sequence[Any], probabilities: NDArray[Any], task: Task | None
) -> tuple[NDArray[np.int64], Floats, Task]:
    y = np.asarray(labels)
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim == 1:
        p = np.stack([1 - p, p], axis=1)
    if not len(y) or len(y) != len(p) or p.ndim != 2:
        raise ValueError(f"Labels {y.shape} and probabilities {p.shape} do not fit.")
    if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + 1e-9:
        raise ValueError("Probabilities must lie within 0 and 1.")
    kind: Task = task or (
        "multilabel" if y.ndim == 2 else "binary" if p.shape[1] == 2 else "multiclass"
    )
    if (y.shape != p.shape) if kind == "multilabel" else (y.ndim != 1):
        raise ValueError(f"Labels {y.shape} do not fit a {kind} task of {p.shape}.")
    whole = y.astype(np.int64)
    limit = 2 if kind == "multilabel" else p.shape[1]
    if (whole != y).any() or whole.min() < 0 or whole.max() >= limit:
        raise ValueError(f"Labels must be whole numbers from 0 to {limit - 1}.")
    return whole, p, kind


@dataclass(frozen=True, eq=False)
class _Judge:
    """Figures of one set of probabilities, for any weights of its cases."""

    truth: NDArray[np.int64]
    chance: Floats
    task: Task
    names: tuple[str, ...]
    threshold: float
    ordinal: bool = False
    ranked: Floats | None = None

    def __call__(self, weights: Floats) -> Figures:
        found = self._found(weights)
        if self.ranked is None:
            return found
        views = _views(self.truth, self.ranked, self.task, self.names)
        return {**found, **order_metrics(views, weights, several=self.task != "binary")}

    def _found(self, weights: Floats) -> Figures:
        y, p = self.truth, self.chance
        if self.task == "binary":
            return binary_metrics(y, p[:, 1], weights, self.threshold)
        if self.task == "multiclass":
            found = multiclass_metrics(y, p, weights, self.names)
            return {**ordinal_metrics(y, p, weights), **found} if self.ordinal else found
        return multilabel_metrics(y, p, weights, self.names, self.threshold)

    def part(self, chosen: NDArray[np.bool_]) -> _Judge:
        ranked = None if self.ranked is None else self.ranked[chosen]
        return replace(self, truth=self.truth[chosen], chance=self.chance[chosen], ranked=ranked)

    def figures(self, numbers: NDArray[np.intp], bootstrap: Bootstrap) -> dict[str, Interval]:
        draws = bootstrap.draws(self, numbers)
        return {
            name: bootstrap.interval(float(value[0]), draws.get(name), excess=name == "ece")
            for name, value in self(np.ones((1, len(self.truth)))).items()
        }


def _reasons(metrics: Mapping[str, Interval], y: NDArray[np.int64], task: Task) -> dict[str, str]:
    one_class = task != "multilabel" and len(np.unique(y)) < 2
    reason = "only one class is present" if one_class else "a class it needs is not present"
    texts = {name: reason for name, figure in metrics.items() if figure.value is None}
    if not one_class:
        for name in texts:
            if name.startswith("calibration_slope"):
                texts[name] = "the classes are separable, so no finite slope fits"
            elif name.startswith("f1"):
                texts[name] = "nothing is positive and nothing was called positive"
    return texts


def _views(
    y: NDArray[np.int64], p: Floats, task: Task, names: tuple[str, ...]
) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    """Truth and score ``(n,)`` of each class against the rest, of two the positive one."""
    if task == "binary":
        return {names[1]: (y, p[:, 1])}
    if task == "multiclass":
        return {name: ((y == k).astype(np.int64), p[:, k]) for k, name in enumerate(names)}
    return {name: (y[:, k], p[:, k]) for k, name in enumerate(names)}


def _curves(
    y: NDArray[np.int64], p: Floats, task: Task, names: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    views = _views(y, p, task, names)
    return {
        "roc": {name: roc_curve(*view) for name, view in views.items()},
        "precision_recall": {name: precision_recall_curve(*view) for name, view in views.items()},
        "reliability": {name: reliability_curve(*view) for name, view in views.items()},
    }
