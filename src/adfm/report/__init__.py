"""Evaluations, journals and pictures in, one self-contained HTML page out."""

from adfm.report.inputs import ReportInputs, RunResult
from adfm.report.page import render, write_report

__all__ = ["ReportInputs", "RunResult", "render", "write_report"]
