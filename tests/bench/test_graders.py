"""The comparison of graders: ours guesses and reverses nothing, the others do what is published of them, the page is current."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from grader_cases import CASES, FRAME, KINDS, LIMITS, Case
from graders import (
    ANOMALIB,
    ANOMALY_R1,
    BEGIN,
    END,
    GRADERS,
    IAD_R1,
    IAD_R1_REWARD,
    MMAD,
    OURS,
    PAGE,
    VLM_R1,
    Grader,
    Reading,
    adfm_count,
    anomalyr1_letter,
    iad_r1_letter,
    iad_r1_reward,
    mmad_count,
    mmad_letter,
    outcome,
    outcomes,
    prediction,
    simulated,
    tables,
    vlm_r1_reward,
    with_tables,
)
from hypothesis import given
from hypothesis import strategies as st

from adfm.evaluation import evaluate
from adfm.reasoning import STAGES, Stages, read
from adfm.records import LABELS, Label

NAMES = {case.name: case for case in CASES}


def reader(name: str, reading: Callable[[str], Reading]) -> Grader:
    return Grader(name, reading, source="", rule="", unread="")


def faults(grader: Grader, cases: Sequence[Case] = CASES) -> list[str]:
    """The answers of which a grader says what the writer did not."""
    return [name for name, found in outcomes(grader, cases).items() if found in ("guessed", "reversed")]


# --- the answers ------------------------------------------------------------------------------------------------------


def test_the_answers_are_distinct_and_of_every_meaning() -> None:
    assert len(CASES) >= 50
    assert len({case.name for case in (*CASES, *LIMITS)}) == len(CASES) + len(LIMITS)
    assert len({case.text for case in CASES}) == len(CASES)
    assert {case.kind for case in CASES} == set(KINDS)
    assert all((case.meaning is None) == (case.kind == "nothing") for case in CASES)
    assert min(Counter(case.meaning for case in CASES).values()) >= 15


@pytest.mark.parametrize(
    ("reading", "meaning", "expected"),
    [
        ("normal", "normal", "agrees"),
        (None, None, "agrees"),
        (None, "anomalous", "unread"),
        ("normal", None, "guessed"),
        ("normal", "anomalous", "reversed"),
    ],
)
def test_an_outcome_compares_what_was_read_with_what_was_meant(
    reading: Reading, meaning: Reading, expected: str
) -> None:
    assert outcome(reading, meaning) == expected


# --- our reading ------------------------------------------------------------------------------------------------------


def test_ours_guesses_nothing_and_reverses_nothing() -> None:
    assert faults(OURS) == []


def test_a_reader_that_looks_for_words_would_be_caught() -> None:
    words = reader("words", lambda text: "anomalous" if "anomalous" in text else "normal")
    assert {"empty", "our prompt, copied"} <= set(faults(words))
    lenient = reader("last verdict", lambda text: (re.findall('"(normal|anomalous)"', text) or [None])[-1])
    assert faults(lenient) == ["our prompt, copied", "two blocks, opposite verdicts", "one block, opposite verdicts"]


@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_the_verdict_is_the_same_under_every_protocol(stages: Stages) -> None:
    for case in CASES:
        assert read(case.text, FRAME, stages=stages).verdict == OURS.reading(case.text), case.name


def test_ours_reads_its_own_form_and_no_other() -> None:
    read_ones = [case for case in CASES if OURS.reading(case.text) is not None]
    assert len(read_ones) >= 10
    assert {case.kind for case in read_ones} == {"ours"}


def test_ours_takes_a_block_at_its_word() -> None:
    assert [OURS.reading(case.text) for case in LIMITS] == ["normal"] * len(LIMITS)
    assert faults(OURS, LIMITS) == [case.name for case in LIMITS]


@pytest.mark.parametrize("label", LABELS)
def test_agreement_is_what_the_evaluation_counts(label: Label) -> None:
    cases = [case for case in CASES if case.meaning == label]
    lines = [prediction(label, OURS.reading(case.text)) for case in cases]
    agreeing = [outcomes(OURS)[case.name] == "agrees" for case in cases]
    assert [line.correct for line in lines] == agreeing
    assert 0 < sum(agreeing) < len(agreeing)


# --- what is published of the others ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("A or B", "B"),
        ("The answer is B. A mark is harmless.", "A"),
        ("Both BAD", "B"),  # no letter stands alone; the closest option is No.
        ("C", "C"),
        ("", "A"),
        ("I'm sorry, but I can't assist with that.", "B"),
    ],
)
def test_mmad_takes_the_last_lone_letter_or_the_closest_option(text: str, letter: str) -> None:
    assert mmad_letter(text) == letter


@given(st.text())
def test_mmad_finds_a_letter_in_every_text(text: str) -> None:
    assert mmad_letter(text) in "ABCDE"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("<answer>B</answer>", "B"),
        ("<answer>A</answer> <answer>B</answer>", "B"),
        ("<answer>Correct option: B</answer>", "C"),
        ("<answer>it says yes.</answer>", "A"),
        ("<answer>it says yes</answer>", "X"),  # the option is sought with its full stop
        ("B", "X"),
        ("<answer></answer>", "X"),
        ("</answer>A<answer>", "X"),
    ],
)
def test_anomalyr1_takes_the_first_capital_inside_the_last_tags(text: str, letter: str) -> None:
    assert anomalyr1_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("<answer>Yes</answer>", "A"),
        ("<answer>NO</answer>", "B"),
        ("<answer></answer>", "A"),  # nothing is contained in everything
        ("<answer>abnormal</answer>", "B"),
        ("<answer>eyes</answer>", "A"),
        ("<answer>defective</answer>", "E"),
        ("<answer>\nYes\n</answer>", "E"),
        ("Yes", "E"),
    ],
)
def test_iad_r1_evaluates_by_parts_of_words(text: str, letter: str) -> None:
    assert iad_r1_letter(text) == letter


def test_iad_r1_rewards_whole_words_only() -> None:
    assert iad_r1_reward("<answer>Yes</answer>", "yes") == 1
    assert iad_r1_reward("<answer>abnormal</answer>", "no") == 0
    assert iad_r1_reward("<answer>\nYes\n</answer>", "yes") == 0
    assert faults(IAD_R1_REWARD) == []


@pytest.mark.parametrize("text", ["abnormal", "normal", "unknown", "anomaly present: yes"])
def test_vlm_r1_finds_no_inside_words(text: str) -> None:
    assert vlm_r1_reward(text, "no") == 1
    assert vlm_r1_reward(text, "yes") == 0
    assert VLM_R1.reading(text) == "normal"


def test_vlm_r1_pays_when_neither_side_has_an_answer() -> None:
    assert vlm_r1_reward("", "defective") == 1
    assert vlm_r1_reward("", "yes") == 0
    assert VLM_R1.reading("") is None


@pytest.mark.parametrize(
    ("text", "label"), [("Yes", "anomalous"), (" Yes", "normal"), ("YES", "anomalous"), ("", "normal")]
)
def test_anomalib_looks_at_the_first_character(text: str, label: Label) -> None:
    assert ANOMALIB.reading(text) == label


@pytest.mark.parametrize(
    ("grader", "name"),
    [
        (MMAD, "B, then a sentence with A"),
        (MMAD, "refusal"),
        (ANOMALY_R1, "a sentence before B in the tags"),
        (IAD_R1, "empty answer tags"),
        (IAD_R1, "the word abnormal in the tags"),
        (VLM_R1, "anomaly present: yes"),
        (VLM_R1, "eyes of the hook"),
        (ANOMALIB, "a space before Yes"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_known_fault_shows_in_the_comparison(grader: Grader, name: str) -> None:
    assert name in faults(grader)


def test_every_grader_reads_the_plain_answer_that_it_asks_for() -> None:
    plain = {
        MMAD: ("A", "B."),
        ANOMALY_R1: ("B in answer tags", "A, with B in the thinking"),
        IAD_R1: ("No in answer tags", "Yes with place and type"),
        IAD_R1_REWARD: ("No in answer tags", "Yes with place and type"),
        VLM_R1: ("No in answer tags", "Yes with place and type"),
        ANOMALIB: ("YES with a reason", "NO with a reason"),
        OURS: ("canonical, normal", "canonical, anomalous"),
    }
    assert set(plain) == set(GRADERS)
    for grader, names in plain.items():
        assert {outcomes(grader)[name] for name in names} == {"agrees"}, grader.name
        assert {NAMES[name].meaning for name in names} == set(LABELS)


# --- counting ---------------------------------------------------------------------------------------------------------


def walked_and_removed(parts: Sequence[tuple[Label, Reading]]) -> list[tuple[Label, Reading]]:
    """What is left to count when entries are removed from the list that a loop walks: the fault itself."""
    entries, counted = list(enumerate(parts)), []
    for entry in entries:
        if entry[1][1] is None:
            entries.remove(entry)
        else:
            counted.append(entry[1])
    return counted


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from((*LABELS, None))), min_size=1))
def test_mmad_counts_what_removing_while_walking_leaves(parts: list[tuple[Label, Reading]]) -> None:
    counted = walked_and_removed(parts)
    if counted:
        assert mmad_count(parts).counted == len(counted)
        assert mmad_count(parts).ignored == sum(said is not None for _, said in parts) - len(counted)
        assert mmad_count(parts).share == sum(truth == said for truth, said in counted) / len(counted)


def test_unreadable_answers_raise_the_one_score_and_lower_the_other() -> None:
    parts, whole = simulated(), simulated(failing=0)
    assert adfm_count(parts).share < adfm_count(whole).share - 0.07
    assert mmad_count(parts).share == pytest.approx(adfm_count(whole).share, abs=0.02)
    assert mmad_count(whole) == adfm_count(whole)


def test_our_count_is_the_accuracy_of_the_evaluation() -> None:
    parts = simulated(count=40)
    lines = [prediction(truth, said, f"{n}") for n, (truth, said) in enumerate(parts)]
    found = evaluate(lines, resamples=2)["metrics"]["accuracy"]
    assert found["value"] == pytest.approx(adfm_count(parts).share)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_holds_what_the_code_prints() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, tables()) == page, "run `python benchmarks/graders.py`"
    changed = re.sub(r"\| adfm \| \d+", "| adfm | 999", page, count=1)
    assert with_tables(changed, tables()) == page != changed


def test_a_page_without_its_markers_is_refused() -> None:
    for page in ("", BEGIN, f"{BEGIN}{BEGIN}{END}", f"{END}{BEGIN}"):
        with pytest.raises(ValueError):
            with_tables(page, "x")
