"""One answer drawn over its picture: boxes, tags and a banner with the decision; nothing is decided or written here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from adfm.calibration import Decision
from adfm.geometry import Box, iou
from adfm.records import Region

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MIN_SIDE = 512  # pixels: a smaller picture is enlarged, so that boxes and text have room
MIN_BANNER = 260  # pixels: a narrower picture gets a margin on its right
MAX_LABEL = 32  # characters
MAX_LABELLED = 12  # with more regions, tags carry the number only

PREDICTED: Colour = (255, 122, 26)
TRUE: Colour = (46, 204, 113)
CLEARED: Colour = (130, 177, 255)
_FAR = 1e6  # pixels beyond any picture
_HALO: Colour = (18, 20, 24)  # a dark edge keeps every line legible on bright and on busy ground
_BAR: Colour = (28, 31, 36)
_TEXT: Colour = (236, 239, 243)
_MUTED: Colour = (163, 171, 181)
_DECISIONS: dict[Decision, tuple[Colour, Colour]] = {  # pill, text on it
    "OK": ((30, 142, 77), (255, 255, 255)),
    "NG": ((208, 42, 48), (255, 255, 255)),
    "REVIEW": ((240, 173, 38), (26, 26, 26)),
    "ERROR": ((120, 126, 134), (255, 255, 255)),
}
_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colour codes of a terminal


@dataclass(frozen=True)
class _Canvas:
    """What the drawing functions share: pixels, the enlargement, and sizes that fit the picture."""

    draw: ImageDraw.ImageDraw
    width: int
    height: int
    factor: int
    line: int
    size: int
    font: Font

    def scaled(self, box: Box) -> tuple[int, int, int, int]:
        """The outermost pixels (inclusive) of a frame drawn around a box, kept inside the picture."""
        x1, y1, x2, y2 = (round(min(max(edge, -_FAR), _FAR) * self.factor) for edge in box)
        left, top = (min(max(edge - self.line, 0), side - 1) for edge, side in ((x1, self.width), (y1, self.height)))
        right, bottom = min(x2 + self.line, self.width) - 1, min(y2 + self.line, self.height) - 1
        return left, top, max(right, left), max(bottom, top)


def draw(
    image: Image.Image,
    regions: Sequence[Region],
    *,
    truth: Sequence[Box] | None = None,
    located: Sequence[Region] | None = None,
    decision: Decision,
    score: float | None,
) -> Image.Image:
    """Return a new RGB picture: a banner above, boxes in original pixels drawn over the (possibly enlarged) picture.

    Predicted regions are solid and warm with a numbered tag, true boxes green and dashed, located places that the
    answer cleared thin and blue. A picture with a long side under 512 px is enlarged by a whole factor.
    """
    cleared = [place for place in located or () if not any(_same(place.box, region.box) for region in regions)]
    canvas, picture = _prepare(image)
    for place in cleared:
        _frame(canvas, place.box, CLEARED, canvas.line - 1)
    for region in regions:
        _frame(canvas, region.box, PREDICTED, canvas.line)
    for box in truth or ():
        _dashes(canvas, box)
    _tags(canvas, regions)
    legend = [
        (text, colour)
        for text, colour, used in (("found", PREDICTED, regions), ("true", TRUE, truth), ("cleared", CLEARED, cleared))
        if used
    ]
    return _with_banner(picture, canvas.size, decision, score, legend)


def _same(a: Box, b: Box) -> bool:
    return a.area > 0 and b.area > 0 and iou(a, b) >= 0.5


def _prepare(image: Image.Image) -> tuple[_Canvas, Image.Image]:
    picture = image.convert("RGB") if image.mode != "RGB" else image.copy()
    factor = max(1, math.ceil(MIN_SIDE / max(picture.size)))
    if factor > 1:
        # From 8x on, smooth enlargement only invents blur; real pixels are more honest.
        method = Image.Resampling.LANCZOS if factor < 8 else Image.Resampling.NEAREST
        picture = picture.resize((picture.width * factor, picture.height * factor), method)
    side = math.sqrt(picture.width * picture.height)
    size, line = max(14, round(side / 38)), max(3, round(side / 240))
    pen = ImageDraw.Draw(picture)
    return _Canvas(pen, *picture.size, factor, line, size, ImageFont.load_default(size)), picture


def _frame(canvas: _Canvas, box: Box, colour: Colour, width: int) -> None:
    """Draw a frame around a box, outside of its pixels where the picture has room, so that the defect stays visible."""
    left, top, right, bottom = canvas.scaled(box)
    halo = max(1, width // 3)
    canvas.draw.rectangle((left - halo, top - halo, right + halo, bottom + halo), outline=_HALO, width=width + 2 * halo)
    canvas.draw.rectangle((left, top, right, bottom), outline=colour, width=width)


def _dashes(canvas: _Canvas, box: Box) -> None:
    """Draw a dashed frame: first every dash's dark edge, then the dashes, so that no edge covers a dash."""
    left, top, right, bottom = canvas.scaled(box)
    inner = canvas.line - 1  # a frame's line lies inside its outermost pixels, as in `_frame`
    dashes = [(x, y, end, y + inner) for y in (top, bottom - inner) for x, end in _spans(left, right, canvas.line)]
    dashes += [(x, y, x + inner, end) for x in (left, right - inner) for y, end in _spans(top, bottom, canvas.line)]
    halo = max(1, canvas.line // 3)
    for x1, y1, x2, y2 in dashes:
        canvas.draw.rectangle((x1 - halo, y1 - halo, x2 + halo, y2 + halo), fill=_HALO)
    for dash in dashes:
        canvas.draw.rectangle(dash, fill=TRUE)


def _spans(start: int, end: int, line: int) -> list[tuple[int, int]]:
    """Dashes of about four line widths with gaps of three between, from `start` to `end`, a dash at either end."""
    length = end - start
    count = max(1, round(length / (7 * line)))
    step = length / (count - 3 / 7)
    return [(start + round(n * step), min(end, start + round((n + 4 / 7) * step))) for n in range(count)]


def clean_label(text: str, limit: int = MAX_LABEL) -> str:
    """Return a model's label fit to be drawn: one line, no control or invisible characters, at most `limit` of them.

    The bundled font knows Latin letters only; of other scripts nothing is drawn (the verdict file keeps all of it).
    """
    plain = _TERMINAL.sub(" ", text[: 8 * limit])
    known = "".join(c if c.isprintable() and ord(c) < 0x250 else " " for c in plain)
    words = " ".join(known.split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def _tags(canvas: _Canvas, regions: Sequence[Region]) -> None:
    """Draw each region's number and label at its frame; where a label would hide something, the number alone."""
    taken: list[Box] = []
    frames = [_outline(canvas, region.box) for region in regions]
    for number, (region, frame) in enumerate(zip(regions, frames, strict=True), 1):
        label = clean_label(region.label) if len(regions) <= MAX_LABELLED else ""
        text = _fitting(canvas, f"{number} {label}".strip())
        place = _free_place(canvas, frame, text, [*taken, *frames])
        if place is None:
            text = _fitting(canvas, str(number))
            place = _free_place(canvas, frame, text, [*taken, *frames]) or _any_place(canvas, frame, text)
        taken.append(place)
        canvas.draw.rectangle((place.x1, place.y1, place.x2 - 1, place.y2 - 1), fill=PREDICTED, outline=_HALO)
        middle = (place.x1 + canvas.size * 0.35, (place.y1 + place.y2) / 2)
        canvas.draw.text(middle, text, fill=_HALO, font=canvas.font, anchor="lm")


def _fitting(canvas: _Canvas, text: str) -> str:
    """Cut a text to the width of the picture."""
    room = canvas.width - canvas.size
    while len(text) > 1 and canvas.font.getlength(text) > room:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else text[:1]
    return text


def _outline(canvas: _Canvas, box: Box) -> Box:
    left, top, right, bottom = canvas.scaled(box)
    return Box(left, top, right + 1, bottom + 1)


def _tag_size(canvas: _Canvas, text: str) -> tuple[int, int]:
    return math.ceil(canvas.font.getlength(text) + canvas.size * 0.7), round(canvas.size * 1.35)


def _free_place(canvas: _Canvas, frame: Box, text: str, obstacles: Sequence[Box]) -> Box | None:
    """The first place beside a frame's corners that is in the picture and hides no obstacle."""
    width, height = _tag_size(canvas, text)
    for y in (frame.y1 - height, frame.y2):
        for x in (frame.x1, frame.x2 - width):
            place = Box(x, y, x + width, y + height)
            inside = min(x, y) >= 0 and place.x2 <= canvas.width and place.y2 <= canvas.height
            if inside and not any(iou(place, other) > 0 for other in obstacles):
                return place
    return None


def _any_place(canvas: _Canvas, frame: Box, text: str) -> Box:
    """The frame's own upper left corner, moved into the picture."""
    width, height = _tag_size(canvas, text)
    x, y = max(0, min(frame.x1, canvas.width - width)), max(0, min(frame.y1, canvas.height - height))
    return Box(x, y, x + width, y + height)


def _with_banner(
    picture: Image.Image,
    size: int,
    decision: Decision,
    score: float | None,
    legend: Sequence[tuple[str, Colour]],
) -> Image.Image:
    """Put a slim bar above the picture: decision, score and, where it fits, what the colours mean."""
    height, width = round(size * 2), max(picture.width, MIN_BANNER)
    canvas = Image.new("RGB", (width, picture.height + height), _BAR)
    canvas.paste(picture, (0, height))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(min(size, width // 14))
    ground, ink = _DECISIONS[decision]
    pill = font.getlength(decision) + size * 1.4
    pen.rectangle((0, 0, pill - 1, height - 1), fill=ground)
    pen.text(
        (pill / 2, height / 2), decision, fill=ink, font=font, anchor="mm", stroke_width=size / 48, stroke_fill=ink
    )
    said = "no score" if score is None else f"score {score:.2f}"
    pen.text((pill + size * 0.7, height / 2), said, fill=_TEXT, font=font, anchor="lm")
    _legend(pen, legend, font, (pill + size * 1.4 + font.getlength(said), width - size * 0.7, height / 2, size))
    return canvas


def _legend(
    pen: ImageDraw.ImageDraw,
    entries: Sequence[tuple[str, Colour]],
    font: Font,
    span: tuple[float, float, float, int],
) -> None:
    """Write the entries right-aligned in `span` = (left, right, middle, size), or nothing where they do not fit."""
    left, x, middle, size = span
    if x - sum(font.getlength(text) + size * 2.2 for text, _ in entries) < left:
        return
    for text, colour in reversed(entries):
        pen.text((x, middle), text, fill=_MUTED, font=font, anchor="rm")
        x -= font.getlength(text) + size * 0.4
        pen.rectangle((x - size * 1.1, middle - size * 0.12, x, middle + size * 0.12), fill=colour)
        x -= size * 1.8
