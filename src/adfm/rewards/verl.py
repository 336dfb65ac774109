"""The reward as verl calls it: `compute_score`, once per answer. Neither torch nor verl is imported.

Source: verl 0.9.1, `docs/preparation/reward_function.rst` and `verl/experimental/reward_loop/reward_manager/naive.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adfm.rewards.truth import flat_settings, grounded, rate


def compute_score(
    data_source: str,  # noqa: ARG001 - verl's signature
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,  # noqa: ARG001
    **settings: Any,
) -> dict[str, float]:
    """Return `score`, which verl trains on, and the terms that it logs beside it.

    Args:
        data_source: not used, and neither is `extra_info`.
        solution_str: the answer.
        ground_truth: what `adfm data export --to verl` put into `reward_model.ground_truth`.
        settings: for `flat_settings`, from verl's `reward_kwargs`.

    verl averages numbers only. So `grounding` is 0 where it does not apply, and then `grounded` is 0.

    Raises:
        DataError: `ground_truth` is not what the export wrote.
        ConfigError: a setting is unknown or out of range.
    """
    earned = rate(solution_str, ground_truth, flat_settings(settings))
    return {"score": earned.total, "format": earned.format, "verdict": earned.verdict, **grounded(earned)}
