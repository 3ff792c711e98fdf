"""Many inputs through a bundle: reading, running, refusing; whole outputs or none."""

from diaphane.batch.evaluating import evaluate
from diaphane.batch.outside import Outside, evaluate_predictions
from diaphane.batch.predicting import PredictionSummary, predict
from diaphane.batch.tables import Refusal, columns
from diaphane.batch.taking import EvaluationSummary

__all__ = [
    "EvaluationSummary",
    "Outside",
    "PredictionSummary",
    "Refusal",
    "columns",
    "evaluate",
    "evaluate_predictions",
    "predict",
]
