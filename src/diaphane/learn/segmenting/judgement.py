"""The judgement of a run: held-out cases as outlined, rules, quality and figures."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.batch.scoring import ScoredMasks
from diaphane.bundle import LabelSpec
from diaphane.core.evaluation import Evaluation
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.quality import Fit, Rule

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Held:
    """A case as networks that never saw it outline it; masks are packed."""

    case: int
    fold: int
    shape: tuple[int, int, int]
    predicted: bytes
    truth: bytes
    features: dict[str, dict[str, float]]

    def masks(self) -> tuple[Array, Array]:
        """Label numbers ``(z, y, x)``: predicted (before components are dropped), and true."""
        return unpacked(self.predicted, self.shape), unpacked(self.truth, self.shape)


@dataclass(eq=False)
class Judgement:
    """Everything that a bundle says beside its model.

    Attributes
    ----------
    rules, quality:
        By label name.
    evaluation:
        Figures of held-out cases, ``None`` when there are none.
    pairs:
        Label -> ``(predicted, true)`` Dice of cases that the quality model was not fitted on.
    guesses:
        By case and label, the same predicted Dice.
    """

    rules: dict[str, Rule]
    quality: dict[str, Fit]
    scored: ScoredMasks
    evaluation: Evaluation | None
    held: list[Held] = field(default_factory=list)
    pairs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    guesses: dict[tuple[int, str], float] = field(default_factory=dict)
    split: str = "out_of_fold"
    wanted: int = 0

    def specs(self, plan: SegmentationPlan) -> tuple[LabelSpec, ...]:
        """Labels with their rules."""
        return tuple(
            LabelSpec(
                value=value, name=name, keep=self.rules[name].keep, least=self.rules[name].least
            )
            for name, value in plan.labels.items()
        )

    @property
    def about(self) -> dict[str, Any]:
        """How the figures were measured, for the manifest."""
        found: dict[str, Any] = {
            "split": self.split,
            "quality": {name: dict(fit.about) for name, fit in self.quality.items()},
            "components": {
                name: {"keep": rule.keep, "least": rule.least, "gain": rule.gain}
                for name, rule in self.rules.items()
            },
        }
        if self.evaluation is not None:
            found |= {
                "n": self.evaluation.n, "groups": self.evaluation.groups,
                "of": self.wanted, **{
                    k: v for k, v in self.evaluation.settings.items()
                    if k in ("seed", "rounds", "level", "unit")
                },
            }  # fmt: skip
        return found


def packed(index: Array) -> bytes:
    """Label numbers in few bytes."""
    return zlib.compress(np.ascontiguousarray(index, dtype="<u2").tobytes(), 1)


def unpacked(data: bytes, shape: tuple[int, int, int]) -> Array:
    """What :func:`packed` packed."""
    return np.frombuffer(zlib.decompress(data), dtype="<u2").reshape(shape)
