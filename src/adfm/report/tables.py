"""The headline, the tiles and the table of metrics as plain records; the template lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from adfm.evaluation import HEADLINE, METRICS, Metric
from adfm.evaluation.definitions import Trend
from adfm.report.inputs import Difference, ReportInputs, RunResult
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
    """A value with its interval; `low`, `mid`, `high` place its bar, which counts do not have."""

    text: str
    span: str
    tone: int
    low: float | None
    mid: float | None
    high: float | None


class Change(NamedTuple):
    """A difference of two runs; its trend is written out beside the colour."""

    text: str
    span: str
    trend: Trend


class Line(NamedTuple):
    """One metric over all runs, and a change for each difference (None where that difference lacks the metric)."""

    metric: Metric
    cells: tuple[Cell, ...]
    changes: tuple[Change | None, ...]


class Group(NamedTuple):
    """Lines under a common heading."""

    title: str
    lines: tuple[Line, ...]


def comparison(inputs: ReportInputs, part: str = "metrics") -> list[Group]:
    """The table of every metric over all runs; `part` is `metrics` or `macro` (which has no difference)."""
    groups = [Group(title, _lines(inputs, names, part)) for title, names in _GROUPS]
    return [group for group in groups if group.lines]


def tiles(inputs: ReportInputs) -> tuple[Line, ...]:
    """The four numbers an inspector asks for first."""
    return _lines(inputs, TILES, "metrics")


def _lines(inputs: ReportInputs, names: Sequence[str], part: str) -> tuple[Line, ...]:
    """One line a metric; a metric that no run defines is left out."""
    lines = []
    for metric in (METRICS[name] for name in names):
        cells = tuple(_cell(run, metric, part, tone) for tone, run in enumerate(inputs.runs))
        changes = tuple(_change(one, metric) for one in inputs.differences) if part == "metrics" else ()
        if any(cell.text != "–" for cell in cells):
            lines.append(Line(metric, cells, changes))
    return tuple(lines)


def _cell(run: RunResult, metric: Metric, part: str = "metrics", tone: int = 0) -> Cell:
    bounds = run.metrics.get(part, {}).get(metric.name) or {}
    low, mid, high = bounds.get("low"), bounds.get("value"), bounds.get("high")
    return Cell(number(mid, metric), span(low, high, metric), tone, low, mid, high)


def _change(difference: Difference, metric: Metric) -> Change | None:
    if metric.name not in difference.metrics:
        return None
    low, mid, high = difference.metrics[metric.name]
    trend = metric.trend(low, high) or "unclear"
    return Change(change(mid, metric), f"{change(low, metric)} to {change(high, metric)}", trend)


def headline(inputs: ReportInputs) -> str:
    """What changed and by how much, one sentence for each difference; without one, what each run does."""
    if not inputs.runs:
        return "No model has been evaluated; this page shows a training only."
    sentences = [sentence for one in inputs.differences if (sentence := _difference_sentence(inputs, one))]
    for run in () if sentences else inputs.runs:
        cells = [(METRICS[name], _cell(run, METRICS[name])) for name in TILES]
        figures = [f"{_name(m)} {cell.text} (95 % interval {cell.span})" for m, cell in cells if cell.text != "–"]
        parts = run.metrics.get("n", len(run.predictions))
        sentences.append(f"{plain(run.name, 80)} on {parts} parts: {', '.join(figures)}.")
    return " ".join(sentences)


def _difference_sentence(inputs: ReportInputs, difference: Difference) -> str | None:
    """Which run is better in its verdicts and in its boxes, and the figures; None without a difference of verdicts."""
    of, to = inputs.run(difference.of), inputs.run(difference.to)
    verdict = next((n for n in ("balanced_accuracy", "accuracy", "recall") if n in difference.metrics), None)
    if verdict is None:
        return None
    trends, phrases = [], []
    for metric in (METRICS[name] for name in (verdict, "mean_iou") if name in difference.metrics):
        gain, points = _change(difference, metric), " points" if metric.unit == "share" else ""
        if gain is not None:
            trends.append(gain.trend)
            figures = f"{_cell(of, metric).text} against {_cell(to, metric).text}"
            phrases.append(f"{figures} ({gain.text}{points}, 95 % interval {gain.span})")
    first, second = (f"“{plain(run.name, 80)}”" for run in (to, of))
    sentence = f"{second} {_VERBS[trends[0]]} {first} in {_name(METRICS[verdict])}: {phrases[0]}"
    if len(trends) > 1:
        link = "and" if trends[1] == trends[0] else f"but {_VERBS[trends[1]]} it"
        sentence += f", {link} in mean IoU of the boxes: {phrases[1]}"
    return sentence + "."


def _name(metric: Metric) -> str:
    """The title inside a sentence: abbreviations keep their capitals."""
    return metric.title if metric.title.isupper() else metric.title[0].lower() + metric.title[1:]
