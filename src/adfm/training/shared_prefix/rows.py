"""The rows of a micro-batch as the engine holds them, and which images belong to which row.

The form of the images is that of the model's family (`adfm.models.image_tokens`). Left out: tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from adfm.models.image_tokens import GRID, Grid

Span = tuple[int, int]
"""First and last + 1 image of a row."""


@dataclass(frozen=True)
class Rows:
    """B rows: prompts padded on the left, answers on the right, and the images that the prompts refer to.

    Attributes:
        ids: (B, P + C), tokens of prompts and answers.
        mask: (B, P + C), 1 where a token is no padding.
        answer: C, the columns of the answers.
        token_types: (B, P + C), 1 where a token stands for an image.
        images: the fields of all images.
        spans: the images of each row.
        groups: rows with one number share prompt and images.
        form: how images become tokens.
    """

    ids: Tensor
    mask: Tensor
    answer: int
    token_types: Tensor
    images: Mapping[str, Tensor]
    spans: tuple[Span, ...]
    groups: tuple[int, ...]
    form: Grid = GRID

    @classmethod
    def of_batch(
        cls, ids: Tensor, mask: Tensor, answer: int, fields: Mapping[str, Any], groups: Sequence[int], form: Grid = GRID
    ) -> Rows:
        """Gather what the engine hands to its log-probability pass. `fields` holds images, their counts and token types.

        Answers that were lengthened after the processor ran have no token types yet: theirs are 0.
        """
        types = pad(fields[form.token_types], (0, ids.shape[1] - fields[form.token_types].shape[1]))
        images = {name: fields[name] for name in form.fields}
        return cls(ids, mask, answer, types, images, spans_of(fields["num_images"], groups), tuple(groups), form)

    @property
    def prompt(self) -> int:
        """Columns of the prompts, padding included."""
        return int(self.ids.shape[1]) - self.answer

    def select(self, keep: Sequence[int]) -> Rows:
        """Return some rows, in the order given. No image is copied."""
        index = torch.tensor(list(keep), dtype=torch.long, device=self.ids.device)
        return replace(
            self,
            ids=self.ids[index],
            mask=self.mask[index],
            token_types=self.token_types[index],
            spans=tuple(self.spans[row] for row in keep),
            groups=tuple(self.groups[row] for row in keep),
        )

    def images_of(self, keep: Sequence[int]) -> dict[str, Tensor]:
        """Return the fields of the images of some rows, one row after another."""
        return gathered(self.images, [self.spans[row] for row in keep], self.form)

    def by_group(self) -> list[list[int]]:
        """Return the row numbers of each group, groups in order of their first row."""
        members: dict[int, list[int]] = {}
        for row, group in enumerate(self.groups):
            members.setdefault(group, []).append(row)
        return list(members.values())

    def engine_fields(self) -> dict[str, Any]:
        """Return what the engine's own forward takes, every row with its own copy of its images."""
        return {
            **self.images_of(range(len(self.spans))),
            "num_images": [stop - start for start, stop in self.spans],
            self.form.token_types: self.token_types,
        }


def gathered(images: Mapping[str, Any], spans: Sequence[Span], form: Grid) -> dict[str, Tensor]:
    """Return the fields of the images of some spans, one span after another."""
    parts = form.split(images)
    return form.join([part for start, stop in spans for part in parts[start:stop]])


def spans_of(counts: Sequence[int], groups: Sequence[int]) -> tuple[Span, ...]:
    """Return the images of each row, given how many each row holds. A row that holds none shares those of its group."""
    first = [0, *accumulate(counts)]
    held = {group: (first[row], first[row + 1]) for row, group in enumerate(groups) if counts[row]}
    return tuple(
        (first[row], first[row + 1]) if counts[row] else held.get(group, (0, 0)) for row, group in enumerate(groups)
    )


def thinned(batch: dict[str, Any], form: Grid) -> dict[str, Any]:
    """Return a scored batch in which only the first row of each group holds images.

    The engine copies the images G times and carries the copies through shuffling and splitting. `spans_of` finds them again.
    """
    groups, counts = batch["prompt_groups"].tolist(), batch["num_images"]
    first = {group: row for row, group in reversed(list(enumerate(groups)))}
    spans = spans_of(counts, groups)
    lent = [count if first[group] == row else 0 for row, (group, count) in enumerate(zip(groups, counts, strict=True))]
    heads = [spans[row] for row in sorted(first.values())]
    return {**batch, **gathered(batch, heads, form), "num_images": lent}


def widened(batch: dict[str, Any], form: Grid) -> dict[str, Any]:
    """Return a scored batch in which every row holds its own copy of its images, as the stock step needs it."""
    spans = spans_of(batch["num_images"], batch["prompt_groups"].tolist())
    return {**batch, **gathered(batch, spans, form), "num_images": [stop - start for start, stop in spans]}
