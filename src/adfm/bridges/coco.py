"""COCO: one `instances_SPLIT.json` per split with our boxes. Masks stay in the manifest.

An anomalous sample of unknown places is left out: an image without annotations says that nothing is there.
Source: COCO's data format, object detection (cocodataset.org, "format-data").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adfm.bridges.exported import Exported, by_split, json_file
from adfm.geometry import Box
from adfm.reasoning import defect_label

NAME = "coco"
ASKS = False
ANSWERS = False
LOAD = "pycocotools.coco.COCO('{out}/instances_{split}.json')"


def coco_box(box: Box) -> list[float]:
    """Return `[x, y, width, height]`, original pixels, from the top left corner, of a half-open box."""
    return [float(box.x1), float(box.y1), float(box.x2 - box.x1), float(box.y2 - box.y1)]


def dataset(items: Sequence[Exported], ids: Mapping[str, int]) -> dict[str, Any]:
    """Return one COCO data set, with ids from 1. An image has COCO's fields, then ours, such as what the part is called.

    Args:
        items: the samples. Those of unknown places are left out.
        ids: of the defect types of all splits, so that every split has the same.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for item in items:
        sample = item.sample
        if sample.boxes is None:
            continue
        images.append(
            {
                "id": len(images) + 1,
                "width": sample.width,
                "height": sample.height,
                "file_name": item.image,
                "adfm_id": sample.id,
                "label": sample.label,
                "part": sample.category,
                "tight": sample.tight,
            }
        )
        for box in map(coco_box, sample.boxes):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": ids[defect_label(sample)],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "segmentation": [],
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": "defects of industrial parts, exported by adfm", "version": "1.0"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name, "supercategory": "defect"} for name, number in ids.items()],
    }


def files(items: Sequence[Exported]) -> dict[str, bytes]:
    """Return `instances_SPLIT.json` for each split that has samples."""
    names = sorted({defect_label(item.sample) for item in items if item.sample.boxes})
    ids = {name: number for number, name in enumerate(names, 1)}
    return {f"instances_{split}.json": json_file(dataset(part, ids)) for split, part in by_split(items).items()}
