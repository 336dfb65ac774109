"""Mutated manifests are read as they are written, or refused in one line per fault; no line is lost in between.

`make fuzz-manifests` runs 100,000 of them, `ADFM_FUZZ_MANIFESTS` says how many here.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adfm.cli.common import folded
from adfm.data import manifest
from adfm.data.check.rows import Rows, read_rows
from adfm.data.contract import sample_json
from adfm.data.faults import KINDS, DataFaultsError
from adfm.data.manifest import Manifest, read_manifest
from adfm.storage import encode_line

COUNT = int(os.environ.get("ADFM_FUZZ_MANIFESTS", "1000"))
SEED = int(os.environ.get("ADFM_FUZZ_SEED", "0"))
FEW = 400  # for the negative controls

BASE: tuple[dict[str, Any], ...] = (
    {
        "id": "valve/good/0",
        "image": "../parts/good/0.png",
        "width": 48,
        "height": 32,
        "label": "normal",
        "category": "valve",
        "defect": None,
        "mask": None,
        "boxes": [],
        "split": "train",
        "sha256": "0" * 64,
    },
    {
        "id": "valve/scratch/1",
        "image": "../parts/scratch/1.png",
        "width": 48,
        "height": 32,
        "label": "anomalous",
        "category": "valve",
        "defect": "scratch",
        "mask": ["../masks/1_a.png", "../masks/1_b.png"],
        "boxes": [[0, 0, 4, 4], [1, 2, 48, 32]],
        "split": "test",
        "sha256": "f" * 64,
        "group": "board 7",
        "box_ratio": 0.02,
        "tight": False,
    },
    {
        "id": "Gehäuse/2",
        "image": "ü.png",
        "width": 100,
        "height": 7,
        "label": "anomalous",
        "category": "Gehäuse",
        "defect": None,
        "mask": None,
        "boxes": None,
        "split": "validation",
        "sha256": "a1" * 32,
    },
)
DEFAULTS = {"defect": None, "mask": None, "boxes": None, "group": None, "box_ratio": None, "tight": True}
VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        48,
        49,
        1.0,
        48.0,
        1e300,
        10**30,
        "",
        "a",
        "0",
        "\0",
        "\ud800",
        "\x1b[2J",
        "normal",
        "OK",
    ),
    *("test", "/a", "..\\a", "C:\\a", [], {}, [[]], [0, 0, 4, 4], [[0, 0, 4, 4]], [[0, 0, 4, 4.0]], [[4, 4, 0, 0]]),
    *(
        [[0, 0, True, 4]],
        ["m.png"],
        [""],
        "x" * 3000,
        {"a": {"a": []}},
        [[0, 0, 10**20, 4]],
        float("nan"),
        float("inf"),
    ),
)
BYTES = (
    b"{",
    b"}",
    b"[",
    b'"',
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\\",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"1e999",
    b"NaN",
    b"null",
    b" ",
)


def encoded(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def by_value(draw: random.Random) -> bytes:
    rows = json.loads(json.dumps(BASE))
    for _ in range(draw.randint(1, 3)):
        row = draw.choice(rows)
        key, other = (
            draw.choice(list(row) or ["id"]),
            draw.choice(["colour", "Boxes", "group", "image", "split", "tight"]),
        )
        change = draw.randrange(4)
        if change == 0:
            row[key] = draw.choice(VALUES)
        elif change == 1:
            row.pop(key, None)
        elif change == 2:
            row[other] = row.get(key)
        else:
            row[key], row[other] = row.get(other), row.get(key)
    draw.shuffle(rows)
    return encoded(rows)


def by_byte(draw: random.Random) -> bytes:
    content = bytearray(encoded([*BASE]))
    for _ in range(draw.randint(1, 3)):
        at, change = draw.randrange(len(content) + 1), draw.randrange(4)
        if change == 0:
            content[at : at + 1] = draw.choice(BYTES)
        elif change == 1:
            content[at:at] = draw.choice(BYTES)
        elif change == 2:
            del content[at : at + draw.randint(1, 40)]
        else:
            content[at : at + 1] = bytes([draw.randrange(256)])
    return bytes(content)


def by_line(draw: random.Random) -> bytes:
    lines = encoded([*BASE]).splitlines(keepends=True)
    for _ in range(draw.randint(1, 3)):
        at, other = draw.randrange(len(lines)), draw.choice(lines)
        lines[at : at + draw.randint(0, 1)] = draw.choice(
            ([other], [other, other], [], [b"\n"], [other[:-1]], [other[:60]])
        )
        lines = lines or [b"\n"]
    return b"".join(lines)


def by_key(draw: random.Random) -> bytes:
    """A key that stands twice, with another value or the same, also inside a value."""
    row = draw.choice(BASE)
    pairs = [(key, value) for key, value in row.items()]
    key, value = draw.choice(pairs)
    pairs.insert(draw.randrange(len(pairs) + 1), (key, draw.choice((value, *VALUES))))
    text = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs)
    return encoded([*BASE[:1]]) + f"{{{text}}}\n".encode()


def mutated(count: int, seed: int = SEED) -> Iterator[bytes]:
    draw = random.Random(seed)
    kinds: tuple[Callable[[random.Random], bytes], ...] = (by_value, by_byte, by_line, by_key)
    for _ in range(count):
        yield draw.choice(kinds)(draw)


def written(line: bytes) -> dict[str, Any]:
    """What a line says, by a reader of its own."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "a key stands twice"
        return dict(pairs)

    row = json.loads(line.decode(), object_pairs_hook=once)
    assert isinstance(row, dict), "no object"
    row = DEFAULTS | row
    return row | ({"boxes": []} if row["boxes"] is None and row["label"] == "normal" else {})


def violation(content: bytes, path: Path) -> str | None:
    """Return how the readers break their promise on a manifest of these bytes, or None."""
    path.write_bytes(content)
    rows = read_rows(path)
    for fault in rows.faults:
        folded(str(fault)).encode()
        if fault.code not in KINDS or len(str(fault)) > 3000:
            return f"not a line to print: {fault}"
    try:
        read = read_manifest(path)
    except DataFaultsError as error:
        twice = len({line.sample.id for line in rows.lines}) < len(rows.lines)
        told = twice or any(fault.level == "fault" for fault in rows.faults)
        return None if told and "\n" not in str(error) else f"refused and not told: {error}"
    return accepted(content, path, rows, read)


def accepted(content: bytes, path: Path, rows: Rows, read: Manifest) -> str | None:
    lines = [line for line in content.split(b"\n") if line.decode().strip()]
    if len(lines) != len(read.samples):
        return "a line is lost"
    if read.samples != tuple(line.sample for line in rows.lines):
        return "the two readers differ"
    for line, sample in zip(lines, read.samples, strict=True):
        try:
            says = written(line)
        except (AssertionError, ValueError) as error:
            return f"read and not JSON: {error}"
        got = DEFAULTS | sample_json(sample)
        if json.dumps(got, sort_keys=True) != json.dumps({name: says[name] for name in got}, sort_keys=True):
            return f"read as {got}"
    path.write_bytes("".join(encode_line(sample_json(sample)) for sample in read.samples).encode("utf-8", "replace"))
    return None if read_manifest(path) == read else "not the same when written again"


def violations(count: int, folder: Path) -> list[str]:
    found = (violation(content, folder / "manifest.jsonl") for content in mutated(count))
    return [text for text in found if text]


def test_no_manifest_is_read_as_something_else(tmp_path: Path) -> None:
    assert violations(COUNT, tmp_path) == []


def test_the_mutations_are_read_and_refused_alike(tmp_path: Path) -> None:
    read = 0
    for content in mutated(FEW):
        (tmp_path / "manifest.jsonl").write_bytes(content)
        try:
            read_manifest(tmp_path)
            read += 1
        except DataFaultsError:
            pass
    assert FEW / 10 < read < FEW * 9 / 10


def test_keys_given_twice_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_object", lambda pairs, twice: dict(pairs))
    assert any("a key stands twice" in text for text in violations(FEW, tmp_path))


def test_lines_left_out_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = manifest.manifest_rows
    monkeypatch.setattr(manifest, "manifest_rows", lambda file: (row for row in right(file) if row.content is not None))
    assert "a line is lost" in violations(FEW, tmp_path)
