"""Scores to decisions: calibrated levels with a promised error rate, their file, and OK, NG or REVIEW."""

from adfm.calibration.decision import DECISIONS, READ_VERDICT, Decision, Threshold, decide
from adfm.calibration.record import find_calibration, read_calibration, require_made_for

__all__ = [
    "DECISIONS",
    "READ_VERDICT",
    "Decision",
    "Threshold",
    "decide",
    "find_calibration",
    "read_calibration",
    "require_made_for",
]
