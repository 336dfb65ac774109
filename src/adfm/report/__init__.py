"""Evaluations, journals and images in, one self-contained HTML page out."""

from adfm.report.inputs import Difference, ReportInputs, RunResult, read_run
from adfm.report.page import PAGE_MARK, render, write_report

__all__ = ["PAGE_MARK", "Difference", "ReportInputs", "RunResult", "read_run", "render", "write_report"]
