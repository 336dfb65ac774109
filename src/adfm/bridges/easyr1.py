"""EasyR1: one Parquet file a split with the columns `problem`, `answer` and `images`, and the reward's file.

Source: EasyR1, `verl/utils/dataset.py`, `verl/workers/reward/function.py` and `examples/config.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.parquet import parquet
from adfm.bridges.question import Question, by_split, marked_text
from adfm.rewards.truth import truth_text

NAME = "easyr1"
ASKS = True
ANSWERS = False
LOAD = (
    "data.train_files={out}/{split}.parquet data.prompt_key=problem data.answer_key=answer data.image_key=images "
    "worker.reward.reward_function={out}/adfm_reward.py:compute_score"
)

# EasyR1 loads a reward by its file.
REWARD = b'''"""The reward of adfm, for EasyR1's `worker.reward.reward_function`."""

from adfm.rewards.easyr1 import REWARD_NAME, REWARD_TYPE, compute_score

__all__ = ["REWARD_NAME", "REWARD_TYPE", "compute_score"]
'''


def row(question: Question) -> dict[str, Any]:
    """Return one row: prompt with one `<image>`, the truth that our reward reads, a list of one picture's path."""
    return {
        "problem": marked_text(question),
        "answer": truth_text(question.truth),
        "images": [str(question.picture)],
        "id": question.sample.id,
    }


def files(questions: Sequence[Question]) -> dict[str, bytes]:
    """Return `SPLIT.parquet` for each split that has questions, and `adfm_reward.py`."""
    parts = {f"{split}.parquet": parquet([row(each) for each in part]) for split, part in by_split(questions).items()}
    return {**parts, "adfm_reward.py": REWARD}
