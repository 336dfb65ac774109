"""A vision-language model on this machine, through plain transformers: greedy answers and the odds of the verdict token.

Left out: sampling (training does that) and several pictures per prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image

from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.models.files import best_device, best_dtype, load_config, load_processor, load_weights, quiet_environment, resolve
from adfm.models.frames import frame_rule
from adfm.storage import sha256_bytes

MAX_NEW_TOKENS = 512


class LocalModel:
    """Answers with a model folder, hub id or the bundled `nano`."""

    def __init__(self, name: str, weights: Any, processor: Any, *, revision: str, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self.name = name
        self.revision = revision
        self.max_new_tokens = max_new_tokens
        self._weights = weights
        self._processor = processor
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
        frame_rule(load_config(folder).model_type, load_processor(folder))  # refuse before gigabytes are read
        weights = load_weights(folder, dtype=best_dtype(device), device=device)
        return cls(model, weights, load_processor(folder), revision=revision_of(weights), max_new_tokens=max_new_tokens)

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on a picture of this size, in original pixels."""
        return self._frame(width, height)

    def answer(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[Answer]:
        """Answer one prompt per picture, greedily, as one batch."""
        import torch

        batch = self._encode(pictures, prompts).to(self._weights.device)
        watch = VerdictWatch(*self._verdict)
        with torch.inference_mode():
            tokens = self._weights.generate(
                **batch,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                suppress_tokens=self._banned,
                logits_processor=[watch],
                disable_compile=True,
            )[:, batch["input_ids"].shape[1] :]
        texts = self._processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [Answer(text, watch.score(row, ids.tolist())) for row, (text, ids) in enumerate(zip(texts, tokens, strict=True))]

    def _encode(self, pictures: Sequence[Image], prompts: Sequence[str]) -> Any:
        texts = [
            self._processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}],
                tokenize=False,
                add_generation_prompt=True,
            )
            for prompt in prompts
        ]
        return self._processor(text=texts, images=list(pictures), padding=True, return_tensors="pt")


class VerdictWatch:
    """A logits processor that changes nothing: it notes at every step the logits with which `normal` and `anomalous` begin."""

    def __init__(self, normal: int, anomalous: int) -> None:
        self._tokens = [normal, anomalous]
        self._steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._steps.append(scores[:, self._tokens].float().cpu())
        return scores

    def score(self, row: int, tokens: Sequence[int]) -> float | None:
        """Return P(anomalous) against P(normal) where the last verdict token was written; None if none was."""
        written = [step for step, token in enumerate(tokens[: len(self._steps)]) if token in self._tokens]
        if not written:
            return None
        normal, anomalous = self._steps[written[-1]][row].tolist()
        return 1 / (1 + math.exp(min(700.0, normal - anomalous)))


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


def revision_of(weights: Any) -> str:
    """Return a hub commit if the weights came with one, else a hash over names, shapes and sums of the weights."""
    commit = getattr(weights.config, "_commit_hash", None)
    if commit:
        return str(commit)
    lines = [f"{name}{tuple(value.shape)}{value.double().sum().item():.9e}" for name, value in weights.state_dict().items()]
    return "weights-" + sha256_bytes("\n".join(lines).encode())[:16]
