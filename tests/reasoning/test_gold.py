"""The canonical answer: its exact form, and that it is strict whatever the data set calls its defects."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adfm.geometry import Box, Frame
from adfm.reasoning import FULL, STAGES, VERDICT, Stages, canonical, central_box, read
from adfm.records import Sample

BOXES = (Box(10, 20, 100, 200), Box(200, 30, 220, 90))
BAD = Sample("a", "a.png", 448, 300, "anomalous", "cap", "bent_lead", None, BOXES, "test", "0")
GOOD = replace(BAD, label="normal", defect=None, boxes=())
FRAME = Frame.original(448, 300)


def test_an_anomalous_part_word_for_word() -> None:
    regions = (
        '[{"bbox_2d": [10, 20, 100, 200], "label": "bent lead"}, {"bbox_2d": [200, 30, 220, 90], "label": "bent lead"}]'
    )
    assert canonical(BAD, FRAME) == (
        f"<locate>{regions}</locate>\n"
        "<examine>1: bent lead, defect\n2: bent lead, defect</examine>\n"
        f'<answer>{{"verdict": "anomalous", "regions": {regions}}}</answer>'
    )


def test_a_normal_part_word_for_word() -> None:
    assert canonical(GOOD, FRAME, focus=Box(8, 9, 20, 30)) == (
        '<locate>[{"bbox_2d": [8, 9, 20, 30], "label": "suspicious"}]</locate>\n'
        "<examine>1: belongs to the part, no defect</examine>\n"
        '<answer>{"verdict": "normal", "regions": []}</answer>'
    )


def test_a_name_is_written_in_its_own_letters() -> None:
    assert canonical(replace(BAD, defect="缺陷"), FRAME).count("缺陷") == 6  # two regions in each of the three blocks


def test_the_focus_is_the_middle_unless_given() -> None:
    assert '"bbox_2d": [112, 75, 336, 225]' in canonical(GOOD, FRAME)
    assert central_box(448, 300) == Box(112, 75, 336, 225)


def test_unknown_places_point_at_the_middle_and_unknown_defects_are_defects() -> None:
    response = read(canonical(replace(BAD, boxes=None, defect=None), FRAME), FRAME)
    assert [(region.box, region.label) for region in response.regions] == [(central_box(448, 300), "defect")]
    assert response.strict


def test_coordinates_are_in_the_frame() -> None:
    assert "[22, 67, 223, 667]" in canonical(BAD, Frame.thousand(448, 300))


def test_shorter_protocols_leave_blocks_out() -> None:
    assert canonical(GOOD, FRAME, stages=VERDICT) == '<answer>{"verdict": "normal", "regions": []}</answer>'


names = st.text() | st.sampled_from(["</answer>", "<locate>", '"', "\\", "a\nb", "_", "\ud800", "<>" * 60, "缺陷"])
sides = st.integers(1, 5000)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    names,
    sides,
    sides,
    st.sampled_from(["original", "0-1000", "resized:28x56"]),
    st.sampled_from(list(STAGES.values())),
)
def test_it_is_strict_for_any_name_size_frame_and_protocol(
    name: str, width: int, height: int, frame_name: str, stages: Stages
) -> None:
    frame = Frame.parse(frame_name, width, height)
    corners = (Box(0, 0, 1, 1), Box(width - 1, height - 1, width, height), Box(0, 0, width, height))
    for boxes in (corners, None):
        sample = Sample("a", "a", width, height, "anomalous", "cap", name, None, boxes, "test", "0")
        response = read(canonical(sample, frame, stages=stages), frame, stages=stages)
        assert response.problems == ()
        assert len(response.regions) == (3 if boxes else 1)
    normal = Sample("a", "a", width, height, "normal", "cap", name, None, (), "test", "0")
    assert read(canonical(normal, frame, stages=stages), frame, stages=stages).strict


@pytest.mark.parametrize("change", [("]", ""), ("anomalous", "faulty"), ("100", "9"), (", defect", ", <answer>")])
def test_a_damaged_canonical_answer_is_not_strict(change: tuple[str, str]) -> None:
    text = canonical(BAD, FRAME, stages=FULL)
    assert read(text, FRAME).strict
    assert not read(text.replace(*change), FRAME).strict
