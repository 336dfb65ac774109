"""Shows images of more than 8 bits in 8: the caller says which value is white, and nothing is cut or guessed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm.errors import ImageError

_BLOCK = 1 << 20
_FULL = 65535

Area = tuple[int, int, int, int]


class Depth(NamedTuple):
    """The highest value of an image of more than 8 bits. `floating`: fractions. `colour`: Pillow gives its high bytes."""

    highest: float
    floating: bool = False
    colour: bool = False


def white_level(depths: Iterable[Depth]) -> float | None:
    """Return which value is shown as white in a set of images, None where none has more than 8 bits.

    It ends the smallest range of whole bits (8 or more) that holds the highest value of all: 4095 for 12 bits. Of
    fractions it is a power of two: 1 for values from 0 to 1. So it is the same for another set of the same camera.

    Raises:
        ValueError: some hold fractions and some whole numbers.
    """
    found = list(depths)
    if not found:
        return None
    if len({depth.floating for depth in found}) == 2:
        raise ValueError("some images hold fractions and some whole numbers; save them alike")
    highest = max(depth.highest for depth in found)
    if found[0].floating:
        return float(2.0 ** math.ceil(math.log2(highest))) if highest > 0 else 1.0
    return (1 << max(8, int(highest).bit_length())) - 1


def is_deep(image: Image.Image) -> bool:
    """Whether an image that Pillow has opened and not yet decoded has more than 8 bits a channel."""
    return image.mode[0] in "IF" or ";16" in str(getattr(image, "tile", ""))


def areas(image: Image.Image) -> Iterator[Area]:
    """Yield the parts of an image, at most about a million pixels each, in which it is converted to save memory."""
    across = min(image.width, _BLOCK)
    down = max(1, _BLOCK // across)
    for top in range(0, image.height, down):
        for left in range(0, image.width, across):
            yield left, top, min(left + across, image.width), min(top + down, image.height)


def depth_of(image: Image.Image, name: str) -> Depth:
    """Return the depth of a deep image that is decoded.

    Raises:
        ImageError: a value is below 0 or not finite.
    """
    if image.mode[0] not in "IF":
        return Depth(int(np.max(image.getextrema())) * 256 + 255, colour=True)
    ranges = [(values.min(), values.max()) for values in (_values(image, area) for area in areas(image))]
    lowest, highest = (
        float(bound(side)) for bound, side in zip((np.min, np.max), zip(*ranges, strict=True), strict=True)
    )
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise _refusal(name, "holds values that are not finite", "replace them")
    if lowest < 0:
        raise _refusal(name, f"holds values below 0 (down to {lowest:g})", "shift them")
    return Depth(highest, floating=image.mode == "F")


def require_white(depth: Depth, white: float | None, name: str) -> None:
    """Refuse a deep image unless `white` is known and no value is above it.

    Raises:
        ImageError: it does not fit.
    """
    if white is None:
        raise _refusal(name, "has over 8 bits a channel and nothing says which value is white", "give --white N")
    if depth.colour and white != _FULL:
        raise _refusal(
            name, f"has colours of over 8 bits, which are read with {_FULL} as white alone", "save it with 8"
        )
    if depth.highest > white and not depth.colour:
        raise _refusal(name, f"holds values up to {depth.highest:g}, above {white:g}, which is white", "give --white N")


def to_grey(image: Image.Image, white: float | None, name: str) -> Image.Image:
    """Return a decoded deep image in 8 bits, 0 as black and `white` as white. A colour image is in 8 bits already.

    Raises:
        ImageError: `white` is not known, or a value is below 0, above it, or not finite.
    """
    depth = depth_of(image, name)
    require_white(depth, white, name)
    if depth.colour or white is None:
        return image
    grey = Image.new("L", image.size)
    for area in areas(image):
        grey.paste(Image.fromarray((_values(image, area) * 255 / white).astype(np.uint8)), area)
    return grey


def _values(image: Image.Image, area: Area) -> NDArray[np.float64]:
    return np.asarray(image.crop(area), dtype=np.float64)


def _refusal(name: str, why: str, fix: str) -> ImageError:
    return ImageError.of(name, why, fix, "values")
