"""The truth about a sample as one text that travels through another trainer's data to our rewards; touches no file.

The text holds the whole manifest line, boxes in original pixels, and the frame of the answer's coordinates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adfm.config import make_settings
from adfm.data.contract import sample_from_json, sample_json
from adfm.errors import DataError, UserError
from adfm.geometry import Frame
from adfm.reasoning import STAGES, Stages, read
from adfm.records import Reward, Sample
from adfm.rewards.compute import DEFAULT, reward
from adfm.rewards.settings import RewardSettings, Weights


@dataclass(frozen=True)
class Truth:
    """What an answer is compared with: the sample, the frame of the answer's coordinates, the protocol asked for."""

    sample: Sample
    frame: Frame
    stages: Stages


def truth_text(truth: Truth) -> str:
    """Return a truth as one line of JSON that `read_truth` reads back to an equal record."""
    row = {"sample": sample_json(truth.sample), "frame": truth.frame.name, "stages": truth.stages.name}
    return json.dumps(row)


def read_truth(text: str) -> Truth:
    """Read what `truth_text` wrote.

    Raises:
        DataError: the text is anything else.
    """
    if not isinstance(text, str):
        raise DataError(f"ground truth: must be the text that `adfm data export` wrote, is {type(text).__name__}")
    return _read(text)


# A group of answers reads its truth once.
@lru_cache(maxsize=4096)
def _read(text: str) -> Truth:
    try:
        row = json.loads(text)
        sample = sample_from_json(row["sample"])
        return Truth(sample, Frame.parse(row["frame"], sample.width, sample.height), STAGES[row["stages"]])
    except UserError as error:
        fault = str(error)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        fault = "was not written by `adfm data export`"
    raise DataError(f"ground truth '{text:.60}': {fault}; export the data set again")


def rate(answer: str, truth: str, settings: RewardSettings = DEFAULT) -> Reward:
    """Return the rewards of one answer against a text of `truth_text`.

    Raises:
        DataError: the truth is not one; any text is an answer.
    """
    known = read_truth(truth)
    return reward(read(answer, known.frame, stages=known.stages), known.sample, settings)


def flat_settings(given: Mapping[str, Any]) -> RewardSettings:
    """Return reward settings from the flat names of a command line: preset, alpha, format, verdict, grounding.

    Raises:
        ConfigError: an unknown name, or a value out of range.
    """
    weights = {name: value for name, value in given.items() if name in Weights.model_fields}
    others = {name: value for name, value in given.items() if name not in weights}
    return make_settings(RewardSettings, {**others, "weights": weights}, "reward settings")


def grounded(earned: Reward) -> dict[str, float]:
    """Return the grounding as two numbers for trainers that take no null: its value, 0 where it does not apply, and
    whether it does (1 or 0)."""
    return {"grounding": earned.grounding or 0.0, "grounded": 0.0 if earned.grounding is None else 1.0}
