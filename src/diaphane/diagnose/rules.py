"""Expert rules: tables in data, evaluated beside the model and never mixed into its score.

A table (``data/NAME.yaml``) says which inputs it takes, when it does not apply, how numbers
fall into bins, and what each combination of bins gives. This file only looks things up.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from diaphane.core.finding import Assessment, RuleResult


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Row):
    """A number that the rule takes; ``round`` to whole ones first (half away from zero)."""

    round: bool = False


class Exclusion(_Row):
    """The rule is not for inputs ``above`` or ``below`` a number; a missing input passes."""

    of: str
    above: float | None = None
    below: float | None = None
    outcome: str


class Step(_Row):
    """One bin: numbers up to and including ``upto``; the last has none."""

    name: str
    upto: float | None = None


class Bins(_Row):
    """How one input falls into named bins, in rising order."""

    of: str
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _check(self) -> Bins:
        limits = [s.upto for s in self.steps[:-1]]
        if None in limits or self.steps[-1].upto is not None:
            raise ValueError("every step but the last needs 'upto', and the last none")
        known = [limit for limit in limits if limit is not None]
        if known != sorted(set(known)):
            raise ValueError("steps must rise")
        return self


class Case(_Row):
    """What one combination of bins gives, and how much concern it expresses."""

    when: dict[str, str]
    outcome: str
    concern: Literal["low", "middle", "high"]
    gives: dict[str, str] = {}


class RuleTable(_Row):
    """One rule as data; see ``data/fleischner_2017_solid.yaml``."""

    rule: str
    version: str
    source: str
    inputs: dict[str, Input]
    exclusions: tuple[Exclusion, ...] = ()
    bins: dict[str, Bins]
    rows: tuple[Case, ...]
    unknown: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> RuleTable:
        used = {e.of for e in self.exclusions} | {b.of for b in self.bins.values()}
        if not used <= self.inputs.keys():
            raise ValueError(f"not declared as inputs: {sorted(used - self.inputs.keys())}")
        seen = set()
        for row in self.rows:
            key = tuple(row.when.get(name, "") for name in self.bins)
            names = [{s.name for s in b.steps} for b in self.bins.values()]
            if any(k not in n for k, n in zip(key, names, strict=True)) or key in seen:
                raise ValueError(f"a row is repeated or names no bin: {row.when}")
            seen.add(key)
        combinations = 1
        for found in self.bins.values():
            combinations *= len(found.steps)
        if len(seen) != combinations:
            raise ValueError("some combination of bins has no row")
        return self


@cache
def load_rule(name: str) -> RuleTable:
    """The rule table ``data/NAME.yaml`` of the package."""
    text = (files(__package__) / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    return RuleTable.model_validate(yaml.safe_load(text))


def apply_rule(
    table: RuleTable,
    inputs: Mapping[str, float],
    assessment: Assessment | None = None,
    *,
    threshold: float = 0.5,
    unknown: tuple[str, ...] = (),
) -> RuleResult:
    """What the rule says, and whether the model agrees.

    Parameters
    ----------
    table:
        The rule.
    inputs:
        Numbers by the names in ``table.inputs``; those that only exclude may be missing.
    assessment:
        The model's view of the same finding.
    threshold:
        Probability of the positive class from which the model counts as concerned.
    unknown:
        Codes of further things that the image cannot tell, put before the table's own.

    Returns
    -------
    The result. ``agrees`` is ``None`` when the rule does not apply, expresses middling
    concern, or the model gives no probability.
    """
    numbers = {
        name: _whole(inputs[name]) if spec.round else float(inputs[name])
        for name, spec in table.inputs.items()
        if name in inputs
    }
    for exclusion in table.exclusions:
        value = numbers.get(exclusion.of)
        if value is not None and _excluded(exclusion, value):
            return RuleResult(
                table.rule, table.source, table.version, numbers, exclusion.outcome, unknown
            )
    bins = {name: _bin(found, numbers[found.of]) for name, found in table.bins.items()}
    row = next(r for r in table.rows if r.when == bins)
    return RuleResult(
        table.rule,
        table.source,
        table.version,
        {**numbers, **bins, **row.gives},
        row.outcome,
        (*unknown, *table.unknown),
        _agreement(row.concern, assessment, threshold),
    )


def _whole(value: float) -> float:
    return float(int(abs(value) + 0.5)) * (1.0 if value >= 0 else -1.0)


def _excluded(exclusion: Exclusion, value: float) -> bool:
    return (exclusion.above is not None and value > exclusion.above) or (
        exclusion.below is not None and value < exclusion.below
    )


def _bin(bins: Bins, value: float) -> str:
    return next(s.name for s in bins.steps if s.upto is None or value <= s.upto)


def _agreement(concern: str, assessment: Assessment | None, threshold: float) -> bool | None:
    if assessment is None or assessment.probability is None or assessment.positive is None:
        return None
    if concern == "middle":
        return None
    worried = assessment.probability[assessment.positive] >= threshold
    return worried == (concern == "high")
