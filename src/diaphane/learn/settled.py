"""What was settled at the last moment, as ``run.json`` keeps it and a resumed run obeys it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diaphane.learn.pacing import Arrangement
from diaphane.learn.plans import Plan


@dataclass(frozen=True)
class Settled:
    """The outcome, as ``run.json`` keeps it.

    Attributes
    ----------
    family:
        The family that was chosen; ``None`` where there was nothing to choose.
    concepts:
        The set of concepts that was chosen; ``None`` where there was nothing to choose.
    changes:
        Keys of the plan that differ after its family, with their values.
    reasons:
        Why, by key.
    threads, at_once:
        Compute threads of a network, and networks that learn at the same time.
    probes, most:
        Cases that test the explanations; cases of a part that are scored at most.
    pace, work, reserve:
        Seconds of a step, of what follows training, as measured, and to keep for that.
    """

    family: str | None = None
    concepts: tuple[str, ...] | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    at_once: int = 1
    probes: int = 32
    most: int | None = None
    pace: float = 0.0
    work: float = 0.0
    reserve: float = 0.0

    @property
    def arranged(self) -> Arrangement:
        """How networks share the cores."""
        return Arrangement(self.at_once, self.threads)

    def apply(self, plan: Plan) -> Plan:
        """The plan that training obeys."""
        if self.concepts is not None:
            spec = {**plan.input.model_dump(mode="json"), "concepts": list(self.concepts)}
            plan = plan.with_changes({"input": spec, "concept_sets": {}})
        if self.family is not None:
            plan = plan.family(self.family)
        reasons = {**plan.reasons, **self.reasons}
        return plan.with_changes(self.changes).model_copy(update={"reasons": reasons})
