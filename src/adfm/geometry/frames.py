"""Coordinate frames: the only place where a box moves between original pixels and the units a model writes.

A frame says how many text units span the picture: Qwen2.5-VL writes pixels of the *resized* picture, Qwen2-VL, Qwen3-VL and
InternVL write 0-1000. The resized size is asked from the model's processor (`adfm.models`), never recomputed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from adfm.errors import UserError
from adfm.geometry.boxes import Box


class TextBox(NamedTuple):
    """A half-open rectangle in the units of a `Frame`, as it stands in the model's text."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Frame:
    """A picture of `width` x `height` original pixels, spanned by `units_x` x `units_y` text units."""

    width: int
    height: int
    units_x: int
    units_y: int

    @classmethod
    def original(cls, width: int, height: int) -> Frame:
        """Text units are original pixels."""
        return cls(width, height, width, height)

    @classmethod
    def thousand(cls, width: int, height: int) -> Frame:
        """Text units are thousandths of each side (Qwen2-VL, Qwen3-VL, InternVL)."""
        return cls(width, height, 1000, 1000)

    @classmethod
    def parse(cls, name: str, width: int, height: int) -> Frame:
        """Read a frame's written name: `original`, `0-1000`, or `resized:WxH`.

        Raises:
            UserError: the name is none of these.
        """
        if name == "original":
            return cls.original(width, height)
        if name == "0-1000":
            return cls.thousand(width, height)
        units = name.removeprefix("resized:").split("x")
        if (
            name.startswith("resized:")
            and len(units) == 2
            and all(u.isascii() and u.isdigit() and len(u) < 7 and int(u) > 0 for u in units)
        ):
            return cls(width, height, int(units[0]), int(units[1]))
        raise UserError(f"frame '{name[:40]}': must be 'original', '0-1000' or 'resized:WxH'")

    @property
    def name(self) -> str:
        """The written name that `parse` reads back."""
        if (self.units_x, self.units_y) == (self.width, self.height):
            return "original"
        return "0-1000" if (self.units_x, self.units_y) == (1000, 1000) else f"resized:{self.units_x}x{self.units_y}"

    def to_text(self, box: Box) -> TextBox:
        """Round a box to whole text units: at most one unit of error per edge, never empty, inside the frame."""
        x1, x2 = _span(box.x1 * self.units_x / self.width, box.x2 * self.units_x / self.width, self.units_x)
        y1, y2 = _span(box.y1 * self.units_y / self.height, box.y2 * self.units_y / self.height, self.units_y)
        return TextBox(x1, y1, x2, y2)

    def to_original(self, box: TextBox) -> Box:
        """Scale a box from text units to original pixels, unrounded."""
        sx, sy = self.width / self.units_x, self.height / self.units_y
        return Box(box.x1 * sx, box.y1 * sy, box.x2 * sx, box.y2 * sy)


FrameOf = Callable[[int, int], Frame]
"""(width, height) of an image in original pixels -> the frame in which a model writes its boxes."""


def _span(low: float, high: float, units: int) -> tuple[int, int]:
    """Round an interval; one that rounds to nothing is widened by a unit on the side that loses least."""
    first, last = round(low), round(high)
    if first == last:
        first, last = (first - 1, first) if first == units or low + high < 2 * first else (first, first + 1)
    return max(first, 0), min(last, units)
