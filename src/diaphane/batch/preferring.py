"""Which of several series is taken: rules in the order that a person gives them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diaphane.acquire import SeriesHeader
from diaphane.core.errors import UsageError

RULES = ("largest", "thinnest", "term:WORD", "kernel:NAME", "modality:NAME", "plane:NAME")

_Score = Callable[[SeriesHeader], float]


@dataclass(frozen=True)
class Rules:
    """Each rule keeps the series that fit it best; what is left at the end is settled by size."""

    scores: tuple[_Score, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Rules:
        """Rules by their words.

        Raises
        ------
        UsageError
            For a word that is none of :data:`RULES`.
        """
        return cls(tuple(_score(word) for word in words))

    def choose(self, series: Sequence[SeriesHeader]) -> list[SeriesHeader]:
        """The one that is preferred; without rules all of them."""
        if not self.scores:
            return list(series)
        left = list(series)
        for score in (*self.scores, _voxels):
            best = max(map(score, left))
            left = [each for each in left if score(each) == best]
        return left[:1]


def _score(word: str) -> _Score:
    rule, _, wanted = word.strip().lower().partition(":")
    if word.strip().lower() == "largest":
        return _voxels
    if word.strip().lower() == "thinnest":
        return lambda series: -(series.spacing[0] or math.inf)
    if not wanted:
        raise UsageError(f"'{word}' is no rule.", remedy=f"Rules are {', '.join(RULES)}.")
    if rule == "term":
        return lambda series: wanted in series.description.lower().split()
    if rule == "modality":
        return lambda series: series.modality.lower() == wanted
    if rule in ("kernel", "plane"):
        fact = "orientation" if rule == "plane" else rule
        return lambda series: str(series.facts.get(fact, "")).lower() == wanted
    raise UsageError(f"'{word}' is no rule.", remedy=f"Rules are {', '.join(RULES)}.")


def _voxels(series: SeriesHeader) -> float:
    return math.prod(series.shape)
