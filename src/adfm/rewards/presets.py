"""The settings of the reward and its presets: what the predicted boxes of an anomalous part earn, at most and in fact.

A preset of another package joins by an entry point of the group `adfm.rewards` that names a `Preset`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from adfm.config import Settings
from adfm.errors import ConfigError, nearest
from adfm.extensions import extended, installed
from adfm.geometry import Box, best_sum, giou, set_iou

GROUP = "adfm.rewards"
LIMIT = 1e6
"""The largest grounding, up or down. With bounded weights every total is finite."""
NOTHING_TO_MATCH = -1.0
Weight = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


@dataclass(frozen=True)
class Preset:
    """One grounding reward.

    Attributes:
        name: what `RewardSettings.preset` says.
        grounding: (predicted boxes, true boxes, alpha) -> value, with all boxes in original pixels. It must be a pure
            function that takes any number of predicted boxes and gives a finite number.
        best: alpha -> the most that `grounding` can give. A perfect answer must earn it.
    """

    name: str
    grounding: Callable[[Sequence[Box], Sequence[Box], float], float]
    best: Callable[[float], float]

    def value(self, predicted: Sequence[Box], true: Sequence[Box], alpha: float) -> float:
        """Return the grounding of predicted boxes, checked.

        Raises:
            ConfigError: the function raises, or gives no number from -1e6 to 1e6.
        """
        try:
            value = float(self.grounding(predicted, true, alpha))
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"reward preset '{self.name}': its function failed ({why:.200}); repair it") from error
        if not -LIMIT <= value <= LIMIT or math.isnan(value):
            raise ConfigError(f"reward preset '{self.name}': gave {value}, must be from -1e6 to 1e6; repair it")
        return value


def count_term(predicted: int, true: int) -> float:
    """Return 1 for the right number of boxes, 0.5 for one too many or too few, -0.1 otherwise."""
    off = abs(predicted - true)
    return 1.0 if off == 0 else 0.5 if off == 1 else -0.1


def paper_grounding(predicted: Sequence[Box], true: Sequence[Box], alpha: float) -> float:
    """Return the mean GIoU of the best pairs plus `alpha` times the count term. The mean of no pair is -1."""
    pairs = min(len(predicted), len(true))
    mean = best_sum(giou, predicted, true) / pairs if pairs else NOTHING_TO_MATCH
    return mean + alpha * count_term(len(predicted), len(true))


def paper_best(alpha: float) -> float:
    """Return the most that `paper_grounding` gives: a GIoU of 1 and the right number of boxes."""
    return 1.0 + alpha


def set_iou_grounding(predicted: Sequence[Box], true: Sequence[Box], alpha: float = 0.0) -> float:  # noqa: ARG001
    """Return the IoU sum of the best pairs over the larger number of boxes, 0 to 1. A spare or missing box costs."""
    return set_iou(predicted, true)


def set_iou_best(alpha: float) -> float:  # noqa: ARG001 - the signature of every preset
    """Return the most that `set_iou_grounding` gives."""
    return 1.0


PRESETS: dict[str, Preset] = {
    "paper": Preset("paper", paper_grounding, paper_best),
    "set_iou": Preset("set_iou", set_iou_grounding, set_iou_best),
}


@cache
def preset_named(name: str) -> Preset:
    """Return a preset of this package or of an installed extension.

    An extension's preset goes by the name of its entry point, or by what the entry point names (`module:object`).
    Nothing is imported unless an installed package declares it.

    Raises:
        ConfigError: there is none of that name, or the extension's entry is no `Preset`.
    """
    if name in PRESETS:
        return PRESETS[name]
    known = extended(GROUP, PRESETS)
    declared = {point.value: entry for entry, point in installed(GROUP).items()}
    entry = declared.get(name, name)
    if entry not in known:
        raise ConfigError(
            f"reward preset '{name:.80}': is not known{nearest(name, known)}; presets: {', '.join(known)}"
        )
    preset = known[entry]
    if not isinstance(preset, Preset):
        raise ConfigError(
            f"reward preset '{name:.80}': is not an adfm.rewards.Preset; repair or uninstall the extension"
        )
    return preset


class Weights(Settings):
    """How much each reward counts in the total. At least one counts."""

    format: Weight = Field(1.0, description="weight of the format reward")
    verdict: Weight = Field(1.0, description="weight of the verdict reward")
    grounding: Weight = Field(1.0, description="weight of the grounding reward")

    @model_validator(mode="after")
    def _something_counts(self) -> Weights:
        if self.format + self.verdict + self.grounding <= 0:
            raise ValueError("at least one weight must be above 0")
        return self


class RewardSettings(Settings):
    """`preset` names the grounding reward of anomalous parts, `alpha` weighs the count term of `paper`."""

    preset: str = Field(
        "paper",
        description="grounding of anomalous parts: `paper`, `set_iou`, or a preset of an installed extension",
        json_schema_extra={"enum": list(PRESETS)},
    )
    weights: Weights = Weights()
    alpha: Weight = Field(0.5, description="weight of the count term under `paper`")

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        try:
            preset_named(preset)
        except ConfigError as error:
            raise ValueError(str(error)) from error  # pydantic adds the place of the setting
        return preset
