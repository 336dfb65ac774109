"""FiftyOne: one `samples.json` with label, boxes, category and split of every sample, in FiftyOne's own serialised form.

Source: FiftyOne 1.22, `fiftyone.types.LegacyFiftyOneDataset` and its importer, which reads without a `metadata.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from adfm.bridges.question import Question
from adfm.geometry import Box
from adfm.reasoning import defect_label
from adfm.records import Sample

NAME = "fiftyone"
ASKS = False
ANSWERS = False
LOAD = "fiftyone.Dataset.from_dir(dataset_dir='{out}', dataset_type=fiftyone.types.LegacyFiftyOneDataset)"


def relative_box(box: Box, width: int, height: int) -> list[float]:
    """Return `[x, y, width, height]` in shares of the picture's sides, from the top left corner."""
    return [box.x1 / width, box.y1 / height, (box.x2 - box.x1) / width, (box.y2 - box.y1) / height]


def row(question: Question) -> dict[str, Any]:
    """Return one sample: `ground_truth` is its label, `defects` its boxes (null where they are unknown)."""
    sample = question.sample
    return {
        "filepath": str(question.picture),
        "tags": [sample.split],
        "adfm_id": sample.id,
        "category": sample.category,
        "tight": sample.tight,
        "ground_truth": {"_cls": "Classification", "label": sample.label},
        "defects": _detections(sample),
    }


def _detections(sample: Sample) -> dict[str, Any] | None:
    if sample.boxes is None:
        return None
    label = defect_label(sample)
    boxes = [relative_box(box, sample.width, sample.height) for box in sample.boxes]
    found = [{"_cls": "Detection", "label": label, "bounding_box": box} for box in boxes]
    return {"_cls": "Detections", "detections": found}


def files(questions: Sequence[Question]) -> dict[str, bytes]:
    """Return `samples.json`; splits are tags."""
    samples = {"samples": [row(each) for each in questions]}
    return {"samples.json": json.dumps(samples, ensure_ascii=False).encode("utf-8", "replace")}
