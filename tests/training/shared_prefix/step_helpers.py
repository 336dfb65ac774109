"""Micro-batches of ragged groups, a tiny data set and reward, and what to compare after a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from adfm.models.files import load_processor, load_weights
from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix.rows import Rows, albums_of

STOPS = [1, *range(30, 120, 6)]
"""Tokens that end an answer: enough of them that a model of noise writes answers of many lengths."""


def picture(number: int) -> Image.Image:
    """Noise, a different size for each number."""
    return Image.fromarray(
        np.random.default_rng(number).integers(0, 255, (50 + 12 * (number % 5), 80, 3), dtype=np.uint8)
    )


def chat(number: int, pictures: int) -> list[dict[str, Any]]:
    content = [{"type": "image", "image": picture(10 * number + index)} for index in range(pictures)]
    return [
        {"role": "user", "content": [*content, {"type": "text", "text": "Inspect this part."[: 9 + 3 * (number % 3)]}]}
    ]


def prepared(processor: Any, chats: Sequence[Any]) -> dict[str, torch.Tensor]:
    return dict(
        processor.apply_chat_template(
            list(chats), tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt", padding=True
        )
    )


def batch(processor: Any, pictures: Sequence[int], lengths: Sequence[Sequence[int]]) -> Rows:
    """One group for each entry of `pictures`, with answers of the given lengths: every prompt repeated, as the engine has it."""
    groups = [number for number, group in enumerate(lengths) for _ in group]
    inputs = prepared(processor, [chat(number, pictures[number]) for number in groups])
    sizes = torch.tensor([length for group in lengths for length in group])
    widest = int(sizes.max())
    valid = (torch.arange(widest) < sizes[:, None]).long()
    answers = torch.randint(8, 250, (len(groups), widest), generator=torch.Generator().manual_seed(1)) * valid
    return Rows(
        torch.cat([inputs["input_ids"], answers], 1),
        torch.cat([inputs["attention_mask"], valid], 1),
        widest,
        torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(answers)], 1),
        inputs["pixel_values"],
        inputs["image_grid_thw"],
        albums_of([pictures[number] for number in groups], groups),
        tuple(groups),
    )


def reward(prompts: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
    """The same for every answer to some prompts, different for the others."""
    flat = [len(prompt[0]["content"][-1]["text"]) == 12 for prompt in prompts]
    return [1.0 if same else (sum(ids) % 7) / 7.0 for same, ids in zip(flat, completion_ids, strict=True)]


def dataset(count: int = 8) -> Any:
    """Prompts with one and two pictures in turn; every copy of a row opens its pictures anew."""
    from datasets import Dataset

    def rows(columns: dict[str, list[int]]) -> dict[str, list[Any]]:
        bare = [chat(number, 1 + number % 2) for number in columns["number"]]
        images = [[part.pop("image") for part in prompt[0]["content"] if part["type"] == "image"] for prompt in bare]
        return {"prompt": bare, "images": images}

    made = Dataset.from_dict({"number": list(range(count))})
    made.set_transform(rows, output_all_columns=False)
    return made


def train_with(
    out: Path, folder: Path, shared_prefix: SharedPrefixSettings, *, lora: Any = None, go: bool = True, **options: Any
) -> Any:
    """Run a few steps of a tiny model and return the trainer; `answers` holds what was sampled."""
    from trl import GRPOConfig, GRPOTrainer

    from adfm.training.shared_prefix.selfcheck import SelfCheckedSteps
    from adfm.training.shared_prefix.support import supported

    class Trainer(SelfCheckedSteps, GRPOTrainer):  # type: ignore[misc]
        pass

    torch.manual_seed(0)
    weights = load_weights(str(folder)).train()
    banned = [weights.config.image_token_id, weights.config.video_token_id]
    settings = {
        "output_dir": str(out),
        "max_steps": 3,
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "learning_rate": 1e-4,
        "max_completion_length": 10,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "gradient_checkpointing": False,
        "seed": 3,
        "generation_kwargs": {"suppress_tokens": banned, "eos_token_id": STOPS},
    }
    trainer = Trainer(
        model=weights,
        args=GRPOConfig(**(settings | options)),
        reward_funcs=[reward],
        train_dataset=dataset(),
        processing_class=load_processor(str(folder)),
        peft_config=lora,
    )
    trainer.answers = spy(trainer)
    trainer.use_shared_prefix(supported(shared_prefix, trainer)[0])
    if go:
        trainer.train()
    return trainer


def spy(trainer: Any) -> list[Any]:
    """Collect the answers of every batch."""
    seen: list[Any] = []
    stock = trainer._calculate_rewards

    def calculate(inputs: Any, prompts: Any, completions: Any, ids: Any) -> Any:
        seen.append(ids)
        return stock(inputs, prompts, completions, ids)

    trainer._calculate_rewards = calculate
    return seen


def trained(trainer: Any) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters() if weight.requires_grad])
