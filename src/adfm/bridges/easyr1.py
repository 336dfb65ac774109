"""EasyR1: one Parquet file per split with the columns `problem`, `answer` and `images`, and the reward's file.

Source: EasyR1, `verl/utils/dataset.py`, `verl/workers/reward/function.py` and `examples/config.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.exported import Exported, by_split, parquet

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


def row(item: Exported) -> dict[str, Any]:
    """Return one row: the prompt with one `<image>`, the truth that our reward reads, and the image's path."""
    return {"problem": item.marked_prompt, "answer": item.truth, "images": [item.image], "id": item.sample.id}


def files(items: Sequence[Exported]) -> dict[str, bytes]:
    """Return `SPLIT.parquet` for each split that has samples, and `adfm_reward.py`."""
    parts = {f"{split}.parquet": parquet([row(item) for item in part]) for split, part in by_split(items).items()}
    return {**parts, "adfm_reward.py": REWARD}
