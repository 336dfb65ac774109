"""FiftyOne: one `samples.json` with label, boxes, category and split of every sample, in FiftyOne's serialised form.

Source: FiftyOne 1.22, `fiftyone.types.LegacyFiftyOneDataset` and its importer, which reads without a `metadata.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.exported import Exported, json_file
from adfm.geometry import Box
from adfm.reasoning import defect_label

NAME = "fiftyone"
ASKS = False
ANSWERS = False
LOAD = "fiftyone.Dataset.from_dir(dataset_dir='{out}', dataset_type=fiftyone.types.LegacyFiftyOneDataset)"


def relative_box(box: Box, width: int, height: int) -> list[float]:
    """Return `[x, y, width, height]` in shares of the image's sides, from the top left corner."""
    return [box.x1 / width, box.y1 / height, (box.x2 - box.x1) / width, (box.y2 - box.y1) / height]


def row(item: Exported) -> dict[str, Any]:
    """Return one sample: `ground_truth` is its label, `defects` its boxes (null where they are unknown)."""
    sample, label = item.sample, defect_label(item.sample)
    boxes = [relative_box(box, sample.width, sample.height) for box in sample.boxes or ()]
    detections = [{"_cls": "Detection", "label": label, "bounding_box": box} for box in boxes]
    return {
        "filepath": item.image,
        "tags": [sample.split],
        "adfm_id": sample.id,
        "category": sample.category,
        "tight": sample.tight,
        "ground_truth": {"_cls": "Classification", "label": sample.label},
        "defects": None if sample.boxes is None else {"_cls": "Detections", "detections": detections},
    }


def files(items: Sequence[Exported]) -> dict[str, bytes]:
    """Return `samples.json`, with splits as tags."""
    return {"samples.json": json_file({"samples": [row(item) for item in items]})}
