"""How good a mask will be, from the probabilities alone; and which components to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.segmentation import QualityModel

Floats = NDArray[np.float64]
FEATURES: tuple[Literal["expected_dice", "entropy", "margin"], ...] = (
    "expected_dice", "entropy", "margin",
)  # fmt: skip
_FEWEST = 12
"""Cases below which nothing is fitted: then the expected Dice is taken as it is."""
_RIDGE = 2.0
_LEAST = (0, 8, 20, 50, 120, 300, 800, 2000)


@dataclass(frozen=True)
class Rule:
    """Which components of a label stay, and the gain of mean Dice on held-out cases."""

    keep: Literal["all", "largest"] = "all"
    least: int = 0
    gain: float = 0.0


@dataclass(frozen=True, eq=False)
class Parts:
    """The components of a label in one case: their ``sizes``, how much is ``right``, the ``truth``."""

    sizes: NDArray[np.int64]
    right: NDArray[np.int64]
    truth: int

    @classmethod
    def of(cls, predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Parts:
        """Components of ``(z, y, x)`` masks, joined over faces, edges and corners."""
        from scipy import ndimage

        numbers, count = ndimage.label(predicted, np.ones((3, 3, 3)))
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        right = np.bincount(numbers[truth].ravel(), minlength=count + 1)[1:]
        return cls(sizes.astype(np.int64), right.astype(np.int64), int(truth.sum()))

    def dice(self, rule: Rule) -> float:
        """Dice under a rule; 1 when mask and truth are both empty."""
        kept = self.sizes >= rule.least
        if rule.keep == "largest" and self.sizes.size:
            kept &= np.arange(self.sizes.size) == int(self.sizes.argmax())
        size = int(self.sizes[kept].sum()) + self.truth
        return 2.0 * int(self.right[kept].sum()) / size if size else 1.0


def choose_rule(cases: Sequence[Parts]) -> Rule:
    """The rule of a label: everything stays unless dropping helps beyond its own noise.

    The gain must be over .001 in mean Dice and over one standard error of the paired difference.
    """
    if not cases:
        return Rule()
    plain = np.array([case.dice(Rule()) for case in cases])
    best = Rule()
    options = [Rule("all", least) for least in _LEAST[1:]] + [Rule("largest", 0)]
    for rule in options:
        gain = np.array([case.dice(rule) for case in cases]) - plain
        mean, noise = float(gain.mean()), float(gain.std(ddof=1) if len(gain) > 1 else np.inf)
        enough = mean > 1e-3 and mean > noise / np.sqrt(len(gain))
        if enough and mean > best.gain + 1e-4:
            best = Rule(rule.keep, rule.least, mean)
    return best


@dataclass(frozen=True, eq=False)
class Fit:
    """A quality model, its predictions of cases it was not fitted on, and their worth."""

    model: QualityModel
    crossed: Floats
    about: Mapping[str, Any]


def fit_quality(
    features: Sequence[Mapping[str, float]], dice: Sequence[float], fold: Sequence[int]
) -> Fit:
    """Ridge regression of Dice on features; judged by leaving out one fold at a time.

    Parameters
    ----------
    features:
        Of each case: "expected_dice", "entropy" and "margin".
    dice, fold:
        True Dice, and which part a case belongs to.
    """
    table = np.array([[row[name] for name in FEATURES] for row in features], dtype=np.float64)
    table = table.reshape(-1, len(FEATURES))
    truth, part = np.asarray(dice, dtype=np.float64), np.asarray(fold)
    if len(truth) < _FEWEST or float(truth.std()) < 1e-6:
        # Of enough cases that all have one Dice, that is known.
        known = len(truth) >= _FEWEST
        weight, offset = np.array([0.0 if known else 1.0]), float(truth.mean()) if known else 0.0
        plain = QualityModel(
            features=FEATURES[:1], weight=(float(weight[0]),), offset=offset, n=len(truth)
        )
        guess = (table[:, :1] @ weight + offset).clip(0, 1)
        return Fit(plain, guess, {"n": len(truth), "fitted": False})
    if len(np.unique(part)) < 2:
        part = np.arange(len(truth)) % 5
    crossed = np.zeros(len(truth))
    for number in np.unique(part):
        out = part == number
        weight, offset = _ridge(table[~out], truth[~out])
        crossed[out] = (table[out] @ weight + offset).clip(0, 1)
    weight, offset = _ridge(table, truth)
    pearson, spearman = correlations(crossed, truth)
    model = QualityModel(
        features=FEATURES, weight=tuple(float(w) for w in weight), offset=float(offset),
        correlation=pearson, n=len(truth),
    )  # fmt: skip
    error = float(np.abs(crossed - truth).mean())
    about = {
        "n": len(truth), "fitted": True, "pearson": pearson, "spearman": spearman,
        "mean_absolute_error": error,
    }  # fmt: skip
    return Fit(model, crossed, about)


def _ridge(table: Floats, truth: Floats) -> tuple[Floats, float]:
    mean, spread = table.mean(0), table.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    x = (table - mean) / spread
    y = truth - truth.mean()
    slope = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y) / spread
    return slope, float(truth.mean() - mean @ slope)


def correlations(one: Floats, other: Floats) -> tuple[float | None, float | None]:
    """Pearson's and Spearman's correlation; ``None`` where one of the two does not vary."""
    if len(one) < 3 or one.std() < 1e-9 or other.std() < 1e-9:
        return None, None
    from scipy.stats import rankdata

    ranks = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    return float(np.corrcoef(one, other)[0, 1]), float(ranks)
