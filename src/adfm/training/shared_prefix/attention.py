"""The attention function that knows of shared prompts, registered beside `sdpa` by transformers' public interface.

Model classes stay as they are: a forward that is given `shared_prefix=...` uses it, every other forward is `sdpa` to the bit. Left out:
models that do not hand keyword arguments down to their attention.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from adfm.training.shared_prefix.layout import Bucket, Packing

NAME = "adfm_shared_prefix"


class SharedPrefix(Protocol):
    """What a forward may be given as `shared_prefix`."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, layer: int) -> Tensor:
        """Return (batch, tokens, heads, width) of (batch, heads, tokens, width) queries."""
        ...


class PackedAttention:
    """Attention over a packed row: every prompt sees itself, every answer its prompt and itself; nothing is masked away."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, layer: int) -> Tensor:  # noqa: ARG002
        """Gather each bucket, attend, and put the answers back in packed order."""
        q, k, v = (states.transpose(1, 2)[0] for states in (query, key, value))  # (T, heads, width)
        flat = [part for bucket in self._packing.buckets for part in _attend_bucket(bucket, q, k, v, scale)]
        return torch.cat(flat).index_select(0, self._packing.order)[None]


def _attend_bucket(bucket: Bucket, q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> list[Tensor]:
    """Return the outputs of the prompts and of the answers, both flattened to (tokens, heads, width)."""
    answers = _attend(_take(q, bucket.queries), _take(k, bucket.keys), _take(v, bucket.keys), scale)
    if not bucket.prefix.shape[1]:
        return [answers]
    prompts = _attend(_take(q, bucket.prefix), _take(k, bucket.prefix), _take(v, bucket.prefix), scale)
    return [prompts, answers]


def _take(states: Tensor, index: Tensor) -> Tensor:
    """Gather (rows, n, heads, width) from (T, heads, width) and put heads before tokens."""
    return states.index_select(0, index.flatten()).unflatten(0, index.shape).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
    """Causal attention whose last query is at the last key."""
    options: dict[str, Any] = {"scale": scale, "enable_gqa": q.shape[1] != k.shape[1]}
    if q.shape[2] == k.shape[2]:
        options["is_causal"] = True
    else:
        options["attn_mask"] = lower_right(q.shape[2], k.shape[2], q.device)
    out = scaled_dot_product_attention(q, k, v, **options)
    return out.transpose(1, 2).flatten(0, 1)


def lower_right(queries: int, keys: int, device: torch.device) -> Any:
    """Return the causal mask aligned at the last key: on a GPU one that the flash kernel knows, so that none is built."""
    if device.type == "cuda":
        from torch.nn.attention.bias import causal_lower_right

        return causal_lower_right(queries, keys)
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """The function transformers calls; shapes are (batch, heads, tokens, width), the result (batch, tokens, heads, width)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    shared: SharedPrefix | None = options.pop("shared_prefix", None)
    if shared is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain
    return shared.attend(query, key, value, scale=options.get("scaling"), layer=module.layer_idx), None


def install(model: Any) -> None:
    """Let the language model of `model` use `attention`; it must have been using `sdpa`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    for config, _ in implementations(model):
        config._attn_implementation = NAME


def implementations(model: Any) -> list[tuple[Any, str]]:
    """Return the configurations that decide the language model's attention, and what each names now."""
    text = model.config.get_text_config()
    configs = (text, *(part.config for part in model.modules() if hasattr(part, "layer_idx")))
    return [(config, config._attn_implementation) for config in configs]


def placeholder_mask(device: torch.device) -> Tensor:
    """Return a mask that only has the shape of a prepared one: the model builds none, and `attention` does not read it."""
    return torch.empty((1, 1, 1, 1), dtype=torch.bool, device=device)
