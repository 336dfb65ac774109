"""Who was judged how: verdict counts of every run, overall, by category and by defect type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adfm.evaluation import METRICS
from adfm.evaluation.detection import box_counts
from adfm.numbers import mean_of
from adfm.predictions import Prediction
from adfm.report.inputs import ReportInputs
from adfm.report.text import number, plain

MAX_ROWS = 80  # of a table by category or defect


@dataclass(frozen=True)
class Tally:
    """Verdicts of one run on some parts."""

    tone: int
    normal: int
    cleared: int
    alarms: int
    anomalous: int
    caught: int
    missed: int
    unread_normal: int
    unread_anomalous: int
    iou: str

    @property
    def caught_share(self) -> float:
        """Share of the anomalous parts called anomalous, 0 where there are none."""
        return self.caught / self.anomalous if self.anomalous else 0.0


class Slice(NamedTuple):
    """The same parts judged by every run; `normal` and `anomalous` count them in the first run that holds any."""

    name: str
    category: str
    normal: int
    anomalous: int
    tallies: tuple[Tally, ...]


def tally(predictions: Sequence[Prediction], tone: int) -> Tally:
    """Count one run's verdicts; `iou` is the mean IoU over its anomalous parts with known boxes."""
    normal = [p for p in predictions if not p.anomalous]
    anomalous = [p for p in predictions if p.anomalous]
    overlaps = [counts.set_iou for counts in map(box_counts, anomalous) if counts.known]
    return Tally(
        tone=tone,
        normal=len(normal),
        cleared=sum(p.correct for p in normal),
        alarms=sum(p.verdict == "anomalous" for p in normal),
        anomalous=len(anomalous),
        caught=sum(p.correct for p in anomalous),
        missed=sum(p.verdict == "normal" for p in anomalous),
        unread_normal=sum(p.verdict is None for p in normal),
        unread_anomalous=sum(p.verdict is None for p in anomalous),
        iou=number(mean_of(overlaps), METRICS["mean_iou"]),
    )


def overall(inputs: ReportInputs) -> list[Tally]:
    """The confusion of every run."""
    return [tally(run.predictions, tone) for tone, run in enumerate(inputs.runs)]


def by_category(inputs: ReportInputs) -> list[Slice]:
    """The confusion of every category, by name."""
    names = sorted({p.category for run in inputs.runs for p in run.predictions})[:MAX_ROWS]
    return [
        _slice(name, "", [[p for p in run.predictions if p.category == name] for run in inputs.runs]) for name in names
    ]


def by_defect(inputs: ReportInputs) -> list[Slice]:
    """Anomalous parts by category and defect type, the type that the run in focus catches least first."""
    parts: dict[tuple[str, str], list[list[Prediction]]] = {}
    for tone, run in enumerate(inputs.runs):
        for p in (p for p in run.predictions if p.anomalous):
            of_type = parts.setdefault((p.category, p.defect or "not named"), [[] for _ in inputs.runs])
            of_type[tone].append(p)
    slices = [_slice(defect, category, runs) for (category, defect), runs in sorted(parts.items())]
    return sorted(slices, key=lambda row: row.tallies[inputs.focus].caught_share)[:MAX_ROWS]


def _slice(name: str, category: str, runs: Sequence[Sequence[Prediction]]) -> Slice:
    tallies = tuple(tally(predictions, tone) for tone, predictions in enumerate(runs))
    largest = max(tallies, key=lambda one: one.normal + one.anomalous)
    return Slice(plain(name, 80), plain(category, 80), largest.normal, largest.anomalous, tallies)


class Flips(NamedTuple):
    """How many parts two runs judge alike or not; right means a read, right verdict."""

    of: str
    to: str
    both: int
    corrected: int
    broken: int
    neither: int


def flips(inputs: ReportInputs) -> list[Flips]:
    """Compare the verdicts of the two runs of each difference on the parts that both hold; none without such parts."""
    result = []
    for one in inputs.differences:
        earlier = {p.id: p.correct for p in inputs.run(one.to).predictions}
        pairs = [(earlier[p.id], p.correct) for p in inputs.run(one.of).predictions if p.id in earlier]
        counts = [pairs.count(pair) for pair in ((True, True), (False, True), (True, False), (False, False))]
        if pairs:
            result.append(Flips(plain(one.of, 80), plain(one.to, 80), *counts))
    return result
