"""Lists that somebody spoilt: whatever stands where, a layout reads it or says one line, and never names a place outside."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, Layout

BY_NAME: dict[str, Layout] = {layout.NAME: layout for layout in LAYOUTS}
SPOILT: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("", "a\0b", "../x.png", "/x.png", "..\\x.png", "\ud800", "a" * 5000, "/" * 5000, "http://[", "OK", "\n", "]["),
    *([], [[]], [[[]]], {}, {"x": 1}, [None], ["a"], [1, 2], [1, 2, 3, 4], {"size": [2, 2], "counts": "00"}),
)
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 48, "height": 32}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        {"image_id": 1, "category_id": 1, "bbox": [], "segmentation": [[1, 2, 3, 4, 5, 0]]},
        {"image_id": 1, "category_id": 1, "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}},
        {"image_id": 1, "category_id": 1, "segmentation": {"size": [5, 5], "counts": "632NO0124"}},
    ],
    "categories": [{"id": 1, "name": "dent"}],
}
SIDES = {"original_width": 4, "original_height": 2, "image_rotation": 0}
BRUSH = [0, 0, 0, 32, 57, 27, 255, 255, 255, 255]
STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/01234567-a.png", "other": "/data/local-files/?d=x/a.png"},
        "annotations": [
            {
                "was_cancelled": False,
                "ground_truth": False,
                "result": [
                    SIDES
                    | {"type": "rectanglelabels", "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 5}},
                    SIDES
                    | {"type": "polygonlabels", "value": {"points": [[1, 2], [3, 4], [5, 0]], "polygonlabels": ["a"]}},
                    SIDES | {"type": "brushlabels", "value": {"rle": BRUSH, "brushlabels": ["a"]}},
                    {"type": "choices", "value": {"choices": ["NG"]}},
                ],
            }
        ],
    }
]
ROWS = {"file_name": "a.png", "label": 1, "objects": {"bbox": [[1, 2, 3, 4]], "categories": ["dent"]}}
META = {
    "test": {"nut": [{"img_path": "a.png", "mask_path": "a.png", "cls_name": "n", "specie_name": "b", "anomaly": 1}]}
}
CASES = [
    ("coco", "instances.json", COCO),
    ("label-studio", "export.json", STUDIO),
    ("imagefolder-metadata", "metadata.jsonl", ROWS),
    ("meta-json", "meta.json", META),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, the deepest included."""
    yield path
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def spoilt(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    if not place:
        return other
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = other
    return changed


def is_read(layout: Layout, root: Path) -> bool:
    """Whether the list is read; if not, one line of the vocabulary says why. Anything else is a crash."""
    try:
        found = list(layout.read(root))
    except DataFaultsError as error:
        assert "\n" not in str(error)
        return False
    assert all((root / path).resolve().is_relative_to(root) for each in found for path in (each.image, *each.masks))
    return True


@pytest.mark.parametrize(("name", "file", "document"), CASES, ids=[case[0] for case in CASES])
def test_a_spoilt_list_is_read_or_refused(
    name: str, file: str, document: Any, tmp_path: Path, draw_image: Callable[[Path], Path]
) -> None:
    root, layout = tmp_path / "set", BY_NAME[name]
    draw_image(root / "a.png")
    draw_image(tmp_path / "x.png")
    every = [(place, other) for place in places(document) for other in SPOILT]
    outcomes = []
    for place, other in random.Random(0).sample(every, min(600, len(every))):
        (root / file).write_text(json.dumps(spoilt(document, place, other)))
        outcomes.append(is_read(layout, root))
    assert any(outcomes)
    assert not all(outcomes)  # control: some of it is refused
