"""A local model's answers: the same in any batch, never a placeholder, and a score that is the verdict token's odds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.geometry import Frame
from adfm.models import local
from adfm.models.local import LocalModel, VerdictWatch, sigmoid, verdict_tokens
from adfm.reasoning import Protocol, Question

PROMPT = "Inspect this part."
ANSWER = '<locate>[]</locate>\n<examine>fine</examine>\n<answer>{"verdict": "anomalous", "regions": []}</answer>'


def images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(64, 64), (90, 40), (40, 90), (120, 77)]
    return [
        Image.fromarray(random.integers(0, 256, (*sizes[number % 4][::-1], 3), dtype=np.uint8))
        for number in range(count)
    ]


def asking(*parts: str | Image.Image, tokens: int = 512) -> Question:
    """A question of these parts; its answer is at most so many tokens long."""
    return Question(parts, Frame.original(1, 1), Protocol(max_new_tokens=tokens))


def inputs(model: LocalModel, questions: Sequence[Question], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the weights are given when the model answers these questions."""
    given: dict[str, Any] = {}
    generate = model.weights.generate

    def watched(**batch: Any) -> Any:
        given.update(batch)
        return generate(**batch)

    with monkeypatch.context() as patch:
        patch.setattr(model.weights, "generate", watched)
        model.answer(questions)
    return given


def changed_copy(tiny: Path, out: Path, change: Callable[[Any], None]) -> str:
    """Save the tiny model with changed weights or settings."""
    from transformers import AutoModelForImageTextToText

    shutil.copytree(tiny, out)
    model = AutoModelForImageTextToText.from_pretrained(tiny)
    change(model)
    model.save_pretrained(out)
    return str(out)


def test_a_batch_answers_as_single_images_do(either: Path) -> None:
    model = LocalModel.load(str(either))
    prompts = [PROMPT, PROMPT + " It is a nut.", PROMPT * 3, "x"]
    questions = [asking(image, text, tokens=16) for image, text in zip(images(4), prompts, strict=True)]
    together = model.answer(questions)
    alone = [model.answer([question])[0] for question in questions]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in together}) > 1  # or the comparison says nothing


def test_twice_is_the_same(either: Path) -> None:
    first, second = (LocalModel.load(str(either)) for _ in range(2))
    questions = [asking(image, PROMPT, tokens=12) for image in images(2)]
    assert first.answer(questions) == second.answer(questions)
    assert first.revision == second.revision


def test_placeholders_are_never_written(either: Path) -> None:
    import torch

    model, question = LocalModel.load(str(either)), asking(images(1)[0], PROMPT, tokens=6)
    tokenizer, weights = model.processor.tokenizer, model.weights
    head = torch.nn.Linear(weights.lm_head.in_features, len(tokenizer))  # a model that wants placeholders above all
    torch.nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.arange(len(tokenizer)) * -1e-3)
        head.bias[model._banned] = torch.tensor([40.0, 30.0, 20.0, 10.0])
    weights.lm_head = head
    model._decode = tokenizer.decode  # with special tokens, which the model's own leaves out
    placeholders = [tokenizer.decode([token]) for token in model._banned]
    assert len(placeholders) == 4
    assert not any(name in model.answer([question])[0].text for name in placeholders)
    for token, name in zip(
        list(model._banned), placeholders, strict=True
    ):  # the control: each comes once it is allowed
        model._banned.remove(token)
        assert name in model.answer([question])[0].text
        model._banned.append(token)


def test_the_penalty_of_a_checkpoint_is_not_applied(tiny: Path, tmp_path: Path) -> None:
    def penalise(model: Any) -> None:
        model.generation_config.update(repetition_penalty=5.0, do_sample=True, temperature=0.1, top_k=2)

    folder = changed_copy(tiny, tmp_path / "penalised", penalise)
    plain, penalised = (LocalModel.load(name) for name in (str(tiny), folder))
    questions = [asking(image, PROMPT, tokens=16) for image in images(3)]
    assert plain.answer(questions) == penalised.answer(questions)


def test_the_protocol_of_the_questions_limits_the_answer(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = LocalModel.load(str(tiny)), images(1)[0]
    given = inputs(model, [asking(image, PROMPT, tokens=3), asking(image, PROMPT, tokens=5)], monkeypatch)
    assert given["max_new_tokens"] == 5  # of a batch, the longest
    tokens = model.processor.tokenizer(model.answer([asking(image, PROMPT, tokens=3)])[0].text)["input_ids"]
    assert len(tokens) <= 3


def forced(text: str, model: LocalModel) -> Callable[..., Any]:
    """Return a logits processor that makes a model write a text, seen before the watch; the others keep their logits."""
    tokens = model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    class Force(VerdictWatch):
        step = 0

        def __call__(self, ids: Any, scores: Any) -> Any:
            super().__call__(ids, scores)
            chosen = scores.clone()
            chosen[:, tokens[min(self.step, len(tokens) - 1)]] = 1e9
            self.step += 1
            return chosen

    return Force


@pytest.mark.parametrize("said", ["anomalous", "normal"])
def test_the_score_is_the_softmax_of_a_separate_forward(
    said: str, either: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    text = ANSWER.replace("anomalous", said)
    model = LocalModel.load(str(either))
    tokenizer = model.processor.tokenizer
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    question = asking(images(1)[0], PROMPT, tokens=len(tokens))
    batch = inputs(model, [question], monkeypatch)
    monkeypatch.setattr(local, "VerdictWatch", forced(text, model))
    answer = model.answer([question])[0]
    assert answer.text == text
    extra = torch.tensor([tokens])
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "mm_token_type_ids")
    batch = {name: batch[name] for name in names if name in batch}
    batch["input_ids"] = torch.cat([batch["input_ids"], extra], dim=1)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    if "mm_token_type_ids" in batch:
        batch["mm_token_type_ids"] = torch.cat([batch["mm_token_type_ids"], torch.zeros_like(extra)], dim=1)
    with torch.inference_mode():
        logits = model.weights(**batch).logits[0]
    normal, anomalous = verdict_tokens(tokenizer)
    place = tokens.index(anomalous if said == "anomalous" else normal)
    pair = logits[len(logits) - len(tokens) + place - 1, [normal, anomalous]]
    assert answer.score == pytest.approx(torch.softmax(pair, 0)[1].item(), abs=1e-4)


def watch_of(logits: Sequence[tuple[float, float]]) -> VerdictWatch:
    """A watch that saw these logits of `normal` (token 1) and `anomalous` (token 2) at each step."""
    import torch

    watch = VerdictWatch(1, 2)
    for pair in logits:
        watch(None, torch.tensor([[0.0, *pair, 0.0]]))
    return watch


WORDS = ['"verdict": "', "normal", "an", " edge", '"label": "', "\n", '"verdict":', ' "an']


def words(tokens: Sequence[int]) -> str:
    return "".join(WORDS[token] for token in tokens)


def test_a_label_that_begins_like_a_verdict_is_not_one() -> None:
    watch = watch_of([(0, 0), (0, 2), (0, 0), (9, -9), (0, 0)])
    assert watch.log_odds(0, [0, 2, 4, 2, 3], words) == pytest.approx(2.0)


def test_the_last_verdict_counts() -> None:
    watch = watch_of([(0, 0), (0, 0), (0, 0), (0, 0), (0, -1)])
    assert watch.log_odds(0, [0, 1, 5, 0, 2], words) == pytest.approx(-1.0)


@pytest.mark.parametrize("tokens", [[], [2], [4, 2], [0, 3], [5, 1, 0]])
def test_no_verdict_no_score(tokens: list[int]) -> None:
    assert watch_of([(0, 5)] * len(tokens)).log_odds(0, tokens, words) is None


def test_a_score_of_no_numbers_is_none() -> None:
    nan = float("nan")
    assert watch_of([(0, 0), (nan, 0)]).log_odds(0, [0, 2], words) is None
    log_odds = watch_of([(0, 0), (9e9, -9e9)]).log_odds(0, [0, 2], words)
    assert log_odds == pytest.approx(-1.8e10)
    assert sigmoid(log_odds) == pytest.approx(0, abs=1e-300)


def test_several_images_in_one_prompt_are_met_in_order(either: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel.load(str(either))
    first, second = images(2)
    questions = [
        asking("A", first, "B", second, PROMPT, tokens=12),
        asking("A", second, "B", first, PROMPT, tokens=12),
        asking(second, PROMPT, tokens=12),
    ]
    batch = inputs(model, questions, monkeypatch)
    marks = [model.processor.tokenizer.decode(ids).count("<|vision_start|>") for ids in batch["input_ids"]]
    assert marks == [2, 2, 1] and len(batch["image_grid_thw"]) == 5
    together = [answer.text for answer in model.answer(questions)]
    assert together == [model.answer([question])[0].text for question in questions]
    assert len(set(together)) == 3  # the control: neither order nor number of images is lost


def test_several_images_are_numbered_where_the_template_can(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel.load(str(tiny))
    numbered = (
        "{% set n = namespace(images=0) %}{% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}"
    )
    numbered += "{% set n.images = n.images + 1 %}{% if add_vision_id %}Image {{ n.images }}: {% endif %}"
    numbered += "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    model.processor.chat_template = numbered
    first, second = images(2)
    questions = [asking("A", first, second, PROMPT, tokens=1), asking(second, PROMPT, tokens=1)]
    batch = inputs(model, questions, monkeypatch)
    two, one = (model.processor.tokenizer.decode(ids) for ids in batch["input_ids"])
    assert two.index("Image 1: ") < two.index("Image 2: ") < two.index(PROMPT)
    assert "Image" not in one
