"""The shared prefix, attached to TRL's `GRPOTrainer` by small overrides that call the stock method.

A mix-in before the trainer. With all settings off, and for what they do not cover, every method is the stock one. Left out: tools and
environments, where answers of a group stop sharing a prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from adfm.models.families import family_of
from adfm.training.engine import Engine
from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix.attention import install
from adfm.training.shared_prefix.generate import answer_groups
from adfm.training.shared_prefix.packed import packed_log_probs
from adfm.training.shared_prefix.preprocess import neighbours, once_per_image
from adfm.training.shared_prefix.rows import Rows, thinned
from adfm.training.shared_prefix.support import plain_model, supported

ALL_OFF = SharedPrefixSettings(
    packed_loss=False, shared_generation=False, preprocess_once=False, skip_zero_advantage=False
)


@dataclass(frozen=True)
class Shares:
    """What the log-probability pass must know of its rows.

    `groups` (B,) numbers the groups. Rows marked in `skipped` (B,) have no advantage: they get no pass, and the log-probabilities
    `instead` (B, C), zeros where that is None.
    """

    groups: Tensor
    skipped: Tensor | None = None
    instead: Tensor | None = None


class SharedPrefixSteps(Engine):  # type: ignore[misc]
    """Mix-in: one prompt, one pass.

    Attributes:
        shared_prefix: the parts in use: those that were wanted and are exact here.
        shared_prefix_refused: one line for each other part that was wanted, which says why it is off.
    """

    _shares: Shares | None = None
    _prompts_once: tuple[list[Any], list[int]] | None = None
    processing_class: Any
    _buffered_inputs: Any

    def __init__(self, *args: Any, shared_prefix: SharedPrefixSettings = ALL_OFF, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._form: Any = family_of(self.model.config.model_type).image_tokens
        self.shared_prefix, self.shared_prefix_refused = supported(shared_prefix, self)
        if self.shared_prefix.packed_loss or self.shared_prefix.shared_generation:
            for model in (self.model, self.ref_model):
                if model is not None:
                    install(plain_model(self, model))

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        size = self.num_generations if self.model.training else self.num_generations_eval
        first = self.accelerator.process_index * len(inputs)
        groups = torch.arange(first, first + len(inputs), device=self.accelerator.device) // size
        processor = self.processing_class
        if self.shared_prefix.preprocess_once:
            self.processing_class = once_per_image(processor, self._form)
        try:
            with self._sharing(Shares(groups)):
                output = super()._generate_and_score_completions(inputs)
        finally:
            self.processing_class = processor
        output["prompt_groups"] = groups
        undivided = self.args.steps_per_generation == 1 or self.args.per_device_train_batch_size % size == 0
        if self.shared_prefix.packed_loss and undivided and self._form.in_batch(output):
            return thinned(output, self._form)
        return output

    @contextmanager
    def _sharing(self, shares: Shares) -> Iterator[None]:
        before, self._shares = self._shares, shares
        try:
            yield
        finally:
            self._shares = before

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        if not self.shared_prefix.shared_generation:
            return super()._tokenize_prompts(prompts)
        runs = neighbours(prompts)
        ids, images, fields = super()._tokenize_prompts([prompts[start] for start, _ in runs])
        owners = [number for number, (_, length) in enumerate(runs) for _ in range(length)]
        self._prompts_once = (ids, owners)
        return [ids[owner] for owner in owners], images and [images[owner] for owner in owners], fields

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *rest: Any, **more: Any
    ) -> Any:
        if self._prompts_once is None:
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest, **more)
        (ids, owners), self._prompts_once = self._prompts_once, None
        model = self.accelerator.unwrap_model(self.model_wrapped)
        # An instance attribute hides the method for the length of this call: the engine's padding, contexts and clean-up stay in use.
        model.generate = functools.partial(
            model.generate, custom_generate=functools.partial(answer_groups, owners=owners)
        )
        try:
            return super()._generate_single_turn(ids, images, multimodal_fields, *rest, **more)
        finally:
            del model.generate

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        batches = self._buffered_inputs
        if batches is before or not self.shared_prefix.packed_loss or len(batches) == 1:
            return inputs
        self._buffered_inputs = groups_together(batches)
        return self._buffered_inputs[next(number for number, batch in enumerate(batches) if batch is inputs)]

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        groups = inputs.get("prompt_groups")
        if groups is None or not (self.shared_prefix.packed_loss or self.shared_prefix.skip_zero_advantage):
            return super()._compute_loss(model, inputs)
        skipped = inputs["advantages"] == 0 if self.shared_prefix.skip_zero_advantage and self.model.training else None
        with self._sharing(Shares(groups, skipped, inputs.get("old_per_token_logps"))):
            return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **fields: Any,
    ) -> Any:
        stock = functools.partial(
            super()._get_per_token_logps_and_entropies,
            model,
            logits_to_keep=logits_to_keep,
            compute_entropy=compute_entropy,
            compute_aux_loss=compute_aux_loss,
        )
        if self._shares is None or compute_aux_loss or not self._form.in_batch(fields):
            return stock(input_ids, attention_mask, batch_size=batch_size, **fields)
        groups = self._shares.groups.tolist()
        rows = Rows.of_batch(input_ids, attention_mask, logits_to_keep, fields, groups, self._form)
        kept = rows_to_pass(self._shares.skipped, attention_mask[:, -logits_to_keep:])
        chosen = rows if kept is None else rows.select(kept)
        if self.shared_prefix.packed_loss and bool(chosen.mask[:, chosen.prompt :].any()):
            with self.accelerator.autocast():
                passed = packed_log_probs(model, plain_model(self, model), chosen, batch_size=batch_size)
        else:
            passed = stock(chosen.ids, chosen.mask, batch_size=batch_size, **chosen.engine_fields())[:2]
        if kept is not None:
            passed = put_back(passed, kept, chosen.mask[:, chosen.prompt :], len(input_ids), self._shares.instead)
        return passed[0], passed[1] if compute_entropy else None, None


def rows_to_pass(skipped: Tensor | None, answers: Tensor) -> list[int] | None:
    """Return the rows that need a pass, or None if all do. One row is always kept, so that every parameter gets its gradient.

    `skipped` (B,) marks rows without advantage. `answers` (B, C) is the mask of the answers: the kept row is the shortest.
    """
    if skipped is None or not bool(skipped.any()):
        return None
    kept: list[int] = (~skipped).nonzero()[:, 0].tolist()
    return kept or [int(answers.sum(dim=1).argmin())]


def put_back(
    passed: Sequence[Tensor | None], kept: list[int], answers: Tensor, size: int, instead: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Put the log-probabilities and entropies of the rows `kept`, both (R, C), back among `size` rows.

    A row without a pass gets its old log-probabilities `instead` (zeros where there are none), so that its ratio is one and its loss
    exactly zero, and the mean entropy of the kept ones over `answers`, their mask (R, C), so that the logged mean is theirs.
    """
    logps, entropies = passed
    assert logps is not None
    index = torch.tensor(kept, device=logps.device)
    base = logps.new_zeros(size, logps.shape[1]) if instead is None else instead.to(logps.dtype)
    logps = base.index_copy(0, index, logps)
    if entropies is None:
        return logps, None
    mean = (entropies.detach() * answers).sum() / answers.sum().clamp(min=1)
    return logps, mean.expand(size, entropies.shape[1]).index_copy(0, index, entropies)


def groups_together(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same rows in as many batches, rows of a group next to each other, groups in the shuffled order of their first rows."""
    parts = [split_pixel_values_by_grid(batch) for batch in batches]
    groups = [group for part in parts for group in part["prompt_groups"].tolist()]
    order = sorted(range(len(groups)), key=lambda row: groups.index(groups[row]))
    ordered: dict[str, Any] = {}
    for name, first in parts[0].items():
        if isinstance(first, list):
            values = [item for part in parts for item in part[name]]
            ordered[name] = [values[row] for row in order]
        elif first is None or not first.dim():
            ordered[name] = first  # a scalar is the same in all batches
        else:
            ordered[name] = torch.cat([part[name] for part in parts])[order]
    return [unsplit_pixel_values_by_grid(batch) for batch in split_tensor_dict(ordered, len(batches))]
