"""From a logit to a decision: fitted by ``evaluate``, applied by ``bundle``.

Plain parameters and the formulas that use them, so that training, evaluation and a shipped
bundle share one definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sigmoid(x: NDArray[Any]) -> Floats:
    """1 / (1 + exp(-x)), without overflow; any shape."""
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)


def softmax(x: NDArray[Any]) -> Floats:
    """Softmax over the last axis."""
    x = np.asarray(x, dtype=np.float64)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True)
class Calibration:
    """Affine calibration of logits: ``slope * logit + offset``, per output.

    Binary (one output) and multi-label outputs go through the sigmoid (Platt 1999);
    several classes through the softmax (vector scaling, Guo et al. 2017).

    Attributes
    ----------
    task:
        "binary", "multiclass" or "multilabel".
    slope, offset:
        One value per output ``(k,)``; 1 and 0 leave the logit as it is.
    """

    task: str
    slope: tuple[float, ...]
    offset: tuple[float, ...]

    @classmethod
    def identity(cls, task: str, outputs: int) -> Calibration:
        """No change."""
        return cls(task, (1.0,) * outputs, (0.0,) * outputs)

    def probabilities(self, logit: NDArray[Any]) -> Floats:
        """Probability per class ``(n, classes)`` from logits ``(n, k)``.

        Binary: k = 1 and two columns, negative first. Multi-label: one column a label.
        """
        scaled = np.asarray(logit, dtype=np.float64) * self.slope + np.asarray(self.offset)
        if self.task == "multiclass":
            return softmax(scaled)
        p = sigmoid(scaled)
        return np.concatenate([1.0 - p, p], axis=-1) if self.task == "binary" else p

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"task": self.task, "slope": list(self.slope), "offset": list(self.offset)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Inverse of :meth:`to_dict`."""
        return cls(data["task"], tuple(data["slope"]), tuple(data["offset"]))


@dataclass(frozen=True)
class PredictionSets:
    """Class-conditional conformal sets (Vovk 2012; cross-conformal, Vovk 2015).

    A class is in the set when ``1 - probability <= limit[class]``. The most likely class
    always is.

    Attributes
    ----------
    level:
        Aimed share of sets that hold the true class, e.g. 0.9.
    limit:
        Largest accepted ``1 - p`` per class ``(classes,)``.
    coverage, mean_size:
        Measured out of fold, and called that.
    """

    level: float
    limit: tuple[float, ...]
    coverage: float
    mean_size: float

    def members(self, probability: NDArray[Any]) -> NDArray[np.bool_]:
        """Membership ``(n, classes)`` from probabilities ``(n, classes)``."""
        p = np.asarray(probability, dtype=np.float64)
        inside = (1.0 - p) <= np.asarray(self.limit)
        inside[np.arange(len(p)), p.argmax(axis=1)] = True
        return np.asarray(inside, dtype=np.bool_)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "level": self.level,
            "limit": list(self.limit),
            "coverage": self.coverage,
            "mean_size": self.mean_size,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PredictionSets:
        """Inverse of :meth:`to_dict`."""
        return cls(data["level"], tuple(data["limit"]), data["coverage"], data["mean_size"])


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the positive class's calibrated probability, and what it gave out of fold."""

    name: str
    threshold: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True, eq=False)
class UnlikeTraining:
    """Tells inputs that are unlike the training set.

    Score = the largest of (a) mean over members of the Mahalanobis distance of pooled
    features to the training set, over ``limit``; (b) how far a concept lies outside its
    training range, in widths of ``slack``; (c) the Mahalanobis distance of all concepts
    together, which tells values that are usual alone and unusual side by side. Above 1 the
    input is unlike training.

    Attributes
    ----------
    mean, whiten:
        Per member ``(m, d)`` and ``(m, d, d)``: distance = ``|whiten @ (f - mean)|``.
    limit:
        98th percentile of the distance, out of fold.
    low, high, slack:
        Concept ranges ``(j,)``; empty when there are none.
    centre, joint:
        Training mean of concepts ``(j,)``, and ``(j, j)`` so that ``|joint @ (c - centre)|``
        is 1 at the limit.
    """

    mean: NDArray[np.float32]
    whiten: NDArray[np.float32]
    limit: float
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    slack: NDArray[np.float32]
    centre: NDArray[np.float32]
    joint: NDArray[np.float32]

    def distances(self, features: NDArray[Any]) -> Floats:
        """Mean Mahalanobis distance over members ``(n,)`` of features ``(n, m, d)``."""
        centred = np.asarray(features, dtype=np.float64) - self.mean
        white = np.einsum("mde,nme->nmd", self.whiten.astype(np.float64), centred)
        return np.asarray(np.linalg.norm(white, axis=-1).mean(axis=1), dtype=np.float64)

    def concept_scores(self, concepts: NDArray[Any]) -> Floats:
        """Score by concepts alone ``(n,)``; ``concepts`` is ``(n, j)``, NaN is not judged."""
        values = np.asarray(concepts, dtype=np.float64)
        if not self.low.size:
            return np.zeros(len(values))
        outside = np.maximum((self.low - values) / self.slack, (values - self.high) / self.slack)
        apart = np.nan_to_num(values - self.centre, nan=0.0) @ self.joint.astype(np.float64).T
        worst = np.nan_to_num(outside).max(axis=1)
        return np.asarray(np.maximum(worst, np.linalg.norm(apart, axis=1)), dtype=np.float64)

    def scores(self, features: NDArray[Any], concepts: NDArray[Any]) -> Floats:
        """Score ``(n,)``; above 1 is unlike training. ``concepts`` is ``(n, j)``."""
        score = np.maximum(self.distances(features) / self.limit, self.concept_scores(concepts))
        return np.asarray(score, dtype=np.float64)
