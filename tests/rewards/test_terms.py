"""The grounding terms against tables and against a second implementation that tries every assignment."""

from __future__ import annotations

import itertools
import random
from functools import cache

import pytest

from adfm.geometry import Box, best_sum
from adfm.rewards.compute import focus
from adfm.rewards.presets import count_term, paper_grounding, set_iou_grounding

A, B, C = Box(0, 0, 10, 10), Box(20, 0, 30, 10), Box(0, 20, 10, 30)


@cache
def overlap(a: Box, b: Box) -> tuple[float, float, float]:
    """(intersection, union, hull) by counting unit cells, for whole-number boxes."""
    cells_a, cells_b = (
        {(x, y) for x in range(int(box.x1), int(box.x2)) for y in range(int(box.y1), int(box.y2))} for box in (a, b)
    )
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return len(cells_a & cells_b), len(cells_a | cells_b), hull


def slow_iou(a: Box, b: Box) -> float:
    common, union, _ = overlap(a, b)
    return common / union


def slow_giou(a: Box, b: Box) -> float:
    common, union, hull = overlap(a, b)
    return common / union - (hull - union) / hull


def every_assignment(measure: object, predicted: list[Box], true: list[Box]) -> float:
    few, many = sorted((predicted, true), key=len)
    table = [[measure(a, b) for b in many] for a in few]  # type: ignore[operator]
    orders = itertools.permutations(range(len(many)), len(few))
    return max(sum(table[row][column] for row, column in enumerate(order)) for order in orders)


def slow_paper(predicted: list[Box], true: list[Box], alpha: float) -> float:
    n, m = len(predicted), len(true)
    mean = every_assignment(slow_giou, predicted, true) / min(n, m) if min(n, m) else -1
    return mean + alpha * {0: 1.0, 1: 0.5}.get(abs(n - m), -0.1)


def slow_set_iou(predicted: list[Box], true: list[Box]) -> float:
    larger = max(len(predicted), len(true))
    return every_assignment(slow_iou, predicted, true) / larger if larger else 0.0


def random_boxes(rng: random.Random, count: int) -> list[Box]:
    boxes = []
    for _ in range(count):
        x, y = rng.randint(0, 5), rng.randint(0, 5)
        boxes.append(Box(x, y, x + rng.randint(1, 5), y + rng.randint(1, 5)))
    return boxes


def test_agrees_with_every_assignment_on_0_to_6_boxes_a_side() -> None:
    rng = random.Random(3)
    counts = list(itertools.product(range(7), range(7)))
    hard = 0
    for n, m in counts * 41:  # 2,009 cases, each number of boxes against each
        predicted, true = random_boxes(rng, n), random_boxes(rng, m)
        alpha = rng.choice((0.0, 0.5, 2.0))
        assert paper_grounding(predicted, true, alpha) == pytest.approx(slow_paper(predicted, true, alpha), abs=1e-9)
        assert set_iou_grounding(predicted, true) == pytest.approx(slow_set_iou(predicted, true), abs=1e-9)
        hard += slow_set_iou(predicted, true) > greedy(predicted, true) + 1e-9
    assert hard > 100  # taking the best pair first would be wrong that often: the assignment matters


def greedy(predicted: list[Box], true: list[Box]) -> float:
    """Best pair first: the wrong way, as a control that the cases can tell."""
    pairs = sorted(((slow_iou(a, b), i, j) for i, a in enumerate(predicted) for j, b in enumerate(true)), reverse=True)
    used_i: set[int] = set()
    used_j: set[int] = set()
    total = 0.0
    for value, i, j in pairs:
        if i not in used_i and j not in used_j:
            total, used_i, used_j = total + value, used_i | {i}, used_j | {j}
    return total / max(len(predicted), len(true), 1)


@pytest.mark.parametrize(
    ("predicted", "true", "paper", "set_iou"),
    [
        ([A], [A], 1.5, 1.0),
        ([A, B], [B, A], 1.5, 1.0),
        ([A], [A, B], 1.25, 0.5),
        ([A, B], [A], 1.25, 0.5),
        ([A, B, C], [A], 0.95, 1 / 3),
        ([A], [A, B, C], 0.95, 1 / 3),
        ([], [A], -0.75, 0.0),
        ([], [A, B], -1.05, 0.0),
        ([], [], -0.5, 0.0),
        ([A], [], -0.75, 0.0),
        ([A], [B], -1 / 3 + 0.5, 0.0),
        ([A], [Box(5, 0, 15, 10)], 1 / 3 + 0.5, 1 / 3),
        ([Box(0, 0, 100, 100)], [A], 0.01 + 0.5, 0.01),
    ],
)
def test_worked_examples(predicted: list[Box], true: list[Box], paper: float, set_iou: float) -> None:
    assert paper_grounding(predicted, true, 0.5) == pytest.approx(paper)
    assert set_iou_grounding(predicted, true) == pytest.approx(set_iou)


def test_the_count_term() -> None:
    assert [count_term(n, 3) for n in range(7)] == [-0.1, -0.1, 0.5, 1.0, 0.5, -0.1, -0.1]


def test_focus() -> None:
    assert [focus(n) for n in (0, 1, 2, 3, 64)] == [0.0, 0.5, -0.1, -0.1, -0.1]


def test_the_order_of_the_boxes_does_not_matter() -> None:
    rng = random.Random(5)
    for _ in range(200):
        predicted, true = random_boxes(rng, 5), random_boxes(rng, 4)
        value = set_iou_grounding(predicted, true)
        rng.shuffle(predicted)
        assert set_iou_grounding(predicted, true) == pytest.approx(value, abs=1e-12)
        assert best_sum(slow_iou, true, predicted) == pytest.approx(value * 5, abs=1e-12)
