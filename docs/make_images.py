"""Draws the image of docs/data.md: one row of parts per material, normal ones first, defects outlined; the seed is fixed.

python docs/make_images.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from adfm.data.synthetic import MATERIALS, contact_sheet, draw_part, random_product

COLUMNS = 6


def main() -> None:
    """Write docs/images/synthetic.jpg."""
    parts = []
    for row, material in enumerate(MATERIALS):
        rng = np.random.default_rng((7, row))
        product = random_product(rng, materials=[material], features=(1, 2), difficulty=0.3)
        parts += [draw_part(product, rng, size=(160, 160), defects=0 if column < 2 else 1) for column in range(COLUMNS)]
    out = Path(__file__).parent / "images" / "synthetic.jpg"
    out.parent.mkdir(exist_ok=True)
    Image.fromarray(contact_sheet(parts, COLUMNS)).save(out, quality=88)


if __name__ == "__main__":
    main()
