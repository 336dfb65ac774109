"""Preparing each distinct prompt and picture once gives what preparing all copies gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from step_helpers import chat, picture

from adfm.models.files import load_processor
from adfm.training.shared_prefix.pictures import PictureMemo, neighbours, once_per_picture

ORDER = [0, 0, 0, 1, 1, 2, 0]


class Counting:
    """An image processor that counts pictures."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.seen = processor, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, images: Any, **options: Any) -> Any:
        self.seen += len(images)
        return self.processor(images, **options)


def inputs(processor: Any) -> tuple[list[Any], list[str]]:
    """Every copy of a prompt has its own picture objects, as a data set that decodes them anew hands them out."""
    chats = [chat(number, 1 + number % 2) for number in ORDER]
    images = [[part["image"] for part in prompt[0]["content"] if part["type"] == "image"] for prompt in chats]
    return images, [processor.apply_chat_template(prompt, add_generation_prompt=True) for prompt in chats]


@pytest.mark.parametrize("tensors", ["pt", None])
def test_the_same_inputs_with_each_picture_processed_once(folder: Any, tensors: str | None) -> None:
    processor = load_processor(str(folder))
    options = {"padding": True, "return_tensors": tensors} if tensors else {}
    images, texts = inputs(processor)
    stock = processor(images=images, text=texts, **options)
    processor.image_processor = Counting(processor.image_processor)
    once = once_per_picture(processor)
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


def test_a_changed_pixel_is_another_picture(folder: Any) -> None:
    memo = PictureMemo(Counting(load_processor(str(folder)).image_processor))
    first, changed = picture(0), picture(0)
    changed.putpixel((3, 3), (0, 0, 0))
    patches = [memo([image], return_tensors="pt")["pixel_values"] for image in (first, changed, first.copy())]
    assert torch.equal(patches[0], patches[2])
    assert not torch.equal(patches[0], patches[1])
    assert memo.seen == 2


def test_neighbours_need_the_same_text_and_the_same_pictures() -> None:
    a, b = picture(0), picture(1)
    assert neighbours(["x", "x", "x", "y", "y"], [[a], [a.copy()], [b], [b], [b, b]]) == [
        (0, 2),
        (2, 1),
        (3, 1),
        (4, 1),
    ]
