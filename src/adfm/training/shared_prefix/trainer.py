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

from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix.attention import install
from adfm.training.shared_prefix.packed import packed_log_probs
from adfm.training.shared_prefix.pictures import neighbours, once_per_picture
from adfm.training.shared_prefix.rows import Rows, albums_of, thinned

ALL_OFF = SharedPrefixSettings(
    packed_loss=False, shared_generation=False, preprocess_once=False, skip_zero_advantage=False
)


@dataclass(frozen=True)
class Shares:
    """What the log-probability pass must know of its rows: (B,) groups, and what a row without advantage gets instead of a pass."""

    groups: Tensor
    idle: Tensor | None = None
    instead: Tensor | None = None


class SharedPrefixSteps:
    """Mix-in: one prompt, one pass."""

    shared_prefix: SharedPrefixSettings = ALL_OFF
    _shares: Shares | None = None
    _prompts_once: tuple[list[Any], list[int]] | None = None
    # of the trainer:
    args: Any
    accelerator: Any
    model: Any
    model_wrapped: Any
    ref_model: Any
    processing_class: Any
    num_generations: int
    num_generations_eval: int
    _buffered_inputs: Any

    def use_shared_prefix(self, settings: SharedPrefixSettings) -> None:
        """Switch it on; the settings must have been checked by `supported`."""
        self.shared_prefix = settings
        if settings.packed_loss or settings.shared_generation:
            for model in (self.model, self.ref_model):
                if model is not None:
                    install(self._plain(model))

    def _plain(self, model: Any) -> Any:
        """Return the transformers model inside what wraps it."""
        inner = self.accelerator.unwrap_model(model)
        return inner.get_base_model() if hasattr(inner, "get_base_model") else inner

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        size = self.num_generations if self.model.training else self.num_generations_eval
        first = self.accelerator.process_index * len(inputs)
        groups = torch.arange(first, first + len(inputs), device=self.accelerator.device) // size
        with self._preprocess_once(), self._sharing(Shares(groups)):
            output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        output["prompt_groups"] = groups
        whole = self.args.steps_per_generation == 1 or self.args.per_device_train_batch_size % size == 0
        return thinned(output) if self.shared_prefix.packed_loss and whole and "image_grid_thw" in output else output

    @contextmanager
    def _preprocess_once(self) -> Iterator[None]:
        """Use a processor with a memory while a batch is generated and scored."""
        kept = self.processing_class
        if self.shared_prefix.preprocess_once:
            self.processing_class = once_per_picture(kept)
        try:
            yield
        finally:
            self.processing_class = kept

    @contextmanager
    def _sharing(self, shares: Shares) -> Iterator[None]:
        before, self._shares = self._shares, shares
        try:
            yield
        finally:
            self._shares = before

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        if not self.shared_prefix.shared_generation:
            return super()._tokenize_prompts(prompts)  # type: ignore[misc]
        runs = neighbours([_texts(prompt) for prompt in prompts], [_pictures(prompt) for prompt in prompts])
        ids, images, fields = super()._tokenize_prompts([prompts[start] for start, _ in runs])  # type: ignore[misc]
        owners = [number for number, (_, length) in enumerate(runs) for _ in range(length)]
        self._prompts_once = (ids, owners)
        return [ids[owner] for owner in owners], images and [images[owner] for owner in owners], fields

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *rest: Any, **more: Any
    ) -> Any:
        if self._prompts_once is None:
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest, **more)  # type: ignore[misc]
        from adfm.training.shared_prefix.generate import answer_groups

        (ids, owners), self._prompts_once = self._prompts_once, None
        model = self.accelerator.unwrap_model(self.model_wrapped)
        # An instance attribute hides the method for the length of this call: the engine's padding, contexts and clean-up stay in use.
        model.generate = functools.partial(
            model.generate, custom_generate=functools.partial(answer_groups, owners=owners)
        )
        try:
            return super()._generate_single_turn(ids, images, multimodal_fields, *rest, **more)  # type: ignore[misc]
        finally:
            del model.generate

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)  # type: ignore[misc]
        batches = self._buffered_inputs
        if batches is before or not self.shared_prefix.packed_loss or len(batches) == 1:
            return inputs
        self._buffered_inputs = groups_together(batches)
        return self._buffered_inputs[next(number for number, batch in enumerate(batches) if batch is inputs)]

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        groups = inputs.get("prompt_groups")
        if groups is None or not (self.shared_prefix.packed_loss or self.shared_prefix.skip_zero_advantage):
            return super()._compute_loss(model, inputs)  # type: ignore[misc]
        idle = inputs["advantages"] == 0 if self.shared_prefix.skip_zero_advantage and self.model.training else None
        with self._sharing(Shares(groups, idle, inputs.get("old_per_token_logps"))):
            return super()._compute_loss(model, inputs)  # type: ignore[misc]

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
            super()._get_per_token_logps_and_entropies,  # type: ignore[misc]
            model,
            logits_to_keep=logits_to_keep,
            compute_entropy=compute_entropy,
            compute_aux_loss=compute_aux_loss,
        )
        if self._shares is None or fields.get("image_grid_thw") is None or compute_aux_loss:
            return stock(input_ids, attention_mask, batch_size=batch_size, **fields)
        rows = _rows(input_ids, attention_mask, logits_to_keep, fields, self._shares.groups.tolist())
        kept = _busy(self._shares.idle, attention_mask[:, -logits_to_keep:])
        chosen = rows if kept is None else rows.select(kept)
        if self.shared_prefix.packed_loss and bool(chosen.mask[:, chosen.prompt :].any()):
            passed = self._packed(model, chosen, batch_size)
        else:
            passed = stock(chosen.ids, chosen.mask, batch_size=batch_size, **chosen.engine_fields())[:2]
        logps, entropies = (
            passed if kept is None else _spread(passed, kept, len(input_ids), self._shares.instead, chosen)
        )
        return logps, entropies if compute_entropy else None, None

    def _packed(self, model: Any, rows: Rows, batch_size: int | None) -> tuple[Tensor, Tensor | None]:
        """Pass whole groups, at most `batch_size` rows at a time where a group is not larger."""
        language = self._plain(model).model
        parts = list(chunks(rows.by_group(), batch_size or len(rows.ids)))
        passed = []
        for part in parts:
            with self.accelerator.autocast():
                passed.append(packed_log_probs(model, language, rows if len(parts) == 1 else rows.select(part)))
        if len(parts) == 1:
            return passed[0]
        back = torch.tensor([row for part in parts for row in part], device=rows.ids.device).argsort()
        logps, entropies = zip(*passed, strict=True)
        return torch.cat(logps)[back], None if entropies[0] is None else torch.cat(entropies)[back]


def _texts(prompt: Any) -> list[Any]:
    """Return everything of a chat but its pictures, comparable."""
    return [
        (message["role"], content if isinstance(content, str) else [part.get("text", part["type"]) for part in content])
        for message in prompt
        for content in (message["content"],)
    ]


def _pictures(prompt: Any) -> list[Any]:
    return [
        part["image"]
        for message in prompt
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "image"
    ]


def _rows(ids: Tensor, mask: Tensor, answer: int, fields: dict[str, Any], groups: list[int]) -> Rows:
    """Gather the engine's fields; a batch whose answers were lengthened later has kinds for the shorter ones."""
    kinds = fields["mm_token_type_ids"]
    kinds = torch.nn.functional.pad(kinds, (0, ids.shape[1] - kinds.shape[1]))
    albums = albums_of(fields["num_images"], groups)
    return Rows(ids, mask, answer, kinds, fields["pixel_values"], fields["image_grid_thw"], albums, tuple(groups))


def _busy(idle: Tensor | None, answers: Tensor) -> list[int] | None:
    """Return the rows that need a pass, or None if all do; one row is always kept, so that every parameter gets its gradient."""
    if idle is None or not bool(idle.any()):
        return None
    kept: list[int] = (~idle).nonzero()[:, 0].tolist()
    return kept or [int(answers.sum(dim=1).argmin())]


def _spread(
    passed: Sequence[Tensor | None], kept: list[int], size: int, instead: Tensor | None, chosen: Rows
) -> tuple[Tensor, Tensor | None]:
    """Put kept rows back among `size` rows.

    A row without advantage gets its old log-probabilities, so that its ratio is one and its loss exactly zero, and the mean entropy
    of the kept ones, so that the logged mean is theirs.
    """
    logps, entropies = passed
    assert logps is not None
    index = torch.tensor(kept, device=logps.device)
    base = logps.new_zeros(size, logps.shape[1]) if instead is None else instead.to(logps.dtype)
    logps = base.index_copy(0, index, logps)
    if entropies is None:
        return logps, None
    valid = chosen.mask[:, chosen.prompt :]
    mean = (entropies.detach() * valid).sum() / valid.sum().clamp(min=1)
    return logps, mean.expand(size, entropies.shape[1]).index_copy(0, index, entropies)


def chunks(groups: list[list[int]], rows: int) -> Iterator[list[int]]:
    """Yield the rows of as many whole groups at a time as fit into `rows`, at least one."""
    chunk: list[int] = []
    for group in groups:
        if chunk and len(chunk) + len(group) > rows:
            yield chunk
            chunk = []
        chunk = chunk + group
    yield chunk


def groups_together(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same rows in as many batches, rows of a group next to each other, groups in the shuffled order of their first rows."""
    from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

    parts = [split_pixel_values_by_grid(batch) for batch in batches]
    merged = {name: _joined([part[name] for part in parts]) for name in parts[0]}
    found: dict[int, list[int]] = {}
    for row, group in enumerate(merged["prompt_groups"].tolist()):
        found.setdefault(group, []).append(row)
    order = [row for group in found.values() for row in group]
    ordered = {name: _ordered(values, order) for name, values in merged.items()}
    return [unsplit_pixel_values_by_grid(batch) for batch in split_tensor_dict(ordered, len(batches))]


def _joined(parts: list[Any]) -> Any:
    """Join a field of all batches; a scalar is the same in all of them."""
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    return torch.cat(parts) if parts[0] is not None and parts[0].dim() else parts[0]


def _ordered(values: Any, order: list[int]) -> Any:
    if isinstance(values, list):
        return [values[row] for row in order]
    return values[order] if values is not None and values.dim() else values
