"""COCO: one `instances_SPLIT.json` a split with our boxes; masks stay in the manifest.

An anomalous sample of unknown places is left out: an image without annotations says that nothing is there.
Source: COCO's data format, object detection (cocodataset.org, "format-data").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from adfm.bridges.question import Question, by_split
from adfm.geometry import Box
from adfm.reasoning import defect_label

NAME = "coco"
ASKS = False
ANSWERS = False
LOAD = "pycocotools.coco.COCO('{out}/instances_{split}.json')"


def coco_box(box: Box) -> list[float]:
    """Return `[x, y, width, height]`, original pixels, from the top left corner, of a half-open box."""
    return [float(box.x1), float(box.y1), float(box.x2 - box.x1), float(box.y2 - box.y1)]


def categories(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Return the kinds of defects by name, ids from 1; what the part is stands with the image."""
    names = sorted({defect_label(each.sample) for each in questions if each.sample.boxes})
    return [{"id": number, "name": name, "supercategory": "defect"} for number, name in enumerate(names, 1)]


def dataset(questions: Sequence[Question], kinds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one COCO data set; ids count from 1.

    Args:
        questions: the samples; those of unknown places are left out.
        kinds: `categories` of all splits, so that every split has the same ids.
    """
    placed = [each for each in questions if each.sample.boxes is not None]
    ids = {kind["name"]: kind["id"] for kind in kinds}
    found = [(image, each.sample, box) for image, each in enumerate(placed, 1) for box in each.sample.boxes or ()]
    return {
        "info": {"description": "defects of industrial parts, exported by adfm", "version": "1.0"},
        "licenses": [],
        "images": [_image(number, each) for number, each in enumerate(placed, 1)],
        "annotations": [
            _annotation(number, image, ids[defect_label(sample)], box)
            for number, (image, sample, box) in enumerate(found, 1)
        ],
        "categories": list(kinds),
    }


def _image(number: int, question: Question) -> dict[str, Any]:
    """COCO's fields, then ours: the sample's id, label and category, and whether its boxes are tight."""
    sample = question.sample
    return {
        "id": number,
        "width": sample.width,
        "height": sample.height,
        "file_name": str(question.picture),
        "adfm_id": sample.id,
        "label": sample.label,
        "part": sample.category,
        "tight": sample.tight,
    }


def _annotation(number: int, image: int, kind: int, box: Box) -> dict[str, Any]:
    x, y, width, height = coco_box(box)
    return {
        "id": number,
        "image_id": image,
        "category_id": kind,
        "bbox": [x, y, width, height],
        "area": width * height,
        "segmentation": [],
        "iscrowd": 0,
    }


def files(questions: Sequence[Question]) -> dict[str, bytes]:
    """Return `instances_SPLIT.json` for each split that has questions."""
    kinds = categories(questions)
    return {
        f"instances_{split}.json": json.dumps(dataset(part, kinds), ensure_ascii=False).encode("utf-8", "replace")
        for split, part in by_split(questions).items()
    }
