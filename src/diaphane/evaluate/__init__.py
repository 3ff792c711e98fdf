"""Judging a model: arrays in, numbers with intervals out."""

from __future__ import annotations

from diaphane.evaluate.bootstrap import Bootstrap, group_folds, group_numbers
from diaphane.evaluate.calibration import (
    calibration_slope,
    cross_fitted_probabilities,
    expected_calibration_error,
    fit_calibration,
    perfect_ece_quantile,
)
from diaphane.evaluate.classification import (
    Classification,
    evaluate_classification,
    paired_bootstrap,
)
from diaphane.evaluate.curves import precision_recall_curve, reliability_curve, roc_curve
from diaphane.evaluate.decisions import fit_operating_points, fit_prediction_sets
from diaphane.evaluate.metrics import Task
from diaphane.evaluate.pairing import Difference, paired, paired_means
from diaphane.evaluate.refitting import (
    Decided,
    Decisions,
    cross_refit,
    cross_unlike_scores,
    decide,
    decision_measure,
    least_cases,
    refit,
    refit_unlike_training,
)
from diaphane.evaluate.segmentation import (
    Overlap,
    evaluate_segmentation,
    summarise_segmentation,
    surface_distances,
)
from diaphane.evaluate.unlike import fit_unlike_training, ledoit_wolf, out_of_fold_scores

__all__ = [
    "Bootstrap",
    "Classification",
    "Decided",
    "Decisions",
    "Difference",
    "Overlap",
    "Task",
    "calibration_slope",
    "cross_fitted_probabilities",
    "cross_refit",
    "cross_unlike_scores",
    "decide",
    "decision_measure",
    "evaluate_classification",
    "evaluate_segmentation",
    "expected_calibration_error",
    "fit_calibration",
    "fit_operating_points",
    "fit_prediction_sets",
    "fit_unlike_training",
    "group_folds",
    "group_numbers",
    "least_cases",
    "ledoit_wolf",
    "out_of_fold_scores",
    "paired",
    "paired_bootstrap",
    "paired_means",
    "perfect_ece_quantile",
    "precision_recall_curve",
    "refit",
    "refit_unlike_training",
    "reliability_curve",
    "roc_curve",
    "summarise_segmentation",
    "surface_distances",
]
