"""verl: one Parquet file per split, with the image as a path and the truth as the text that our reward reads.

verl resizes an image before the model's processor does. Where the frame is one of resized pixels, each row gives that
size. Then the processor has nothing left to change and the frame holds.
Source: verl 0.9.1, `docs/preparation/prepare_data.rst` and `verl/utils/dataset/rl_dataset.py`; qwen-vl-utils 0.0.14.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.exported import Exported, by_split, parquet
from adfm.reasoning import PIXELS, frame_hint
from adfm.reasoning.prompts import one_line

NAME = "verl"
ASKS = True
ANSWERS = False
LOAD = (
    "data.train_files={out}/{split}.parquet reward.custom_reward_function.path=pkg://adfm.rewards.verl "
    "reward.custom_reward_function.name=compute_score"
)


def row(item: Exported, index: int, *, sized: bool) -> dict[str, Any]:
    """Return one row: chat prompt with one `<image>`, a list of one image, rule-based reward with its ground truth.

    With `sized` the image is to be resized to the frame's units before the model sees it.
    """
    sample, frame = item.sample, item.question.frame
    size = {"resized_width": frame.units_x, "resized_height": frame.units_y} if sized else {}
    return {
        "data_source": f"adfm/{one_line(sample.category)}",
        "prompt": [{"role": "user", "content": item.marked_prompt}],
        "images": [{"image": item.image, **size}],
        "ability": "inspection",
        "reward_model": {"style": "rule", "ground_truth": item.truth},
        "extra_info": {"split": sample.split, "index": index, "id": sample.id},
    }


def files(items: Sequence[Exported]) -> dict[str, bytes]:
    """Return `SPLIT.parquet` for each split that has samples."""
    # All rows or none: verl would take null for a size.
    sized = all(frame_hint(item.question.frame) == PIXELS for item in items)
    return {
        f"{split}.parquet": parquet([row(item, index, sized=sized) for index, item in enumerate(part)])
        for split, part in by_split(items).items()
    }
