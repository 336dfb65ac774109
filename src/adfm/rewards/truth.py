"""The truth about a sample as one text that travels through another trainer's data to our rewards.

The text holds the whole manifest line, with boxes in original pixels, and the frame of the answer's boxes.
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
from adfm.reasoning import DEFAULT as PROTOCOL
from adfm.reasoning import Protocol, read_answer, task_named
from adfm.records import Reward, Sample
from adfm.rewards.compute import DEFAULT, reward
from adfm.rewards.presets import RewardSettings, Weights


@dataclass(frozen=True)
class Truth:
    """What an answer is compared with: the sample, the frame of the answer's boxes, the protocol asked for."""

    sample: Sample
    frame: Frame
    protocol: Protocol = PROTOCOL


def truth_text(truth: Truth) -> str:
    """Return a truth as one line of JSON for `read_truth`.

    Of the protocol it holds what decides how an answer is read: the stages, and the task where it is not the default.
    """
    row = {"sample": sample_json(truth.sample), "frame": truth.frame.name, "stages": truth.protocol.stages}
    task = {} if truth.protocol.task == PROTOCOL.task else {"task": truth.protocol.task}
    return json.dumps({**row, **task})


# A group of answers reads its truth once.
@lru_cache(maxsize=4096)
def read_truth(text: str) -> Truth:
    """Read what `truth_text` wrote.

    Raises:
        DataError: the text is anything else.
    """
    try:
        row = json.loads(text)
        sample = sample_from_json(row["sample"])
        protocol = Protocol(task=row.get("task", PROTOCOL.task), stages=row["stages"])
        task_named(protocol.task)
        return Truth(sample, Frame.parse(row["frame"], sample.width, sample.height), protocol)
    except UserError as error:
        fault = str(error)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        fault = "was not written by `adfm data export`"
    raise DataError(f"ground truth '{text:.60}': {fault}; export the data set again")


def rate(answer: str, truth: str, settings: RewardSettings = DEFAULT) -> Reward:
    """Return the rewards of one answer against a text of `truth_text`.

    Raises:
        DataError: the truth is no such text. Any text is an answer.
    """
    # Another trainer may hand over anything.
    if not isinstance(truth, str):
        raise DataError(f"ground truth: must be the text that `adfm data export` wrote, is {type(truth).__name__}")
    known = read_truth(truth)
    return reward(read_answer(answer, known.frame, known.protocol), known.sample, settings)


def flat_settings(given: Mapping[str, Any], origin: str = "reward settings") -> RewardSettings:
    """Return reward settings from the flat names of a command line: preset, alpha, format, verdict, grounding.

    `origin` begins the message of an error.

    Raises:
        ConfigError: an unknown name, or a value out of range.
    """
    weights = {name: value for name, value in given.items() if name in Weights.model_fields}
    others = {name: value for name, value in given.items() if name not in weights}
    return make_settings(RewardSettings, {**others, "weights": weights}, origin)


def grounded(earned: Reward) -> dict[str, float]:
    """Return the grounding for trainers that take no null: its value or 0, and whether it applies (1 or 0)."""
    return {"grounding": earned.grounding or 0.0, "grounded": float(earned.grounding is not None)}
