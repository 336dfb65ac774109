"""Two scorings of MMAD answers side by side: `compat`, with the faults of the published scorer, and `strict`.

Shares are per cent, as published. Left out: intervals, which the published figures do not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adfm.evaluation.mmad.questions import DETECTION, TASKS
from adfm.records import Label

AVERAGE = "Average"
COLUMNS = (*TASKS, AVERAGE, "Recall", "Precision", "F1", "Overkill", "Miss", "Coverage")

Row = Mapping[str, float | None]
"""A share in per cent for each of `COLUMNS`, None where nothing was asked."""


class Mark(NamedTuple):
    """One question and whether its answer is right. `right` is None where no letter could be read."""

    dataset: str
    task: str
    label: Label
    right: bool | None


@dataclass(frozen=True)
class Scores:
    """A row per data set and their unweighted mean, under `AVERAGE`.

    Of the questions `asked`, `unread` had no letter, and the published fault left out `skipped` without reading them.
    """

    rows: Mapping[str, Row]
    asked: int
    unread: int
    skipped: int


def compat(marks: Sequence[Mark]) -> Scores:
    """Score as the published code does, in the order of the answers.

    That code removes an unread answer from the list that it walks: the answer is not counted, and the next one is
    skipped. A data set without an answer to a sub-task that others were asked counts 0.
    Source: jam-cc/MMAD, `evaluation/examples/helper/summary.py`.
    """
    seen = list(walked(marks))
    counted = [mark for mark in seen if mark.right is not None]
    nothing = {mark.task: 0.0 for mark in marks}
    return Scores(_rows(marks, counted, nothing), len(marks), len(seen) - len(counted), len(marks) - len(seen))


def strict(marks: Sequence[Mark]) -> Scores:
    """Score every question. An unread answer is wrong. A sub-task that was not asked is left out of the means."""
    unread = sum(mark.right is None for mark in marks)
    return Scores(_rows(marks, marks, {}), len(marks), unread, 0)


def walked(marks: Sequence[Mark]) -> Iterator[Mark]:
    """Yield what a loop sees that removes each unread answer from the list it runs over: never the next one."""
    position = 0
    while position < len(marks):
        yield marks[position]
        position += 2 if marks[position].right is None else 1


def _rows(asked: Sequence[Mark], counted: Sequence[Mark], nothing: Mapping[str, float]) -> dict[str, Row]:
    """Return a row per data set that was asked about, and their means. `nothing` is a sub-task's share of no answers."""
    rows: dict[str, Row] = {}
    for name, total in Counter(mark.dataset for mark in asked).items():
        rows[name] = _row([mark for mark in counted if mark.dataset == name], total, nothing)
    return rows | {AVERAGE: {column: _mean([row[column] for row in rows.values()]) for column in COLUMNS}}


def _row(counted: Sequence[Mark], asked: int, nothing: Mapping[str, float]) -> Row:
    detection = [mark for mark in counted if mark.task == DETECTION]
    without = nothing.get(DETECTION)
    normal = [bool(mark.right) for mark in detection if mark.label == "normal"]
    anomalous = [bool(mark.right) for mark in detection if mark.label == "anomalous"]
    cleared, recall = _percent(sum(normal), len(normal), without), _percent(sum(anomalous), len(anomalous), without)
    tasks: dict[str, float | None] = {}
    for task in TASKS:
        right = [bool(mark.right) for mark in counted if mark.task == task]
        tasks[task] = _percent(sum(right), len(right), nothing.get(task))
    tasks[DETECTION] = None if cleared is None or recall is None else (cleared + recall) / 2
    # A normal part that was not cleared counts as called anomalous.
    precision = _percent(sum(anomalous), sum(anomalous) + len(normal) - sum(normal), without)
    f1 = None
    if recall is not None and precision is not None:
        f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    return {
        **tasks,
        AVERAGE: _mean(list(tasks.values())),
        "Recall": recall,
        "Precision": precision,
        "F1": f1,
        "Overkill": None if cleared is None else 100 - cleared,
        "Miss": None if recall is None else 100 - recall,
        "Coverage": 100 * sum(mark.right is not None for mark in counted) / asked,
    }


def _percent(part: int, whole: int, nothing: float | None) -> float | None:
    return 100 * part / whole if whole else nothing


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
