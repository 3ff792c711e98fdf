"""Two models on the same patients: differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.evaluation import Interval
from diaphane.evaluate.bootstrap import Bootstrap, Measure, group_numbers
from diaphane.evaluate.weighted import Floats, divide


@dataclass(frozen=True)
class Difference:
    """Model minus baseline on the same resampled patients.

    ``p`` is two-sided: twice the smaller share of rounds on either side of zero, ``None``
    where the figure is undefined. ``model_interval`` and ``baseline_interval`` are of each
    alone; two of them may overlap although the difference is clear.
    """

    metric: str
    model: float | None
    baseline: float | None
    difference: Interval
    p: float | None
    model_interval: Interval
    baseline_interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        spans = ("difference", "model_interval", "baseline_interval")
        return {**vars(self), **{name: getattr(self, name).to_dict() for name in spans}}


def paired(
    model: Measure, baseline: Measure, groups: NDArray[np.intp], bootstrap: Bootstrap
) -> dict[str, Difference]:
    """Differences of every figure that both measures give.

    Parameters
    ----------
    model, baseline:
        Figures ``(rounds,)`` by name for weights ``(rounds, n)`` of the same n cases.
    groups:
        Group number of each case ``(n,)``.
    """

    def both(weights: Floats) -> dict[str, Floats]:
        ours, theirs = model(weights), baseline(weights)
        return {
            key: value
            for name in ours
            if name in theirs
            for key, value in (
                (f"m {name}", ours[name]),
                (f"b {name}", theirs[name]),
                (f"d {name}", ours[name] - theirs[name]),
            )
        }

    point = {name: float(v[0]) for name, v in both(np.ones((1, len(groups)))).items()}
    draws = bootstrap.draws(both, groups)
    found = {}
    for name in (key[2:] for key in point if key.startswith("d ")):
        spans = {
            k: bootstrap.interval(
                point[f"{k} {name}"], draws.get(f"{k} {name}"), excess=name == "ece" and k != "d"
            )
            for k in "mbd"
        }
        gap = draws.get(f"d {name}", np.empty(0))
        gap = gap[np.isfinite(gap)]
        p = None
        if gap.size and np.isfinite(point[f"d {name}"]):
            tail = min(int((gap <= 0).sum()), int((gap >= 0).sum()))
            p = min(1.0, 2 * (tail + 1) / (gap.size + 1))
        found[name] = Difference(
            name, spans["m"].value, spans["b"].value, spans["d"], p, spans["m"], spans["b"]
        )
    return found


def paired_means(
    model: Mapping[str, Sequence[float | None]],
    baseline: Mapping[str, Sequence[float | None]],
    groups: Sequence[Any] | None = None,
    *,
    seed: int = 0,
    rounds: int = 2000,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Differences of means of per-case figures, such as "dice:LABEL".

    Figures of one kind get a mean of their own: "dice" is the mean over labels of the means
    over cases. A case counts for a figure where both have a value.

    Parameters
    ----------
    model, baseline:
        Value of each case ``(n,)`` by figure; ``None`` where undefined.
    groups:
        Patient of each case; they are resampled whole.
    """
    names = [name for name in model if name in baseline]
    pairs = {name: (_column(model[name]), _column(baseline[name])) for name in names}
    count = len(next(iter(pairs.values()))[0]) if pairs else 0
    if not count:
        return {}

    def measure(side: int) -> Measure:
        def means(weights: Floats) -> dict[str, Floats]:
            found: dict[str, Floats] = {}
            for name, columns in pairs.items():
                known = np.isfinite(columns[0]) & np.isfinite(columns[1])
                part = weights[:, known]
                found[name] = divide(part @ columns[side][known], part.sum(axis=1))
            whole: dict[str, list[Floats]] = {}
            for name, value in found.items():
                whole.setdefault(name.partition(":")[0], []).append(value)
            joined = {}
            for kind, values in whole.items():
                stack = np.stack(values)
                defined = np.isfinite(stack)
                top = np.where(defined, stack, 0.0).sum(axis=0)
                joined[kind] = divide(top, defined.sum(axis=0).astype(np.float64))
            return {**joined, **found}

        return means

    numbers = group_numbers(groups, count)
    return paired(measure(0), measure(1), numbers, Bootstrap(rounds, level, seed))


def _column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
