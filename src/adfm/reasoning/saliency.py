"""Where an image's contrast is most local: the place that a normal part's training target points at and clears.

It is a fixed difference of blurs at a reduced size, without learning. It finds contrast, not defects.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm.geometry import Box

_SIDE = 128  # longest side, in pixels, at which contrast is measured
_WINDOW = 0.25  # side of the window over the side of the image


def focus_box(image: Image.Image) -> Box:
    """Return the window of a quarter of each side that holds the most local contrast, in the image's own pixels.

    Args:
        image: RGB. The same pixels always give the same box. Among equals the middlemost wins.
    """
    contrast = _contrast(image)
    height, width = contrast.shape
    rows, columns = max(1, round(height * _WINDOW)), max(1, round(width * _WINDOW))
    # The sum of every window (height - rows + 1, width - columns + 1), from the summed-area table.
    table = np.pad(contrast, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    below, above = table[rows:], table[:-rows]
    sums: NDArray[np.float64] = below[:, columns:] - above[:, columns:] - below[:, :-columns] + above[:, :-columns]
    # Sums within a millionth count as equal.
    ys, xs = np.nonzero(sums >= sums.max() - 1e-6 * max(1.0, float(sums.max())))
    nearest = int(np.argmin((ys - (sums.shape[0] - 1) / 2) ** 2 + (xs - (sums.shape[1] - 1) / 2) ** 2))
    top, left = int(ys[nearest]), int(xs[nearest])
    sx, sy = image.width / width, image.height / height
    return Box(round(left * sx), round(top * sy), round((left + columns) * sx), round((top + rows) * sy))


def _contrast(image: Image.Image) -> NDArray[np.float64]:
    """Return (H, W), at most `_SIDE` pixels a side: how far a fine blur is from a coarse one, all channels together."""
    import cv2

    scale = min(1.0, _SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    # Averaged, so that noise is not contrast.
    pixels = cv2.resize(np.asarray(image.convert("RGB"), dtype=np.float32), size, interpolation=cv2.INTER_AREA)
    fine = cv2.GaussianBlur(pixels, (0, 0), max(0.5, max(size) / 64))
    coarse = cv2.GaussianBlur(pixels, (0, 0), max(1.0, max(size) / 10))
    difference: NDArray[np.float64] = np.abs(np.subtract(fine, coarse), dtype=np.float64)
    # Half a grey level is rounding, not contrast: an even image must have none.
    return np.asarray(np.maximum(difference - 0.5, 0).sum(axis=2))
