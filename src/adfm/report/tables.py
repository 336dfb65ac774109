"""The headline, the tiles and the table of metrics as plain records; the template lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from adfm.evaluation import HEADLINE, METRICS, Metric
from adfm.evaluation.definitions import Trend
from adfm.report.inputs import ReportInputs, RunResult
from adfm.report.text import change, number, plain, span

TILES = HEADLINE[:4]
_GROUPS = (
    (
        "Verdicts",
        ("accuracy", "balanced_accuracy", "recall", "kind_recall", "specificity", "false_positive_rate"),
    ),
    ("Decisions as deployed", ("decided_balanced_accuracy", "miss_rate", "overkill", "coverage")),
    (
        "Scores",
        (
            *("auroc", "average_precision", "f1_max", "f1_max_threshold"),
            *(n for n in METRICS if n.startswith("false_reject@")),
            *("ece", "brier"),
        ),
    ),
    (
        "Boxes",
        tuple(
            n
            for n in METRICS
            if n.startswith(("box_", "false_boxes", "pointing")) or n.endswith(("_iou", "region_overlap"))
        ),
    ),
    ("Answers", ("strict_rate", "unread_rate")),
)
_VERBS: dict[Trend, str] = {
    "better": "improves on",
    "worse": "falls behind",
    "unclear": "does not clearly differ from",
}


class Cell(NamedTuple):
    """A value with its interval; `low`, `mid`, `high` (0-1, None for counts) place its bar."""

    text: str
    span: str
    tone: int
    low: float | None
    mid: float | None
    high: float | None


class Change(NamedTuple):
    """The difference of the two compared runs; it is told without its colour too."""

    text: str
    span: str
    trend: Trend


class Line(NamedTuple):
    """One metric over all runs."""

    metric: Metric
    cells: tuple[Cell, ...]
    change: Change | None


class Group(NamedTuple):
    """Lines under a common heading."""

    title: str
    lines: tuple[Line, ...]


def comparison(inputs: ReportInputs, part: str = "metrics") -> list[Group]:
    """The table of every metric over all runs; `part` is `metrics` or `macro` (which has no difference)."""
    groups = []
    for title, names in _GROUPS:
        lines = tuple(_line(inputs, METRICS[name], part) for name in names)
        groups.append(Group(title, tuple(line for line in lines if any(cell.text != "–" for cell in line.cells))))
    return [group for group in groups if group.lines]


def _line(inputs: ReportInputs, metric: Metric, part: str) -> Line:
    cells = tuple(_cell(run.metrics.get(part, {}), metric, tone) for tone, run in enumerate(inputs.runs))
    return Line(metric, cells, change_of(inputs, metric) if part == "metrics" else None)


def _cell(values: Mapping[str, Any], metric: Metric, tone: int) -> Cell:
    found = values.get(metric.name) or {}
    low, mid, high = found.get("low"), found.get("value"), found.get("high")
    place = (low, mid, high) if metric.unit != "count" else (None, None, None)
    return Cell(number(mid, metric), span(low, high, metric), tone, *place)


def change_of(inputs: ReportInputs, metric: Metric) -> Change | None:
    """The paired difference of a metric, or None where there is none."""
    found = inputs.difference.get(metric.name)
    if found is None:
        return None
    low, mid, high = found
    return Change(
        change(mid, metric), f"{change(low, metric)} to {change(high, metric)}", metric.trend(low, high) or "unclear"
    )


def tiles(inputs: ReportInputs) -> list[Line]:
    """The four numbers an inspector asks for first."""
    lines = [_line(inputs, METRICS[name], "metrics") for name in TILES]
    return [line for line in lines if any(cell.text != "–" for cell in line.cells)]


def headline(inputs: ReportInputs) -> str:
    """What changed and by how much, in one sentence; with one run, what it does."""
    if not inputs.runs:
        return "No model has been evaluated; this page shows a training only."
    compared = [METRICS[n] for n in ("balanced_accuracy", "accuracy", "recall") if n in inputs.difference]
    if inputs.pair is None or not compared:
        return " ".join(_alone(run) for run in inputs.runs)
    first, second = (f"“{plain(run.name, 80)}”" for run in inputs.pair)
    trend, figures = _compared(inputs, compared[0])
    sentence = f"{second} {_VERBS[trend]} {first} in {_name(compared[0])}: {figures}"
    if "mean_iou" in inputs.difference:
        boxes, figures = _compared(inputs, METRICS["mean_iou"])
        link = "and" if boxes == trend else f"but {_VERBS[boxes]} it"
        sentence += f", {link} in mean IoU of the boxes: {figures}"
    return sentence + "."


def _compared(inputs: ReportInputs, metric: Metric) -> tuple[Trend, str]:
    """Whether the latter run is better, and the figures that say so."""
    before, after = (_cell(run.metrics.get("metrics", {}), metric, 0).text for run in inputs.pair or ())
    low, mid, high = inputs.difference[metric.name]
    points = " points" if metric.unit == "share" else ""
    interval = f"{change(low, metric)} to {change(high, metric)}"
    figures = f"{after} against {before} ({change(mid, metric)}{points}, 95 % interval {interval})"
    return metric.trend(low, high) or "unclear", figures


def _alone(run: RunResult) -> str:
    values = run.metrics.get("metrics", {})
    said = []
    for name in TILES:
        cell = _cell(values, METRICS[name], 0)
        if cell.text != "–":
            said.append(f"{_name(METRICS[name])} {cell.text} (95 % interval {cell.span})")
    return f"{plain(run.name, 80)} on {run.metrics.get('n', len(run.predictions))} parts: {', '.join(said)}."


def _name(metric: Metric) -> str:
    """The title inside a sentence: abbreviations keep their capitals."""
    return metric.title if metric.title.isupper() else metric.title[0].lower() + metric.title[1:]
