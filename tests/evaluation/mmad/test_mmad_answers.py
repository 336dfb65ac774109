"""What counts as a letter: nearly everything in the published reading, only what is beyond doubt in the strict one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adfm.evaluation.mmad.answers import compat_letter, strict_letter
from adfm.evaluation.mmad.questions import Item

TEXTS = ("Yes.", "No.", "A scratch near the type C connector")
ITEM = Item("set/part/bad/0.png", 1, "Defect Analysis", "?", tuple(zip("ABC", TEXTS, strict=True)), "A")


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "B.", "(B)", "[B]", "**B**", "B)", " B \n", "B. No.", "B: No", "B No", "(B) No.", "`B`"),
        *("Answer: B", "The answer is B.", "Answer:\nB", "Option B", "the correct answer is **B**", "B\nB"),
        *("<think>A. it is torn, so A</think>B", "<think>x</think><answer>B</answer>", "<answer>B</answer> or A"),
        "B\n\nBecause A scratch would be darker.",
    ],
)
def test_a_clear_letter_is_read(answer: str) -> None:
    assert strict_letter(answer, ITEM) == "B"


@pytest.mark.parametrize(
    ("answer", "published"),
    [
        ("", "A"),
        ("No.", "B"),
        ("b", "A"),
        ("A or B", "B"),
        ("A. B.", "B"),
        ("B. A or C", "C"),
        ("A scratch can be seen", "A"),
        ("The answer is A scratch", "A"),
        ("A\nB", "B"),
        ("E", "E"),
        ("<think>B. It is B", "B"),
        ("A. Yes. A scratch near the type C connector", "C"),
    ],
)
def test_a_doubtful_letter_is_unread_where_the_published_reading_takes_one(answer: str, published: str) -> None:
    assert strict_letter(answer, ITEM) is None
    assert compat_letter(answer, ITEM) == published


@pytest.mark.parametrize(
    "answer", ["C", "C. A scratch near the type C connector", "C: A scratch near the type C connector."]
)
def test_letters_in_the_options_own_text_do_no_harm(answer: str) -> None:
    assert strict_letter(answer, ITEM) == compat_letter(answer, ITEM) == "C"


def test_an_option_whose_text_is_a_letter() -> None:
    item = Item("set/part/bad/0.png", 1, "Object Analysis", "Which?", (("A", "B"), ("B", "A")), "A")
    assert [strict_letter(answer, item) for answer in ("A", "B")] == ["A", "B"]


@given(st.text(alphabet=st.sampled_from("AB.:,()*\n \tno<>/answerthink"), max_size=60))
def test_strict_is_total_and_never_a_letter_that_is_not_there(answer: str) -> None:
    letter = strict_letter(answer, ITEM)
    assert letter is None or (letter in ITEM.letters and letter in answer)
    assert compat_letter(answer, ITEM) in set("ABCDE")


@pytest.mark.parametrize(
    "piece", ["A ", "answer ", "answer is\t", "\n \t", "(((", "<answer>", "</think>", "B. No ", "a"]
)
def test_long_answers_take_no_time(piece: str) -> None:
    started = time.process_time()
    strict_letter(piece * (1 << 18), ITEM)
    compat_letter(piece * (1 << 18), ITEM)
    assert time.process_time() - started < 5  # quadratic would be minutes
