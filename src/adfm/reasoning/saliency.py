"""Where a picture's contrast is most local: the place that a normal part's training target points at and clears.

A fixed difference of blurs at a reduced size, no learning and no truth; it finds contrast, not defects.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm.geometry import Box

_SIDE = 128  # longest side, in pixels, at which contrast is measured
_WINDOW = 0.25  # side of the window over the side of the picture


def focus_box(image: Image.Image) -> Box:
    """Return the window of a quarter of each side that holds the most local contrast, in the picture's own pixels.

    Args:
        image: RGB. The same pixels always give the same box; among equals the middlemost wins.
    """
    contrast = _contrast(_reduced(image))
    height, width = contrast.shape
    rows, columns = max(1, round(height * _WINDOW)), max(1, round(width * _WINDOW))
    sums = _window_sums(contrast, rows, columns)
    top, left = _best(sums)
    sx, sy = image.width / width, image.height / height
    return Box(
        round(left * sx),
        round(top * sy),
        max(round((left + columns) * sx), round(left * sx) + 1),
        max(round((top + rows) * sy), round(top * sy) + 1),
    )


def _reduced(image: Image.Image) -> NDArray[np.float32]:
    """Return (H, W, 3) float32 of at most `_SIDE` pixels a side; averaged, so that noise is not contrast."""
    import cv2

    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    scale = min(1.0, _SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _contrast(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (H, W): how far a fine blur is from a coarse one, all channels together."""
    import cv2

    side = max(pixels.shape[:2])
    fine = cv2.GaussianBlur(pixels, (0, 0), max(0.5, side / 64))
    coarse = cv2.GaussianBlur(pixels, (0, 0), max(1.0, side / 10))
    difference: NDArray[np.float64] = np.abs(fine - coarse, dtype=np.float64)
    # Half a grey level is rounding, not contrast: an even picture must have none.
    return np.asarray(np.maximum(difference - 0.5, 0).sum(axis=2))


def _window_sums(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Return (H - rows + 1, W - columns + 1): the sum of every window, from the summed-area table."""
    table = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    below, above = table[rows:], table[:-rows]
    sums: NDArray[np.float64] = below[:, columns:] - above[:, columns:] - below[:, :-columns] + above[:, :-columns]
    return sums


def _best(sums: NDArray[np.float64]) -> tuple[int, int]:
    """Return (row, column) of the largest sum; sums within a millionth count as equal and the middlemost wins."""
    ys, xs = np.nonzero(sums >= sums.max() - 1e-6 * max(1.0, float(sums.max())))
    middle_y, middle_x = (sums.shape[0] - 1) / 2, (sums.shape[1] - 1) / 2
    nearest = int(np.argmin((ys - middle_y) ** 2 + (xs - middle_x) ** 2))
    return int(ys[nearest]), int(xs[nearest])
