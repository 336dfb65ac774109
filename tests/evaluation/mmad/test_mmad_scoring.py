"""The published scorer with its fault, by hand and against a loop over a list that changes; its published figures."""

from __future__ import annotations

import random
from typing import Any

import pytest

from adfm.evaluation.mmad.questions import COUNTS, DETECTION, TASKS
from adfm.evaluation.mmad.scoring import AVERAGE, COLUMNS, Mark, compat, strict, walked
from adfm.records import Label

PUBLISHED = {
    "DS-MVTec": (86.40, 73.11, 74.60, 74.61, 90.71, 99.57, 92.98, 84.57, 81.40, 96.15, 88.16),
    "MVTec-LOCO": (61.52, 44.50, 51.83, 59.86, 72.96, 89.71, 78.93, 65.61, 55.85, 74.66, 63.90),
    "VisA": (75.59, 51.26, 61.07, 63.61, 73.34, 86.42, 82.86, 70.59, 58.18, 91.35, 71.09),
    "GoodsAD": (60.90, 55.23, 55.25, 58.44, 76.03, 90.26, 79.92, 68.00, 68.30, 65.38, 66.81),
    AVERAGE: (71.10, 56.02, 60.69, 64.13, 78.26, 91.49, 83.67, 72.19, 65.93, 81.88, 72.49),
}
"""Qwen2.5-VL-7B-Instruct, one shot, all of MMAD: the seven sub-tasks, their average, recall, precision, F1, per cent.

Source: jam-cc/MMAD, `all_result/`."""


def mark(right: bool | None, task: str = DETECTION, label: Label = "anomalous", dataset: str = "VisA") -> Mark:
    return Mark(dataset, task, label, right)


def many(right: int, count: int, dataset: str, task: str, label: Label) -> list[Mark]:
    return [Mark(dataset, task, label, number < right) for number in range(count)]


def marks_of(dataset: str) -> list[Mark]:
    """Answers whose counts give the published shares of a data set, by the published numbers of questions."""
    detection, *others = PUBLISHED[dataset][: len(TASKS)]
    recall = PUBLISHED[dataset][8]
    normal, anomalous, *counts = COUNTS[dataset]
    marks = many(round(anomalous * recall / 100), anomalous, dataset, DETECTION, "anomalous")
    marks += many(round(normal * (2 * detection - recall) / 100), normal, dataset, DETECTION, "normal")
    for task, share, count in zip(TASKS[1:], others, counts, strict=True):
        marks += many(round(count * share / 100), count, dataset, task, "anomalous")
    return marks


def test_the_published_table_comes_out_of_its_counts() -> None:
    marks = [each for dataset in COUNTS for each in marks_of(dataset)]
    for scores in (compat(marks), strict(marks)):
        for name, values in PUBLISHED.items():
            row = scores.rows[name]
            assert [row[column] for column in COLUMNS[: len(values)]] == pytest.approx(values, abs=0.0051), name
            assert row["Coverage"] == 100
            assert row["Miss"] == pytest.approx(100 - values[8], abs=0.0051)
        assert (scores.asked, scores.unread, scores.skipped) == (39672, 0, 0)


def test_detection_is_half_the_normal_and_half_the_anomalous_parts() -> None:
    marks = [mark(True), mark(False), mark(False), mark(False), mark(True, label="normal")]
    for scores in (compat(marks), strict(marks)):
        row = scores.rows["VisA"]
        assert (row[DETECTION], row["Recall"], row["Precision"], row["F1"]) == (62.5, 25, 100, 40)  # not 2 of 5
        assert (row["Overkill"], row["Miss"]) == (0, 75)


def test_the_fault_by_hand() -> None:
    # Seen: 1 right, 2 unread, (3 skipped, was right), 4 wrong, 5 unread, (6 skipped, unread), 7 right.
    marks = [mark(right, "Defect Analysis") for right in (True, None, True, False, None, None, True)]
    marks += [mark(True, "Object Analysis", dataset="GoodsAD")]
    scores = compat(marks)
    row = scores.rows["VisA"]
    assert row["Defect Analysis"] == pytest.approx(100 * 2 / 3)
    assert (scores.asked, scores.unread, scores.skipped) == (8, 2, 2)
    assert row["Coverage"] == pytest.approx(100 * 3 / 7)
    assert row["Object Analysis"] == 0  # asked elsewhere, so it counts 0 here
    assert row["Object Classification"] is None  # asked nowhere, so it is no column
    assert row[AVERAGE] == pytest.approx(100 * 2 / 3 / 2)
    severe = strict(marks)
    assert severe.rows["VisA"]["Defect Analysis"] == pytest.approx(100 * 3 / 7)
    assert severe.rows["VisA"][AVERAGE] == severe.rows["VisA"]["Defect Analysis"]
    assert severe.rows["VisA"][DETECTION] is None
    assert severe.rows["VisA"]["Coverage"] == pytest.approx(100 * 4 / 7)
    assert (severe.asked, severe.unread, severe.skipped) == (8, 3, 0)


def published_loop(marks: list[Mark]) -> dict[str, dict[str, float]]:
    """The published arithmetic told again: a loop over a list from which it removes."""
    rows = [{"at": number, "mark": each} for number, each in enumerate(marks)]
    sets = list(dict.fromkeys(each.dataset for each in marks))
    right: dict[tuple[str, str, str], int] = {}
    total: dict[tuple[str, str, str], int] = {}
    for row in rows:
        each: Any = row["mark"]
        if each.right is None:
            rows.remove(row)
            continue
        cell = (each.dataset, each.task, each.label if each.task == DETECTION else "")
        total[cell] = total.get(cell, 0) + 1
        right[cell] = right.get(cell, 0) + int(each.right)

    def share(*cell: str) -> float:
        return 100 * right[cell] / total[cell] if cell in total else 0.0

    kinds = [task for task in TASKS if any(each.task == task for each in marks)]
    table = {}
    for name in sets:
        table[name] = {task: share(name, task, "") for task in kinds}
        if DETECTION in kinds:
            table[name][DETECTION] = (share(name, DETECTION, "normal") + share(name, DETECTION, "anomalous")) / 2
        table[name][AVERAGE] = sum(table[name].values()) / len(kinds)
    table[AVERAGE] = {column: sum(table[name][column] for name in sets) / len(sets) for column in (*kinds, AVERAGE)}
    return table


def random_marks(seed: int) -> list[Mark]:
    draw = random.Random(seed)
    labels: tuple[Label, Label] = ("normal", "anomalous")
    return [
        Mark(draw.choice(list(COUNTS)), draw.choice(TASKS), draw.choice(labels), draw.choice((True, True, False, None)))
        for _ in range(draw.randint(1, 400 if seed else 3))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_compat_is_the_loop_over_a_changing_list(seed: int) -> None:
    marks = random_marks(seed)
    rows = compat(marks).rows
    for name, row in published_loop(marks).items():
        assert {column: rows[name][column] for column in row} == pytest.approx(row)


def test_merely_dropping_would_be_told_apart() -> None:
    different = 0
    for seed in range(20):
        marks = random_marks(seed)
        dropped = compat([each for each in marks if each.right is not None]).rows[AVERAGE][AVERAGE]
        different += dropped != pytest.approx(compat(marks).rows[AVERAGE][AVERAGE])
    assert different >= 15


def test_what_the_loop_sees() -> None:
    numbers = [True, None, None, False, None]
    assert [each.right for each in walked([mark(right) for right in numbers])] == [True, None, False, None]


def test_unread_is_never_better_than_read_under_strict() -> None:
    for seed in range(20):
        marks = random_marks(seed)
        wrong = [each._replace(right=bool(each.right)) for each in marks]
        ours, all_read = strict(marks).rows[AVERAGE], strict(wrong).rows[AVERAGE]
        assert {name: ours[name] for name in ours if name != "Coverage"} == {
            name: all_read[name] for name in all_read if name != "Coverage"
        }


def test_nothing_read_is_zero_and_no_failure() -> None:
    marks = [mark(None), mark(None, label="normal")]
    for scores in (compat(marks), strict(marks)):
        assert scores.rows["VisA"][DETECTION] == 0 and scores.rows["VisA"]["Coverage"] == 0
        assert scores.rows["VisA"]["F1"] == 0
