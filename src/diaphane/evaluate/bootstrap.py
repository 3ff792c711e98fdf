"""Intervals by resampling patients, not cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.evaluation import Interval
from diaphane.evaluate.weighted import Floats

Measure = Callable[[Floats], Mapping[str, Floats]]
"""Figures by name ``(rounds,)`` for weights ``(rounds, n)``."""

_CELLS = 2_000_000  # weights held at once


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: percentile intervals over resampled groups (Efron 1979)."""

    rounds: int = 2000
    level: float = 0.95
    seed: int = 0

    def weights(self, groups: NDArray[np.intp]) -> Iterator[Floats]:
        """Weights ``(some rounds, n)``: how often each case's group was drawn.

        Parameters
        ----------
        groups:
            Group number of each case ``(n,)``, 0 to the number of groups less one.
        """
        rng = np.random.default_rng(self.seed)
        count = int(groups.max()) + 1
        size = max(1, _CELLS // max(len(groups), count))
        for first in range(0, self.rounds, size):
            rounds = min(size, self.rounds - first)
            drawn = rng.integers(0, count, (rounds, count)) + count * np.arange(rounds)[:, None]
            times = np.bincount(drawn.ravel(), minlength=rounds * count).reshape(rounds, count)
            yield times[:, groups].astype(np.float64)

    def draws(self, measure: Measure, groups: NDArray[np.intp]) -> dict[str, Floats]:
        """Each figure in every round ``(rounds,)``."""
        parts = [measure(weights) for weights in self.weights(groups)]
        if not parts:
            return {}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def interval(self, value: float, draws: Floats | None, *, excess: bool = False) -> Interval:
        """The figure with its interval; rounds in which it is undefined are left out.

        ``excess`` is of a mean of sizes, such as the calibration error: every draw adds chance
        to chance and comes out too large, so what it is too large by on average is taken away.
        """
        if not np.isfinite(value):
            return Interval(None, None, None)
        defined = np.empty(0) if draws is None else draws[np.isfinite(draws)]
        if defined.size == 0:
            return Interval(value, None, None)
        if excess:
            defined = np.maximum(0.0, defined - defined.mean() + value)
        tail = 50 * (1 - self.level)
        low, high = np.percentile(defined, [tail, 100 - tail])
        return Interval(value, float(low), float(high))


def group_numbers(groups: Sequence[Any] | NDArray[Any] | None, count: int) -> NDArray[np.intp]:
    """Group number of each case in order of first appearance; every case alone for ``None``."""
    if groups is None:
        return np.arange(count, dtype=np.intp)
    if len(groups) != count:
        raise ValueError(f"{len(groups)} groups do not fit {count} cases.")
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(group, len(seen)) for group in groups], dtype=np.intp)


def group_folds(
    groups: Sequence[Any] | NDArray[Any] | None, count: int, folds: int, seed: int = 0
) -> NDArray[np.intp]:
    """Fold of each case ``(n,)``: groups stay whole, folds are about equally large.

    Groups are shuffled by ``seed``; each goes to the fold that is smallest so far.
    """
    numbers = group_numbers(groups, count)
    sizes = np.bincount(numbers)
    filled = np.zeros(max(1, min(folds, len(sizes))), dtype=np.int64)
    fold_of = np.empty(len(sizes), dtype=np.intp)
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        smallest = int(filled.argmin())
        fold_of[group] = smallest
        filled[smallest] += sizes[group]
    return np.asarray(fold_of[numbers], dtype=np.intp)
