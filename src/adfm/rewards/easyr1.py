"""The reward as EasyR1 wants it: `compute_score`, called once per batch of answers; no torch, EasyR1 is not imported.

Source: EasyR1, `verl/workers/reward/function.py`: the module's `REWARD_TYPE` says how the function is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adfm.records import Reward
from adfm.rewards.truth import flat_settings, grounded, rate

REWARD_NAME = "adfm"
REWARD_TYPE = "batch"


def compute_score(reward_inputs: Sequence[Mapping[str, Any]], **settings: Any) -> list[dict[str, float]]:
    """Return for each answer `overall`, which EasyR1 trains on, and the terms that it logs beside it.

    Args:
        reward_inputs: `response` (the answer) and `ground_truth` (the export's `answer` column) of each.
        settings: preset, alpha, and the weights format, verdict, grounding, from `reward_function_kwargs`.

    `accuracy` is EasyR1's name for the verdict. `grounding` is 0 where it does not apply; `grounded` tells where it does.

    Raises:
        DataError: a `ground_truth` is not what the export wrote.
        ConfigError: a setting is unknown or out of range.
    """
    chosen = flat_settings(settings)
    return [_named(rate(each["response"], each["ground_truth"], chosen)) for each in reward_inputs]


def _named(earned: Reward) -> dict[str, float]:
    return {"overall": earned.total, "format": earned.format, "accuracy": earned.verdict, **grounded(earned)}
