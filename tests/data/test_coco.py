"""COCO instances: boxes, outlines and run lengths become boxes; the layouts on disk that tools write; what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
