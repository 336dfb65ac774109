"""The rewards as TRL wants them: functions `format`, `verdict`, `grounding` that share one reading of each answer.

The weights are not applied here: they go to TRL's `reward_weights`, in the order of the functions. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from adfm.errors import DataError
from adfm.geometry import Frame
from adfm.reasoning import DEFAULT as PROTOCOL
from adfm.reasoning import Protocol, read_answer
from adfm.records import Reward, Sample
from adfm.rewards.compute import DEFAULT, reward
from adfm.rewards.settings import RewardSettings

Term = Literal["format", "verdict", "grounding"]
TERMS: tuple[Term, ...] = ("format", "verdict", "grounding")
TrlReward = Callable[..., list[float | None]]
_Rate = Callable[[str, str, str], Reward]


def trl_rewards(
    samples_by_id: Mapping[str, Sample],
    settings: RewardSettings = DEFAULT,
    *,
    protocol: Protocol = PROTOCOL,
    memo: int = 4096,
) -> list[TrlReward]:
    """Return the three reward functions, in the order of `TERMS`; TRL logs them as `rewards/NAME/mean`.

    The data set must have the columns `sample_id` and `frame` (a `Frame.name`). `grounding` gives None where it does
    not apply, which TRL leaves out of the sum. An answer is read once for all three; at most `memo` readings are kept.

    Raises (the functions):
        DataError: a `sample_id` that is not in `samples_by_id`.
    """

    @lru_cache(maxsize=memo)
    def rate(sample_id: str, text: str, frame: str) -> Reward:
        sample = samples_by_id.get(sample_id)
        if sample is None:
            raise DataError(f"sample_id '{sample_id:.80}' is not among the training samples; rebuild the data set")
        placed = Frame.parse(frame, sample.width, sample.height)
        return reward(read_answer(text, placed, protocol), sample, settings)

    return [_term(term, rate) for term in TERMS]


def reward_weights(settings: RewardSettings) -> list[float]:
    """Return the weights for TRL's `reward_weights`, in the order of `TERMS`."""
    return [getattr(settings.weights, term) for term in TERMS]


def _term(term: Term, rate: _Rate) -> TrlReward:
    def function(
        prompts: Any,  # noqa: ARG001 - TRL's signature
        completions: Sequence[Any],
        completion_ids: Any = None,  # noqa: ARG001
        *,
        sample_id: Sequence[str],
        frame: Sequence[str],
        **_: Any,
    ) -> list[float | None]:
        rows = zip(sample_id, map(completion_text, completions), frame, strict=True)
        return [getattr(rate(*row), term) for row in rows]

    function.__name__ = function.__qualname__ = term
    return function


def completion_text(completion: Any) -> str:
    """Return a completion's text: a string, or a chat of one message whose content is a text or a list of parts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or ())
