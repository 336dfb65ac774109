"""One answer drawn over its image: boxes, tags and a banner with the decision. Nothing is decided or written here."""

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

MIN_SIDE = 512  # pixels: a smaller image is enlarged, so that boxes and text have room
MIN_BANNER = 260  # pixels: a narrower image gets a margin on its right
MAX_LABEL = 32  # characters
SAME_PLACE = 0.5  # IoU from which a located place and a region are the same
MAX_LABELLED = 12  # with more regions, tags carry the number only

PREDICTED: Colour = (255, 122, 26)
TRUE: Colour = (46, 204, 113)
CLEARED: Colour = (130, 177, 255)
_FAR = 1e6  # pixels beyond any image
_HALO: Colour = (18, 20, 24)  # a dark edge keeps every line legible on bright and on busy ground
_BAR: Colour = (28, 31, 36)
_TEXT: Colour = (236, 239, 243)
_MUTED: Colour = (163, 171, 181)
DECISION_COLOURS: dict[Decision, tuple[Colour, Colour]] = {  # pill, text on it
    "OK": ((30, 142, 77), (255, 255, 255)),
    "NG": ((208, 42, 48), (255, 255, 255)),
    "REVIEW": ((240, 173, 38), (26, 26, 26)),
    "ERROR": ((120, 126, 134), (255, 255, 255)),
}
_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colour codes of a terminal


def draw(
    image: Image.Image,
    regions: Sequence[Region],
    *,
    truth: Sequence[Box] | None = None,
    located: Sequence[Region] | None = None,
    decision: Decision,
    score: float | None,
) -> Image.Image:
    """Return a new RGB image: a banner above, boxes drawn over the (possibly enlarged) image.

    Predicted regions are solid and warm with a numbered tag, true boxes green and dashed, located places that the
    answer cleared thin and blue. An image with a long side under 512 px is enlarged by a whole factor.

    Args:
        image: any mode. It is not changed.
        regions: predicted defects, in original pixels.
        truth: true boxes, in original pixels.
        located: suspicious places, in original pixels. Those that are among the regions are not drawn again.
        decision: for the banner.
        score: P(anomalous), for the banner.
    """
    boxes = [region.box for region in regions if region.box.area > 0]
    cleared = [
        place
        for place in located or ()
        if place.box.area <= 0 or not any(iou(place.box, box) >= SAME_PLACE for box in boxes)
    ]
    canvas = Canvas.over(image)
    for place in cleared:
        canvas.frame(place.box, CLEARED, canvas.line - 1)
    for region in regions:
        canvas.frame(region.box, PREDICTED, canvas.line)
    for box in truth or ():
        canvas.dashes(box)
    canvas.tags(regions)
    legend = [
        (text, colour)
        for text, colour, used in (("found", PREDICTED, regions), ("true", TRUE, truth), ("cleared", CLEARED, cleared))
        if used
    ]
    return canvas.with_banner(decision, score, legend)


@dataclass(frozen=True)
class Canvas:
    """An enlarged copy of an image to draw on, and sizes in its pixels that fit it.

    Attributes:
        image: the copy.
        pen: draws on it.
        factor: how many times it is enlarged.
        line: width of a frame's line.
        size: height of text.
        font: of that size.
    """

    image: Image.Image
    pen: ImageDraw.ImageDraw
    factor: int
    line: int
    size: int
    font: Font

    @classmethod
    def over(cls, image: Image.Image) -> Canvas:
        """Return a canvas that shows an image."""
        copy = image.convert("RGB") if image.mode != "RGB" else image.copy()
        factor = max(1, math.ceil(MIN_SIDE / max(copy.size)))
        if factor > 1:
            # From 8x on, smooth enlargement only invents blur. Real pixels are more honest.
            method = Image.Resampling.LANCZOS if factor < 8 else Image.Resampling.NEAREST
            copy = copy.resize((copy.width * factor, copy.height * factor), method)
        side = math.sqrt(copy.width * copy.height)
        size, line = max(14, round(side / 38)), max(3, round(side / 240))
        return cls(copy, ImageDraw.Draw(copy), factor, line, size, ImageFont.load_default(size))

    def outline(self, box: Box) -> Box:
        """Return the outer edge of a frame around a box in original pixels, in canvas pixels, kept inside the canvas."""
        width, height = self.image.size
        x1, y1, x2, y2 = (round(min(max(edge, -_FAR), _FAR) * self.factor) for edge in box)
        left, top = (min(max(edge - self.line, 0), side - 1) for edge, side in ((x1, width), (y1, height)))
        return Box(left, top, max(min(x2 + self.line, width), left + 1), max(min(y2 + self.line, height), top + 1))

    def frame(self, box: Box, colour: Colour, width: int) -> None:
        """Draw a frame around a box, outside of its pixels where there is room, so that the defect stays visible."""
        left, top, right, bottom = self.outline(box)
        halo = max(1, width // 3)
        outer = (left - halo, top - halo, right - 1 + halo, bottom - 1 + halo)
        self.pen.rectangle(outer, outline=_HALO, width=width + 2 * halo)
        self.pen.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width)

    def dashes(self, box: Box) -> None:
        """Draw a dashed frame: first every dash's dark edge, then the dashes, so that no edge covers a dash."""
        left, top, right, bottom = self.outline(box)
        width, halo = self.line, max(1, self.line // 3)
        dashes = [(x, y, end, y + width) for y in (top, bottom - width) for x, end in _spans(left, right, width)]
        dashes += [(x, y, x + width, end) for x in (left, right - width) for y, end in _spans(top, bottom, width)]
        for grown, colour in ((halo, _HALO), (0, TRUE)):
            for x1, y1, x2, y2 in dashes:
                self.pen.rectangle((x1 - grown, y1 - grown, x2 - 1 + grown, y2 - 1 + grown), fill=colour)

    def tags(self, regions: Sequence[Region]) -> None:
        """Draw each region's number and label at its frame, or the number alone where a label would hide something."""
        frames = [self.outline(region.box) for region in regions]
        taken: list[Box] = []
        for number, (region, frame) in enumerate(zip(regions, frames, strict=True), 1):
            label = clean_label(region.label) if len(regions) <= MAX_LABELLED else ""
            for words in (f"{number} {label}".strip(), str(number)):
                text, place, free = self.place(words, frame, [*frames, *taken])
                if free:
                    break
            taken.append(place)
            self.pen.rectangle((place.x1, place.y1, place.x2 - 1, place.y2 - 1), fill=PREDICTED, outline=_HALO)
            middle = (place.x1 + self.size * 0.35, (place.y1 + place.y2) / 2)
            self.pen.text(middle, text, fill=_HALO, font=self.font, anchor="lm")

    def place(self, text: str, frame: Box, obstacles: Sequence[Box]) -> tuple[str, Box, bool]:
        """Return a tag's text, cut to the canvas, its place beside a frame's corners, and whether it hides nothing.

        Where no corner is free, the place is the frame's upper left corner, moved into the canvas.
        """
        (width, height), size = self.image.size, self.size
        while len(text) > 1 and self.font.getlength(text) > width - size:
            text = text[:-2].rstrip() + "…" if len(text) > 2 else text[:1]
        across, down = math.ceil(self.font.getlength(text) + size * 0.7), round(size * 1.35)
        for y in (frame.y1 - down, frame.y2):
            for x in (frame.x1, frame.x2 - across):
                place = Box(x, y, x + across, y + down)
                inside = min(x, y) >= 0 and place.x2 <= width and place.y2 <= height
                if inside and not any(iou(place, other) > 0 for other in obstacles):
                    return text, place, True
        x, y = max(0, min(frame.x1, width - across)), max(0, min(frame.y1, height - down))
        return text, Box(x, y, x + across, y + down), False

    def with_banner(self, decision: Decision, score: float | None, legend: Sequence[tuple[str, Colour]]) -> Image.Image:
        """Return the image under a slim bar: decision, score and, where it fits on the right, what the colours mean."""
        size = self.size
        height, width = round(size * 2), max(self.image.width, MIN_BANNER)
        result = Image.new("RGB", (width, self.image.height + height), _BAR)
        result.paste(self.image, (0, height))
        pen, font, middle = ImageDraw.Draw(result), ImageFont.load_default(min(size, width // 14)), height / 2
        ground, ink = DECISION_COLOURS[decision]
        pill = font.getlength(decision) + size * 1.4
        pen.rectangle((0, 0, pill - 1, height - 1), fill=ground)
        pen.text(
            (pill / 2, middle), decision, fill=ink, font=font, anchor="mm", stroke_width=size / 48, stroke_fill=ink
        )
        score_text = "no score" if score is None else f"score {score:.2f}"
        pen.text((pill + size * 0.7, middle), score_text, fill=_TEXT, font=font, anchor="lm")
        left, x = pill + size * 1.4 + font.getlength(score_text), width - size * 0.7
        if x - sum(font.getlength(text) + size * 2.2 for text, _ in legend) < left:
            return result
        for text, colour in reversed(legend):
            pen.text((x, middle), text, fill=_MUTED, font=font, anchor="rm")
            x -= font.getlength(text) + size * 0.4
            pen.rectangle((x - size * 1.1, middle - size * 0.12, x, middle + size * 0.12), fill=colour)
            x -= size * 1.8
        return result


def _spans(start: float, end: float, line: int) -> list[tuple[float, float]]:
    """Return dashes of about four line widths with gaps of three between, half-open, a dash at either end."""
    length = end - 1 - start
    count = max(1, round(length / (7 * line)))
    step = length / (count - 3 / 7)
    return [(start + round(n * step), min(end - 1, start + round((n + 4 / 7) * step)) + 1) for n in range(count)]


def clean_label(text: str, limit: int = MAX_LABEL) -> str:
    """Return a model's label fit to be drawn: one line, no control or invisible characters, at most `limit` of them.

    The bundled font knows Latin letters only. Nothing is drawn of other scripts, and the verdict file keeps them.
    """
    plain = _TERMINAL.sub(" ", text[: 8 * limit])
    known = "".join(c if c.isprintable() and ord(c) < 0x250 else " " for c in plain)
    words = " ".join(known.split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
