"""The attention function that knows of shared prompts, registered beside `sdpa` by transformers' public interface.

Model classes stay as they are: a forward that is given `shared_prefix=...` uses it, every other forward is `sdpa` to the bit. Left out:
models that do not hand keyword arguments down to their attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from adfm.training.shared_prefix.layout import Packing

NAME = "adfm_shared_prefix"


class SharedPrefix(Protocol):
    """What a forward may be given as `shared_prefix`."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, layer: int) -> Tensor:
        """Return (batch, tokens, heads, width) of (batch, heads, tokens, width) queries."""
        ...


class PackedAttention:
    """Attention over a packed row: every prompt sees itself, every answer its prompt and itself."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, layer: int) -> Tensor:  # noqa: ARG002
        """Gather each bucket, attend, and put its tokens back in packed order."""
        states = [part.transpose(1, 2)[0] for part in (query, key, value)]
        flat = []
        for bucket in self._packing.buckets:
            answers = _attend(states, bucket.queries, bucket.keys, scale)
            if bucket.prefix.shape[1]:
                flat.append(_attend(states, bucket.prefix, bucket.prefix, scale))
            flat.append(answers)
        return torch.cat(flat).index_select(0, self._packing.order)[None]


def _attend(states: Sequence[Tensor], queries: Tensor, keys: Tensor, scale: float | None) -> Tensor:
    """Causal attention whose last query is at the last key, flattened to (rows * m, heads, width).

    `states` are queries, keys and values (T, heads, width); `queries` (rows, m) and `keys` (rows, n) say which tokens to gather.
    """
    q, k, v = (
        part.index_select(0, index.flatten()).unflatten(0, index.shape).transpose(1, 2)
        for part, index in zip(states, (queries, keys, keys), strict=True)
    )
    options: dict[str, Any] = {"scale": scale, "enable_gqa": q.shape[1] != k.shape[1]}
    size = q.shape[2], k.shape[2]
    if size[0] == size[1]:
        options["is_causal"] = True
    elif q.device.type == "cuda":  # a mask that the flash kernel knows, so that none is built
        options["attn_mask"] = causal_lower_right(*size)
    else:
        options["attn_mask"] = torch.ones(size, dtype=torch.bool, device=q.device).tril(size[1] - size[0])
    out = scaled_dot_product_attention(q, k, v, **options)
    return out.transpose(1, 2).flatten(0, 1)


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """The function that transformers calls: (batch, heads, tokens, width) states to (batch, tokens, heads, width)."""
    shared: SharedPrefix | None = options.pop("shared_prefix", None)
    if shared is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain
    return shared.attend(query, key, value, scale=options.get("scaling"), layer=module.layer_idx), None


def install(model: Any) -> None:
    """Let the language model of `model` use `attention` in place of `sdpa`."""
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
