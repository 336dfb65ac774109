"""A vision-language model on this machine, by plain transformers: greedy or sampled answers, odds of the verdict token.

Left out: answers of a model in the prompt (every prompt is one user turn), and sampling that is fast (training does that).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from PIL.Image import Image

from adfm.geometry import Frame
from adfm.models.base import Answer, Turn
from adfm.models.files import (
    best_device,
    best_dtype,
    load_config,
    load_processor,
    load_weights,
    quiet_environment,
    resolve,
    revision_of,
)
from adfm.models.frames import frame_rule

MAX_NEW_TOKENS = 512
VERDICT_VALUE = re.compile(r'"verdict"[ \t]{0,8}:[ \t]{0,8}"?[na]')
GREEDY = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
"""Said in full, because a checkpoint's own generation settings fill what is not said (Qwen2.5-VL: penalty 1.05).

The last three are the library's defaults, which greedy decoding ignores without a warning."""


class LocalModel:
    """Answers with a model folder, hub id or the bundled `nano`."""

    def __init__(
        self, name: str, weights: Any, processor: Any, *, revision: str, max_new_tokens: int = MAX_NEW_TOKENS
    ) -> None:
        self.name = name
        self.revision = revision
        self.scoring = "odds"
        self.max_new_tokens = max_new_tokens
        self.weights = weights
        self.processor = processor
        self._frame = frame_rule(weights.config.model_type, processor)
        self._banned = placeholder_tokens(weights.config)
        self._verdict = verdict_tokens(processor.tokenizer)

    @classmethod
    def load(cls, model: str, *, device: str | None = None, max_new_tokens: int = MAX_NEW_TOKENS) -> LocalModel:
        """Load a model folder, hub id or `nano`.

        Raises:
            ModelError: it cannot be found or loaded, or its family's box units are not known.
        """
        quiet_environment()
        folder = resolve(model)
        device = device or best_device()
        config, processor = load_config(folder), load_processor(folder)
        frame_rule(config.model_type, processor)  # refuse before gigabytes are read
        weights = load_weights(folder, dtype=best_dtype(device), device=device)
        return cls(
            model, weights, processor, revision=revision_of(folder, weights.config), max_new_tokens=max_new_tokens
        )

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on a picture of this size, in original pixels."""
        return self._frame(width, height)

    def answer(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[Answer]:
        """Answer one prompt per picture, greedily, as one batch."""
        return self.answer_turns(list(zip(pictures, prompts, strict=True)))

    def answer_turns(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer each prompt, greedily, as one batch."""
        watch = VerdictWatch(*self._verdict)
        tokens = self._generate(self._encode(turns), watch)
        odds = [watch.log_odds(row, ids, self._decode) for row, ids in enumerate(tokens)]
        return [
            Answer(self._decode(ids), None if value is None else sigmoid(value), value)
            for ids, value in zip(tokens, odds, strict=True)
        ]

    def sample(self, pictures: Sequence[Image], prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """Draw one answer per picture at temperature 1; `seeds` (one each) decide it, whatever else is in the batch."""
        noise = GumbelNoise(seeds, self.weights.device)
        batch = self._encode(list(zip(pictures, prompts, strict=True)))
        return [self._decode(ids) for ids in self._generate(batch, noise)]

    def _generate(self, batch: Any, processor: Callable[[Any, Any], Any]) -> list[list[int]]:
        """Return the most likely tokens of every row, by the logits that `processor` returns."""
        import torch

        batch = batch.to(self.weights.device)
        with torch.inference_mode():
            tokens = self.weights.generate(
                **batch,
                max_new_tokens=self.max_new_tokens,
                **GREEDY,
                suppress_tokens=self._banned,
                logits_processor=[processor],
                disable_compile=True,
            )
        written: list[list[int]] = tokens[:, batch["input_ids"].shape[1] :].tolist()
        return written

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _encode(self, turns: Sequence[Turn]) -> Any:
        texts = [
            self.processor.apply_chat_template(
                [{"role": "user", "content": [_content(part) for part in turn]}],
                tokenize=False,
                add_generation_prompt=True,
                add_vision_id=sum(isinstance(part, Image) for part in turn) > 1,  # Qwen then numbers the pictures
            )
            for turn in turns
        ]
        # One flat list: processors hand pictures to placeholders in order, across the texts of a batch.
        images = [part for turn in turns for part in turn if isinstance(part, Image)]
        return self.processor(text=texts, images=images or None, padding=True, return_tensors="pt")


def _content(part: Image | str) -> dict[str, str]:
    """Return a part of a turn as chat templates want it."""
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}


class VerdictWatch:
    """A logits processor that changes nothing: it notes the logits with which `normal` and `anomalous` begin."""

    def __init__(self, normal: int, anomalous: int) -> None:
        self._tokens = [normal, anomalous]
        self._steps: list[Any] = []

    def __call__(self, _: Any, scores: Any) -> Any:
        self._steps.append(scores[:, self._tokens].double().cpu())
        return scores

    def log_odds(self, row: int, tokens: Sequence[int], decode: Callable[[Sequence[int]], str]) -> float | None:
        """Return log P(anomalous) - log P(normal) where the last verdict was written; None if none was.

        The token alone does not tell: Qwen's `anomalous` begins with `an`, which a region's label may too.
        """
        for step in reversed(range(min(len(tokens), len(self._steps)))):
            if tokens[step] in self._tokens and _begins_verdict(decode(tokens[:step]), decode(tokens[: step + 1])):
                normal, anomalous = self._steps[step][row].tolist()
                return anomalous - normal if math.isfinite(anomalous - normal) else None
        return None


class GumbelNoise:
    """A logits processor that turns the largest logit into a draw from the softmax (Gumbel-max, Gumbel 1954).

    Each row has its own generator, so that what is drawn for it depends on its seed and logits alone.
    """

    def __init__(self, seeds: Sequence[int], device: Any) -> None:
        import torch

        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, _: Any, scores: Any) -> Any:
        import torch

        rows, size = scores.shape
        waits = torch.empty((rows, size), dtype=torch.float64, device=scores.device)
        for row, generator in zip(waits, self._generators, strict=True):
            row.exponential_(generator=generator)  # -log of an exponential draw is a Gumbel draw
        return scores.double() - waits.log()


def _begins_verdict(before: str, after: str) -> bool:
    """Whether the first letter of a verdict's value is in `after` and not yet in `before`."""
    found = [match.end() for match in VERDICT_VALUE.finditer(after)]
    return bool(found) and found[-1] > len(before)


def sigmoid(log_odds: float) -> float:
    """Return the probability (0 to 1) of log-odds, without overflow."""
    return 1 / (1 + math.exp(min(700.0, -log_odds)))


def verdict_tokens(tokenizer: Any) -> tuple[int, int]:
    """Return the first tokens in which a canonical normal and a canonical anomalous answer differ."""
    endings = ('"normal", "regions": []}</answer>', '"anomalous", "regions": [{"bbox_2d": [')
    normal, anomalous = (
        tokenizer('<answer>{"verdict": ' + ending, add_special_tokens=False)["input_ids"] for ending in endings
    )
    return next((a, b) for a, b in zip(normal, anomalous, strict=False) if a != b)


def placeholder_tokens(config: Any) -> list[int]:
    """Return the picture and video placeholder tokens, which a model must never write: they stand for features."""
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return sorted({value for name in names if (value := getattr(config, name, None)) is not None})
