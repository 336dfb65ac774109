"""The page: every section's records put through the template, written as one file without scripts or requests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from adfm.evaluation import METRICS
from adfm.report import charts, confusion, tables
from adfm.report.gallery import gallery
from adfm.report.inputs import ReportInputs
from adfm.report.text import flatten, plain
from adfm.report.training import training_curves
from adfm.storage import write_text

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The template engine: everything that is put in is escaped, and a missing name is an error, not an empty text."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


PAGE_MARK = b'<meta name="generator" content="adfm">'
"""What every page begins with. A file without it is not ours to replace."""


def render(inputs: ReportInputs) -> str:
    """Return the page; the same inputs give the same text."""
    return environment().get_template("report.html.j2").render(context(inputs))


def write_report(path: Path, inputs: ReportInputs) -> None:
    """Write the page atomically."""
    write_text(path, render(inputs))


def context(inputs: ReportInputs) -> dict[str, Any]:
    """Every value that the template uses."""
    macro = any(len(run.metrics.get("categories", {})) > 1 for run in inputs.runs)
    arms = []
    for run in inputs.runs:
        arm: dict[str, Any] = {size: run.metrics.get(size, 0) for size in ("n", "n_normal", "n_anomalous")}
        arm["name"] = plain(run.name, 80)
        arm["problems"] = [(plain(name, 80), count) for name, count in run.metrics.get("problems", {}).items()]
        arm["rewards"] = [(name, mean) for name, mean in run.metrics.get("rewards", {}).items() if mean is not None]
        arms.append(arm)
    return {
        "title": plain(inputs.title, 200),
        "arms": arms,
        "headline": tables.headline(inputs),
        "tiles": tables.tiles(inputs),
        "groups": tables.comparison(inputs),
        "macro": tables.comparison(inputs, "macro") if macro else [],
        "differences": [{"of": plain(one.of, 80), "to": plain(one.to, 80)} for one in inputs.differences],
        "focus": plain(inputs.runs[inputs.focus].name, 80) if inputs.runs else "",
        "curves": training_curves(inputs),
        "chart": charts,
        "shelves": gallery(inputs),
        "confusion": confusion.overall(inputs),
        "categories": confusion.by_category(inputs),
        "defects": confusion.by_defect(inputs),
        "flips": confusion.flips(inputs),
        "settings": list(flatten(inputs.settings)),
        "provenance": list(flatten(inputs.provenance)),
        "definitions": list(METRICS.values()),
        "bootstrap": next((run.metrics["bootstrap"] for run in inputs.runs if "bootstrap" in run.metrics), None),
    }
