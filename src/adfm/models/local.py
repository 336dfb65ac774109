"""A vision-language model on this machine, by plain transformers: greedy or sampled answers, odds of the verdict token.

Every prompt is one user turn. Sampling is not made fast here, because training has its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from adfm.errors import ModelError
from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.models.boundary import third_party
from adfm.models.card import protocol_of
from adfm.models.device import best_device, best_dtype
from adfm.models.families import family_of
from adfm.models.files import load_config, load_processor, load_weights, quiet_environment, resolve, revision_of
from adfm.reasoning import Question
from adfm.reasoning.protocol import DEFAULT, Protocol

VERDICT_VALUE = re.compile(r'"verdict"[ \t]{0,8}:[ \t]{0,8}"?[na]')
GREEDY = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
"""Said in full, because a checkpoint's own generation settings fill what is not said (Qwen2.5-VL: penalty 1.05).

Greedy decoding ignores the last three. They are the library's defaults, so it ignores them without a warning."""

REHEARSAL = (64, 64)
"""Width and height, in pixels, of the grey image of a rehearsal."""


class LocalModel:
    """Answers with a model folder, hub id or the bundled `nano`."""

    def __init__(self, name: str, weights: Any, processor: Any, *, revision: str, protocol: Protocol = DEFAULT) -> None:
        family = family_of(weights.config.model_type)
        self.name = name
        self.revision = revision
        self.scoring = "odds"
        self.protocol = protocol
        self.weights = weights
        self.processor = processor
        self._frame_of = family.frame_rule(processor)
        self._banned = family.placeholder_tokens(weights.config)
        self._verdict = verdict_tokens(processor.tokenizer)

    @classmethod
    def load(cls, model: str, *, device: str | None = None) -> LocalModel:
        """Load a model folder, hub id or `nano`, with the protocol in its `adfm.json`.

        Raises:
            ModelError: it cannot be found or loaded, or its family is not known.
        """
        quiet_environment()
        folder = resolve(model)
        device = device or best_device()
        family_of(load_config(folder).model_type)  # refused before gigabytes are read
        protocol, processor = protocol_of(folder), load_processor(folder)
        weights = load_weights(folder, dtype=best_dtype(device), device=device)
        loaded = cls(model, weights, processor, revision=revision_of(folder, weights.config), protocol=protocol)
        loaded.rehearse()
        return loaded

    def rehearse(self) -> None:
        """Answer one question of one token, so that a model that cannot answer fails before any work.

        Raises:
            ModelError: names the cause.
        """
        with third_party(self.name, "cannot read images"):
            frame = self.frame(*REHEARSAL)
        image = Image.new("RGB", REHEARSAL, (128, 128, 128))
        self.answer([Question((image, "Inspect this part."), frame, Protocol(max_new_tokens=1))])

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on an image of this size, in original pixels."""
        return self._frame_of(width, height)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer each question, greedily, as one batch."""
        watch = VerdictWatch(*self._verdict)
        tokens = self._generate(questions, watch)
        odds = [watch.log_odds(row, ids, self._decode) for row, ids in enumerate(tokens)]
        return [
            Answer(self._decode(ids), None if value is None else sigmoid(value), value)
            for ids, value in zip(tokens, odds, strict=True)
        ]

    def sample(self, questions: Sequence[Question], seeds: Sequence[int]) -> list[str]:
        """Draw one answer to each question at temperature 1. Its seed decides it, whatever else is in the batch."""
        return [self._decode(ids) for ids in self._generate(questions, GumbelNoise(seeds, self.weights.device))]

    def _generate(self, questions: Sequence[Question], processor: Callable[[Any, Any], Any]) -> list[list[int]]:
        """Return the most likely tokens of every row, by the logits that `processor` returns."""
        import torch

        # One flat list: processors hand images to placeholders in order, across the texts of a batch.
        images = [image for question in questions for image in question.images]
        with third_party(self.name, "cannot answer"), torch.inference_mode():
            texts = [
                self.processor.apply_chat_template(
                    question.chat,
                    tokenize=False,
                    add_generation_prompt=True,
                    add_vision_id=len(question.images) > 1,  # Qwen then numbers the images
                )
                for question in questions
            ]
            batch = self.processor(text=texts, images=images or None, padding=True, return_tensors="pt")
            batch = batch.to(self.weights.device)
            tokens = self.weights.generate(
                **batch,
                max_new_tokens=max(question.protocol.max_new_tokens for question in questions),
                **GREEDY,
                suppress_tokens=self._banned,
                logits_processor=[processor],
                disable_compile=True,
            )
        written: list[list[int]] = tokens[:, batch["input_ids"].shape[1] :].tolist()
        return written

    def _decode(self, tokens: Sequence[int]) -> str:
        with third_party(self.name, "cannot answer"):
            return str(self.processor.tokenizer.decode(tokens, skip_special_tokens=True))


class VerdictWatch:
    """A logits processor that changes nothing. It notes the logits with which `normal` and `anomalous` begin."""

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
            if tokens[step] not in self._tokens:
                continue
            # Whether the first letter of a verdict's value is in this token and not yet before it.
            begun = [match.end() for match in VERDICT_VALUE.finditer(decode(tokens[: step + 1]))]
            if begun and begun[-1] > len(decode(tokens[:step])):
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


def sigmoid(log_odds: float) -> float:
    """Return the probability (0 to 1) of log-odds, without overflow."""
    return 1 / (1 + math.exp(min(700.0, -log_odds)))


def verdict_tokens(tokenizer: Any) -> tuple[int, int]:
    """Return the first tokens in which a canonical normal and a canonical anomalous answer differ.

    Raises:
        ModelError: there are none.
    """
    endings = ('"normal", "regions": []}</answer>', '"anomalous", "regions": [{"bbox_2d": [')
    with third_party(str(tokenizer.name_or_path)):
        normal, anomalous = (
            tokenizer('<answer>{"verdict": ' + ending, add_special_tokens=False)["input_ids"] for ending in endings
        )
    for pair in zip(normal, anomalous, strict=False):
        if pair[0] != pair[1]:
            return pair
    raise ModelError(
        f"{tokenizer.name_or_path}: its tokenizer writes 'normal' and 'anomalous' alike; give another model"
    )
