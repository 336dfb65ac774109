"""Lays out contact sheets: many parts in one image, with their masks outlined."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from adfm.data.synthetic.fields import Bytes
from adfm.data.synthetic.part import Part


def contact_sheet(parts: Sequence[Part], columns: int, *, outlines: bool = True, gap: int = 4) -> Bytes:
    """Return uint8 (H, W, 3) RGB: `parts` in rows of `columns`, masks outlined in red just outside their pixels."""
    if not parts or columns < 1:
        raise ValueError("a contact sheet needs at least one part and one column")
    height = max(part.image.shape[0] for part in parts)
    width = max(part.image.shape[1] for part in parts)
    rows = -(-len(parts) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, part in enumerate(parts):
        top, left = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
        image = part.image.copy()
        if outlines:
            grown = cv2.dilate(part.mask, np.ones((3, 3), np.uint8))
            image[(grown > 0) & (part.mask == 0)] = (255, 40, 40)
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
