"""Log-probabilities of all answers of a micro-batch in one pass over each prompt, by the unmodified model and the engine's own head.

Left out: mixture-of-experts balancing losses, which count tokens, and prompts that end in an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from adfm.training.shared_prefix.attention import PackedAttention, placeholder_mask
from adfm.training.shared_prefix.layout import Packing, pack
from adfm.training.shared_prefix.rows import Rows


def packed_log_probs(
    model: Any, plain: Any, rows: Rows, *, batch_size: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return log-probabilities and entropies, both (B, C), zero where an answer is padded, as the engine's own forward does.

    Args:
        model: what is called, with the engine's fused head: it may be wrapped for many processes.
        plain: the transformers model inside it.
        rows: B rows with answers of up to C tokens.
        batch_size: pass whole groups, at most this many rows at a time where a group is not larger. None passes all at once.
    """
    parts = list(chunks(rows.by_group(), batch_size or len(rows.ids)))
    if len(parts) > 1:
        passed = [packed_log_probs(model, plain, rows.select(part)) for part in parts]
        back = torch.tensor([row for part in parts for row in part], device=rows.ids.device).argsort()
        logps, entropies = zip(*passed, strict=True)
        return torch.cat(logps)[back], None if entropies[0] is None else torch.cat(entropies)[back]
    packing = pack(rows)
    outputs = model(**forward_inputs(plain, rows, packing), fused_lm_head=True)
    shape = (len(rows.ids), rows.answer)
    spread = [
        None
        if values is None
        else values.new_zeros(shape).flatten().scatter(0, packing.target, values[0][packing.predicts]).view(shape)
        for values in (outputs.log_probs, outputs.entropy)
    ]
    return spread[0], spread[1]


def chunks(groups: list[list[int]], rows: int) -> Iterator[list[int]]:
    """Yield the rows of as many whole groups at a time as fit into `rows`, at least one group."""
    chunk: list[int] = []
    for group in groups:
        if chunk and len(chunk) + len(group) > rows:
            yield chunk
            chunk = []
        chunk = chunk + group
    yield chunk


def forward_inputs(plain: Any, rows: Rows, packing: Packing) -> dict[str, Any]:
    """Return the keyword arguments of the packed forward, batch size one.

    Positions (3, 1, T) are the model's own for each prompt. Every answer continues them one by one.
    """
    flat, columns = rows.ids.flatten(), rows.prompt
    images = rows.images_of(packing.heads)
    heads = torch.tensor(packing.heads, device=rows.ids.device)
    ids, types, mask = (part[heads, :columns] for part in (rows.ids, rows.token_types, rows.mask))
    positions = rows.form.positions(plain, ids, types, mask, images)
    lengths = mask.sum(dim=1)[packing.group]
    beyond = (packing.position - (lengths - 1)).clamp(min=0)
    column = columns - lengths + packing.position - beyond
    return {
        "input_ids": flat[packing.source][None],
        "position_ids": (positions[:, packing.group, column] + beyond)[:, None],
        **images,
        rows.form.token_types: rows.token_types.flatten()[packing.source][None],
        "shift_labels": torch.where(packing.predicts, flat[(packing.source + 1).clamp(max=len(flat) - 1)], -100)[None],
        "attention_mask": placeholder_mask(flat.device),
        "shared_prefix": PackedAttention(packing),
    }
