"""Draws the image of docs/data.md: one row of parts per material, normal ones first, defects outlined; the seed is fixed.

python docs/make_images.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from adfm.data.synthetic import MATERIALS, draw_part, random_product

COLUMNS, SIDE, GAP = 6, 160, 4


def main() -> None:
    """Write docs/images/synthetic.jpg."""
    rows, pitch = len(MATERIALS), SIDE + GAP
    sheet = np.full((rows * pitch + GAP, COLUMNS * pitch + GAP, 3), 255, np.uint8)
    for row, material in enumerate(MATERIALS):
        rng = np.random.default_rng((7, row))
        product = random_product(rng, materials=[material], features=(1, 2), difficulty=0.3)
        for column in range(COLUMNS):
            part = draw_part(product, rng, size=(SIDE, SIDE), defects=0 if column < 2 else 1)
            image, top, left = part.image.copy(), row * pitch + GAP, column * pitch + GAP
            grown = cv2.dilate(part.mask, np.ones((3, 3), np.uint8))
            image[(grown > 0) & (part.mask == 0)] = (255, 40, 40)
            sheet[top : top + SIDE, left : left + SIDE] = image
    out = Path(__file__).parent / "images" / "synthetic.jpg"
    out.parent.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(out, quality=88)


if __name__ == "__main__":
    main()
