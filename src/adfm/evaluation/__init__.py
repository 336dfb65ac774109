"""Predictions in, metrics with intervals out: verdicts, boxes, differences of runs."""

from adfm.evaluation.compare import compare
from adfm.evaluation.definitions import HEADLINE, METRICS, Metric
from adfm.evaluation.repeats import paired_difference, repeated_difference, repeated_metrics
from adfm.evaluation.summary import evaluate

__all__ = [
    "HEADLINE",
    "METRICS",
    "Metric",
    "compare",
    "evaluate",
    "paired_difference",
    "repeated_difference",
    "repeated_metrics",
]
