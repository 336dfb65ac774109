"""Label Studio's export: percent becomes pixels, brushes become boxes, choices decide; addresses never leave the folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, SourceImage, choose
from adfm.data.layouts.drawn import brush_shape
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Sample

Write = Callable[..., Path]
Row = dict[str, Any]
RECTANGLE = {"x": 12.5, "y": 25, "width": 25, "height": 50, "rotation": 0, "rectanglelabels": ["scratch"]}


def region(kind: str, value: Row, **other: Any) -> Row:
    sides = {"original_width": 48, "original_height": 32, "image_rotation": 0}
    return {"id": "x", "from_name": "label", "to_name": "image", "type": kind, "value": value} | sides | other


def choice(*names: str) -> Row:
    return {"from_name": "quality", "to_name": "image", "type": "choices", "value": {"choices": list(names)}}


def task(image: str, *results: Row, **answer: Any) -> Row:
    given = {"id": 3, "result": list(results), "was_cancelled": False, "ground_truth": False} | answer
    return {"id": 5, "annotations": [given], "drafts": [], "predictions": [], "data": {"note": "a", "image": image}}


def export(root: Path, *tasks: Row) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "project-1-at-2026-11-24.json").write_text(json.dumps(tasks))
    return root


def read(root: Path) -> dict[str, SourceImage]:
    assert [each.NAME for each in LAYOUTS if each.recognise(root)] == ["label-studio"]
    return {each.image.as_posix(): each for each in choose(root).read(root)}


def built(root: Path, out: Path) -> dict[str, Sample]:
    report = build(root, out, BuildSettings())
    return {Path(sample.image).stem: sample for sample in read_manifest(report.manifest).samples}


@pytest.fixture
def parts(tmp_path: Path, draw_image: Write) -> Path:
    """A folder of four images."""
    for name in "abcd":
        draw_image(tmp_path / "parts" / "images" / f"{name}.png")
    return tmp_path / "parts"


def packed(values: Sequence[int]) -> list[int]:
    """Bytes as run lengths of `@thi.ng/rle-pack`, written from its description: runs and, where short, plain values."""
    sizes, bits = (3, 4, 8, 16), f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] == values[start] and end - start < 60_000:
            end += 1
        index = next(i for i, size in enumerate(sizes) if end - start - 1 < 2**size)
        same = end - start > 1
        bits += f"{int(same)}{index:02b}{end - start - 1:0{sizes[index]}b}{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[index : index + 8], 2) for index in range(0, len(bits), 8)]


def brush(mask: np.ndarray) -> list[int]:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, mask
    return packed(pixels.ravel().tolist())


def test_regions_become_boxes_in_pixels(parts: Path, tmp_path: Path) -> None:
    mask = np.zeros((32, 48), np.uint8)
    mask[3:9, 40:44] = 255
    mask[20, 41] = 1
    polygon = {"points": [[50, 50], [75, 50], [75, 100]], "closed": True, "polygonlabels": ["dent"]}
    tasks = [
        task("/data/upload/1/0a1b2c3d-a.png", region("rectanglelabels", RECTANGLE)),
        task("/data/local-files/?d=line3/parts/images/b.png", region("polygonlabels", polygon)),
        task(
            "s3://bucket/c.png", region("brushlabels", {"format": "rle", "rle": brush(mask), "brushlabels": ["dent"]})
        ),
        task("https://example.org/images/d.png?sign=1"),
    ]
    samples = built(export(parts, *tasks), tmp_path / "out")
    assert {name: (s.label, s.defect, s.boxes) for name, s in samples.items()} == {
        "a": ("anomalous", "scratch", (Box(6, 8, 18, 24),)),
        "b": ("anomalous", "dent", (Box(24, 16, 36, 32),)),
        "c": ("anomalous", "dent", (Box(40, 3, 44, 21),)),
        "d": ("normal", None, ()),
    }
    assert {s.category for s in samples.values()} == {"parts"}


def test_a_turned_rectangle_is_enclosed(parts: Path) -> None:
    turned = RECTANGLE | {"x": 50, "y": 25, "width": 25, "height": 25, "rotation": 90}
    found = read(export(parts, task("images/a.png", region("rectanglelabels", turned))))
    x1, y1, x2, y2 = found["images/a.png"].boxes[0]
    assert all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip((x1, y1, x2, y2), (16, 8, 24, 20), strict=True))


@pytest.mark.parametrize(
    ("results", "label", "defect"),
    [
        ([choice("OK")], "normal", None),
        ([choice("NG")], "anomalous", None),
        ([choice("bent lead")], "anomalous", "bent lead"),
        ([choice("bent lead", "dent")], "anomalous", None),
        ([choice("NG"), region("rectanglelabels", RECTANGLE)], "anomalous", "scratch"),
        ([{"type": "relation", "from_id": "a", "to_id": "b"}], "normal", None),
        ([{"type": "textarea", "value": {"text": ["looks fine"]}}], "normal", None),
    ],
)
def test_choices_and_regions_decide(parts: Path, results: list[Row], label: str, defect: str | None) -> None:
    others = task("images/b.png"), task("images/c.png", region("rectanglelabels", RECTANGLE))
    found = read(export(parts, task("images/a.png", *results), *others))["images/a.png"]
    assert (found.label, found.defect) == (label, defect)


def test_only_answers_count_and_the_ground_truth_first(parts: Path) -> None:
    second = {"id": 4, "result": [choice("NG")], "ground_truth": True}
    two = task("images/a.png", choice("OK"))
    assert read(export(parts, two))["images/a.png"].label == "normal"  # control
    two["annotations"].append(second)
    skipped = task("images/b.png", choice("OK"), was_cancelled=True)
    nobody = task("images/c.png") | {"annotations": []}
    found = read(export(parts, two, skipped, nobody))
    assert {name: each.label for name, each in found.items()} == {"images/a.png": "anomalous"}


def test_the_folder_of_a_image_is_its_split(tmp_path: Path, draw_image: Write) -> None:
    for split in ("train", "test"):
        draw_image(tmp_path / "set" / split / "test_1.png")
    tasks = [task(f"/data/local-files/?d=set/{split}/test_1.png", choice("OK")) for split in ("train", "test")]
    found = read(export(tmp_path / "set", *tasks))
    assert {name: each.split for name, each in found.items()} == {
        "train/test_1.png": "train",
        "test/test_1.png": "test",
    }


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("../secret.png", "images/../images/a.png"),
        ("/data/local-files/?d=../secret.png", "/data/local-files/?d=images/a.png"),
        ("images/../../secret.png", "images/../../parts/images/a.png"),
        ("..%2Fsecret.png", "images%2Fa.png"),
        ("..\\secret.png", "images\\a.png"),
    ],
)
def test_an_address_never_leaves_the_set(parts: Path, draw_image: Write, outside: str, inside: str) -> None:
    draw_image(parts.parent / "secret.png")
    with pytest.raises(DataError, match=r"\[path-outside\]"):
        read(export(parts, task(outside)))
    assert list(read(export(parts, task(inside)))) == ["images/a.png"]  # control


def test_an_absolute_address_is_looked_for_inside_alone(parts: Path, draw_image: Write, tmp_path: Path) -> None:
    secret = draw_image(parts.parent / "secret.png")
    with pytest.raises(DataFaultsError, match="no such file") as error:
        build(
            export(parts, task(str(secret)), task(f"file://{secret.with_name('other.png')}")),
            tmp_path / "out",
            BuildSettings(),
        )
    assert all(str(parts) in str(fault) for fault in error.value.faults)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (task("notes.txt"), "task 5: its data name no image"),
        (task("http://[x/a.png"), "task 5: "),
        (task("images/a.png") | {"annotations": [3]}, "'annotations' must be a list of objects"),
        (task("images/a.png", result=3), "'result' must be a list of objects"),
        (task("images/a.png", choice("OK"), choice("NG")), "both OK and"),
        (task("images/a.png", choice("OK"), region("rectanglelabels", RECTANGLE)), "both OK and"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE, original_width=None)), "two sides must be numbers"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE, image_rotation=90)), "rotated image"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE | {"width": 0})), "must be above 0"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE | {"x": "1"})), "x, y, width, height, rotation must"),
        (task("images/a.png", region("polygonlabels", {"points": [[1, 2], [3, 4], [3]]})), "x, y must be numbers"),
        (
            task("images/a.png", region("ellipselabels", {"x": 1, "y": 2, "radiusX": 3})),
            "x, y, radiusX, radiusY, rotation must",
        ),
        (task("images/a.png", region("brushlabels", {"rle": [1, 2, 300]})), "rle must be a list of bytes"),
        (task("images/a.png", region("brushlabels", {"rle": [1, 2, 3]})), "end too early"),
        (task("images/a.png", region("brushlabels", {"rle": packed([0] * 8)})), "must be of 48 x 32"),
        (task("images/a.png", region("brushlabels", {"rle": brush(np.zeros((32, 48)))})), "its mask is empty"),
    ],
)
def test_a_broken_export_is_one_line(parts: Path, broken: Row, said: str) -> None:
    fine = task("images/b.png", region("rectanglelabels", RECTANGLE))
    assert list(read(export(parts, fine))) == ["images/b.png"]  # control
    with pytest.raises(DataError, match=said) as error:
        read(export(parts, fine, broken))
    assert "project-1-at-2026-11-24.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_torn_export_is_recognised_and_refused(parts: Path) -> None:
    file = export(parts, task("images/a.png")) / "project-1-at-2026-11-24.json"
    file.write_text(file.read_text()[:-5])
    with pytest.raises(DataError, match="is not valid JSON"):
        read(parts)


@pytest.mark.parametrize("seed", range(6))
def test_a_brush_gives_the_box_of_its_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((29, 41), np.uint8)
    mask[5:19, 8:30] = rng.integers(0, 3, (14, 22)) * 100
    mask[5, 8] = mask[18, 29] = 255
    assert brush_shape(brush(mask), 41, 29) == Box(8, 5, 30, 19)


def test_the_beginning_of_a_brush_that_label_studio_wrote() -> None:
    """Source: a public export of 3332 x 2527 pixels; only its first bytes, so that the length and word size are read."""
    begun = [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31]
    with pytest.raises(ValueError, match="end too early"):
        brush_shape(begun, 3332, 2527)
    with pytest.raises(ValueError, match="must be of 3333 x 2527"):
        brush_shape(begun, 3333, 2527)
