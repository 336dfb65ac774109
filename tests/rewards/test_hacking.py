"""The hacking suite: what pays without looking at the part, and that the page about it is current."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hacking import (
    CANONICAL,
    CLOSE,
    HACKS,
    HONEST,
    MISS,
    ROUGH,
    Measured,
    measure,
    responses_of,
    samples_of,
    table,
    totals,
)

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"

# Under `paper` these pay more, on average, than an honest answer of the right number and sizes in the wrong places.
KNOWN_EXCEPTIONS = {
    "whole-image box",
    "central box of half the side",
    "64 sprayed boxes",
    "8 x 8 grid of boxes",
}


everything = cache(measure)


def measured(preset: str) -> dict[str, Measured]:
    return everything()[preset]


@pytest.mark.parametrize("preset", ["paper", "set_iou"])
@pytest.mark.parametrize("hack", HACKS)
def test_no_hack_beats_the_canonical_answer_on_any_sample(hack: str, preset: str) -> None:
    assert measured(preset)[hack].beats_canonical == 0
    assert measured(preset)[hack].normal <= measured(preset)[CANONICAL].normal


@pytest.mark.parametrize("hack", HACKS)
@pytest.mark.parametrize("honest", HONEST)
def test_set_iou_no_hack_beats_any_honest_answer(hack: str, honest: str) -> None:
    rows = measured("set_iou")
    assert rows[hack].anomalous < rows[honest].anomalous
    assert rows[hack].beats_rough <= 0.01


@pytest.mark.parametrize("hack", HACKS)
def test_paper_the_known_exceptions_and_no_others(hack: str) -> None:
    rows = measured("paper")
    assert rows[hack].anomalous < rows[ROUGH].anomalous < rows[CLOSE].anomalous
    assert (rows[hack].anomalous > rows[MISS].anomalous) == (hack in KNOWN_EXCEPTIONS)


def test_paper_pays_for_hedging_and_set_iou_does_not() -> None:
    paper, set_iou = measured("paper"), measured("set_iou")
    assert paper["whole-image box"].break_even > 0.2
    assert max(set_iou[hack].break_even for hack in HACKS) == 0


def test_the_suite_does_catch_a_leak() -> None:
    samples = samples_of("anomalous", 50)
    leak = totals(responses_of(HONEST[CANONICAL], samples), samples, "set_iou")
    rough = totals(responses_of(HONEST[ROUGH], samples), samples, "set_iou")
    assert all(a > b for a, b in zip(leak, rough, strict=True))


def test_the_page_holds_the_measured_table() -> None:
    assert table(everything()) in PAGE.read_text(encoding="utf-8")
