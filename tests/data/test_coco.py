"""COCO instances: boxes, outlines and run lengths become boxes; the layouts on disk that tools write; what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from adfm.data.build import build
from adfm.data.check import check
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, SourceImage, choose
from adfm.data.layouts.drawn import coco_shape
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Sample
from adfm.storage import read_json

Write = Callable[..., Path]
Row = dict[str, Any]


def image(number: int, name: str, **other: Any) -> Row:
    return {"id": number, "file_name": name, "width": 48, "height": 32} | other


def annotation(number: int, kind: int = 1, bbox: Sequence[float] = (4, 5, 16, 10), **other: Any) -> Row:
    return {"id": 7, "image_id": number, "category_id": kind, "bbox": list(bbox), "iscrowd": 0} | other


def instances(file: Path, images: Sequence[Row], annotations: Sequence[Row]) -> Path:
    kinds = [{"id": 1, "name": "scratch"}, {"id": 2, "name": "dent"}]
    annotations = [row | {"id": number} for number, row in enumerate(annotations, 1)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": kinds}))
    return file


def read(root: Path) -> dict[str, SourceImage]:
    layout = choose(root)
    assert layout.NAME == "coco"
    assert [each.NAME for each in LAYOUTS if each.recognise(root)] == ["coco"]
    return {each.image.as_posix(): each for each in layout.read(root)}


def built(root: Path, out: Path, **settings: Any) -> dict[str, Sample]:
    report = build(root, out, BuildSettings(**settings))
    return {Path(sample.image).name: sample for sample in read_manifest(report.manifest).samples}


@pytest.fixture
def boards(tmp_path: Path, draw_image: Write) -> Path:
    """A scratch, a scratch and a dent, and a normal part."""
    root = tmp_path / "boards"
    for name in "abc":
        draw_image(root / "images" / f"{name}.png")
    rows = [annotation(1), annotation(2), annotation(2, 2, (30.4, 20.2, 8, 6.5))]
    instances(root / "instances.json", [image(n, f"{name}.png") for n, name in enumerate("abc", 1)], rows)
    return root


def test_boxes_become_a_manifest_without_masks(boards: Path, tmp_path: Path) -> None:
    samples = built(boards, tmp_path / "out", split="fractions")
    told = {name: (s.label, s.defect, s.boxes) for name, s in samples.items()}
    assert told == {
        "a.png": ("anomalous", "scratch", (Box(4, 5, 20, 15),)),
        "b.png": ("anomalous", None, (Box(4, 5, 20, 15), Box(30, 20, 39, 27))),
        "c.png": ("normal", None, ()),
    }
    assert {s.category for s in samples.values()} == {"boards"}
    assert all(s.mask is None and s.tight for s in samples.values())
    assert [fault for fault in check(tmp_path / "out") if fault.level == "fault"] == []
    assert read_json(tmp_path / "out" / "manifest.meta.json")["licence"] is None


@pytest.mark.parametrize(
    ("list_", "place", "name", "split"),
    [
        ("train/_annotations.coco.json", "train/a.jpg", "a.jpg", "train"),
        ("valid/_annotations.coco.json", "valid/a.jpg", "a.jpg", "validation"),
        ("annotations/instances_val2017.json", "val2017/a.jpg", "a.jpg", "validation"),
        ("annotations/instances_default.json", "images/default/a.jpg", "a.jpg", None),
        ("annotations/instances_Train.json", "images/a.jpg", "images/a.jpg", "train"),
        ("annotations/test.json", "images/a.jpg", "../images/a.jpg", "test"),
        ("result.json", "images/a.jpg", "images\\a.jpg", None),
        ("contest.json", "a.jpg", "a.jpg", None),
    ],
)
def test_images_lie_where_tools_put_them(
    tmp_path: Path, draw_image: Write, list_: str, place: str, name: str, split: str | None
) -> None:
    root = tmp_path / "set"
    draw_image(root / place)
    instances(root / list_, [image(1, name)], [])
    assert {path: each.split for path, each in read(root).items()} == {place: split}


def test_the_same_name_in_two_splits_is_two_images(tmp_path: Path, draw_image: Write) -> None:
    root = tmp_path / "set"
    for split in ("train", "val"):
        draw_image(root / split / "a.png")
        instances(root / "annotations" / f"instances_{split}.json", [image(1, "a.png")], [annotation(1)])
    assert set(read(root)) == {"train/a.png", "val/a.png"}


def columns(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, beginning with background."""
    flat = [0, *mask.T.ravel().tolist()]
    edges = [index for index in range(1, len(flat)) if flat[index] != flat[index - 1]]
    ends = [edge - 1 for edge in edges] + [mask.size]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def compressed(runs: Sequence[int]) -> str:
    """COCO's text of run lengths, written from its description alone."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            low, value = value & 31, value >> 5
            more = value != (-1 if low & 16 else 0)
            text += chr((low | (32 if more else 0)) + 48)
    return text


@pytest.mark.parametrize("seed", range(8))
def test_run_lengths_give_the_box_of_their_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((37, 53), np.uint8)
    top, left = rng.integers(0, 30, 2)
    mask[top : top + 7, left : left + 20] = rng.random((7, 20)) < 0.6
    mask[top, left] = mask[top + 6, left + 19] = 1
    runs, box = columns(mask), Box(left, top, left + 20, top + 7)
    assert coco_shape({"segmentation": {"size": [37, 53], "counts": runs}}) == box
    assert coco_shape({"segmentation": {"size": [37, 53], "counts": compressed(runs)}}) == box


def test_a_text_of_run_lengths_worked_out_by_hand() -> None:
    """A ring of 3 x 3 in 5 x 5: runs 6 3 2 1 1 1 2 3 6; from the fourth on the differences -2 -1 0 1 2 4."""
    assert compressed([6, 3, 2, 1, 1, 1, 2, 3, 6]) == "632NO0124"
    assert coco_shape({"segmentation": {"size": [5, 5], "counts": "632NO0124"}}) == Box(1, 1, 4, 4)


def test_a_chequered_mask_has_many_runs() -> None:
    assert coco_shape({"segmentation": {"size": [31, 20], "counts": [1] * 620}}) == Box(0, 0, 20, 31)


def test_shapes_without_a_box_are_enclosed_and_crowds_are_weak(boards: Path, tmp_path: Path) -> None:
    pieces = [[4, 5, 10, 5, 10, 9], [20, 12, 24, 12, 24, 18.5, 20, 18]]
    mask = np.zeros((32, 48), np.uint8)
    mask[3:9, 40:44] = 1
    rows = [
        annotation(1, bbox=(), segmentation=pieces),
        annotation(2, bbox=(), segmentation={"size": [32, 48], "counts": columns(mask)}, iscrowd=1),
    ]
    instances(boards / "instances.json", [image(1, "a.png"), image(2, "b.png")], rows)
    samples = built(boards, tmp_path / "out", split="fractions")
    assert (samples["a.png"].boxes, samples["a.png"].tight) == ((Box(4, 5, 24, 19),), True)
    assert (samples["b.png"].boxes, samples["b.png"].tight) == ((Box(40, 3, 44, 9),), False)


@pytest.mark.parametrize("place", ["../secret.png", "/etc/hostname.png", "images/../../secret.png", "..\\secret.png"])
def test_a_listed_path_never_leaves_the_set(boards: Path, draw_image: Write, place: str) -> None:
    draw_image(boards.parent / "secret.png")
    instances(boards / "instances.json", [image(1, place)], [])
    with pytest.raises(DataError, match=r"\[path-outside\]") as error:
        read(boards)
    assert str(boards / "instances.json") in str(error.value)
    instances(boards / "instances.json", [image(1, "images/../images/a.png")], [])  # control: inside it may wander
    assert list(read(boards)) == ["images/a.png"]


def test_a_link_out_of_the_set_is_refused(boards: Path, draw_image: Write) -> None:
    secret = draw_image(boards.parent / "secret.png")
    (boards / "images" / "d.png").symlink_to(boards / "images" / "a.png")
    instances(boards / "instances.json", [image(1, "d.png")], [])
    assert list(read(boards)) == ["images/a.png"]  # control: a link inside is followed
    (boards / "images" / "e.png").symlink_to(secret)
    instances(boards / "instances.json", [image(1, "e.png")], [])
    with pytest.raises(DataError, match=r"\[path-outside\]"):
        read(boards)


def test_lists_behind_links_and_hidden_ones_are_left_alone(boards: Path, tmp_path: Path) -> None:
    other = instances(tmp_path / "other" / "instances.json", [image(1, "images/a.png")], [])
    (boards / "instances.json").unlink()
    (boards / "linked").symlink_to(other.parent)
    (boards / "instances.json").symlink_to(other)
    instances(boards / ".cache" / "instances.json", [image(1, "images/a.png")], [])
    assert [each.NAME for each in LAYOUTS if each.recognise(boards)] == []
    instances(boards / "cache" / "instances.json", [image(1, "images/a.png")], [])  # control
    assert list(read(boards)) == ["images/a.png"]


LIST = {"images": [image(1, "a.png")], "annotations": [annotation(1)], "categories": [{"id": 1, "name": "scratch"}]}
SHAPELESS = {"bbox": [], "segmentation": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"categories": 3}, "'categories' must be a list of objects"),
        ({"annotations": [3]}, "'annotations' must be a list of objects"),
        ({"images": [{"id": 1}]}, "needs the text 'file_name'"),
        ({"images": [image(1, "a\0.png")]}, "cannot be the name of a file"),
        ({"images": [image(2, "a.png")]}, "no image has the id 1"),
        ({"annotations": [annotation([1])]}, "needs the number or text 'image_id'"),
        ({"annotations": [annotation(1, bbox=(1, 2, 3))]}, "x, y, width, height must be"),
        ({"annotations": [annotation(1, bbox=(1, 2, 0, 4))]}, "must be above 0"),
        ({"annotations": [annotation(1, bbox=(1, 2, float("nan"), 4))]}, "x, y, width, height must be"),
        ({"annotations": [annotation(1, bbox=(1, 2, 10**400, 4))]}, "x, y, width, height must be"),
        ({"annotations": [annotation(1, **SHAPELESS)]}, "needs a bbox or a segmentation"),
        ({"annotations": [annotation(1, **SHAPELESS | {"segmentation": [[1, 2, 3]]})]}, "as many x as y"),
        (
            {"annotations": [annotation(1, **SHAPELESS | {"segmentation": [[1, 2, 3, 2, 5, 2]]})]},
            "must enclose an area",
        ),
        (
            {"annotations": [annotation(1, **SHAPELESS | {"segmentation": {"size": [2, 2], "counts": [9]}})]},
            "add up to",
        ),
        ({"annotations": [annotation(1, **SHAPELESS | {"segmentation": {"size": [2, 2], "counts": [4]}})]}, "is empty"),
        (
            {"annotations": [annotation(1, **SHAPELESS | {"segmentation": {"size": [10**6] * 2, "counts": [1]}})]},
            "pixels",
        ),
        (
            {"annotations": [annotation(1, **SHAPELESS | {"segmentation": {"size": [2, 2], "counts": "\x7f"}})]},
            "no run",
        ),
        (
            {"annotations": [annotation(1, **SHAPELESS | {"segmentation": {"size": [2, 2], "counts": "o" * 99}})]},
            "no run",
        ),
    ],
)
def test_a_broken_list_is_one_line(boards: Path, change: Row, said: str) -> None:
    file = boards / "instances.json"
    file.write_text(json.dumps(LIST))
    assert len(read(boards)) == 1  # control
    file.write_text(json.dumps(LIST | change))
    with pytest.raises(DataError, match=said) as error:
        read(boards)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_torn_list_is_recognised_and_refused(boards: Path) -> None:
    file = boards / "instances.json"
    file.write_text(file.read_text()[:-40])
    with pytest.raises(DataError, match=r"instances\.json: \[list-unreadable\] .*is not valid JSON"):
        read(boards)


def test_images_that_do_not_fit_their_list_are_one_line_each(boards: Path, tmp_path: Path) -> None:
    rows = [image(1, "a.png", width=96, height=64), image(2, "b.png"), image(3, "none.png")]
    file = instances(boards / "instances.json", rows, [annotation(1), annotation(2, bbox=(50, 5, 4, 4))])
    with pytest.raises(DataFaultsError) as error:
        build(boards, tmp_path / "out", BuildSettings())
    told = [
        "[image-size] images/a.png: is 48 x 32, its list says 96 x 64",
        "b.png: [box-outside] box [50, 5, 54, 9] must be inside 48 x 32",
        "none.png: no such file",
    ]
    assert len(error.value.faults) == len(told)
    for line, part in zip(error.value.faults, told, strict=True):
        assert part in str(line)
    instances(file, [image(1, "a.png"), image(2, "a.png")], [])
    with pytest.raises(DataFaultsError, match=r"a\.png: is listed more than once"):
        build(boards, tmp_path / "out", BuildSettings())


def test_a_box_that_reaches_over_the_border_is_cut_and_told(boards: Path, tmp_path: Path) -> None:
    instances(boards / "instances.json", [image(1, "a.png")], [annotation(1, bbox=(40, 20, 20, 20))])
    assert built(boards, tmp_path / "out")["a.png"].boxes == (Box(40, 20, 48, 32),)
    warnings = read_json(tmp_path / "out" / "manifest.meta.json")["warnings"]
    assert any("reaches beyond its image" in warning for warning in warnings)


def test_too_many_boxes_are_merged_as_a_masks_are(boards: Path, tmp_path: Path) -> None:
    rows = [annotation(1, bbox=(x, y, 2, 2)) for x in range(0, 48, 6) for y in (2, 20)]
    instances(boards / "instances.json", [image(1, "a.png")], rows)
    assert len(built(boards, tmp_path / "all")["a.png"].boxes or ()) == 16
    few = built(boards, tmp_path / "few", max_boxes=4)["a.png"]
    assert 1 <= len(few.boxes or ()) <= 4
    assert few.box_ratio is not None


def test_tiles_of_drawn_boxes_know_their_defects(boards: Path, tmp_path: Path) -> None:
    samples = built(boards, tmp_path / "out", tile=16, tile_overlap=0.0, split="fractions")
    cut = {name: s for name, s in samples.items() if name.startswith("b-")}
    assert Counter(s.label for s in cut.values()) == {"anomalous": 3, "normal": 2}  # and one shows a sliver only
    assert cut["b-x0y0.png"].boxes == (Box(4, 5, 16, 15),)
    assert [fault for fault in check(tmp_path / "out") if fault.level == "fault"] == []


def test_a_list_beside_a_known_tree_gives_way(mvtec_set: Path) -> None:
    instances(mvtec_set / "instances.json", [], [])
    assert choose(mvtec_set).NAME == "mvtec"
    assert choose(mvtec_set, "coco").NAME == "coco"


THREE: Row = {
    "images": [image(n, f"{name}.png") for n, name in enumerate("abc", 1)],
    "annotations": [annotation(1, id=1), annotation(2, 2, id=2)],
    "categories": [{"id": 1, "name": "scratch"}, {"id": 2, "name": "dent"}],
}
OUTLINE = [[4, 5, 20, 5, 20, 15, 4, 15]]
RUNS = {"size": [32, 48], "counts": [4 * 32 + 5, 10, *(22, 10) * 15, 32 * 48 - 19 * 32 - 15]}


def first(**change: Any) -> Row:
    """The list with another first annotation."""
    return {"annotations": [annotation(1, id=1) | change, *THREE["annotations"][1:]]}


CONTRADICTIONS: dict[str, tuple[Row, tuple[str, ...]]] = {
    "image id twice": (
        {"images": [image(1, "a.png"), image(2, "b.png"), image(1, "c.png")]},
        ("[list-id-twice] several images have the id 1",),
    ),
    "category id twice": (
        {"categories": [{"id": 1, "name": "scratch"}, {"id": 1, "name": "dent"}]},
        ("[list-id-twice] several categories have the id 1",),
    ),
    "annotation id twice": (
        {"annotations": [annotation(1), annotation(2)]},
        ("[list-id-twice] several annotations have the id 7",),
    ),
    "two unknown images": (
        {"annotations": [annotation(8, id=1), annotation(9, id=2)]},
        ("no image has the id 8", "no image has the id 9"),
    ),
    "an id as a text": (first(image_id="1"), ("no image has the id '1'",)),
    "unknown category": (first(category_id=3), ("'a.png': no category has the id 3",)),
    "no category": (first(category_id=None), ("needs the number or text 'category_id'",)),
    "no annotations": ({"annotations": None}, ("'annotations' must be a list of objects",)),
    "box beside its outline": (
        first(segmentation=[[4, 15, 20, 15, 20, 25, 4, 25]]),
        ("is not around its segmentation",),
    ),
    "corners beside an outline": (
        first(bbox=[4, 5, 20, 15], segmentation=OUTLINE),
        ("is not around its segmentation",),
    ),
    "box beside its run lengths": (first(bbox=[24, 5, 16, 10], segmentation=RUNS), ("is not around its segmentation",)),
    "outline beside a turned box": (
        first(segmentation=OUTLINE, attributes={"rotation": 90}),
        ("is not around its segmentation",),
    ),
    "run lengths of another size": (
        {"images": [image(1, "a.png", width=64), *THREE["images"][1:]]} | first(segmentation=RUNS),
        ("it gives the sizes 48 x 32 and 64 x 32",),
    ),
    "shares of the image": (first(bbox=[0.1, 0.2, 0.3, 0.4]), ("inside the first pixel",)),
    "an outline in shares": (
        first(bbox=[], segmentation=[[0.1, 0.2, 0.3, 0.2, 0.3, 0.5]]),
        ("inside the first pixel",),
    ),
    "two points": (first(bbox=[], segmentation=[[4, 5, 20, 15]]), ("at least three",)),
    "more area than the box": (first(area=400), ("its area 400 is more than its bbox of 16 x 10 holds",)),
    "an angle of unknown sense": (first(angle=30), ("its 'angle' turns the box",)),
    "a rotation as a text": (first(attributes={"rotation": "90"}), ("rotation must be numbers",)),
    "to be ignored": (first(ignore=1), ("its 'ignore' is 1, which says neither",)),
    "ignore in words": (first(ignore="maybe"), ("its 'ignore' is 'maybe', which says neither",)),
    "crowd in words": (first(iscrowd="no"), ("'iscrowd' must be true, false, 1 or 0",)),
    "a class that says nothing": (
        {"categories": [{"id": 1, "name": "unknown"}, {"id": 2, "name": "dent"}]},
        ("its class 'unknown' does not say whether it is a defect",),
    ),
    "a class that speaks of OK": (
        {"categories": [{"id": 1, "name": "good-weld"}, {"id": 2, "name": "dent"}]},
        ("its class 'good-weld' does not say whether it is a defect",),
    ),
    "half a size": (
        {"images": [image(1, "a.png", width=None), *THREE["images"][1:]]},
        ("must be whole numbers above 0",),
    ),
    "a size of zero": (
        {"images": [image(1, "a.png", width=0), *THREE["images"][1:]]},
        ("must be whole numbers above 0",),
    ),
    "sides exchanged, also without a box": (
        {"images": [*THREE["images"][:2], image(3, "c.png", width=32, height=48)]},
        ("[image-size] images/c.png: is 48 x 32, its list says 32 x 48",),
    ),
    "a split of unknown name": (
        {"images": [image(1, "a.png", split="holdout"), *THREE["images"][1:]]},
        ("'holdout' is no split",),
    ),
    "boxes as corners": (
        {"annotations": [annotation(1, id=1, bbox=(4, 5, 20, 15)), annotation(2, id=2, bbox=(30, 4, 40, 20))]},
        ("[boxes-corners] its boxes reach over the borders",),
    ),
    "nobody looked": (
        {"images": [*THREE["images"][:2], image(3, "c.png", annotated=False)]},
        ("'c.png': it is not 'annotated', so nothing says that it is normal",),
    ),
    "a label against its annotations": (
        {"images": [image(1, "a.png", label="normal"), *THREE["images"][1:]]},
        ("it says both OK and that there is a defect",),
    ),
    "a label that says nothing": (
        {"images": [*THREE["images"][:2], image(3, "c.png", label="unknown")]},
        ("'unknown' does not say whether it is normal",),
    ),
    "removed": (
        {"images": [*THREE["images"][:2], image(3, "c.png", annotated=True, deleted=True)]},
        ("it is marked as deleted",),
    ),
    "several of these": (
        first(category_id=3) | {"images": [image(1, "a.png"), image(2, "b.png"), image(3, "c.png", width=-1)]},
        ("no category has the id 3", "must be whole numbers above 0"),
    ),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_in_one_line_each(boards: Path, tmp_path: Path, kind: str) -> None:
    change, said = CONTRADICTIONS[kind]
    (boards / "instances.json").write_text(json.dumps(THREE))
    assert len(built(boards, tmp_path / "control")) == 3
    (boards / "instances.json").write_text(json.dumps(THREE | change))
    with pytest.raises(DataFaultsError) as error:
        build(boards, tmp_path / "out", BuildSettings())
    lines = [str(fault) for fault in error.value.faults]
    assert len(lines) == len(said)
    assert all(part in line and "\n" not in line for part, line in zip(said, lines, strict=True))


GUARDS: dict[str, tuple[str, Callable[..., Any], str, dict[str, list[str]]]] = {
    "ids are unique": (
        "coco.identified",
        lambda _file, rows, _what: {row["id"]: row for row in rows},
        "image id twice",
        {"b.png": ["dent"], "c.png": ["scratch"]},
    ),
    "boxes fit outlines": (
        "drawn._agree",
        lambda _box, _drawn: True,
        "box beside its outline",
        {"a.png": ["scratch"], "b.png": ["dent"], "c.png": []},
    ),
    "a box is turned as its list says": (
        "drawn._degrees",
        lambda _row: 0.0,
        "an angle of unknown sense",
        {"a.png": ["scratch"], "b.png": ["dent"], "c.png": []},
    ),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_control_without_its_guard_a_contradiction_is_read(
    boards: Path, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    place, nothing, kind, wrong = GUARDS[guard]
    (boards / "instances.json").write_text(json.dumps(THREE | CONTRADICTIONS[kind][0]))
    monkeypatch.setattr(f"adfm.data.layouts.{place}", nothing)
    found = {
        path.name: [each.defect] if each.boxes else []
        for path, each in ((e.image, e) for e in choose(boards).read(boards))
    }
    assert found == wrong


@pytest.mark.parametrize(
    ("change", "box"),
    [
        ({"attributes": {"occluded": False, "rotation": 90.0}}, Box(7, 2, 17, 18)),
        ({"attributes": {"rotation": 180}}, Box(4, 5, 20, 15)),
        ({"attributes": {"rotation": 0}, "angle": 0}, Box(4, 5, 20, 15)),
        ({"attributes": {"rotation": -90}, "area": 160}, Box(7, 2, 17, 18)),
        ({"attributes": {"rotation": 45}}, Box(12 - 13 / 2**0.5, 10 - 13 / 2**0.5, 12 + 13 / 2**0.5, 10 + 13 / 2**0.5)),
        ({"segmentation": OUTLINE, "area": 160}, Box(4, 5, 20, 15)),
        ({"segmentation": [[4, 5, 19.2, 5, 19.2, 14.1]]}, Box(4, 5, 20, 15)),
        ({"segmentation": RUNS}, Box(4, 5, 20, 15)),
        ({"segmentation": None, "ignore": 0, "iscrowd": False}, Box(4, 5, 20, 15)),
        ({"bbox": None, "segmentation": OUTLINE}, Box(4, 5, 20, 15)),
    ],
)
def test_geometry_that_agrees_is_honoured(change: Row, box: Box) -> None:
    assert coco_shape(annotation(1) | change) == pytest.approx(box, abs=0.001)


def test_a_region_of_a_class_named_ok_is_no_defect(boards: Path, tmp_path: Path) -> None:
    kinds = [{"id": 1, "name": "Good"}, {"id": 2, "name": "dent"}]
    rows = [annotation(1, id=1), annotation(2, id=2), annotation(2, 2, (30, 20, 8, 6), id=3)]
    (boards / "instances.json").write_text(json.dumps(THREE | {"categories": kinds, "annotations": rows}))
    samples = built(boards, tmp_path / "out", split="fractions")
    assert {name: (s.label, s.defect, s.boxes) for name, s in samples.items()} == {
        "a.png": ("normal", None, ()),
        "b.png": ("anomalous", "dent", (Box(30, 20, 38, 26),)),
        "c.png": ("normal", None, ()),
    }
    warnings = read_json(tmp_path / "out" / "manifest.meta.json")["warnings"]
    assert "a region of a class named as OK is no defect: 2 (images/a.png, images/b.png)" in warnings


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(THREE).encode("utf-8-sig"), None),
        (json.dumps(THREE, indent=1).replace("\n", "\r\n").encode(), None),
        (json.dumps(THREE).encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (json.dumps(THREE).encode().replace(b"scratch", b"\xe9"), "is not UTF-8 text"),
        (
            json.dumps(THREE).replace('"categories"', '"annotations": [], "categories"').encode(),
            "the field 'annotations' twice",
        ),
        (
            json.dumps(THREE).replace('"image_id": 1,', '"image_id": 1, "image_id": 2,').encode(),
            "the field 'image_id' twice",
        ),
    ],
)
def test_a_list_is_read_by_its_bytes_or_refused(boards: Path, content: bytes, said: str | None) -> None:
    (boards / "instances.json").write_bytes(content)
    if said is None:
        assert [each.defect for each in read(boards).values()] == ["scratch", "dent", None]
        return
    with pytest.raises(DataFaultsError, match=said) as error:
        read(boards)
    assert len(error.value.faults) == 1


@pytest.mark.parametrize(("stored", "listed"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFC", "NFC")])
def test_accents_may_be_stored_apart(tmp_path: Path, draw_image: Write, stored: str, listed: str) -> None:
    on_disk, in_list = (normalize(form, "prüfling.png") for form in (stored, listed))
    draw_image(tmp_path / "set" / "images" / on_disk)
    instances(tmp_path / "set" / "instances.json", [image(1, in_list)], [annotation(1)])
    assert [(path, each.label) for path, each in read(tmp_path / "set").items()] == [(f"images/{on_disk}", "anomalous")]


@pytest.mark.parametrize("names", [("a.png", "images/../images/a.png"), ("é.png", "e\u0301.png"), ("a.png", "A.png")])
def test_two_entries_of_one_file_are_refused(tmp_path: Path, draw_image: Write, names: tuple[str, str]) -> None:
    root = tmp_path / "set"
    draw_image(root / "images" / names[0])
    with suppress(FileExistsError, FileNotFoundError):
        (root / "images" / names[1]).hardlink_to(root / "images" / names[0])  # as where case or accents do not count
    instances(root / "instances.json", [image(1, names[0]), image(2, names[1])], [annotation(1)])
    with pytest.raises(DataFaultsError, match=r"\[image-twice\]") as error:
        build(root, tmp_path / "out", BuildSettings())
    assert len(error.value.faults) == 1


def test_control_names_that_differ_in_case_may_be_two_files(tmp_path: Path, draw_image: Write) -> None:
    for name in ("a.png", "A.png"):
        draw_image(tmp_path / "set" / "images" / name)
    instances(tmp_path / "set" / "instances.json", [image(1, "a.png"), image(2, "A.png")], [annotation(1)])
    if (tmp_path / "set" / "images" / "a.png").samefile(tmp_path / "set" / "images" / "A.png"):
        pytest.skip("this file system does not tell case apart")
    assert len(built(tmp_path / "set", tmp_path / "out")) == 2


def test_the_split_of_an_image_is_that_of_its_list_its_entry_or_its_folder(tmp_path: Path, draw_image: Write) -> None:
    root = tmp_path / "set"
    for place in ("train/a.png", "test/b.png", "images/c.png"):
        draw_image(root / place)
    rows = [image(1, "train/a.png"), image(2, "test/b.png", split="test"), image(3, "c.png", subset="val")]
    instances(root / "labels.json", rows, [annotation(1)])
    assert [each.split for each in read(root).values()] == ["train", "test", "validation"]
    instances(root / "labels.json", [image(1, "train/a.png", split="test")], [annotation(1)])
    with pytest.raises(DataFaultsError, match="it says the split test, its path says train"):
        read(root)


@pytest.mark.parametrize("turn", [1, 3, 6])
def test_boxes_on_a_picture_that_exif_turns_are_noted(tmp_path: Path, turn: int) -> None:
    root = tmp_path / "set"
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = turn
    for name in "ab":
        Image.effect_noise((48, 32), 20 + ord(name)).convert("RGB").save(root / f"{name}.png", exif=exif)
    sizes = {"width": 32, "height": 48} if turn == 6 else {"width": 48, "height": 32}
    instances(root / "instances.json", [image(1, "a.png", **sizes), image(2, "b.png", **sizes)], [annotation(1)])
    build(root, tmp_path / "out", BuildSettings())
    warnings = read_json(tmp_path / "out" / "manifest.meta.json")["warnings"]
    assert any("taken as of the image as shown" in line for line in warnings) == (turn == 3)  # 6: the sizes say it
    bare = {"width": None, "height": None}
    instances(root / "instances.json", [image(1, "a.png", **bare), image(2, "b.png", **bare)], [annotation(1)])
    build(root, tmp_path / "bare", BuildSettings())
    warnings = read_json(tmp_path / "bare" / "manifest.meta.json")["warnings"]
    assert any("taken as of the image as shown" in line for line in warnings) == (turn != 1)


@pytest.mark.parametrize("below", ["", "a", "a/b", "a/b/c"])
def test_a_list_is_found_down_to_three_levels_and_counts_once(tmp_path: Path, draw_image: Write, below: str) -> None:
    root = tmp_path / "set"
    draw_image(root / below / "images" / "p.png")
    file = instances(root / below / "labels.json", [image(1, "p.png")], [annotation(1)])
    for name in ("again.json", "zero.json"):
        (root / name).symlink_to(file)
    assert [path.rpartition("images/")[2] for path in read(root)] == ["p.png"]


def test_an_image_may_say_itself_that_it_is_anomalous(boards: Path) -> None:
    rows = [image(1, "a.png", label="normal"), image(2, "b.png", label="anomalous"), image(3, "c.png", label=0)]
    instances(boards / "instances.json", rows, [])
    assert [(each.label, each.boxes) for each in read(boards).values()] == [
        ("normal", ()),
        ("anomalous", ()),
        ("normal", ()),
    ]
