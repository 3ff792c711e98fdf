"""Points of the curves that a report draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.evaluate.weighted import Floats

MOST_POINTS = 400
MOST_BINS, CASES_PER_BIN = 10, 15


def roc_curve(truth: NDArray[Any], chance: Floats) -> dict[str, list[float]] | None:
    """``{"x": false positive rate, "y": sensitivity, "threshold": ...}`` rising from (0, 0).

    ``None`` when only one class is present. At most 400 points.
    """
    hits, misses, thresholds = _counts(truth, chance)
    if hits[-1] == 0 or misses[-1] == 0:
        return None
    return _points(misses / misses[-1], hits / hits[-1], thresholds)


def precision_recall_curve(truth: NDArray[Any], chance: Floats) -> dict[str, list[float]] | None:
    """``{"x": recall, "y": precision, "threshold": ...}``; ``None`` without positive cases."""
    hits, misses, thresholds = _counts(truth, chance)
    if hits[-1] == 0:
        return None
    called = hits + misses
    precision = np.where(called > 0, hits / np.maximum(called, 1), 1.0)
    precision[0] = precision[1] if len(precision) > 1 else 1.0
    return _points(hits / hits[-1], precision, thresholds)


def reliability_curve(
    truth: NDArray[Any], chance: Floats, bins: int | None = None
) -> dict[str, list[float]]:
    """Bins of equal mass: mean chance "x", share of events "y", its 95 % interval, "count".

    The interval is Wilson's (1927), for cases taken as independent. By default a bin holds about
    15 cases, in at least 3 and at most 10 bins: fewer cases would draw noise.
    """
    if bins is None:
        bins = min(MOST_BINS, max(3, len(chance) // CASES_PER_BIN))
    order = np.argsort(chance, kind="stable")
    place = np.minimum(bins * (np.arange(len(order)) + 0.5) / max(len(order), 1), bins - 1e-9)
    points: dict[str, list[float]] = {"x": [], "y": [], "low": [], "high": [], "count": []}
    for k in range(bins):
        chosen = order[place.astype(int) == k]
        if not chosen.size:
            continue
        n, share, z = len(chosen), float(np.mean(truth[chosen] != 0)), 1.959964
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        row = (float(chance[chosen].mean()), share, middle - half, middle + half, n)
        for key, value in zip(points, row, strict=True):
            points[key].append(float(value))
    return points


def _counts(truth: NDArray[Any], chance: Floats) -> tuple[Floats, Floats, Floats]:
    """True and false positives at falling thresholds, from none to all."""
    order = np.argsort(-chance, kind="stable")
    ranked, event = chance[order], (np.asarray(truth)[order] != 0).astype(np.float64)
    last = np.flatnonzero(np.concatenate([ranked[1:] != ranked[:-1], [True]]))
    hits = np.concatenate([[0.0], np.cumsum(event)[last]])
    misses = np.concatenate([[0.0], np.cumsum(1 - event)[last]])
    return hits, misses, np.concatenate([[1.0], ranked[last]])


def _points(x: Floats, y: Floats, threshold: Floats) -> dict[str, list[float]]:
    kept = np.arange(len(x))
    if len(kept) > MOST_POINTS:
        kept = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
    return {
        "x": [float(v) for v in x[kept]],
        "y": [float(v) for v in y[kept]],
        "threshold": [float(v) for v in threshold[kept]],
    }
