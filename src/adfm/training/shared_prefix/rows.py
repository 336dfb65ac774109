"""The rows of a micro-batch as the engine holds them, and which pictures belong to which row.

Left out: picture formats other than a flat patch list with a grid per picture (the Qwen-VL families).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

Album = tuple[int, int]
"""First and last + 1 picture of a row."""


@dataclass(frozen=True)
class Rows:
    """B rows: prompts padded on the left, answers on the right, and the pictures that they refer to.

    `ids` and `mask` (B, P + C); `answer` is C; `kinds` (B, P + C), 1 where a token stands for a picture; `pixels` (patches, features);
    `grids` (pictures, 3) in patches; `albums`: the pictures of each row; `groups`: rows with one number share prompt and pictures.
    """

    ids: Tensor
    mask: Tensor
    answer: int
    kinds: Tensor
    pixels: Tensor
    grids: Tensor
    albums: tuple[Album, ...]
    groups: tuple[int, ...]

    @property
    def prompt(self) -> int:
        """Columns of the prompts, padding included."""
        return int(self.ids.shape[1]) - self.answer

    def select(self, keep: Sequence[int]) -> Rows:
        """Return some rows, in the order given; no picture is copied."""
        index = torch.tensor(list(keep), dtype=torch.long, device=self.ids.device)
        return replace(
            self,
            ids=self.ids[index],
            mask=self.mask[index],
            kinds=self.kinds[index],
            albums=tuple(self.albums[row] for row in keep),
            groups=tuple(self.groups[row] for row in keep),
        )

    def pictures(self, keep: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the patches and grids of some rows, one after another."""
        return gathered(self.pixels, self.grids, [self.albums[row] for row in keep])

    def by_group(self) -> list[list[int]]:
        """Return the row numbers of each group, groups in order of their first row."""
        found: dict[int, list[int]] = {}
        for row, group in enumerate(self.groups):
            found.setdefault(group, []).append(row)
        return list(found.values())

    def engine_fields(self) -> dict[str, Any]:
        """Return what the engine's own forward takes, every row with its own copy of its pictures."""
        pixels, grids = self.pictures(range(len(self.albums)))
        return {
            "pixel_values": pixels,
            "image_grid_thw": grids,
            "num_images": [stop - start for start, stop in self.albums],
            "mm_token_type_ids": self.kinds,
        }


def gathered(pixels: Tensor, grids: Tensor, albums: Sequence[Album]) -> tuple[Tensor, Tensor]:
    """Return the patches and grids of some albums, one after another."""
    patches = [0, *accumulate(grids.prod(dim=-1).tolist())]
    chosen = torch.cat([pixels[patches[start] : patches[stop]] for start, stop in albums])
    return chosen, torch.cat([grids[start:stop] for start, stop in albums])


def albums_of(counts: Sequence[int], groups: Sequence[int]) -> tuple[Album, ...]:
    """Return the pictures of each row, given how many each row holds; a row that holds none shares those of its group."""
    first = [0, *accumulate(counts)]
    held = {group: (first[row], first[row + 1]) for row, group in enumerate(groups) if counts[row]}
    return tuple(
        (first[row], first[row + 1]) if counts[row] else held.get(group, (0, 0)) for row, group in enumerate(groups)
    )


def thinned(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a scored batch in which only the first row of each group holds pictures.

    The engine copies the pictures G times and carries the copies through shuffling and splitting; `albums_of` finds them again.
    """
    groups, counts = batch["prompt_groups"].tolist(), batch["num_images"]
    first = {group: row for row, group in reversed(list(enumerate(groups)))}
    heads = sorted(first.values())
    albums = albums_of(counts, groups)
    pixels, grids = gathered(batch["pixel_values"], batch["image_grid_thw"], [albums[row] for row in heads])
    lent = [count if first[group] == row else 0 for row, (group, count) in enumerate(zip(groups, counts, strict=True))]
    return {**batch, "pixel_values": pixels, "image_grid_thw": grids, "num_images": lent}
