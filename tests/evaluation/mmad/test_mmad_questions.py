"""`mmad.json` is read as published, refused in one line where it is not, and no path of it leads out of the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adfm.errors import DataError
from adfm.evaluation.mmad import questions
from adfm.evaluation.mmad.questions import (
    COUNTS,
    DETECTION,
    IMAGES,
    PUBLISHED,
    QUESTION_COUNT,
    TASKS,
    Entry,
    Item,
    check_complete,
    counted,
    knowledge_of,
    read_entries,
    read_knowledge,
)

BOTTLE = "DS-MVTec/bottle/image/broken_large/000.png"


def rewrite(root: Path, content: Any) -> Path:
    (root / "mmad.json").write_text(json.dumps(content))
    return root


def test_every_picture_and_question_is_read(mini: Path, content: dict[str, Any]) -> None:
    entries = read_entries(mini)
    assert [entry.image for entry in entries] == list(content)
    assert [entry.label for entry in entries] == ["anomalous", "normal"] * 4
    assert [len(entry.questions) for entry in entries] == [5, 2, 4, 5, 5, 5, 5, 5]
    first = entries[0].questions[1]
    assert (first.id, first.task, first.answer, first.letters) == (f"{BOTTLE}#2", "Defect Classification", "A", "ABCD")
    assert first.options[1] == ("B", "At the bottom.")
    assert entries[0].templates == tuple(content[BOTTLE]["random_templates"])
    assert entries[1].questions[1].letters == "ABCDE"


def test_structure_and_details_count_as_analysis(mini: Path) -> None:
    tasks = [question.task for question in read_entries(mini)[3].questions]
    assert tasks == [DETECTION, "Object Classification", *["Object Analysis"] * 3]
    assert set(tasks) <= set(TASKS)


def test_letters_are_given_by_position(mini: Path, content: dict[str, Any]) -> None:
    changed = question_with(Options={"B": "No.", "D": "Yes."}, Answer="D")(content)
    question = read_entries(rewrite(mini, changed))[0].questions[0]
    assert (question.options, question.answer) == ((("A", "No."), ("B", "Yes.")), "B")


def test_goods_is_not_good(mini: Path) -> None:
    assert {e.label for e in read_entries(mini) if e.category[0] == "GoodsAD"} == {"normal", "anomalous"}


def test_knowledge_is_found_under_the_name_of_its_file(mini: Path) -> None:
    knowledge = read_knowledge(mini / "domain_knowledge.json")
    texts = [knowledge_of(knowledge, entry) for entry in read_entries(mini)]
    assert texts[0] == "A clean rim.\nA large break."
    assert texts[2] is None and texts[7] == "Closed.\nThe flap stands open."


Change = Callable[[dict[str, Any]], Any]


def question_with(**changes: Any) -> Change:
    def change(content: dict[str, Any]) -> Any:
        content[BOTTLE]["conversation"][0] |= changes
        return content

    return change


def entry_with(**changes: Any) -> Change:
    def change(content: dict[str, Any]) -> Any:
        content[BOTTLE] |= changes
        return content

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _: [], "must be a JSON object"),
        (lambda _: {}, "holds no image"),
        (lambda content: content | {BOTTLE: 3}, f"'{BOTTLE}': must be a JSON object"),
        (lambda content: content | {"a.png": {}}, "'a.png' must be a path DATASET/OBJECT/"),
        (entry_with(image_path="other.png"), "names another image"),
        (entry_with(conversation={}), "the conversation: must be a list"),
        (entry_with(random_templates="x"), "'random_templates': must be a list"),
        (question_with(Question=" "), "question 1: 'Question' must be a text"),
        (question_with(type="Riddle"), "the type 'Riddle' is none of MMAD's"),
        (question_with(Answer="C"), "the answer 'C' is none of its options A, B"),
        (question_with(Options={"A": "Yes."}), "2 to 5 options"),
        (question_with(Options=dict.fromkeys("ABCDEF", "x")), "2 to 5 options, not 6"),
        (question_with(Options={"A": "Yes.", "B": 3}), "'Options' 'B' must be a text"),
    ],
)
def test_another_form_is_refused_in_one_line(change: Change, told: str, mini: Path, content: dict[str, Any]) -> None:
    read_entries(mini)  # the control: unchanged it is read
    with pytest.raises(DataError) as refused:
        read_entries(rewrite(mini, change(content)))
    assert told in str(refused.value) and "\n" not in str(refused.value)
    assert str(mini / "mmad.json") in str(refused.value)


def test_a_folder_without_the_file_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data must be the folder that holds MMAD's mmad\.json"):
        read_entries(tmp_path)


@pytest.mark.parametrize(
    "path", ["../x/y.png", "/etc/x/y.png", "C:/x/y.png", "a/b/../../../c.png", "a\\..\\..\\b/c/d", ""]
)
def test_a_path_that_leaves_the_folder_is_refused(path: str, mini: Path, content: dict[str, Any]) -> None:
    for changed in (
        content | {path: content[BOTTLE] | {"image_path": path}},
        entry_with(random_templates=[path])(content),
    ):
        with pytest.raises(DataError, match=r"leaves the data folder|must be a text"):
            read_entries(rewrite(mini, changed))


def test_without_the_check_such_a_path_would_be_read(
    mini: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content[BOTTLE]["random_templates"] = ["DS-MVTec/../../secret.png"]
    monkeypatch.setattr(questions, "_path", lambda where, path: path)
    assert read_entries(rewrite(mini, content))[0].templates == ("DS-MVTec/../../secret.png",)


def test_dots_inside_a_name_stay(mini: Path, content: dict[str, Any]) -> None:
    content[BOTTLE]["random_templates"] = ["a/b/..c.png", "a/b/c...png"]
    assert len(read_entries(rewrite(mini, content))[0].templates) == 2


def whole() -> Iterator[Entry]:
    """Entries with exactly the published number of questions of each kind."""
    for (dataset, task, label), count in PUBLISHED.items():
        for number in range(count):
            image = f"{dataset}/part/{'good' if label == 'normal' else 'bad'}/{task}-{number}.png"
            question = Item(image, 1, task, "?", (("A", "a"), ("B", "b")), "A")
            yield Entry(image, (), (question,))


def test_the_published_counts_add_up() -> None:
    assert QUESTION_COUNT == 39672
    assert sum(normal + anomalous for normal, anomalous, *_ in COUNTS.values()) == 8297
    assert IMAGES - 8297 == 69  # pictures without a question about anomalies
    assert sum(counts[1] for counts in COUNTS.values()) == 5047


def test_a_full_set_passes_and_a_wrong_one_is_refused() -> None:
    entries = list(whole())
    assert check_complete(entries, "mmad.json") == ()
    assert sum(counted(entries).values()) == QUESTION_COUNT
    first = entries[0]
    moved = Entry("VisA" + first.image.removeprefix("DS-MVTec"), (), first.questions)
    with pytest.raises(DataError, match=r"DS-MVTec, Anomaly Detection, normal: 464 questions, MMAD has 465"):
        check_complete([moved, *entries[1:]], "mmad.json")


def test_a_part_is_warned_about(mini: Path) -> None:
    (warning,) = check_complete(read_entries(mini), "mmad.json")
    assert warning.startswith("mmad.json holds 36 of MMAD's 39672 questions (39636 are missing)")
