"""Which parts a report shows, and each as a record: image as data URI, boxes of every run, the answers' text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from itertools import zip_longest
from typing import NamedTuple

from PIL import Image

from adfm.errors import DataError, ImageError
from adfm.evaluation.detection import box_counts
from adfm.geometry import iou
from adfm.images import load
from adfm.predictions import Prediction
from adfm.records import Region
from adfm.report.inputs import ReportInputs
from adfm.report.text import plain

SIDE = 360  # pixels: the longer side of an embedded image
WRONG, POOR, GOOD = 12, 6, 6  # parts on each shelf
MAX_MARKS = 24  # boxes drawn of one answer


class Mark(NamedTuple):
    """A box in original pixels as SVG wants it, with its number and label."""

    number: int
    x: float
    y: float
    width: float
    height: float
    label: str
    edges: str


class Answer(NamedTuple):
    """What one run said about a part."""

    name: str
    tone: int
    verdict: str
    right: bool
    score: str
    iou: str
    regions: tuple[Mark, ...]
    cleared: tuple[Mark, ...]
    located: tuple[Mark, ...] | None
    examination: str
    response: str
    problems: str


class Thumbnail(NamedTuple):
    """An embedded image: a data URI, and whether its few pixels should be shown as squares."""

    uri: str
    pixelated: bool


class Part(NamedTuple):
    """One part with its truth and the answers of all runs."""

    key: str
    id: str
    category: str
    defect: str
    label: str
    width: int
    height: int
    unit: float
    shown: tuple[int, int]
    thumbnail: Thumbnail | None
    true: tuple[Mark, ...]
    boxes_known: bool
    answers: tuple[Answer, ...]


class Shelf(NamedTuple):
    """Parts shown under one heading; `total` counts those that could have been shown."""

    title: str
    note: str
    total: int
    parts: tuple[Part, ...]


def gallery(inputs: ReportInputs) -> list[Shelf]:
    """Choose parts by the answers of the run in focus: the worst first."""
    if not inputs.runs:
        return []
    judged = sorted(inputs.runs[inputs.focus].predictions, key=lambda p: p.id)
    counts = {p.id: box_counts(p) for p in judged}
    wrong = sorted((p for p in judged if not p.correct), key=lambda p: -_wrongness(p))
    right = [p for p in judged if p.correct]
    boxed = sorted((p for p in right if p.anomalous and counts[p.id].known), key=lambda p: counts[p.id].set_iou)
    poor = [p for p in boxed if counts[p.id].set_iou < 0.5]
    sure = sorted((p for p in right if not p.anomalous), key=_wrongness)
    pairs = zip_longest((p for p in reversed(boxed) if counts[p.id].set_iou >= 0.5), sure)
    good = [p for pair in pairs for p in pair if p is not None]
    shelves = (
        ("Wrong verdicts", "the most confident first", wrong, WRONG),
        ("Right verdict, poor boxes", "the lowest IoU first, below 0.5", poor, POOR),
        ("Right", "best boxes and surest normal parts in turn", good, GOOD),
    )
    return [
        Shelf(title, note, len(chosen), tuple(_part(inputs, p, f"{row}-{n}") for n, p in enumerate(chosen[:limit])))
        for row, (title, note, chosen, limit) in enumerate(shelves)
        if chosen
    ]


def _wrongness(prediction: Prediction) -> float:
    """The probability given to the wrong verdict; without a score, as if undecided."""
    score = 0.5 if prediction.score is None else prediction.score
    return 1 - score if prediction.anomalous else score


def _part(inputs: ReportInputs, shown: Prediction, key: str) -> Part:
    answers = []
    for tone, run in enumerate(inputs.runs):
        answers += [_answer(p, plain(run.name, 80), tone) for p in run.predictions if p.id == shown.id]
    return Part(
        key=key,
        id=plain(shown.id, 120),
        category=plain(shown.category, 80),
        defect=plain(shown.defect or "", 80),
        label=shown.label,
        width=shown.width,
        height=shown.height,
        unit=round(max(shown.width, shown.height) / 100, 3),
        shown=shown_size(shown.width, shown.height),
        thumbnail=embed(inputs, shown),
        true=_marks([Region(box, "") for box in shown.boxes or ()]),
        boxes_known=shown.boxes is not None,
        answers=tuple(answers),
    )


def shown_size(width: int, height: int) -> tuple[int, int]:
    """The size in CSS pixels at which an image is shown: within `SIDE` x 300, a very tall one higher."""
    scale = min(SIDE / width, (460 if height > 1.6 * width else 300) / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _answer(prediction: Prediction, name: str, tone: int) -> Answer:
    """One run's answer as it is shown; a located place counts as cleared where no final region covers it."""
    located, regions = prediction.located, prediction.regions
    cleared = [place for place in located or () if all(iou(place.box, final.box) < 0.5 for final in regions)]
    counts = box_counts(prediction)
    return Answer(
        name=name,
        tone=tone,
        verdict=prediction.verdict or "unread",
        right=prediction.correct,
        score="no score" if prediction.score is None else f"score {prediction.score:.2f}",
        iou=f"IoU {counts.set_iou:.2f}" if prediction.anomalous and counts.known else "",
        regions=_marks(regions),
        cleared=_marks(cleared),
        located=None if located is None else _marks(located),
        examination=plain(prediction.examination),
        response=plain(prediction.response),
        problems=plain(", ".join(prediction.problems), 300),
    )


def _marks(regions: Sequence[Region]) -> tuple[Mark, ...]:
    marks = []
    for number, region in enumerate(regions[:MAX_MARKS], 1):
        box = region.box
        edges = ", ".join(f"{edge:.0f}" for edge in box)
        size = (round(box.x2 - box.x1, 2), round(box.y2 - box.y1, 2))
        marks.append(Mark(number, round(box.x1, 2), round(box.y1, 2), *size, plain(region.label, 80), edges))
    return tuple(marks)


def embed(inputs: ReportInputs, shown: Prediction) -> Thumbnail | None:
    """Return an image shrunk to `SIDE` as a data URI; None where it cannot be read, which the page then says.

    Small images stay PNG, pixel for pixel; larger ones become JPEG.

    Raises:
        DataError: the image is in none of the folders of images, links followed: a page must not show what a file of
            answers chooses.
    """
    if inputs.images_root is None:
        return None
    roots = (inputs.images_root, *inputs.sources)
    try:
        path = (inputs.images_root / shown.image).resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, or no name at all
        return None
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        places = " and ".join(map(str, roots))
        raise DataError(
            f"{shown.image!r:.200}: is outside {places}, so it is not shown; give the --data that it is from"
        )
    try:
        opened = load(path, shown.white)
    except ImageError:
        return None
    small = max(opened.size) <= SIDE // 2
    opened.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer, form = BytesIO(), "png" if small else "jpeg"
    opened.save(buffer, form, quality=82, optimize=True)  # PNG knows no quality
    return Thumbnail(f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}", small)
