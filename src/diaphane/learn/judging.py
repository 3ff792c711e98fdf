"""What a finished run is worth: calibration and figures from cases that no network saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.core.decision import Calibration, OperatingPoint, PredictionSets, UnlikeTraining
from diaphane.evaluate import (
    Classification,
    calibration_slope,
    cross_fitted_probabilities,
    evaluate_classification,
    fit_calibration,
    fit_operating_points,
    fit_prediction_sets,
    fit_unlike_training,
)
from diaphane.learn.cases import CaseStore
from diaphane.learn.plans import Plan
from diaphane.learn.predicting import FEATURES, predict, some
from diaphane.learn.splits import Member
from diaphane.models import Ensemble, EvidenceNet

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What networks say of cases that they never saw.

    Attributes
    ----------
    cases:
        Indices ``(n,)`` of the cases that some member held back.
    logit:
        ``(n, K)``, mean over the members that held the case back.
    image:
        The image's contribution to it ``(n, K)``.
    features:
        ``(n, M, D)`` by member, NaN where the member saw the case.
    training:
        Features of each member's own fitting cases, or of some of them.
    """

    cases: NDArray[np.int64]
    logit: Floats
    image: Floats
    features: NDArray[np.float32]
    training: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Everything that a bundle says beside its model.

    ``figures`` are out of fold and cross-fitted, or of the scored part of a single split
    (``about["split"]`` says which, under the data set's own name); ``None`` when nothing can be scored.
    ``cases`` ``(n,)`` are the indices in the store of those that ``labels`` and ``probability``
    are about; ``order`` are the scores that these are ordered by where the probabilities are
    cross-fitted.
    """

    calibration: Calibration
    sets: PredictionSets | None
    points: tuple[OperatingPoint, ...]
    unlike: UnlikeTraining | None
    figures: Classification | None
    about: dict[str, object]
    labels: NDArray[np.int64]
    probability: Floats
    groups: tuple[str, ...]
    cases: NDArray[np.int64]
    order: Floats | None = None


def held_out(
    nets: Sequence[EvidenceNet],
    members: Sequence[Member],
    store: CaseStore,
    plan: Plan,
    device: torch.device,
) -> HeldOut:
    """Score each case by the members that held it back, and features of all that they saw."""
    cases = np.unique(np.concatenate([member.held for member in members]))
    place = {int(case): row for row, case in enumerate(cases)}
    outputs = len(plan.output_names)
    total = np.zeros((len(cases), 2, outputs))
    count = np.zeros((len(cases), 1, 1))
    size = nets[0].config.feature_size
    features = np.full((len(cases), len(nets), size), np.nan, dtype=np.float32)
    training = []
    for number, (net, member) in enumerate(zip(nets, members, strict=True)):
        alone = Ensemble([net.to(device)], plan.views).eval()
        said = predict(alone, store, member.held, plan.batch, device)
        rows = np.array([place[int(case)] for case in member.held])
        total[rows] += np.stack([said.logit, said.parts[:, 1]], axis=1)
        count[rows] += 1
        features[rows, number] = said.features[:, 0]
        few = some(member.fit, FEATURES, plan.split.seed)
        training.append(predict(alone, store, few, plan.batch, device).features[:, 0])
        net.cpu()
    mean = total / count
    return HeldOut(cases, mean[:, 0], mean[:, 1], features, tuple(training))


def judge(
    plan: Plan,
    store: CaseStore,
    target: torch.Tensor,
    held: HeldOut,
    *,
    scored: NDArray[np.int64],
    scored_logit: Floats | None,
    rounds: int = 2000,
) -> Judgement:
    """Fit calibration, sets, operating points and limits on held-out cases, and measure.

    Parameters
    ----------
    scored, scored_logit:
        Cases outside training and calibration and the bundle's logits for them; with none the
        figures are cross-fitted on the held-out cases.
    """
    wanted = target.numpy()
    seed = plan.split.seed
    known = _known(wanted)
    labels, keep = known_labels(plan, wanted, held.cases)
    cases, logit = held.cases[keep], held.logit[keep]
    groups = [store.rows[int(case)].group for case in cases]
    calibration = fit_calibration(logit, labels, task=plan.task)
    crossed = cross_fitted_probabilities(logit, labels, groups, task=plan.task, seed=seed)

    sets: PredictionSets | None = None
    points: tuple[OperatingPoint, ...] = ()
    if plan.task != "multilabel":
        sets = fit_prediction_sets(crossed, labels, groups, level=plan.set_level, seed=seed)
    if plan.task == "binary":
        points = fit_operating_points(labels, crossed[:, 1], groups, seed=seed)
    concepts = store.concepts[held.cases] if plan.input.concept_names else None
    unlike = fit_unlike_training(held.training, held.features, concepts)

    about: dict[str, object] = {
        "split": "out_of_fold" if plan.split.folds > 1 else "calibration",
        "cross_fitted": True,
        "folds": plan.split.folds,
    }
    if scored_logit is not None and len(scored) and known[scored].any():
        usable = known[scored]
        judged = scored[usable]
        labels_at = _labels(plan, wanted, judged)
        probability = calibration.probabilities(scored_logit[usable])
        names = [store.rows[int(case)].group for case in judged]
        own = {store.rows[int(case)].split or "test" for case in judged}
        about.update(split=own.pop() if len(own) == 1 else "test", cross_fitted=False)
        order = None
    else:
        labels_at, probability, names, judged = labels, crossed, groups, cases
        # The bundle's one calibration keeps the order of the logits.
        order = Calibration.identity(plan.task, logit.shape[1]).probabilities(logit)
    figures = None
    if len(np.unique(labels_at)) > 1:
        figures = evaluate_classification(
            labels_at, probability, names, task=plan.task, classes=plan.class_names,
            ordinal=plan.ordinal, order=order, seed=seed, rounds=rounds,
        )  # fmt: skip
        about.update(n=figures.n, groups=figures.groups, seed=seed, rounds=rounds, level=0.95)
        perfect = figures.settings.get("ece_perfect_95")
        if perfect is not None:
            about["ece_perfect_95"] = float(perfect)
        if plan.task == "binary":
            about["calibration_slope"] = calibration_slope(labels_at, probability[:, 1])
    return Judgement(
        calibration, sets, tuple(points), unlike, figures, about,
        labels_at, probability, tuple(names), judged, order,
    )  # fmt: skip


def known_labels(
    plan: Plan, target: NDArray[np.float32], cases: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels of those of ``cases`` that have all of theirs, and which ``(n,)`` they are."""
    keep = _known(target)[cases]
    return _labels(plan, target, cases[keep]), keep


def _known(target: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cases whose every label is known."""
    if target.ndim == 1:
        return np.ones(len(target), dtype=np.bool_)
    return np.asarray(np.isfinite(target).all(axis=1), dtype=np.bool_)


def _labels(plan: Plan, target: NDArray[np.float32], cases: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = target[cases]
    return np.asarray(rows[:, 0] if plan.task == "binary" else rows, dtype=np.int64)
