"""Draws clean graphics as coverage maps: printed text, bar codes, dot codes, logos and rules, and specks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from adfm.data.synthetic.fields import SUPER, Bytes, Float, reduced, uniform

_LETTERS = "ABCDEFGHKLMNPRSTUVXZ"
Box = tuple[int, int, int, int]  # x, y, width, height on the supersampled canvas


def text(canvas: Bytes, box: Box, rng: np.random.Generator) -> None:
    """Print a part number: letters, sometimes a dash, digits."""
    x, y, width, height = box
    length = int(np.clip(1.3 * width / max(height, 1), 2, 9))
    letters = "".join(_LETTERS[int(i)] for i in rng.integers(len(_LETTERS), size=max(1, length // 2)))
    digits = "".join(str(i) for i in rng.integers(10, size=max(1, length - len(letters))))
    word = letters + ("-" if rng.random() < 0.3 else "") + digits
    (wide, tall), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    scale = min(width / wide, 0.9 * height / tall)
    thick = max(2, round(tall * scale * 0.14))
    cv2.putText(canvas, word, (x, y + int(0.5 * height + 0.5 * tall * scale)), 0, scale, (255,), thick)


def barcode(canvas: Bytes, box: Box, rng: np.random.Generator) -> None:
    """Print bars and gaps of one or two modules."""
    x, y, width, height = box
    module = max(SUPER, width // 24)
    place = x
    while place < x + width - 2 * module:
        bar = module * int(rng.integers(1, 3))
        cv2.rectangle(canvas, (place, y), (place + bar, y + height), (255,), -1)
        place += bar + module * int(rng.integers(1, 3))


def dot_code(canvas: Bytes, box: Box, rng: np.random.Generator) -> None:
    """Print a square of 9 x 9 random dots with two solid edges."""
    x, y, width, height = box
    side = min(width, height)
    bits = (rng.random((9, 9)) < 0.5).astype(np.uint8) * 255
    bits[:, 0] = bits[-1, :] = 255
    cells = cv2.resize(bits, (side, side), interpolation=cv2.INTER_NEAREST)
    left = x + (width - side) // 2
    view = canvas[y : y + side, left : left + side]
    view[...] = np.maximum(view, cells[: view.shape[0], : view.shape[1]])


def logo(canvas: Bytes, box: Box, rng: np.random.Generator) -> None:
    """Print a regular polygon, mostly inside a ring."""
    x, y, width, height = box
    centre, radius = (x + width // 2, y + height // 2), min(width, height) // 2 - SUPER
    thick = max(SUPER, radius // 4)
    corners = int(rng.integers(3, 8))
    turn = np.arange(corners) * 2 * np.pi / corners - np.pi / 2
    star = np.stack([centre[0] + 0.55 * radius * np.cos(turn), centre[1] + 0.55 * radius * np.sin(turn)], 1)
    if rng.random() < 0.6:
        cv2.circle(canvas, centre, max(2, radius - thick // 2), (255,), thick)
    else:
        star = (star - centre) * 1.7 + centre
    cv2.fillPoly(canvas, [np.round(star).astype(np.int32)], (255,))


def rules(canvas: Bytes, box: Box, rng: np.random.Generator) -> None:
    """Print ruled lines of different lengths."""
    x, y, width, height = box
    lines = max(2, round(height / (7 * SUPER)))
    for line in range(lines):
        top = y + line * height // lines
        right = x + int(width * uniform(rng, 0.55, 1.0))
        cv2.rectangle(canvas, (x, top), (right, top + height // lines // 2), (255,), -1)


def field(canvas: Bytes, box: Box, rng: np.random.Generator) -> None:
    """Print a solid field with a word left out of it."""
    x, y, width, height = box
    cv2.rectangle(canvas, (x, y), (x + width, y + height), (255,), -1)
    inner = np.zeros_like(canvas)
    pad = max(1, height // 5)
    text(inner, (x + pad, y + pad, width - 2 * pad, height - 2 * pad), rng)
    canvas[inner > 0] = 0


MARKS = {draw.__name__: draw for draw in (text, barcode, dot_code, logo, rules, field)}


def mark(rng: np.random.Generator, width: int, height: int, kind: str) -> Float:
    """Return the coverage (height, width) of one printed mark of `kind` that fills the frame."""
    canvas = np.zeros((height * SUPER, width * SUPER), np.uint8)
    MARKS[kind](canvas, (SUPER, SUPER, (width - 2) * SUPER, (height - 2) * SUPER), rng)
    return reduced(canvas)


def specks(rng: np.random.Generator, width: int, height: int, unit: float) -> Float:
    """Return the coverage (height, width) of many fine specks, dense in the middle and thinning out."""
    canvas = np.zeros((height * SUPER, width * SUPER), np.uint8)
    for _ in range(int(rng.integers(22, 55))):
        x, y = (np.clip(rng.normal(0.5, 0.19, 2), 0.03, 0.97) * canvas.shape[::-1]).astype(int).tolist()
        radius = max(2, round(uniform(rng, 0.55, 1.25) * unit * SUPER))
        cv2.circle(canvas, (x, y), radius, (255 * uniform(rng, 0.4, 0.9),), -1)
    return reduced(canvas)


def sheet(rng: np.random.Generator, width: int, height: int, unit: float, keep_out: Sequence[Box] = ()) -> Float:
    """Return the coverage (height, width) of a printed face: rows of marks, some framed.

    A mark that would touch one of the `keep_out` boxes (x, y, width, height in px) is left out.
    """
    taken = [(x * SUPER, y * SUPER, wide * SUPER, tall * SUPER) for x, y, wide, tall in keep_out]
    canvas = np.zeros((height * SUPER, width * SUPER), np.uint8)
    margin = round(9 * unit * SUPER)
    top, bottom, right = margin, canvas.shape[0] - margin, canvas.shape[1] - margin
    if rng.random() < 0.5 and not taken:
        edge = margin // 2
        corner = (canvas.shape[1] - edge, canvas.shape[0] - edge)
        cv2.rectangle(canvas, (edge, edge), corner, (255,), max(SUPER, edge // 4))
    kinds = list(MARKS)
    while bottom - top > 10 * unit * SUPER:
        # Between features only small marks find room.
        tall = int(min(uniform(rng, 12, 20 if taken else 34) * unit * SUPER, bottom - top))
        columns = int(rng.integers(1, 4)) + 2 * bool(taken)
        wide = (right - margin) // columns
        for column in range(columns):
            gap = round(4 * unit * SUPER)
            left, across, down = margin + column * wide, wide - gap, tall - gap
            if all(left >= x + w or x >= left + across or top >= y + h or y >= top + down for x, y, w, h in taken):
                box = (left, top, across, down)
                MARKS[kinds[int(rng.integers(len(kinds)))]](canvas, box, rng)
        top += tall
    return reduced(canvas)
