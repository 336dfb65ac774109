"""COCO and FiftyOne, compared with their documented fields; boxes go there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from asked import BAD, LOOSE, OK, SAMPLES, UNPLACED, exported
from hypothesis import given
from hypothesis import strategies as st

from adfm.bridges import coco, fiftyone
from adfm.geometry import Box


def loaded(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content)
    return found


TRAIN = loaded(coco.files(exported())["instances_train.json"])
TEST = loaded(coco.files(exported())["instances_test.json"])


def test_coco_has_the_documented_fields() -> None:
    assert set(TRAIN) == {"info", "licenses", "images", "annotations", "categories"}
    assert {"id", "width", "height", "file_name"} <= set(TRAIN["images"][0])
    wanted = {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd"}
    assert all(set(each) == wanted for each in TRAIN["annotations"])
    assert all(set(each) == {"id", "name", "supercategory"} for each in TRAIN["categories"])


def test_coco_ids_are_unique_and_lead_somewhere() -> None:
    for part in (TRAIN, TEST):
        for kind in ("images", "annotations", "categories"):
            ids = [each["id"] for each in part[kind]]
            assert ids == list(range(1, len(ids) + 1))
        assert {each["image_id"] for each in part["annotations"]} <= {each["id"] for each in part["images"]}
        assert {each["category_id"] for each in part["annotations"]} <= {each["id"] for each in part["categories"]}


def test_coco_categories_are_defect_types_and_equal_in_all_splits() -> None:
    assert TRAIN["categories"] == TEST["categories"]
    assert [each["name"] for each in TRAIN["categories"]] == ["/locate", "bent lead", "scratch"]


def boxes_of(part: dict[str, Any], sample_id: str) -> list[tuple[float, ...]]:
    """Our boxes as COCO has them."""
    (image,) = [each["id"] for each in part["images"] if each["adfm_id"] == sample_id]
    found = [each["bbox"] for each in part["annotations"] if each["image_id"] == image]
    return [(x, y, x + width, y + height) for x, y, width, height in found]


def test_coco_boxes_come_back() -> None:
    assert TRAIN["annotations"][0]["bbox"] == [10, 20, 20, 50]  # x, y, width, height of [10, 20, 30, 70)
    assert TRAIN["annotations"][0]["area"] == 1000
    assert boxes_of(TRAIN, BAD.id) == [tuple(box) for box in BAD.boxes or ()]
    assert boxes_of(TRAIN, OK.id) == []
    assert boxes_of(TEST, LOOSE.id) == [(0, 0, 100, 80)]


@given(st.tuples(*[st.integers(0, 5000)] * 2), st.tuples(*[st.integers(1, 5000)] * 2))
def test_any_box_comes_back(corner: tuple[int, int], size: tuple[int, int]) -> None:
    box = Box(*corner, corner[0] + size[0], corner[1] + size[1])
    x, y, width, height = coco.coco_box(box)
    assert (x, y, x + width, y + height) == box
    x, y, width, height = fiftyone.relative_box(box, 10_000, 10_000)
    assert all(abs(a - b) < 1e-6 for a, b in zip((x, y, x + width, y + height), (e / 1e4 for e in box), strict=True))


def test_coco_leaves_out_what_it_cannot_say() -> None:
    assert UNPLACED.id not in {each["adfm_id"] for each in TEST["images"]}
    assert LOOSE.id in {each["adfm_id"] for each in TEST["images"]}
    placed = loaded(coco.files(exported(samples=(replace(UNPLACED, boxes=BAD.boxes),)))["instances_test.json"])
    assert len(placed["images"]) == 1  # with its places known it is in


def test_coco_marks_boxes_that_are_not_tight() -> None:
    assert [each["tight"] for each in TEST["images"]] == [False]


def test_fiftyone_has_every_sample_in_its_own_form() -> None:
    found = loaded(fiftyone.files(exported())["samples.json"])
    samples = {each["adfm_id"]: each for each in found["samples"]}
    assert len(samples) == len(SAMPLES)
    assert samples[BAD.id]["filepath"] == "/data/1.png"
    assert samples[BAD.id]["tags"] == ["train"]
    assert samples[BAD.id]["ground_truth"] == {"_cls": "Classification", "label": "anomalous"}
    assert samples[BAD.id]["defects"]["_cls"] == "Detections"
    first = samples[BAD.id]["defects"]["detections"][0]
    assert first == {"_cls": "Detection", "label": "bent lead", "bounding_box": [0.1, 0.25, 0.2, 0.625]}
    assert samples[OK.id]["defects"] == {"_cls": "Detections", "detections": []}
    assert samples[UNPLACED.id]["defects"] is None
    assert samples[LOOSE.id]["tight"] is False
