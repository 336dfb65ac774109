"""Log-probabilities of all answers of a micro-batch in one pass over each prompt, by the unmodified model and the engine's own head.

Left out: mixture-of-experts balancing losses, which count tokens, and prompts that end in a picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adfm.training.shared_prefix.attention import PackedAttention, placeholder_mask
from adfm.training.shared_prefix.layout import Packing, pack
from adfm.training.shared_prefix.rows import Rows


def packed_log_probs(model: Any, language: Any, rows: Rows, *, dense: bool = False) -> tuple[Tensor, Tensor | None]:
    """Return log-probabilities and entropies, both (B, C), zero where an answer is padded, as the engine's own forward does.

    Args:
        model: what is called, with the engine's fused head: it may be wrapped for many processes.
        language: the module inside it that has `get_rope_index`.
        dense: build the N x N block mask and use the model's own attention instead of the bucketed one (the reference; one group at a
            time would be kinder to memory).
    """
    packing = pack(rows)
    outputs = model(**forward_inputs(language, rows, packing, dense=dense), fused_lm_head=True)
    return tuple(_spread(values, packing, rows) for values in (outputs.log_probs, outputs.entropy))  # type: ignore[return-value]


def forward_inputs(language: Any, rows: Rows, packing: Packing, *, dense: bool) -> dict[str, Any]:
    """Return the keyword arguments of the packed forward, batch size one."""
    flat = rows.ids.flatten()
    ids = flat[packing.source]
    pixels, grids = rows.pictures(packing.heads)
    follows = torch.where(packing.predicts, flat[(packing.source + 1).clamp(max=len(flat) - 1)], -100)
    shared = {"attention_mask": packing.allowed[None, None]} if dense else _bucketed(packing)
    return {
        "input_ids": ids[None],
        "position_ids": _positions(language, rows, packing, grids),
        "pixel_values": pixels,
        "image_grid_thw": grids,
        "mm_token_type_ids": rows.kinds.flatten()[packing.source][None],
        "shift_labels": follows[None],
        **shared,
    }


def _bucketed(packing: Packing) -> dict[str, Any]:
    return {"attention_mask": placeholder_mask(packing.source.device), "shared_prefix": PackedAttention(packing)}


def _positions(language: Any, rows: Rows, packing: Packing, grids: Tensor) -> Tensor:
    """Return (3, 1, T): the model's own positions of each prompt, which every answer continues one by one."""
    heads = torch.tensor(packing.heads, device=rows.ids.device)
    columns = rows.prompt
    positions, _ = language.get_rope_index(
        rows.ids[heads, :columns],
        mm_token_type_ids=rows.kinds[heads, :columns],
        image_grid_thw=grids,
        attention_mask=rows.mask[heads, :columns],
    )
    lengths = rows.mask[heads, :columns].sum(dim=1)[packing.group]
    beyond = (packing.position - (lengths - 1)).clamp(min=0)
    column = columns - lengths + packing.position - beyond
    return (positions[:, packing.group, column] + beyond)[:, None]


def _spread(values: Tensor | None, packing: Packing, rows: Rows) -> Tensor | None:
    """Put the values of the predicting tokens (1, T) where their answer tokens stand in (B, C)."""
    if values is None:
        return None
    empty = values.new_zeros(len(rows.ids) * rows.answer)
    return empty.scatter(0, packing.target, values[0][packing.predicts]).view(len(rows.ids), rows.answer)
