"""Many inputs through a bundle: reading, running, refusing; whole outputs or none."""

from diaphane.batch.anomaly import AnomalySummary, score_anomaly
from diaphane.batch.calibrating import CalibrationSummary, calibrate
from diaphane.batch.comparing import ComparisonSummary, compare
from diaphane.batch.evaluating import evaluate
from diaphane.batch.outlining import Outlining
from diaphane.batch.outside import Outside, evaluate_predictions
from diaphane.batch.predicting import PredictionSummary, predict
from diaphane.batch.predicting_masks import Drawing
from diaphane.batch.selecting import Selected, Selection, select
from diaphane.batch.sides import Truth
from diaphane.batch.tables import Refusal, columns
from diaphane.batch.taking import EvaluationSummary

__all__ = [
    "AnomalySummary",
    "CalibrationSummary",
    "ComparisonSummary",
    "Drawing",
    "EvaluationSummary",
    "Outlining",
    "Outside",
    "PredictionSummary",
    "Refusal",
    "Selected",
    "Selection",
    "Truth",
    "calibrate",
    "columns",
    "compare",
    "evaluate",
    "evaluate_predictions",
    "predict",
    "score_anomaly",
    "select",
]
