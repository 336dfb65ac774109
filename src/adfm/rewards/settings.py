"""What an answer is paid for: the preset of the grounding reward, the weights and alpha."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from adfm.config import Settings

Preset = Literal["paper", "set_iou"]
PRESETS: tuple[Preset, ...] = ("paper", "set_iou")

# Bounded, so that every total is finite.
Weight = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Weights(Settings):
    """How much each reward counts in the total; at least one counts."""

    format: Weight = 1.0
    verdict: Weight = 1.0
    grounding: Weight = 1.0

    @model_validator(mode="after")
    def _something_counts(self) -> Weights:
        if self.format + self.verdict + self.grounding <= 0:
            raise ValueError("at least one weight must be above 0")
        return self


class RewardSettings(Settings):
    """Design 1.3: `preset` names the grounding of anomalous parts, `alpha` weighs the count term of `paper`."""

    preset: Preset = "paper"
    weights: Weights = Weights()
    alpha: Weight = 0.5
