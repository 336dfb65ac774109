"""The reward as EasyR1 calls it: `compute_score`, once per batch of answers. Neither torch nor EasyR1 is imported.

Source: EasyR1, `verl/workers/reward/function.py`: the module's `REWARD_TYPE` says how the function is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adfm.rewards.truth import flat_settings, grounded, rate

REWARD_NAME = "adfm"
REWARD_TYPE = "batch"


def compute_score(reward_inputs: Sequence[Mapping[str, Any]], **settings: Any) -> list[dict[str, float]]:
    """Return for each answer `overall`, which EasyR1 trains on, and the terms that it logs beside it.

    Args:
        reward_inputs: `response` (the answer) and `ground_truth` (the export's `answer` column) of each.
        settings: for `flat_settings`, from `reward_function_kwargs`.

    `accuracy` is EasyR1's name for the verdict. `grounding` is 0 where it does not apply, and then `grounded` is 0.

    Raises:
        DataError: a `ground_truth` is not what the export wrote.
        ConfigError: a setting is unknown or out of range.
    """
    chosen = flat_settings(settings)
    earned = [rate(row["response"], row["ground_truth"], chosen) for row in reward_inputs]
    return [{"overall": one.total, "format": one.format, "accuracy": one.verdict, **grounded(one)} for one in earned]
