"""verl: one Parquet file a split, the picture as a path, the truth as the text that our reward reads.

Source: verl 0.9.1, `docs/preparation/prepare_data.rst` and `verl/utils/dataset/rl_dataset.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.parquet import parquet
from adfm.bridges.question import Question, by_split, marked_text
from adfm.reasoning.prompts import one_line
from adfm.rewards.truth import truth_text

NAME = "verl"
ASKS = True
ANSWERS = False
LOAD = (
    "data.train_files={out}/train.parquet reward.custom_reward_function.path=pkg://adfm.rewards.verl "
    "reward.custom_reward_function.name=compute_score"
)


def row(question: Question, index: int) -> dict[str, Any]:
    """Return one row: chat prompt with one `<image>`, a list of one picture, rule-based reward with its ground truth."""
    sample = question.sample
    return {
        "data_source": f"adfm/{one_line(sample.category)}",
        "prompt": [{"role": "user", "content": marked_text(question)}],
        "images": [{"image": str(question.picture)}],
        "ability": "inspection",
        "reward_model": {"style": "rule", "ground_truth": truth_text(question.truth)},
        "extra_info": {"split": sample.split, "index": index, "id": sample.id},
    }


def files(questions: Sequence[Question]) -> dict[str, bytes]:
    """Return `SPLIT.parquet` for each split that has questions."""
    parts = by_split(questions)
    return {
        f"{split}.parquet": parquet([row(each, index) for index, each in enumerate(part)])
        for split, part in parts.items()
    }
