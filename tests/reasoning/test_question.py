"""The one place that puts a prompt together: what it shows, in which order, and what its hash covers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from adfm.errors import ConfigError
from adfm.geometry import Frame
from adfm.reasoning import (
    DEFAULT,
    PIXELS,
    STAGES,
    THOUSANDTHS,
    Protocol,
    Question,
    StagesName,
    ask,
    canonical,
    prompt,
    read,
)
from adfm.records import Sample

FRAME = Frame(64, 48, 28, 56)
PART = Image.new("RGB", (64, 48), "red")
OTHER = Image.new("RGB", (64, 48), "blue")
GOOD = Image.new("RGB", (32, 32), "green")
SAMPLE = Sample("a", "a.png", 64, 48, "normal", "cap", None, None, (), "test", "0")


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("name_category", [True, False])
@pytest.mark.parametrize(("frame", "hint"), [(FRAME, PIXELS), (Frame.thousand(64, 48), THOUSANDTHS)])
def test_the_image_comes_before_the_one_text(stages: StagesName, name_category: bool, frame: Frame, hint: str) -> None:
    protocol = Protocol(stages=stages, name_category=name_category)
    question = ask(PART, frame, protocol, category="cap")
    text = prompt(STAGES[stages], category="cap" if name_category else None, frame_hint=hint)
    assert question == Question((PART, text), frame, protocol)
    assert (question.image, question.images, question.text) == (PART, (PART,), text)
    assert question.chat == [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def test_references_come_first_and_the_last_image_is_the_one_asked_about() -> None:
    question = ask(PART, FRAME, Protocol(shots=2), category=None, references=(GOOD, OTHER))
    assert question.images == (GOOD, OTHER, PART)
    assert question.image is PART
    assert [part["type"] for part in question.chat[0]["content"]] == ["image", "image", "image", "text"]


@pytest.mark.parametrize(("shots", "given"), [(0, 1), (2, 0), (2, 1), (2, 3)])
def test_another_number_of_references_is_refused(shots: int, given: int) -> None:
    with pytest.raises(ConfigError, match=f"shows {shots} reference images and {given} were given") as caught:
        ask(PART, FRAME, Protocol(shots=shots), category=None, references=[GOOD] * given)
    assert "\n" not in str(caught.value)


def test_the_hash_of_one_text_without_references_is_that_of_the_text() -> None:
    question = ask(PART, FRAME, DEFAULT, category="café")
    assert question.sha256 == hashlib.sha256(question.text.encode()).hexdigest()
    odd = ask(PART, FRAME, DEFAULT, category="\ud800")
    assert odd.sha256 == hashlib.sha256(odd.text.encode("utf-8", "replace")).hexdigest()


def test_the_hash_covers_text_and_references_but_not_the_image_asked_about() -> None:
    question = ask(PART, FRAME, Protocol(shots=2), category="cap", references=(GOOD, OTHER))
    texts = question.parts[3:]
    assert replace(question, parts=(GOOD, OTHER, OTHER, *texts)).sha256 == question.sha256
    changed = [
        replace(question, parts=(PART, OTHER, PART, *texts)),
        replace(question, parts=(OTHER, GOOD, PART, *texts)),
        replace(question, parts=(GOOD, PART, *texts)),
        replace(question, parts=(GOOD.resize((16, 64)), OTHER, PART, *texts)),
        replace(question, parts=(GOOD, OTHER, PART, question.text + " ")),
        replace(question, parts=(GOOD, OTHER, PART, question.text[:9], question.text[9:])),
    ]
    hashes = {question.sha256, *(other.sha256 for other in changed)}
    assert len(hashes) == 1 + len(changed)


def test_a_reference_file_is_named_by_its_content_and_the_image_asked_about_need_not_exist(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, image in zip(paths, (GOOD, GOOD, OTHER), strict=True):
        image.save(path)
    missing = tmp_path / "missing.png"
    same, renamed, other = (
        ask(missing, FRAME, Protocol(shots=1), category=None, references=(path,)).sha256 for path in paths
    )
    assert same == renamed != other


def test_files_are_decoded_on_request() -> None:
    question = ask(Path("part.png"), FRAME, Protocol(shots=1), category=None, references=(Path("good.png"),))
    images = {Path("part.png"): PART, Path("good.png"): GOOD}
    assert question.decoded(images.__getitem__) == replace(question, parts=(GOOD, PART, question.text))


@pytest.mark.parametrize("stages", STAGES)
def test_answers_are_read_in_the_questions_frame_and_stages(stages: StagesName) -> None:
    question = ask(PART, FRAME, Protocol(stages=stages), category=None)
    text = canonical(SAMPLE, FRAME, stages=STAGES[stages])
    assert question.read(text) == read(text, FRAME, stages=STAGES[stages])
    assert question.read(text).strict
    assert (
        not ask(PART, FRAME, Protocol(stages="full" if stages != "full" else "verdict"), category=None)
        .read(text)
        .strict
    )
