"""A bundle's decisions fitted on a site's cases, and whether that helped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import Entry
from diaphane.batch.recalibrated import Recalibration
from diaphane.batch.tables import Refusal
from diaphane.bundle import Bundle
from diaphane.evaluate import (
    Bootstrap,
    Classification,
    Decided,
    Decisions,
    Difference,
    cross_refit,
    cross_unlike_scores,
    decide,
    decision_measure,
    evaluate_classification,
    group_numbers,
    paired,
    paired_bootstrap,
    refit,
    refit_unlike_training,
)
from diaphane.report import Language, Note, note_words

_FEW = 50
_MUCH_UNLIKE = 0.2
_FIGURES = ("log_loss", "brier", "ece", "calibration_slope")
_OF_ORDER = ("auc", "average_precision")


@dataclass(eq=False)
class SiteCases:
    """The site's cases that the bundle never saw."""

    entries: list[Entry] = field(default_factory=list)
    truth: list[Any] = field(default_factory=list)
    logit: list[NDArray[np.float32]] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)
    concepts: list[NDArray[np.float32]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    seen: int = 0
    refused: list[Refusal] = field(default_factory=list)


def fit_site(
    bundle: Bundle,
    cases: SiteCases,
    counts: Mapping[str, int],
    level: float,
    *,
    seed: int,
    rounds: int,
) -> tuple[Recalibration, Classification, list[Note]]:
    """Fit on all, measure on groups held out; and the figures of the bundle as it was."""
    manifest = bundle.manifest
    task, classes = manifest.task, manifest.classes
    logit = np.stack(cases.logit).astype(np.float64)
    truth = np.array(cases.truth)
    groups = [entry.group for entry in cases.entries]
    old = Decisions(manifest.calibration, manifest.prediction_sets, manifest.operating_points)
    before = decide(old, logit)
    after = cross_refit(logit, truth, groups, task=task, level=level, seed=seed)
    final = refit(logit, truth, groups, task=task, level=level, seed=seed)
    figures, earlier = (
        evaluate_classification(
            truth,
            part.probability,
            groups,
            task=task,
            classes=classes,
            ordinal=manifest.ordinal,
            seed=seed,
            rounds=rounds,
        )
        for part in (after, before)
    )
    wanted = list(_FIGURES)
    if task == "multiclass":
        wanted = ["auc", "accuracy", *wanted]
    else:
        # A rising calibration keeps the order of cases; five of them pooled would not.
        kept = {n: f for n, f in earlier.metrics.items() if n.partition(":")[0] in _OF_ORDER}
        figures = replace(figures, metrics={**figures.metrics, **kept})
    changes = paired_bootstrap(
        truth, after.probability, before.probability, groups, task=task,
        metrics=[m for m in wanted if m in figures.metrics],
        seed=seed, rounds=rounds,
    )  # fmt: skip
    bootstrap, numbers = Bootstrap(rounds, seed=seed), group_numbers(groups, len(groups))
    if task != "multilabel":
        new, was = (decision_measure(part, truth, classes) for part in (after, before))
        changes |= paired(new, was, numbers, bootstrap)
    reference = None
    notes: list[Note] = []
    if bundle.reference is not None:
        features = np.stack(cases.features)
        concepts = np.stack(cases.concepts)
        reference = refit_unlike_training(bundle.reference, features, concepts)
        flagged = [
            scores > 1
            for scores in (
                cross_unlike_scores(bundle.reference, features, concepts, groups, seed),
                bundle.reference.scores(features, concepts),
            )
        ]
        changes |= paired(_share_of(flagged[0]), _share_of(flagged[1]), numbers, bootstrap)
        share = float(flagged[1].mean())
        if share > _MUCH_UNLIKE:
            notes.append(("much_unlike", {"share": f"{share:.0%}"}))
    if min(counts.values()) < _FEW:
        notes.append(("few", {"rarest": min(counts.values()), "enough": _FEW}))
    final = _with_measured(final, after, changes)
    auc = earlier.metrics["auc"].value
    if task != "multiclass" and auc is not None:
        notes.append(("same_order", {"auc": f"{auc:.3f}"}))
    verdict = note_words(judge_change(changes["log_loss"])[1], Language())
    made = Recalibration(
        final, reference, figures, changes, cases.hashes, counts, verdict, seed, rounds
    )
    return made, earlier, notes


def judge_change(change: Difference) -> tuple[bool | None, Note]:
    """Whether a refit helped, by the interval of the change of a loss; and the code that says it."""
    gap = change.difference
    if gap.value is None or gap.low is None or gap.high is None:
        return None, ("undefined", {})
    figures = {"change": gap.value, "low": gap.low, "high": gap.high}
    span = {name: f"{value:+.3f}" for name, value in figures.items()}
    if gap.high < 0:
        return True, ("helps", span)
    if gap.low > 0:
        return False, ("worse", span)
    return None, ("unclear", span)


def _share_of(flagged: NDArray[np.bool_]) -> Any:
    """Measure of the share of cases that are unlike training."""
    values = flagged.astype(np.float64)
    return lambda weights: {"unlike_training": weights @ values / weights.sum(axis=1)}


def _with_measured(
    fitted: Decisions, after: Decided, changes: Mapping[str, Difference]
) -> Decisions:
    """The decisions with the figures beside them as measured on groups held out."""
    sets = fitted.sets
    if sets is not None and after.members is not None:
        size = float(after.members.sum(axis=1).mean())
        covered = after_value(changes, "coverage", sets.coverage)
        sets = replace(sets, coverage=covered, mean_size=size)
    points = tuple(
        replace(
            point,
            sensitivity=after_value(changes, f"sensitivity_at:{point.name}", point.sensitivity),
            specificity=after_value(changes, f"specificity_at:{point.name}", point.specificity),
        )
        for point in fitted.points
    )
    return Decisions(fitted.calibration, sets, points)


def after_value(changes: Mapping[str, Difference], name: str, otherwise: float) -> float:
    """A figure after the refit, where it was measured before and after."""
    change = changes.get(name)
    return otherwise if change is None or change.model is None else change.model
