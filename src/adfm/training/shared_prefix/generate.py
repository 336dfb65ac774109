"""Sampling G answers per prompt: each prompt is prefilled once, its keys and values are kept once, finished answers leave the batch.

Runs as transformers' `custom_generate`, so the processors, the stopping rules and the prefill are those of a stock `generate`. Random
numbers are drawn as a stock `generate` of all rows draws them, so the samples are the same. Left out: beams, caches other
than plain full attention, and processes that must step together (ZeRO-3).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from adfm.training.shared_prefix.attention import placeholder_mask

BLOCK = 64
"""Answer tokens for which a cache layer is first allocated. The room doubles whenever it is used up."""
SHRINK_AT = 0.85
"""The batch is cut down to its unfinished rows when they are fewer than this share of it."""
MIN_ROWS = 4
"""Rows from which the layout of `laid_out` pays."""
FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""What `scaled_dot_product_attention` calls on a CPU. It also returns the logarithm of each softmax's sum."""

Layer = tuple[Tensor, Tensor]


class AnswerLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of the answers only, (rows, heads, allocated tokens, width), written in place."""

    length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate the first block."""
        rows, heads, _, width = key_states.shape
        self.keys = key_states.new_empty((rows, heads, BLOCK, width))
        self.values = value_states.new_empty((rows, heads, BLOCK, value_states.shape[-1]))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append one token per row and return views of all that is held."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.length == self.keys.shape[2]:
            self.keys, self.values = (
                torch.cat([held, torch.empty_like(held)], dim=2) for held in (self.keys, self.values)
            )
        self.keys[:, :, self.length] = key_states[:, :, 0]
        self.values[:, :, self.length] = value_states[:, :, 0]
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        """Return the tokens held."""
        return self.length


class PrefixAttention:
    """One query per row against its prompt's keys, held once per prompt, and against its own answer's.

    Rows of a prompt are put side by side as queries of one product, so a prompt's keys are read once for all of them.

    Args:
        layers: keys and values of each layer, (U, key heads, P, width).
        mask: (U, P), false where a prompt is padded; None where none is.
        slots: (R,), the place of each row in the (U, G) grid.
        grid: (U, G).
    """

    def __init__(self, layers: list[Layer], mask: Tensor | None, slots: Tensor, grid: tuple[int, int]) -> None:
        self._layers, self._slots, self._grid = layers, slots, grid
        self._hidden = None if mask is None else ~mask[:, None, None]

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""
        self._slots = self._slots[rows]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, layer: int) -> Tensor:
        """Return (rows, 1, heads, width) of (rows, heads, 1, width)."""
        rows, heads, _, width = query.shape
        q = query.view(rows, key.shape[1], -1, width)
        parts = self.in_two_calls if query.device.type == "cpu" and self._hidden is None else self.in_one_softmax
        return parts(q, key, value, self._layers[layer], scale).reshape(rows, 1, heads, -1)

    def in_two_calls(self, q: Tensor, key: Tensor, value: Tensor, prompt: Layer, scale: float | None) -> Tensor:
        """Attend prompt and answer apart, each in the CPU's own kernel, and weigh the two by what their softmaxes summed.

        `q` is (R, key heads, n, width) with n query heads to a key head, as is the result. `key` and `value` of the answers are
        (R, key heads, tokens, width), those of the prompts (U, key heads, P, width).
        """
        shared, of_prompt = FLASH(self._to_grid(q), *prompt, scale=scale)
        own, of_answer = FLASH(q, key, value, scale=scale)
        share = torch.sigmoid(self._to_rows(of_prompt[..., None]) - of_answer[..., None])
        return torch.lerp(own, self._to_rows(shared), share)

    def in_one_softmax(self, q: Tensor, key: Tensor, value: Tensor, prompt: Layer, scale: float | None) -> Tensor:
        """Attend both in one plain softmax: any device, and prompts that are padded. Shapes are those of `in_two_calls`."""
        prompt_keys, prompt_values = prompt
        q = q * (q.shape[-1] ** -0.5 if scale is None else scale)
        scores = self._to_grid(q) @ prompt_keys.mT
        if self._hidden is not None:
            scores = scores.masked_fill(self._hidden, -torch.inf)
        both = torch.cat([self._to_rows(scores), q @ key.mT], dim=-1)
        weights = both.softmax(dim=-1, dtype=torch.float32).to(q.dtype)
        length = prompt_keys.shape[2]
        return self._to_rows(self._to_grid(weights[..., :length]) @ prompt_values) + weights[..., length:] @ value

    def _to_grid(self, states: Tensor) -> Tensor:
        """(R, key heads, n, x) -> (U, key heads, G * n, x); places of rows that left are zero."""
        prompts, answers = self._grid
        if len(states) < prompts * answers:
            states = states.new_zeros(prompts * answers, *states.shape[1:]).index_copy(0, self._slots, states)
        return states.unflatten(0, self._grid).transpose(1, 2).flatten(2, 3)

    def _to_rows(self, states: Tensor) -> Tensor:
        """(U, key heads, G * n, x) -> (R, key heads, n, x)."""
        prompts, answers = self._grid
        rows = states.unflatten(2, (answers, -1)).transpose(1, 2).flatten(0, 1)
        return rows if len(self._slots) == prompts * answers else rows[self._slots]


class Sampler:
    """Draws the next token of every unfinished row with the random numbers that a batch of all rows would use."""

    def __init__(self, processors: Any, *, sample: bool, batch: int) -> None:
        self._processors, self._sample, self._batch = processors, sample, batch

    def __call__(self, ids: Tensor, logits: Tensor, rows: Tensor) -> Tensor:
        """Return (R,) tokens of (R, n) ids so far and (R, vocabulary) logits. `rows` (R,) are their places in the whole batch."""
        scores = self._processors(ids, logits.to(dtype=torch.float32, copy=True))
        if not self._sample:
            return scores.argmax(dim=-1)
        weights = scores.softmax(dim=-1)
        if len(rows) == self._batch:
            return torch.multinomial(weights, num_samples=1)[:, 0]
        uniform = weights.new_ones(self._batch, weights.shape[1])
        return torch.multinomial(uniform.index_copy_(0, rows, weights), num_samples=1)[rows, 0]


def answer_groups(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    synced_gpus: bool = False,
    streamer: Any = None,
    *,
    owners: Sequence[int],
    **model_kwargs: Any,
) -> Tensor:
    """Return (B, P + n): one answer for each of `owners`, the numbers of the prompts (U, P) in `input_ids`.

    The signature is that of transformers' decoding methods. Bind `owners` before handing the function over.
    """
    assert not synced_gpus and streamer is None, "shared generation does not step processes together or stream"
    first = model(
        **model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **model_kwargs), return_dict=True
    )
    owner = torch.tensor(owners, device=input_ids.device)
    answers = _Answers(model, first, owner, model_kwargs)
    batch = _Batch(input_ids[owner], stopping_criteria.max_length, generation_config._pad_token_tensor)
    sampler = Sampler(logits_processor, sample=generation_config.do_sample, batch=len(owners))
    logits = first.logits[:, -1][owner]
    with laid_out(model) as lay_out:
        lay_out(len(owners))
        while True:
            tokens = sampler(batch.so_far, logits, batch.rows)
            batch.append(tokens)
            left = batch.stop(stopping_criteria(batch.so_far, None))
            if not left:
                return batch.result
            if left < SHRINK_AT * len(batch.rows):
                answers.keep(kept := batch.shrink())
                lay_out(len(kept))
                tokens = tokens[kept]
            logits = answers.step(tokens)


@contextmanager
def laid_out(model: Any) -> Iterator[Callable[[int], None]]:
    """Give a function that lays out every linear layer of `model` for a number of rows. The end of the block takes all of it back.

    A plain product of few rows rearranges each weight again for every token. The second copy of the weights takes the room
    that gradients take later in the step. GPUs, half precision and builds of torch without MKL are left as they are.
    The layout holds the weights of that moment: they must not change before it is taken back or renewed. A product of
    another number of rows is the plain one.
    """
    plain = [part for part in model.modules() if type(part) is torch.nn.Linear and "forward" not in part.__dict__]
    on_cpu = [part for part in plain if part.weight.device.type == "cpu" and part.weight.dtype == torch.float32]
    layers = on_cpu if torch.backends.mkl.is_available() else []

    def lay_out(rows: int) -> None:
        for layer in layers:
            if rows < MIN_ROWS:
                layer.__dict__.pop("forward", None)
                continue
            weight = layer.weight.detach()
            packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
            layer.forward = functools.partial(
                torch.ops.mkl._mkl_linear, MKL_W=packed, ORI_W=weight, B=layer.bias, batch_size=rows
            )

    try:
        yield lay_out
    finally:
        lay_out(0)


class _Batch:
    """The rows still in the batch, and the ids of all B rows, up to `width` tokens, finished rows padded."""

    def __init__(self, prompts: Tensor, width: int, pad: Tensor) -> None:
        self.rows = torch.arange(len(prompts), device=prompts.device)
        self._length = prompts.shape[1]
        self._all = torch.cat([prompts, pad.to(prompts.dtype).expand(len(prompts), width - self._length)], dim=1)
        self._ids = self._all.clone()
        self._running = torch.ones_like(self.rows, dtype=torch.bool)

    @property
    def so_far(self) -> Tensor:
        """(R, n) ids of the rows in the batch."""
        return self._ids[:, : self._length]

    @property
    def result(self) -> Tensor:
        """(B, n) ids of all rows."""
        return self._all[:, : self._length]

    def append(self, tokens: Tensor) -> None:
        """Take one token per row in the batch and forget those of finished rows."""
        self._ids[:, self._length] = tokens
        self._all[self.rows, self._length] = torch.where(self._running, tokens, self._all[self.rows, self._length])
        self._length += 1

    def stop(self, finished: Tensor) -> int:
        """Mark rows as finished and return how many still run."""
        self._running = self._running & ~finished
        return int(self._running.sum())

    def shrink(self) -> Tensor:
        """Let finished rows leave and return the places of those that stay."""
        kept: Tensor = self._running.nonzero()[:, 0]
        self.rows, self._ids, self._running = self.rows[kept], self._ids[kept], self._running[kept]
        return kept


class _Answers:
    """The decoding state: caches of prompts and answers, and positions."""

    def __init__(self, model: Any, first: Any, owner: Tensor, model_kwargs: dict[str, Any]) -> None:
        prompts = [(layer.keys, layer.values) for layer in first.past_key_values.layers]
        counts = torch.bincount(owner)
        sizes = counts.tolist()
        widest = max(sizes)
        nth = torch.cat([torch.arange(size, device=owner.device) for size in sizes])
        slots = torch.empty_like(owner).index_copy_(0, owner.argsort(stable=True), nth) + owner * widest
        mask = model_kwargs.get("attention_mask")
        padded = None if mask is None or bool(mask.all()) else mask.bool()
        self._prefix = PrefixAttention(prompts, padded, slots, (len(sizes), widest))
        self._layers = [AnswerLayer() for _ in prompts]
        self._model = model
        self._position = model_kwargs["position_ids"][..., -1:].index_select(-2, owner)
        self._mask = placeholder_mask(owner.device)

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token per row and return the logits (R, vocabulary) after it."""
        self._position = self._position + 1
        outputs = self._model(
            input_ids=tokens[:, None],
            position_ids=self._position,
            attention_mask=self._mask,
            past_key_values=Cache(layers=self._layers),
            use_cache=True,
            shared_prefix=self._prefix,
            return_dict=True,
        )
        logits: Tensor = outputs.logits[:, -1]
        return logits

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""
        self._prefix.keep(rows)
        self._position = self._position.index_select(-2, rows)
        for layer in self._layers:
            layer.batch_select_indices(rows)
