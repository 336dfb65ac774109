"""Predictions in, metrics with intervals out: verdicts, boxes, differences of runs."""

from adfm.evaluation.compare import compare
from adfm.evaluation.definitions import METRICS, Metric
from adfm.evaluation.predictions import (
    PREDICTIONS,
    Prediction,
    prediction_from_json,
    prediction_json,
    read_predictions,
)
from adfm.evaluation.repeats import paired_difference, repeated_difference, repeated_metrics
from adfm.evaluation.summary import evaluate

__all__ = [
    "METRICS",
    "PREDICTIONS",
    "Metric",
    "Prediction",
    "compare",
    "evaluate",
    "paired_difference",
    "prediction_from_json",
    "prediction_json",
    "read_predictions",
    "repeated_difference",
    "repeated_metrics",
]
