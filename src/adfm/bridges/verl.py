"""verl: one Parquet file a split, the picture as a path, the truth as the text that our reward reads.

verl resizes a picture before the model's processor does; where the frame is one of resized pixels, each row names that
size, so that the processor has nothing left to change and the frame holds.
Source: verl 0.9.1, `docs/preparation/prepare_data.rst` and `verl/utils/dataset/rl_dataset.py`; qwen-vl-utils 0.0.14.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.parquet import parquet
from adfm.bridges.question import Question, by_split, marked_text
from adfm.reasoning import PIXELS, frame_hint
from adfm.reasoning.prompts import one_line
from adfm.rewards.truth import truth_text

NAME = "verl"
ASKS = True
ANSWERS = False
LOAD = (
    "data.train_files={out}/{split}.parquet reward.custom_reward_function.path=pkg://adfm.rewards.verl "
    "reward.custom_reward_function.name=compute_score"
)


def row(question: Question, index: int, *, sized: bool) -> dict[str, Any]:
    """Return one row: chat prompt with one `<image>`, a list of one picture, rule-based reward with its ground truth.

    With `sized` the picture is to be resized to the frame's units before the model sees it.
    """
    sample, frame = question.sample, question.truth.frame
    size = {"resized_width": frame.units_x, "resized_height": frame.units_y} if sized else {}
    return {
        "data_source": f"adfm/{one_line(sample.category)}",
        "prompt": [{"role": "user", "content": marked_text(question)}],
        "images": [{"image": str(question.picture), **size}],
        "ability": "inspection",
        "reward_model": {"style": "rule", "ground_truth": truth_text(question.truth)},
        "extra_info": {"split": sample.split, "index": index, "id": sample.id},
    }


def files(questions: Sequence[Question]) -> dict[str, bytes]:
    """Return `SPLIT.parquet` for each split that has questions."""
    # All rows or none: a size that is null would be taken for a size.
    sized = all(frame_hint(each.truth.frame) == PIXELS for each in questions)
    return {
        f"{split}.parquet": parquet([row(each, index, sized=sized) for index, each in enumerate(part)])
        for split, part in by_split(questions).items()
    }
