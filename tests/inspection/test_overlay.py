"""Overlays are legible on any image, show what was found and hide nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.geometry import Box
from adfm.inspection import overlay
from adfm.inspection.overlay import CLEARED, PREDICTED, TRUE, Colour, Decision, clean_label, draw
from adfm.records import Region

GREY = (140, 140, 140)


def _plain(width: int = 600, height: int = 600) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def _count(image: Image.Image, colour: Colour) -> int:
    return int((np.asarray(image) == colour).all(axis=2).sum())


def _region(*edges: float, label: str = "scratch") -> Region:
    return Region(Box(*edges), label)


def test_each_sort_of_box_is_drawn_in_its_colour_and_only_then() -> None:
    plain = draw(_plain(), [], decision="OK", score=0.1)
    full = draw(
        _plain(),
        [_region(100, 100, 200, 200)],
        truth=[Box(300, 300, 400, 420)],
        located=[_region(100, 100, 200, 200), _region(450, 100, 500, 150)],
        decision="NG",
        score=0.9,
    )
    for colour in (PREDICTED, TRUE, CLEARED):
        assert _count(plain, colour) == 0
        assert _count(full, colour) > 300


def test_a_located_place_that_was_reported_is_not_shown_as_cleared() -> None:
    region = _region(100, 100, 200, 200)
    assert _count(draw(_plain(), [region], located=[region], decision="NG", score=None), CLEARED) == 0
    assert _count(draw(_plain(), [], located=[region], decision="OK", score=None), CLEARED) > 0


def test_the_defect_itself_stays_visible() -> None:
    """Frames are drawn around the box: its inside keeps its pixels (all but the frame's dark inner edge)."""
    drawn = np.asarray(draw(_plain(), [_region(200, 200, 300, 300)], decision="NG", score=0.9))
    banner = drawn.shape[0] - 600
    inside = drawn[banner + 202 : banner + 298, 202:298]
    assert (inside == GREY).all()
    assert tuple(drawn[banner + 250, 198]) == PREDICTED


def test_dashes_alternate_with_gaps() -> None:
    drawn = np.asarray(draw(_plain(), [], truth=[Box(100, 100, 400, 400)], decision="NG", score=0.9))
    row = drawn[drawn.shape[0] - 600 + 98, 100:400]
    green = (row == TRUE).all(axis=1)
    assert 0.4 < green.mean() < 0.75
    assert np.abs(np.diff(green.astype(int))).sum() > 10


@pytest.mark.parametrize("decision", ["OK", "NG", "REVIEW", "ERROR"])
def test_banner_shows_the_decision(decision: Decision) -> None:
    drawn = draw(_plain(), [], decision=decision, score=0.42)
    assert drawn.getpixel((1, 1)) == overlay.DECISION_COLOURS[decision][0]
    assert drawn.height - 600 <= 40
    assert drawn.tobytes() != draw(_plain(), [], decision=decision, score=0.43).tobytes()


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    drawn = draw(_plain(112, 80), [_region(20, 20, 40, 40)], decision="NG", score=0.9)
    assert drawn.width == 112 * 5
    assert _count(drawn, PREDICTED) > 4 * 100 * 2
    assert draw(_plain(512, 300), [], decision="OK", score=0).width == 512


def test_the_image_given_is_not_changed() -> None:
    image = _plain()
    before = image.tobytes()
    draw(image, [_region(10, 10, 50, 50)], truth=[Box(10, 10, 50, 50)], decision="NG", score=1)
    assert image.tobytes() == before


def test_tags_cover_neither_each_other_nor_boxes() -> None:
    regions = [_region(100, 100 + 12 * i, 220, 300 + 12 * i, label="long label") for i in range(3)]
    canvas = overlay.Canvas.over(_plain())
    frames = [canvas.outline(region.box) for region in regions]
    _, first, free = canvas.place("1 long label", frames[0], frames)
    assert free and first.y2 <= frames[0].y1
    _, _, free = canvas.place("2 long label", frames[1], [*frames, first])
    assert not free  # everything beside it is taken: the number alone is drawn


def test_labels_lose_what_must_not_be_drawn() -> None:
    assert clean_label("a\x00b\n\tc\u202e d\u200b") == "a b c d"
    assert clean_label("\x1b[31mred\x1b[0m") == "red"
    assert clean_label("x" * 100) == "x" * 31 + "…"
    assert clean_label("斑点") == ""
    assert clean_label("Kratzer größer") == "Kratzer größer"


edges = st.floats(-1e12, 1e12) | st.floats(0, 300)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.lists(st.tuples(edges, edges, edges, edges, st.text(max_size=60)), max_size=5),
    st.none() | st.floats(0, 1),
)
def test_any_size_any_box_any_label(
    width: int, height: int, rows: list[tuple[float, float, float, float, str]], score: float | None
) -> None:
    regions = [Region(Box(*row[:4]), row[4]) for row in rows]
    boxes = [region.box for region in regions]
    drawn = draw(_plain(width, height), regions, truth=boxes, located=regions, decision="REVIEW", score=score)
    assert drawn.mode == "RGB" and max(drawn.size) >= overlay.MIN_SIDE
    assert (
        drawn.tobytes()
        == draw(_plain(width, height), regions, truth=boxes, located=regions, decision="REVIEW", score=score).tobytes()
    )
