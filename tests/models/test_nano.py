"""The bundled model: loads like any checkpoint, and its tokenizer writes every answer that there can be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_tokenizer

from adfm.data.synthetic import DEFECT_KINDS, MATERIALS
from adfm.geometry import Box, Frame
from adfm.models.local import verdict_tokens
from adfm.models.nano import WEIGHTS
from adfm.reasoning import PIXELS, STAGES, canonical, prompt
from adfm.records import Sample

bundled = pytest.mark.skipif(not (WEIGHTS / "config.json").is_file(), reason="nano's weights are not built yet")


@cache
def nano_tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(WEIGHTS)


@cache
def small_tokenizer() -> Any:
    return tiny_tokenizer()


TOKENIZERS = [pytest.param(small_tokenizer, id="tiny"), pytest.param(nano_tokenizer, id="nano", marks=bundled)]
each = pytest.mark.parametrize("make", TOKENIZERS)


def written(tokenizer: Any, text: str) -> str:
    """The text after one way through the tokens."""
    return str(tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]))


def answers() -> Iterator[str]:
    """Canonical answers of both labels, of every kind, protocol and some frames."""
    for kind in (None, *DEFECT_KINDS):
        boxes = (Box(1, 2, 30, 40), Box(50, 61, 137, 140)) if kind else ()
        label: Any = "anomalous" if kind else "normal"
        sample = Sample("", "", 140, 140, label, "", kind, None, boxes, "train", "")
        for stages in STAGES.values():
            yield canonical(sample, Frame.original(140, 140), stages=stages)
            yield canonical(sample, Frame.thousand(140, 140), stages=stages)


@bundled
def test_it_loads_with_two_lines() -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model, report = AutoModelForImageTextToText.from_pretrained(WEIGHTS, output_loading_info=True)
    processor = AutoProcessor.from_pretrained(WEIGHTS)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(processor).__name__ == "Qwen2_5_VLProcessor"
    assert processor.chat_template
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 4e6


@bundled
def test_it_is_a_few_megabytes_and_nothing_is_pickled() -> None:
    files = list(WEIGHTS.iterdir())
    assert sum(file.stat().st_size for file in files) < 20e6
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja", ".md"}


@each
def test_digits_are_split_one_by_one(make: Any) -> None:
    tokenizer = make()
    for text in ("[0, 13, 140, 1000]", "1234567890", "a1b22c333", "00"):
        pieces = [tokenizer.decode([token]) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
        assert all(piece.isdigit() is False or len(piece) == 1 for piece in pieces)
        assert sum(piece.isdigit() for piece in pieces) == sum(letter.isdigit() for letter in text)


@each
def test_every_canonical_answer_and_prompt_survives(make: Any) -> None:
    tokenizer = make()
    prompts = [prompt(stages, category=name, frame_hint=PIXELS) for stages in STAGES.values() for name in MATERIALS]
    for text in (*answers(), *prompts):
        assert written(tokenizer, text) == text


@each
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(deadline=None, max_examples=60)
def test_any_text_survives(make: Any, text: str) -> None:
    assert written(make(), text) == text


@each
def test_the_verdicts_have_tokens_of_their_own(make: Any) -> None:
    tokenizer = make()
    normal, anomalous = verdict_tokens(tokenizer)
    assert normal != anomalous
    for text in answers():
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        said = anomalous if '"verdict": "anomalous"' in text else normal
        assert said in tokens
