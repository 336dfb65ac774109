"""How images become tokens: one class per kind, with the operations that training needs."""

from __future__ import annotations


class Grid:
    """Images as a flat list of patches, with a grid (frames, rows, columns) of patches per image (Qwen-VL)."""

    kind = "grid"


class Tiles:
    """Images cut into tiles of one size, each with a fixed number of tokens (InternVL)."""

    kind = "tiles"


ImageTokens = Grid | Tiles
GRID = Grid()
TILES = Tiles()
