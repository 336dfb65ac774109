"""A question holds the benchmark's parts in its order: role, form, knowledge, templates, query image, item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adfm.errors import DataError
from adfm.evaluation.mmad.prompt import KNOWLEDGE, LETTER, QUERY, ROLE, ask_item
from adfm.evaluation.mmad.questions import read_entries
from adfm.reasoning import Protocol


@pytest.mark.parametrize("shots", [0, 1, 2])
@pytest.mark.parametrize("knowledge", [None, "A clean rim."])
def test_parts_come_in_the_benchmarks_order(shots: int, knowledge: str | None, mini: Path) -> None:
    entry = read_entries(mini)[0]
    parts = ask_item(entry, entry.questions[1], Protocol(shots=shots), knowledge=knowledge).parts
    images = [str(part) for part in parts if isinstance(part, Path)]
    assert images == [*entry.templates[:shots], entry.image]
    assert [isinstance(part, str) for part in parts] == [True, *[False] * shots, True, False, True]
    assert isinstance(parts[0], str) and parts[0].startswith(ROLE + LETTER)
    assert ("A clean rim." in parts[0]) == (knowledge is not None)
    if knowledge:
        assert parts[0].startswith(ROLE + LETTER + KNOWLEDGE.format(knowledge))
    assert ("template" in parts[0]) == (shots > 0)
    assert parts[-3] == QUERY
    assert str(parts[-1]).endswith(
        "Question 2: Defect Classification?\nA. At the top.\nB. At the bottom.\nC. On the left.\nD. On the right."
    )


def test_nothing_in_a_question_gives_away_the_answer(mini: Path, content: dict[str, Any]) -> None:
    entry = read_entries(mini)[0]
    parts = ask_item(entry, entry.questions[0], Protocol(shots=1)).parts
    texts = "".join(part for part in parts if isinstance(part, str))
    assert "broken_large" not in texts and "Answer: A" not in texts
    assert "broken_large" in str(parts[-2])  # the control: the image's path does tell, and is no text


def test_too_few_templates_are_refused(mini: Path) -> None:
    entry = read_entries(mini)[1]
    with pytest.raises(DataError, match="has 1 templates for 2 shots; give --shots 0"):
        ask_item(entry, entry.questions[0], Protocol(shots=2))
