"""How answers are rewarded: the preset of the grounding reward, its alpha and the weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from adfm.config import Settings
from adfm.errors import ConfigError
from adfm.rewards.presets import PRESETS, preset_named

# Bounded, so that every total is finite.
Weight = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


def known_preset(name: str) -> str:
    """Return the name of a preset as it is.

    Raises:
        ValueError: there is none of that name. Pydantic adds the place of the setting.
    """
    try:
        preset_named(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return name


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

    preset: Annotated[str, AfterValidator(known_preset)] = Field(
        "paper",
        description="grounding of anomalous parts: `paper`, `set_iou`, or a preset of an installed extension",
        json_schema_extra={"enum": list(PRESETS)},
    )
    weights: Weights = Weights()
    alpha: Weight = Field(0.5, description="weight of the count term under `paper`")
