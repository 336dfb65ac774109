"""Text to Response: reads what can be read without guessing and names every fault of the rest.

It never raises, whatever the text, and its time is linear in the text. `PROBLEMS` is the whole vocabulary of faults.
An answer is strict exactly when it has none. Rewards and decisions are made elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from adfm.geometry import Frame, TextBox, clip
from adfm.reasoning.protocol import FULL, Block, Stages
from adfm.records import Label, Region, Response

MAX_BYTES = 64 * 1024
MAX_REGIONS = 64
MAX_DEPTH = 8

PROBLEMS: dict[str, str] = {
    "too_long": f"the answer is longer than {MAX_BYTES // 1024} KiB and is not read",
    "missing_locate": "there is no <locate> block",
    "missing_examine": "there is no <examine> block",
    "missing_answer": "there is no <answer> block",
    "unopened_locate": "</locate> appears without <locate>",
    "unopened_examine": "</examine> appears without <examine>",
    "unopened_answer": "</answer> appears without <answer>",
    "unclosed_locate": "<locate> is not followed by </locate>",
    "unclosed_examine": "<examine> is not followed by </examine>",
    "unclosed_answer": "<answer> is not followed by </answer> (often: the token limit cut the answer)",
    "duplicate_locate": "a locate tag appears more than once. The block is ambiguous and is not read",
    "duplicate_examine": "an examine tag appears more than once. The block is ambiguous and is not read",
    "duplicate_answer": "an answer tag appears more than once. The block is ambiguous and is not read",
    "wrong_order": "the blocks overlap or come in another order than the protocol's",
    "text_outside": "there is something other than white space outside the blocks",
    "unread_outside": "the text outside the blocks holds brackets, coordinates or words of a defect, and is not read",
    "too_deep": f"a block's JSON is nested deeper than {MAX_DEPTH} levels and is not read",
    "locate_not_json": "the locate block is not valid JSON",
    "locate_not_a_list": "the locate block's JSON is not a list",
    "answer_not_json": "the answer block is not valid JSON",
    "answer_not_an_object": "the answer block's JSON is not an object",
    "duplicate_key": "a JSON object holds a key twice. That key is ambiguous and is not read",
    "unknown_key": "a JSON object holds a key that the protocol does not have",
    "bad_verdict": 'the verdict is missing, ambiguous or neither "normal" nor "anomalous"',
    "bad_regions": "the answer's regions are missing, ambiguous or not a list",
    "too_many_regions": f"a list holds more than {MAX_REGIONS} regions. Only the first {MAX_REGIONS} are read",
    "bad_region": "an entry of a list of regions is not an object and is dropped",
    "bad_box": "a bbox_2d is not four finite numbers with x1 < x2 and y1 < y2. Its region is dropped",
    "box_outside": "a box reaches outside the image. It is clipped, or dropped where nothing of it is inside",
    "bad_label": "a region's label is missing, ambiguous or not a text and is read as empty",
    "regions_under_normal": "regions are listed under the verdict normal and are not read",
    "no_regions": "the verdict is anomalous and no region can be read",
}

_JSON_SPACE = " \t\r\n"
_TAGS: dict[Block, tuple[str, str]] = {block: (f"<{block}>", f"</{block}>") for block in FULL.blocks}
_ANSWER_KEYS = frozenset({"verdict", "regions"})
_REGION_KEYS = frozenset({"bbox_2d", "label"})
_STRUCTURE = re.compile(r'\\.|["\[\]{}]', re.DOTALL)  # one or two characters a match: linear
# What a region could be written with. Every run of white space is scanned once: linear.
_LIKE_REGIONS = re.compile(r"[\[{]|\(\s*[-+.\d]|\d[\s,;]+[-+.\d]|box|region|anomal", re.IGNORECASE)
_NOT_READ = object()
_Span = tuple[int, int]


class _Ambiguous(dict[str, Any]):
    """A JSON object that held keys twice. Those keys are left out and `repeated` names them."""

    repeated: frozenset[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; of a repeated key neither value is kept."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    counts = Counter(key for key, _ in pairs)
    ambiguous = _Ambiguous((key, value) for key, value in values.items() if counts[key] == 1)
    ambiguous.repeated = frozenset(key for key, count in counts.items() if count > 1)
    return ambiguous


def _integer(digits: str) -> int | float:
    """Whole numbers too long to be coordinates become floats, perhaps infinite: Python refuses 4,300 digits."""
    return int(digits) if len(digits) <= 16 else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def read(text: str, frame: Frame, *, stages: Stages = FULL) -> Response:
    """Read one answer of a model. Any string gives a `Response`, and nothing is raised.

    Args:
        text: the raw answer. Coordinates in it are in `frame`'s text units.
        frame: the units of the text and the size of the image. Boxes of the result are in original pixels.
        stages: the blocks that the model was asked for.

    Returns:
        The verdict, regions and located regions that could be read. `strict` is true iff `problems` is empty.
    """
    # A short text is not encoded to find out how long it is.
    if len(text) * 4 > MAX_BYTES and (len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES):
        return Response(None, (), None, "", False, ("too_long",))
    found: set[str] = set()
    spans = {block: _span(text, block, found) for block in stages.blocks}
    _check_layout(text, spans, found)
    listed = _json(text, spans.get("locate"), "locate_not_json", found)
    located = None
    if isinstance(listed, list):
        located = _regions(listed, frame, found)
    elif listed is not _NOT_READ:
        found.add("locate_not_a_list")
    verdict, regions = _read_answer(text, spans["answer"], frame, found)
    examined = spans.get("examine")
    examination = text[examined[0] : examined[1]].strip() if examined else ""
    problems = tuple(name for name in PROBLEMS if name in found) if found else ()
    return Response(verdict, regions, located, examination, not problems, problems)


def _span(text: str, block: Block, found: set[str]) -> _Span | None:
    """Return where a block's content starts and ends. None unless both its tags appear exactly once and in order."""
    opening, closing = _TAGS[block]
    opened, closed = text.count(opening), text.count(closing)
    if opened == 1 and closed == 1:
        start, end = text.index(opening) + len(opening), text.index(closing)
        if start <= end:
            return start, end
        found.add(f"unclosed_{block}")
    elif opened > 1 or closed > 1:
        found.add(f"duplicate_{block}")
    elif opened:
        found.add(f"unclosed_{block}")
    else:
        found.add(f"unopened_{block}" if closed else f"missing_{block}")
    return None


def _check_layout(text: str, spans: dict[Block, _Span | None], found: set[str]) -> None:
    """Check the order of the blocks and what surrounds them, where the answer and every block with a tag can be read.

    Only white space may surround them, where no block is missing. Nothing that looks like regions ever may.
    """
    position, outside = 0, ""
    for block, span in spans.items():
        if span is None:
            if block == "answer" or f"missing_{block}" not in found:
                return
            continue
        opening, closing = _TAGS[block]
        start = span[0] - len(opening)
        if start < position:
            found.add("wrong_order")
            return
        outside += text[position:start]
        position = span[1] + len(closing)
    outside += text[position:]
    if outside.strip(_JSON_SPACE):
        if None not in spans.values():
            found.add("text_outside")
        if _LIKE_REGIONS.search(outside):
            found.add("unread_outside")


def _too_deep(text: str) -> bool:
    """Whether brackets outside strings nest deeper than allowed. Few brackets cannot, so they are only counted."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth, in_string = 0, False
    for match in _STRUCTURE.finditer(text):
        mark = match[0]
        if mark == '"':
            in_string = not in_string
        elif in_string or len(mark) == 2:
            continue
        elif mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        else:
            depth -= 1
    return False


def _json(text: str, span: _Span | None, problem: str, found: set[str]) -> Any:
    """Decode a block's JSON. Where there is no block or no JSON, note why and return `_NOT_READ`."""
    if span is None:
        return _NOT_READ
    content = text[span[0] : span[1]]
    if _too_deep(content):
        found.add("too_deep")
        return _NOT_READ
    try:
        return _DECODER.decode(content)
    except ValueError:
        found.add(problem)
        return _NOT_READ


def _read_answer(
    text: str, span: _Span | None, frame: Frame, found: set[str]
) -> tuple[Label | None, tuple[Region, ...]]:
    value = _json(text, span, "answer_not_json", found)
    if not isinstance(value, dict):
        if value is not _NOT_READ:
            found.add("answer_not_an_object")
        return None, ()
    _check_keys(value, _ANSWER_KEYS, found)
    said, listed = value.get("verdict"), value.get("regions")
    verdict: Label | None = "normal" if said == "normal" else "anomalous" if said == "anomalous" else None
    if verdict is None:
        found.add("bad_verdict")
    if not isinstance(listed, list):
        found.add("bad_regions")
        listed = []
    regions = _regions(listed, frame, found)
    if verdict == "normal" and listed:
        found.add("regions_under_normal")
        return verdict, ()
    if verdict == "anomalous" and not regions:
        found.add("no_regions")
    return verdict, regions


def _check_keys(value: dict[str, Any], known: frozenset[str], found: set[str]) -> None:
    """Note repeated and unknown keys. A missing one is noted where its value is needed."""
    repeated: frozenset[str] = frozenset()
    if isinstance(value, _Ambiguous):
        found.add("duplicate_key")
        repeated = value.repeated
    if not (value.keys() <= known and repeated <= known):
        found.add("unknown_key")


def _regions(entries: list[Any], frame: Frame, found: set[str]) -> tuple[Region, ...]:
    if len(entries) > MAX_REGIONS:
        found.add("too_many_regions")
        entries = entries[:MAX_REGIONS]
    regions = (_region(entry, frame, found) for entry in entries)
    return tuple(region for region in regions if region is not None)


def _region(entry: Any, frame: Frame, found: set[str]) -> Region | None:
    """Read one region with its box in original pixels. None where it has no readable box."""
    if not isinstance(entry, dict):
        found.add("bad_region")
        return None
    _check_keys(entry, _REGION_KEYS, found)
    label = entry.get("label")
    if not isinstance(label, str):
        found.add("bad_label")
        label = ""
    edges: Any = entry.get("bbox_2d")
    if not _is_box(edges):
        found.add("bad_box")
        return None
    written = TextBox(edges[0], edges[1], edges[2], edges[3])
    inside = written.x1 >= 0 and written.y1 >= 0 and written.x2 <= frame.units_x and written.y2 <= frame.units_y
    if not inside:
        found.add("box_outside")
    box = clip(frame.to_original(written), frame.width, frame.height)
    if box is None:
        # Inside and yet empty: a box so thin that scaling it underflows.
        found.add("bad_box" if inside else "box_outside")
        return None
    return Region(box, label)


def _is_box(edges: Any) -> bool:
    """Whether this is a list of four finite numbers with ordered corners. true, false and "5" are not numbers."""
    if type(edges) is not list or len(edges) != 4:
        return False
    for edge in edges:
        if type(edge) is not int and (type(edge) is not float or not math.isfinite(edge)):
            return False
    return bool(edges[0] < edges[2] and edges[1] < edges[3])
