"""Scores to decisions: calibrated levels with a promised error rate, their file, and OK, NG or REVIEW."""

from adfm.calibration.calibrate import Calibrated, Wanted, calibrate
from adfm.calibration.decision import DECISIONS, READ_VERDICT, Decision, Threshold, decide, operating_point
from adfm.calibration.record import (
    CALIBRATION,
    Calibration,
    find_calibration,
    read_calibration,
    require_made_for,
    write_calibration,
)

__all__ = [
    "CALIBRATION",
    "DECISIONS",
    "READ_VERDICT",
    "Calibrated",
    "Calibration",
    "Decision",
    "Threshold",
    "Wanted",
    "calibrate",
    "decide",
    "find_calibration",
    "operating_point",
    "read_calibration",
    "require_made_for",
    "write_calibration",
]
