"""The sizes of `adfm bench step`: a random Qwen2.5-VL, one image, and how long prompts and answers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from adfm.errors import ConfigError, nearest
from adfm.geometry import Box
from adfm.models.families import family_of
from adfm.models.nano.architecture import NanoShape, build_model, build_processor
from adfm.reasoning import DEFAULT
from adfm.records import Sample
from adfm.training.examples import Example, row
from adfm.training.subject import Subject


@dataclass(frozen=True)
class Case:
    """G answers of `answer` tokens to each of `prompts` prompts of `prompt` tokens, image included."""

    generations: int
    prompt: int
    answer: int
    prompts: int = 1


@dataclass(frozen=True)
class Size:
    """A model's shape, the image's side in pixels (28 to a visual token), the cases, and how often each is measured."""

    shape: NanoShape
    cases: tuple[Case, ...]
    pairs: int
    dtype: str = "float32"
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_CPU = NanoShape(
    side=448, vision_hidden=256, vision_layers=4, hidden=512, layers=8, heads=8, key_value_heads=4, intermediate=1536
)
# Qwen2.5-VL-3B-Instruct's published configuration; 896 px give 1,024 visual tokens.
_LARGE = NanoShape(
    side=896,
    vision_hidden=1280,
    vision_layers=32,
    hidden=2048,
    layers=36,
    heads=16,
    key_value_heads=2,
    intermediate=11008,
)
_LARGE_VISION = {"intermediate_size": 3420, "num_heads": 16, "fullatt_block_indexes": [7, 15, 23, 31]}

SIZES = {
    "tiny": Size(NanoShape(hidden=64, layers=2, vision_hidden=64, vision_layers=2), (Case(4, 120, 24),), pairs=2),
    "demo": Size(NanoShape(), (Case(8, 115, 70, prompts=16),), pairs=5),
    "cpu": Size(_CPU, (Case(4, 431, 96), Case(8, 431, 96), Case(16, 431, 96), Case(16, 432, 54)), pairs=5),
    "h100-3b": Size(
        _LARGE,
        (Case(8, 1125, 250),),
        pairs=5,
        dtype="bfloat16",
        overrides={"vision_config": _LARGE_VISION, "text_config": {"vocab_size": 151936}},
    ),
}


def size_named(name: str) -> Size:
    """Return a size.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in SIZES:
        raise ConfigError(f"--size {name}: unknown{nearest(name, SIZES)}; known are {', '.join(SIZES)}")
    return SIZES[name]


def random_subject(size: Size, seed: int, device: str) -> Subject:
    """Return a random model of the size to train, its tokenizer the bundled model's."""
    import torch

    from adfm.models.files import load_processor, resolve

    tokenizer = load_processor(resolve("nano")).tokenizer
    with torch.device(device):
        model = build_model(tokenizer, size.shape, seed=seed, overrides=size.overrides)
    processor, family = build_processor(tokenizer, size.shape), family_of(model.config.model_type)
    model = model.to(getattr(torch, size.dtype)).train()
    return Subject(model, processor, family.frame_rule(processor), family, DEFAULT)


def prompt_rows(
    size: Size, case: Case, subject: Subject, count: int, seed: int
) -> tuple[list[dict[str, Any]], list[Sample]]:
    """Return rows as a training reads them, images of noise, every prompt filled up to the case's number of tokens.

    Raises:
        ConfigError: the bare prompt is longer.
    """
    side = size.shape.side
    rng = np.random.default_rng(seed)
    box = (Box(side // 4, side // 4, side // 2, side // 2),)
    processor = subject.processor
    rows, samples = [], []
    for number in range(count):
        image = Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
        sample = Sample(str(number), "", side, side, "anomalous", "part", "hole", None, box, "train", "")
        example = Example(sample, lambda image=image: image)  # type: ignore[misc]
        one = row(example, subject, answer=False)
        text = processor.apply_chat_template(one["prompt"], tokenize=False, add_generation_prompt=True)
        missing = case.prompt - len(processor(text=[text], images=one["images"])["input_ids"][0])
        if missing < 0:
            raise ConfigError(f"a prompt has at least {case.prompt - missing} tokens at this image size")
        one["prompt"][0]["content"][-1]["text"] += " part" * missing  # one token of the bundled tokenizer each
        rows.append(one)
        samples.append(sample)
    return rows, samples
