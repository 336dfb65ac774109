"""lmms-eval: a task folder with the task's YAML, its questions as JSON lines, and a `utils.py` that names our functions.

lmms-eval shows images and averages. Reading and rewards are ours. One split is evaluated: the last of train,
validation, test that is exported.
Source: lmms-eval 0.7.3, `docs/guides/task_guide.md`, `lmms_eval/utils.py` (relative `data_files`) and `lmms_eval/api/task.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from adfm import images
from adfm.bridges.exported import Exported, by_split, json_lines
from adfm.rewards.truth import rate

NAME = "lmms-eval"
ASKS = True
ANSWERS = True
LOAD = "lmms-eval --tasks adfm_inspection --include_path {out} --model MODEL"
METRICS = ("adfm_total", "adfm_format", "adfm_verdict", "adfm_grounding")

UTILS = b'''"""The functions of the task, which live in adfm."""

from adfm.bridges.lmms_eval import doc_to_text, doc_to_visual, mean, process_results

__all__ = ["doc_to_text", "doc_to_visual", "mean", "process_results"]
'''
_TASK = """\
task: adfm_inspection
dataset_path: json
dataset_kwargs:
  data_files:
    {split}: {split}.jsonl
test_split: {split}
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: {tokens}
  temperature: 0
  do_sample: false
process_results: !function utils.process_results
metric_list:
{metrics}
metadata:
  - version: 1.0
"""
_METRIC = "  - metric: {name}\n    aggregation: !function utils.mean\n    higher_is_better: true"


def row(item: Exported) -> dict[str, Any]:
    """Return one document: id, prompt, the image's path, the canonical answer, and the truth."""
    return {
        "id": item.sample.id,
        "question": item.question.text,
        "picture": item.image,
        "answer": item.answer,
        "truth": item.truth,
    }


def files(items: Sequence[Exported]) -> dict[str, bytes]:
    """Return `adfm_inspection.yaml`, `utils.py` and the documents of the split that is evaluated."""
    split, part = list(by_split(items).items())[-1]
    metrics = "\n".join(_METRIC.format(name=name) for name in METRICS)
    # It holds nothing from the data set.
    task = _TASK.format(split=split, tokens=part[0].question.protocol.max_new_tokens, metrics=metrics)
    return {
        "adfm_inspection.yaml": task.encode(),
        "utils.py": UTILS,
        f"{split}.jsonl": json_lines([row(item) for item in part]),
    }


def doc_to_text(document: Mapping[str, Any], kwargs: Any = None) -> str:  # noqa: ARG001 - lmms-eval's signature
    """Return the prompt of a document."""
    return str(document["question"])


def doc_to_visual(document: Mapping[str, Any]) -> list[Image.Image]:
    """Return the one image of a document, RGB.

    Raises:
        ImageError: it is missing or damaged.
    """
    return [images.load(Path(document["picture"]))]


def process_results(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float | None]:
    """Return the rewards of the first answer to a document under the preset `paper`. Grounding may be None."""
    earned = rate(results[0], document["truth"])
    return dict(zip(METRICS, (earned.total, earned.format, earned.verdict, earned.grounding), strict=True))


def mean(values: Sequence[float | None]) -> float:
    """Return the mean of what applies, 0 where nothing does."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
