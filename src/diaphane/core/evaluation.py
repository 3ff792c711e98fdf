"""How good a model was, on what, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval (95 % unless said); ``None`` where undefined."""

    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """JSON-able form, as in ``metrics.json``."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation.

    Attributes
    ----------
    task, split:
        "binary", ...; "train", "val", "test" or "all".
    n, groups, seen:
        Cases and groups in the headline; cases left out because training saw them.
    metrics:
        Headline figures by name ("auc", "dice:1", ...).
    subgroups:
        Column -> value -> {"n": ..., "metrics": {name: Interval}}.
    curves:
        JSON-able points for plots: "roc", "precision_recall", "reliability".
    settings:
        Seed, bootstrap rounds, level, and other things that make it repeatable.
    """

    task: str
    split: str
    n: int
    groups: int
    seen: int
    metrics: Mapping[str, Interval]
    subgroups: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        return {
            "task": self.task,
            "split": self.split,
            "n": self.n,
            "groups": self.groups,
            "seen": self.seen,
            "metrics": {name: figure.to_dict() for name, figure in self.metrics.items()},
            "subgroups": {
                column: {
                    value: {**row, "metrics": {k: m.to_dict() for k, m in row["metrics"].items()}}
                    for value, row in rows.items()
                }
                for column, rows in self.subgroups.items()
            },
            "settings": dict(self.settings),
        }
