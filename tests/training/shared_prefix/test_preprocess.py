"""Preparing each distinct prompt and image once gives what preparing all copies gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from step_helpers import chat, noise

from adfm.models.files import load_processor
from adfm.models.image_tokens import GRID
from adfm.training.shared_prefix.preprocess import ImageMemo, neighbours, once_per_image

ORDER = [0, 0, 0, 1, 1, 2, 0]


class Counting:
    """An image processor that counts images."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.seen = processor, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, images: Any, **options: Any) -> Any:
        self.seen += len(images)
        return self.processor(images, **options)


def inputs(processor: Any) -> tuple[list[Any], list[str]]:
    """Every copy of a prompt has its own image objects, as a data set hands them out that decodes each copy."""
    chats = [chat(number, 1 + number % 2) for number in ORDER]
    images = [[part["image"] for part in prompt[0]["content"] if part["type"] == "image"] for prompt in chats]
    return images, [processor.apply_chat_template(prompt, add_generation_prompt=True) for prompt in chats]


@pytest.mark.parametrize("tensors", ["pt", None])
def test_the_same_inputs_with_each_image_processed_once(folder: Any, tensors: str | None) -> None:
    processor = load_processor(str(folder))
    options = {"padding": True, "return_tensors": tensors} if tensors else {}
    images, texts = inputs(processor)
    stock = processor(images=images, text=texts, **options)
    processor.image_processor = Counting(processor.image_processor)
    once = once_per_image(processor, GRID)
    for _ in range(2):
        images, texts = inputs(processor)
        ours = once(images=images, text=texts, **options)
        assert stock.keys() == ours.keys()
        for name in stock:
            same = (
                torch.equal(stock[name], ours[name])
                if isinstance(stock[name], torch.Tensor)
                else stock[name] == ours[name]
            )
            assert same, name
    assert processor.image_processor.seen == 1 + 2 + 1
    assert type(processor) is not type(once)
    assert isinstance(once, type(processor))


def test_a_changed_pixel_is_another_image(folder: Any) -> None:
    memo = ImageMemo(Counting(load_processor(str(folder)).image_processor), GRID)
    first, changed = noise(0), noise(0)
    changed.putpixel((3, 3), (0, 0, 0))
    patches = [memo([image], return_tensors="pt")["pixel_values"] for image in (first, changed, first.copy())]
    assert torch.equal(patches[0], patches[2])
    assert not torch.equal(patches[0], patches[1])
    assert memo.seen == 2


def test_neighbours_need_the_same_text_and_the_same_images() -> None:
    a, b = noise(0), noise(1)
    rows = [("x", [a]), ("x", [a.copy()]), ("x", [b]), ("y", [b]), ("y", [b, b])]
    assert neighbours(rows) == [(0, 2), (2, 1), (3, 1), (4, 1)]
    assert neighbours([]) == []


def test_equal_chats_need_the_same_texts_and_the_same_images() -> None:
    chats = [chat(number, 1 + number % 2) for number in ORDER]
    assert neighbours(chats) == [(0, 3), (3, 2), (5, 1), (6, 1)]
    chats[1][0]["content"][-1]["text"] += "."
    chats[4][0]["content"][0]["image"] = noise(99)
    assert neighbours(chats) == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]


def test_plain_texts_are_compared_with_their_roles() -> None:
    said = [[{"role": role, "content": "Inspect."}] for role in ("user", "user", "system")]
    assert neighbours(said) == [(0, 2), (2, 1)]
