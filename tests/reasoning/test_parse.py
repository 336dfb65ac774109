"""Every rule of the reader, one line each, and what it must survive."""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adfm.geometry import Box, Frame
from adfm.reasoning import FULL, LOCATE_ANSWER, PROBLEMS, STAGES, VERDICT, read
from adfm.reasoning.parse import MAX_BYTES, MAX_REGIONS
from adfm.records import Region, Response

FRAME = Frame.original(100, 80)
REGION = {"bbox_2d": [10, 20, 30, 40], "label": "scratch"}
BAD = {"verdict": "anomalous", "regions": [REGION]}
GOOD: dict[str, Any] = {"verdict": "normal", "regions": []}
GOOD_TEXT = json.dumps(GOOD)


def dump(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def text(locate: Any = (REGION,), examine: str = "1: scratch, defect", answer: Any = BAD) -> str:
    return f"<locate>{dump(locate)}</locate>\n<examine>{examine}</examine>\n<answer>{dump(answer)}</answer>"


def region(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**REGION, **changes}.items() if value is not ...}


def answer_with(entry: Any) -> str:
    """A strict answer but for one region of the final list."""
    return text(answer={"verdict": "anomalous", "regions": [entry]})


def problems(written: str, frame: Frame = FRAME) -> tuple[str, ...]:
    return read(written, frame).problems


# --- the strict format ------------------------------------------------------------------------------------------------


def test_the_strict_format_is_read_whole() -> None:
    assert read(text(), FRAME) == Response(
        verdict="anomalous",
        regions=(Region(Box(10, 20, 30, 40), "scratch"),),
        located=(Region(Box(10, 20, 30, 40), "scratch"),),
        examination="1: scratch, defect",
        strict=True,
        problems=(),
    )


@pytest.mark.parametrize(
    "written",
    [
        text(locate=[]),
        text(locate=[], answer=GOOD),
        text(answer=GOOD),
        text(examine=""),
        text(examine=' quotes " brackets [[{ and < > & are free text \x00 \ud800'),
        f" \t\r\n{text()}\n\n",
        text().replace("\n", ""),
        text(locate='\n [ {"label" : "x" , "bbox_2d":[0,0,100,80]} ] \n'),
        answer_with(region(bbox_2d=[0.5, 1e1, 2.25e1, 80])),
        answer_with(region(label="")),
        answer_with(region(label="缺陷 \ud83d\ude00")),
        text(locate=[REGION] * MAX_REGIONS, answer={"verdict": "anomalous", "regions": [REGION] * MAX_REGIONS}),
    ],
)
def test_other_writings_of_the_strict_format(written: str) -> None:
    assert read(written, FRAME).strict


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", ["locate", "examine", "answer"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t, b: re.sub(f"<{b}>.*</{b}>", "", t, flags=re.DOTALL), "missing"),
        (lambda t, b: t.replace(f"</{b}>", ""), "unclosed"),
        (lambda t, b: t.replace(f"<{b}>", ""), "unopened"),
        (lambda t, b: t.replace(f"<{b}>", "@").replace(f"</{b}>", f"<{b}>").replace("@", f"</{b}>"), "unclosed"),
        (lambda t, b: t + re.search(f"<{b}>.*</{b}>", t, re.DOTALL)[0], "duplicate"),  # type: ignore[index]
        (lambda t, b: f"<{b}>{t}", "duplicate"),
        (lambda t, b: f"{t}</{b}>", "duplicate"),
        (lambda t, b: t.replace("</examine>", f"<{b}></examine>"), "duplicate"),
        (lambda t, b: t.replace(f"<{b}>", f"<{b.upper()}>").replace(f"</{b}>", f"</{b.upper()}>"), "missing"),
    ],
)
def test_a_block_that_is_not_there_exactly_once_is_not_read(block: str, change: Any, problem: str) -> None:
    response = read(change(text(), block), FRAME)
    assert f"{problem}_{block}" in response.problems
    assert not response.strict
    if block == "locate":
        assert response.located is None
    elif block == "examine":
        assert response.examination == ""
    else:
        assert (response.verdict, response.regions) == (None, ())


def test_a_faulty_block_does_not_take_the_others_with_it() -> None:
    response = read(text(locate="[") + "<examine>", FRAME)
    assert (response.verdict, len(response.regions), response.located) == ("anomalous", 1, None)


def test_a_tag_inside_a_json_text_is_ambiguous_and_not_read() -> None:
    response = read(answer_with(region(label="</answer>")), FRAME)
    assert response.verdict is None
    assert response.problems == ("duplicate_answer",)


ANSWER = f"<answer>{dump(GOOD)}</answer>"


@pytest.mark.parametrize(
    ("outside", "noted"),
    [
        ("The part is fine.", False),
        ("I am sorry, I cannot help with that.", False),
        ("<think>it is shiny</think>", False),
        (dump([REGION]), True),
        ("```json\n{}\n```", True),
        ("a scratch at (10, 20)", True),
        ("a scratch at 10, 20, 30, 40", True),
        ("a scratch at 10 20 30 40", True),
        ("<box>x1=10</box>", True),
        ("<Answer>ANOMALOUS</Answer>", True),
        ("one Region", True),
    ],
)
def test_what_looks_like_regions_outside_the_blocks_is_noted(outside: str, noted: bool) -> None:
    """Beside all blocks and beside the answer alone. Inside `<examine>` it is prose."""
    for written in (f"{outside}{text(locate=[], answer=GOOD)}", f"{ANSWER}{outside}"):
        assert ("unread_outside" in problems(written)) == noted
        assert read(written, FRAME).verdict == "normal"
    assert read(text(locate=[], examine=outside, answer=GOOD), FRAME).strict


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("The verdict: " + text(), ("text_outside",)),
        (text() + "<|im_end|>", ("text_outside",)),
        (text().replace("</locate>\n", "</locate>\nso "), ("text_outside",)),
        ("\u00a0" + text(), ("text_outside",)),
        (text() + "\u00a0", ("text_outside",)),
        (text().replace("</locate>\n", "</locate>\u2003"), ("text_outside",)),
        ("\ufeff" + text(), ("text_outside",)),
        ("```\n" + text() + "\n```", ("text_outside",)),
        ("\n".join(reversed(text().split("\n"))), ("wrong_order",)),
        ("<examine>" + text().replace("<examine>", ""), ("wrong_order",)),
    ],
)
def test_layout(written: str, expected: tuple[str, ...]) -> None:
    response = read(written, FRAME)
    assert response.problems == expected
    assert response.verdict == "anomalous"


# --- verdicts are never guessed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict",
    ["Normal", "NORMAL", " normal", "normal ", "abnormal", "not normal", "no", "", "OK", None, 0, True, ["normal"], {}],
)
def test_only_the_two_exact_words_are_verdicts(verdict: Any) -> None:
    response = read(text(answer={"verdict": verdict, "regions": [REGION]}), FRAME)
    assert response.verdict is None
    assert response.problems == ("bad_verdict",)
    assert len(response.regions) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"regions": [REGION]}, ("bad_verdict",)),
        ('{"verdict": "normal", "verdict": "normal", "regions": []}', ("duplicate_key", "bad_verdict")),
        ('{"verdict": "normal", "verdict": "anomalous", "regions": []}', ("duplicate_key", "bad_verdict")),
        ('{"verdict": "normal", "regions": []', ("answer_not_json",)),
        ("{'verdict': 'normal', 'regions': []}", ("answer_not_json",)),
        ("normal", ("answer_not_json",)),
        ('"normal"', ("answer_not_an_object",)),
        ('["normal", []]', ("answer_not_an_object",)),
        ("null", ("answer_not_an_object",)),
        ("", ("answer_not_json",)),
        ('{"verdict": "normal", "regions": []} {}', ("answer_not_json",)),
        ('```json\n{"verdict": "normal", "regions": []}\n```', ("answer_not_json",)),
    ],
)
def test_answers_without_a_verdict(answer: Any, expected: tuple[str, ...]) -> None:
    response = read(text(answer=answer), FRAME)
    assert response.verdict is None
    assert response.problems == expected


@pytest.mark.parametrize(
    "prose", ["The part is normal.", "<answer>normal</answer>", '{"verdict": "normal"}', "verdict: NG"]
)
def test_prose_is_no_verdict(prose: str) -> None:
    assert read(prose, FRAME).verdict is None


def test_an_unreadable_neighbour_does_not_cost_the_verdict() -> None:
    for answer in (
        '{"verdict": "normal", "regions": [], "regions": []}',
        '{"verdict": "normal", "regions": "none"}',
        '{"verdict": "normal"}',
        '{"verdict": "normal", "regions": [], "confidence": NaN}',
        '{"verdict": "normal", "regions": [], "confidence": ' + "9" * 5000 + "}",
    ):
        assert read(text(answer=answer), FRAME).verdict == "normal", answer
        assert not read(text(answer=answer), FRAME).strict, answer


# --- regions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edges",
    [
        [30, 20, 10, 40],
        [10, 40, 30, 20],
        [10, 20, 10, 40],
        [10, 20, 30, 20],
        [10, 20, 30],
        [10, 20, 30, 40, 50],
        ["10", "20", "30", "40"],
        [10, 20, 30, "40"],
        [False, 20, 30, 40],
        [0, 0, True, 40],
        [None, 20, 30, 40],
        [[10], 20, 30, 40],
        [[10, 20, 30, 40]],
        {"x1": 10, "y1": 20, "x2": 30, "y2": 40},
        "[10, 20, 30, 40]",
        None,
        ...,
        [],
        [10, 20, math.nan, 40],
        [10, 20, math.inf, 40],
        [-math.inf, 20, 30, 40],
        [130, 20, 110, 40],  # outside as well, but first of all it is no box
        [10, 90, 30, 85],
        [110, 20, 110, 40],
        [10, 90, 30, 90],
    ],
)
def test_a_box_that_is_no_box_is_dropped_never_mended(edges: Any) -> None:
    response = read(answer_with(region(bbox_2d=edges)), FRAME)
    assert response.regions == ()
    assert response.problems == ("bad_box", "no_regions")
    assert response.verdict == "anomalous"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "-" + "9" * 5000, "NaN", "Infinity", "-Infinity"])
def test_numbers_beyond_all_numbers(number: str) -> None:
    written = text().replace("[10, 20, 30, 40]", f"[10, 20, {number}, 40]")
    assert problems(written) == ("bad_box", "no_regions")


@pytest.mark.parametrize(
    ("edges", "kept"),
    [
        ([-5, 20, 30, 40], Box(0, 20, 30, 40)),
        ([10, 20, 101, 40], Box(10, 20, 100, 40)),
        ([10, 20, 30, 80.5], Box(10, 20, 30, 80)),
        ([-1e308, -1e308, 1e308, 1e308], Box(0, 0, 100, 80)),
        ([-(10**25), 0, 10**25, 80], Box(0, 0, 100, 80)),
        ([100, 20, 130, 40], None),
        ([-30, 20, 0, 40], None),
        ([10, 80, 30, 90], None),
        ([1e300, 1e300, 1e308, 1e308], None),
    ],
)
def test_a_box_outside_the_picture_is_clipped_or_dropped(edges: Any, kept: Box | None) -> None:
    response = read(answer_with(region(bbox_2d=edges)), FRAME)
    assert response.regions == (() if kept is None else (Region(kept, "scratch"),))
    assert response.problems == (("box_outside", "no_regions") if kept is None else ("box_outside",))


@pytest.mark.parametrize(
    ("entry", "expected", "label"),
    [
        (region(label=...), ("bad_label",), ""),
        (region(label=7), ("bad_label",), ""),
        (region(label=None), ("bad_label",), ""),
        (region(score=0.9), ("unknown_key",), "scratch"),
        ('{"bbox_2d": [10, 20, 30, 40], "label": "a", "label": "b"}', ("duplicate_key", "bad_label"), ""),
        ('{"bbox_2d": [10, 20, 30, 40], "label": "a", "x": 1, "x": 1}', ("duplicate_key", "unknown_key"), "a"),
    ],
)
def test_labels_and_keys(entry: Any, expected: tuple[str, ...], label: str) -> None:
    response = read(text(answer=f'{{"verdict": "anomalous", "regions": [{dump(entry)}]}}'), FRAME)
    assert response.problems == expected
    assert response.regions == (Region(Box(10, 20, 30, 40), label),)


def test_a_box_given_twice_is_ambiguous() -> None:
    entry = '{"bbox_2d": [10, 20, 30, 40], "bbox_2d": [10, 20, 30, 40], "label": "a"}'
    response = read(text(answer=f'{{"verdict": "anomalous", "regions": [{entry}]}}'), FRAME)
    assert response.regions == ()
    assert response.problems == ("duplicate_key", "bad_box", "no_regions")


def test_an_object_whose_known_keys_all_repeat_has_no_unknown_one() -> None:
    twice = GOOD_TEXT.removesuffix("}") + ", " + GOOD_TEXT.removeprefix("{")
    assert read(text(answer=twice), FRAME).problems == ("duplicate_key", "bad_verdict", "bad_regions")


@pytest.mark.parametrize("entry", [[10, 20, 30, 40], "scratch", None, 5, True])
def test_an_entry_that_is_no_object_is_dropped_and_the_rest_is_read(entry: Any) -> None:
    response = read(text(answer={"verdict": "anomalous", "regions": [entry, REGION]}), FRAME)
    assert response.problems == ("bad_region",)
    assert len(response.regions) == 1


@pytest.mark.parametrize("regions", [None, {}, "none", 3])
def test_regions_that_are_no_list(regions: Any) -> None:
    assert problems(text(answer={"verdict": "anomalous", "regions": regions})) == ("bad_regions", "no_regions")
    assert problems(text(answer={"verdict": "normal", "regions": regions})) == ("bad_regions",)


def test_regions_under_normal_are_not_read() -> None:
    response = read(text(answer={"verdict": "normal", "regions": [REGION]}), FRAME)
    assert (response.verdict, response.regions, response.problems) == ("normal", (), ("regions_under_normal",))
    also_bad = read(text(answer={"verdict": "normal", "regions": [3]}), FRAME)
    assert also_bad.problems == ("bad_region", "regions_under_normal")


def test_anomalous_needs_a_region() -> None:
    assert problems(text(answer={"verdict": "anomalous", "regions": []})) == ("no_regions",)


@pytest.mark.parametrize(
    ("locate", "expected", "count"),
    [
        ("", ("locate_not_json",), None),
        ("none", ("locate_not_json",), None),
        ("{}", ("locate_not_a_list",), None),
        ("null", ("locate_not_a_list",), None),
        ("[]", (), 0),
        ("[3]", ("bad_region",), 0),
        ([REGION, REGION], (), 2),
        ([REGION] * 65, ("too_many_regions",), 64),
    ],
)
def test_the_locate_block(locate: Any, expected: tuple[str, ...], count: int | None) -> None:
    response = read(text(locate=locate), FRAME)
    assert response.problems == expected
    assert (None if response.located is None else len(response.located)) == count


def test_boxes_move_from_the_frame_to_original_pixels() -> None:
    response = read(text(), Frame.thousand(500, 2000))
    assert response.regions == (Region(Box(5, 40, 15, 80), "scratch"),)
    assert "box_outside" in problems(text(), Frame(500, 2000, 28, 28))


def test_a_box_that_scaling_makes_empty_is_no_box() -> None:
    thin = answer_with(region(bbox_2d=[1e-323, 0, 2e-323, 1]))
    assert problems(thin, Frame(1, 1, 1000, 1000)) == ("bad_box", "no_regions")


# --- caps -------------------------------------------------------------------------------------------------------------


def test_the_length_cap_counts_bytes_and_reads_nothing_beyond() -> None:
    room = MAX_BYTES - len(text(examine=""))
    assert read(text(examine="a" * room), FRAME).strict
    over = read(text(examine="a" * (room + 1)), FRAME)
    assert over == Response(None, (), None, "", False, ("too_long",))
    assert read(text(examine="é" * (room // 2)), FRAME).strict
    assert problems(text(examine="é" * (room // 2 + 1))) == ("too_long",)
    assert problems("\ud800" * (MAX_BYTES // 2)) == ("too_long",)


def nested(depth: int) -> str:
    """A region with an unknown key that brings the answer's JSON to a depth."""
    return answer_with(region(more="@")).replace('"@"', "[" * (depth - 3) + "]" * (depth - 3))


def test_the_depth_cap() -> None:
    assert problems(nested(8)) == ("unknown_key",)
    assert problems(nested(9)) == ("too_deep",)
    assert read(nested(9), FRAME).verdict is None
    assert problems(text(locate="[" * 8 + "]" * 8)) == ("bad_region",)
    assert problems(text(locate="[" * 9 + "]" * 9)) == ("too_deep",)
    assert problems(text(locate="[" * 20000)) == ("too_deep",)


def test_the_depth_scan_respects_strings() -> None:
    for label in ("[" * 50, '"' + "[" * 50, "\\" + "{" * 50, '\\"[[[[[[[[[[', "]" * 50 + "[" * 50):
        assert read(answer_with(region(label=label)), FRAME).strict, label
    hidden = answer_with(region(more="@", label="]]]]]]]]]]]]")).replace('"@"', "[" * 9 + "]" * 9)
    assert problems(hidden) == ("too_deep",)


# --- protocols --------------------------------------------------------------------------------------------------------


def without(*blocks: str) -> str:
    written = text()
    for block in blocks:
        written = re.sub(f"<{block}>.*</{block}>\n", "", written, flags=re.DOTALL)
    return written


def test_each_protocol_accepts_its_own_blocks_only() -> None:
    own = {FULL: text(), LOCATE_ANSWER: without("examine"), VERDICT: without("locate", "examine")}
    assert set(STAGES.values()) == set(own)
    for stages in own:
        for writer, written in own.items():
            assert read(written, FRAME, stages=stages).strict == (stages == writer)
        assert read(text(), FRAME, stages=stages).verdict == "anomalous"
    assert read(text(), FRAME, stages=VERDICT).located is None
    assert read(text(), FRAME, stages=VERDICT).problems == ("text_outside", "unread_outside")


# --- the vocabulary, and any text at all ------------------------------------------------------------------------------


def test_every_problem_has_one_line_and_can_occur() -> None:
    assert all(meaning and "\n" not in meaning and len(meaning) < 110 for meaning in PROBLEMS.values())
    seen: set[str] = {"too_long"}
    for block in FULL.blocks:
        seen |= {f"{kind}_{block}" for kind in ("missing", "unopened", "unclosed", "duplicate")}
    seen |= {
        "wrong_order",
        "text_outside",
        "unread_outside",
        "too_deep",
        "locate_not_json",
        "locate_not_a_list",
        "answer_not_json",
    }
    seen |= {"answer_not_an_object", "duplicate_key", "unknown_key", "bad_verdict", "bad_regions", "too_many_regions"}
    seen |= {"bad_region", "bad_box", "box_outside", "bad_label", "regions_under_normal", "no_regions"}
    assert set(PROBLEMS) == seen  # each of these is asserted by name in a test above


TAGS = [f"<{slash}{block}>" for block in FULL.blocks for slash in ("", "/")]
WORDS = ['"verdict"', '"normal"', '"anomalous"', '"regions"', '"bbox_2d"', '"label"', "1", "-2.5", "1e999", "NaN", " "]
pieces = st.sampled_from([*TAGS, *WORDS, *'[]{}"\\,:'])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text() | st.lists(pieces | st.text(max_size=3)).map("".join))
def test_any_text_gives_a_response(written: str) -> None:
    response = read(written, FRAME)
    assert response.strict == (response.problems == ())
    assert list(response.problems) == [name for name in PROBLEMS if name in response.problems]


@pytest.mark.parametrize(
    "hostile",
    [
        "<answer>" * (1 << 17),
        "<" * (1 << 20),
        " " * (1 << 20),
        text(answer="[" * (1 << 20)),
        text(answer='{"a":' * 10_000),
        text(answer='["' + "\\" * 60_000 + '"]'),
        text(answer="[" + "9" * 60_000 + "]"),
        text(answer="[" + "[]," * 20_000 + "[]]"),
        text(answer='{"verdict": "normal", "regions": [' + "1," * 30_000 + "1]}"),
        "\x00" * 60_000,
        ANSWER + "1" * 60_000,
        ANSWER + "( " * 30_000,
        ANSWER + "(" + " " * 60_000,
        ANSWER + "1" + " ,;" * 20_000,
        "\ud800" * 20_000,
    ],
)
def test_hostile_texts_take_no_time(hostile: str) -> None:
    start = time.thread_time()
    response = read(hostile, FRAME)
    assert time.thread_time() - start < 0.5  # about 100 times what it takes: only a blow-up fails
    assert not response.strict
