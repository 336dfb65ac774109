"""Index arithmetic of a packed row: where a token comes from, what it may see, and where its log-probability goes.

A packed row holds, group by group, the prompt without its last token and then one segment per answer: the prompt's last token
followed by the answer without its last one. Each token of a segment predicts one token of the answer, so the repeated token needs no
special case. Groups follow one another in a single row of batch size one: nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adfm.training.shared_prefix.rows import Rows


@dataclass(frozen=True)
class Bucket:
    """Groups whose prompts have the same length, so that their attention needs no padding mask.

    Attributes:
        prefix: (U, p), packed positions of the prompts.
        queries: (R, m), those of the answers, filled up by repeating their first token, which no valid token sees.
        keys: (R, p + m), those of the prompt and then the answer of each row.
    """

    prefix: Tensor
    queries: Tensor
    keys: Tensor


@dataclass(frozen=True)
class Packing:
    """T packed tokens of R answers.

    Attributes:
        source: (T,), index into the flattened (B * (P + C)) ids.
        predicts: (T,), whether the token predicts the next token of its row.
        target: (answer tokens,), index into the flattened (B * C) result, in packed order.
        group: (T,), number of the token's group.
        position: (T,), its place in its own sequence.
        buckets: the groups by the length of their prompts.
        order: (T,), where the attention's bucketed output holds each packed token.
        heads: the first row of each group.
    """

    source: Tensor
    predicts: Tensor
    target: Tensor
    group: Tensor
    position: Tensor
    buckets: tuple[Bucket, ...]
    order: Tensor
    heads: tuple[int, ...]


def pack(rows: Rows) -> Packing:
    """Lay out the rows of a micro-batch. A row without any answer token takes no place.

    The first row of each group (`heads`) lends the group its prompt and images.
    """
    answers = rows.mask[:, rows.prompt :].sum(dim=1).tolist()
    prompts = rows.mask[:, : rows.prompt].sum(dim=1).tolist()
    members = ([row for row in group if answers[row]] for group in rows.by_group())
    groups = [group for group in members if group]
    pieces = [_group_columns(number, rows, own, prompts[own[0]], answers) for number, own in enumerate(groups)]
    column = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    buckets, order = _buckets(
        [prompts[own[0]] - 1 for own in groups], [[answers[row] for row in own] for own in groups]
    )
    device = rows.ids.device
    tensors = {name: torch.from_numpy(values).to(device) for name, values in column.items()}
    target = tensors.pop("target")
    return Packing(
        **tensors,
        target=target[tensors["predicts"]],
        buckets=tuple(Bucket(*(torch.from_numpy(part).to(device) for part in bucket)) for bucket in buckets),
        order=torch.from_numpy(order).to(device),
        heads=tuple(own[0] for own in groups),
    )


def _group_columns(
    number: int, rows: Rows, members: list[int], prompt: int, answers: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the columns of `Packing` for one group: its prompt, then a segment per answer."""
    width = rows.ids.shape[1]
    prefix = np.arange(prompt - 1)
    lengths = np.array([answers[row] for row in members])
    member = np.repeat(np.array(members), lengths)
    within = np.arange(lengths.sum()) - np.repeat(_exclusive(lengths), lengths)
    row = np.concatenate([np.full(prompt - 1, members[0]), member])
    column = np.concatenate([rows.prompt - prompt + prefix, rows.prompt - 1 + within])
    return {
        "source": row * width + column,
        "predicts": np.concatenate([np.zeros(prompt - 1, bool), np.ones(len(member), bool)]),
        "target": row * rows.answer + column - (rows.prompt - 1),
        "group": np.full(len(row), number),
        "position": np.concatenate([prefix, prompt - 1 + within]),
    }


def _buckets(
    prefixes: Sequence[int], answers: Sequence[Sequence[int]]
) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
    """Return the fields of the buckets and `Packing.order`, given each group's prompt tokens but one and lengths of answers."""
    starts = _exclusive([prefix + sum(lengths) for prefix, lengths in zip(prefixes, answers, strict=True)])
    order = np.empty(sum(prefixes) + sum(map(sum, answers)), dtype=np.int64)
    buckets, offset = [], 0
    for length in sorted(set(prefixes)):
        chosen = [number for number, prefix in enumerate(prefixes) if prefix == length]
        prefix = np.array([starts[number] + np.arange(length) for number in chosen], dtype=np.int64)
        order[prefix.ravel()] = offset + np.arange(prefix.size)
        lengths = np.concatenate([answers[number] for number in chosen])
        owner = np.repeat(np.arange(len(chosen)), [len(answers[number]) for number in chosen])
        first = np.concatenate([starts[number] + length + _exclusive(answers[number]) for number in chosen])
        steps = np.arange(lengths.max())
        valid = steps[None] < lengths[:, None]
        queries = first[:, None] + np.where(valid, steps[None], 0)
        slots = offset + prefix.size + np.arange(queries.size).reshape(queries.shape)
        order[queries[valid]] = slots[valid]
        buckets.append((prefix, queries, np.concatenate([prefix[owner], queries], axis=1)))
        offset += prefix.size + queries.size
    return buckets, order


def _exclusive(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the sum of the lengths before each."""
    return np.asarray(np.cumsum(lengths) - np.asarray(lengths))
