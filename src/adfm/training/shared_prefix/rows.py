"""The rows of a micro-batch as the engine holds them, cut down to some of them; pictures follow their rows.

Left out: picture formats other than a flat patch list with a grid per picture (the Qwen-VL families).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """B rows: prompts padded on the left, answers on the right, and the pictures of all rows one after another.

    `ids` and `mask` (B, P + C); `answer` is C; `kinds` (B, P + C), 1 where a token stands for a picture; `pixels` (patches, features);
    `grids` (pictures, 3) in patches; `counts`: pictures of each row; `groups` (B,): rows with one number share prompt and pictures.
    """

    ids: Tensor
    mask: Tensor
    answer: int
    kinds: Tensor
    pixels: Tensor
    grids: Tensor
    counts: list[int]
    groups: Tensor

    @property
    def prompt(self) -> int:
        """Columns of the prompts, padding included."""
        return self.ids.shape[1] - self.answer

    def select(self, keep: Sequence[int]) -> Rows:
        """Return some rows, in the order given."""
        index = torch.tensor(list(keep), dtype=torch.long, device=self.ids.device)
        pixels, grids = self.pictures(keep)
        return Rows(
            self.ids[index],
            self.mask[index],
            self.answer,
            self.kinds[index],
            pixels,
            grids,
            [self.counts[row] for row in keep],
            self.groups[index],
        )

    def pictures(self, keep: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the patches and grids of some rows, in the order given."""
        first = [0, *accumulate(self.counts)]
        patches = [0, *accumulate(self.grids.prod(dim=-1).tolist())]
        spans = [(first[row], first[row + 1]) for row in keep]
        if spans == [(0, first[-1])]:
            return self.pixels, self.grids
        pixels = [self.pixels[patches[start] : patches[stop]] for start, stop in spans]
        return torch.cat(pixels), torch.cat([self.grids[start:stop] for start, stop in spans])

    def by_group(self) -> dict[int, list[int]]:
        """Return the row numbers of each group, groups in order of their first row."""
        found: dict[int, list[int]] = {}
        for row, group in enumerate(self.groups.tolist()):
            found.setdefault(group, []).append(row)
        return found

    def engine_fields(self) -> dict[str, Any]:
        """Return the pictures under the names of the engine's own forward."""
        return {
            "pixel_values": self.pixels,
            "image_grid_thw": self.grids,
            "num_images": self.counts,
            "mm_token_type_ids": self.kinds,
        }
