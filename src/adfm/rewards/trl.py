"""The rewards as TRL calls them: functions `format`, `verdict`, `grounding` that share one reading of each answer.

The weights go to TRL's `reward_weights`, in the order of the functions. No torch is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from adfm.errors import DataError, NotFiniteError
from adfm.geometry import Frame
from adfm.reasoning import DEFAULT as PROTOCOL
from adfm.reasoning import Protocol, read_answer
from adfm.records import Reward, Sample
from adfm.rewards.compute import DEFAULT, reward
from adfm.rewards.presets import RewardSettings

Term = Literal["format", "verdict", "grounding"]
TERMS: tuple[Term, ...] = ("format", "verdict", "grounding")


class TrlReward:
    """One reward function, called by TRL with everything by name.

    Args:
        term: the term of the reward that it gives. TRL logs it under this name.
        rate: (sample id, answer, frame name) -> the rewards of the answer, None where they could not be computed.
    """

    def __init__(self, term: Term, rate: Callable[[str, str, str], Reward | None]) -> None:
        self.__name__ = term
        self.rate = rate

    def __call__(
        self, *, completions: Sequence[Any], sample_id: Sequence[str], frame: Sequence[str], **_: Any
    ) -> list[float | None]:
        """Return the term of each completion."""
        rows = zip(sample_id, map(completion_text, completions), frame, strict=True)
        return [getattr(self.rate(*row), self.__name__, None) for row in rows]


def ignore(**_: str) -> None:
    """Do nothing about a reward that could not be computed."""


def trl_rewards(
    samples_by_id: Mapping[str, Sample],
    settings: RewardSettings = DEFAULT,
    *,
    protocol: Protocol = PROTOCOL,
    memo: int = 4096,
    failed: Callable[..., None] = ignore,
) -> list[TrlReward]:
    """Return the three reward functions, in the order of `TERMS`. TRL logs them as `rewards/NAME/mean`.

    The data set must have the columns `sample_id` and `frame` (a `Frame.name`). `grounding` gives None where it does
    not apply, which TRL leaves out of the sum. An answer is read once for all three, and at most `memo` readings are kept.

    If the code of an extension raises on an answer, all three are None, so that TRL learns nothing from that answer, and
    `failed(sample_id=..., reason=...)` is called.

    Raises (the functions):
        DataError: a `sample_id` that is not in `samples_by_id`.
        NotFiniteError: a reward is NaN or infinite.
    """

    @lru_cache(maxsize=memo)
    def rate(sample_id: str, text: str, frame: str) -> Reward | None:
        sample = samples_by_id.get(sample_id)
        if sample is None:
            raise DataError(f"sample_id '{sample_id:.80}' is not among the training samples; rebuild the data set")
        placed = Frame.parse(frame, sample.width, sample.height)
        try:
            rated = reward(read_answer(text, placed, protocol), sample, settings)
        except Exception as error:  # noqa: BLE001 - the code of an extension may raise anything
            failed(sample_id=sample_id, reason=f"{type(error).__name__}: {error}"[:200])
            return None
        return finite(rated, sample_id)

    return [TrlReward(term, rate) for term in TERMS]


def finite(rated: Reward, sample_id: str) -> Reward:
    """Return rewards that are all numbers, or None where they do not apply.

    Raises:
        NotFiniteError: one is NaN or infinite.
    """
    for term in TERMS:
        value = getattr(rated, term)
        if value is not None and not math.isfinite(value):
            raise NotFiniteError(f"the reward '{term}' of an answer to '{sample_id:.80}' is {value}")
    return rated


def reward_weights(settings: RewardSettings) -> list[float]:
    """Return the weights for TRL's `reward_weights`, in the order of `TERMS`."""
    return [getattr(settings.weights, term) for term in TERMS]


def completion_text(completion: Any) -> str:
    """Return a completion's text: a string, or a chat of one message whose content is a text or a list of parts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or ())
