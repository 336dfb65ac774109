"""Whatever a manifest, its meta file or its files hold, `check` returns faults: it neither fails nor waits nor looks elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.cli.common import folded
from adfm.data.check import Broken, broken, check
from adfm.geometry import Frame
from adfm.records import Sample
from adfm.rewards import gold_fault
from adfm.storage import sha256_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest's folder with an image, a mask, a meta file and traps beside them."""
    out = tmp_path_factory.mktemp("hostile") / "out"
    out.mkdir()
    Image.effect_noise((24, 16), 60).save(out / "a.png")
    Image.new("L", (24, 16), 1).save(out / "m.png")
    (out / "broken.png").write_bytes((out / "a.png").read_bytes()[:60])
    (out / "loop.png").symlink_to(out / "loop.png")
    os.mkfifo(out / "pipe.png")
    return out


def row(out: Path) -> dict[str, Any]:
    return {
        "id": "a",
        "image": "a.png",
        "width": 24,
        "height": 16,
        "label": "anomalous",
        "category": "part",
        "defect": "dent",
        "mask": "m.png",
        "boxes": [[0, 0, 24, 16]],
        "split": "train",
        "sha256": sha256_file(out / "a.png"),
    }


def meta() -> dict[str, Any]:
    return {"source": ".", "settings": {}, "counts": {}}


def gold(sample: Sample) -> Iterator[Broken]:
    fault = gold_fault(sample, Frame.original(sample.width, sample.height))
    if fault:
        yield broken("gold-marks", why=fault)


def codes(out: Path, content: bytes, meta_content: bytes | None = None) -> list[str]:
    """Check a manifest of these bytes; every line that would be printed is one printable line."""
    (out / "manifest.jsonl").write_bytes(content)
    (out / "manifest.meta.json").write_bytes(json.dumps(meta()).encode() if meta_content is None else meta_content)
    found = check(out, extra=gold)
    for fault in found:
        folded(str(fault)).encode()
        assert len(str(fault)) < 5_000
    return [fault.code for fault in found]


NAMES = ("a.png", "m.png", "broken.png", "loop.png", "pipe.png", ".", "..", "/", "../a.png", "a.png/b", "\0", "\ud800")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**18, 10**300, -1, 0, 24, 16])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([*NAMES, "x" * 5000, "{0}", "{path}", "normal", "anomalous", "test"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("id", "image", "width", "height", "label", "category", "defect", "mask", "boxes", "split", "sha256")
OWN_FIELDS = ("group", "box_ratio", "tight", "{path}")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from((*FIELDS, *OWN_FIELDS)), json_values, max_size=3), max_size=3))
def test_any_values_in_any_fields(folder: Path, changes: list[dict[str, Any]]) -> None:
    rows = [row(folder) | change for change in changes]
    codes(folder, "".join(json.dumps(each) + "\n" for each in rows).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.binary(max_size=3))
def test_any_bytes(folder: Path, more: bytes, place: int, put: bytes) -> None:
    line = json.dumps(row(folder)).encode()
    assert codes(folder, more) != []
    codes(folder, line[:place] + put + line[place:] + b"\n" + more)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["source", "settings", "counts"]), json_values) | json_values)
@example({"source": "x" * 5000})
def test_any_meta_file(folder: Path, value: Any) -> None:
    content = meta() | value if isinstance(value, dict) else value
    codes(folder, json.dumps(row(folder)).encode(), json.dumps(content).encode())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"image": "pipe.png"}, "image-unreadable"),
        ({"mask": "pipe.png"}, "mask-unreadable"),
        ({"image": "loop.png"}, "link-outside"),
        ({"image": "x" * 5000}, "image-unreadable"),
        ({"image": "a.png/b"}, "image-missing"),
        ({"mask": ["m.png", "broken.png"]}, "mask-unreadable"),
        ({"image": "\ud800.png"}, "path-text"),
        ({"width": 10**300}, "size-limit"),
        ({"width": int("9" * 4000)}, "size-limit"),
        ({"boxes": [[0, 0, 10**300, 4]]}, "box-outside"),
        ({"boxes": [[0, 0, 1, 1]] * 900}, "boxes-many"),
        ({"boxes": [[0, 0, 1, 1]] * 20_000}, "field-long"),
        ({"mask": ["m.png"] * 20_000}, "field-long"),
        ({"category": "\ud800"}, "text-control"),
        ({"box_ratio": 1e300}, None),
        ({"defect": "{path} {0} {"}, None),
        ({"id": "\x1b[2J"}, "text-control"),
    ],
)
def test_traps(folder: Path, change: dict[str, Any], code: str | None) -> None:
    found = codes(folder, json.dumps(row(folder) | change).encode())
    sound = codes(folder, json.dumps(row(folder)).encode())
    assert set(found) - set(sound) >= ({code} if code else set())
    assert code or set(found) == set(sound)


def test_nesting_and_digits_without_end(folder: Path) -> None:
    for line in ("[" * 100_000, '{"id": ' * 100_000, '{"width": ' + "9" * 10_000 + "}", '{"width": NaN}'):
        assert codes(folder, line.encode()) == ["line-json"]
    assert codes(folder, json.dumps(row(folder)).encode(), b"[" * 100_000)[-1] == "meta-unreadable"
