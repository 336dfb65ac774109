"""Small folders of real images and masks, made afresh for every test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (48, 32)
Corners = tuple[int, int, int, int]
WriteImage = Callable[..., Path]
WriteMask = Callable[..., Path]


@pytest.fixture
def draw_image() -> WriteImage:
    """Write an image of noise that depends on its path alone."""

    def write(path: Path, size: tuple[int, int] = SIZE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int(hashlib.sha256(str(path).encode()).hexdigest()[:8], 16)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def mask() -> WriteMask:
    """Write a mask with filled boxes."""

    def write(path: Path, boxes: Sequence[Corners] = ((4, 5, 20, 15),), size: tuple[int, int] = SIZE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((size[1], size[0]), np.uint8)
        for x1, y1, x2, y2 in boxes:
            pixels[y1:y2, x1:x2] = 255
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def mvtec_set(tmp_path: Path, draw_image: WriteImage, mask: WriteMask) -> Path:
    """One category: 8 + 6 normal parts, 6 scratches with masks, 3 dents without."""
    root = tmp_path / "valve"
    for number in range(8):
        draw_image(root / "train" / "good" / f"{number:03d}.png")
    for number in range(6):
        draw_image(root / "test" / "good" / f"{number:03d}.png")
        draw_image(root / "test" / "scratch" / f"{number:03d}.png")
        mask(root / "ground_truth" / "scratch" / f"{number:03d}_mask.png", [(4, 5, 20, 15 + number)])
    for number in range(3):
        draw_image(root / "test" / "dent" / f"{number:03d}.png")
    return root
