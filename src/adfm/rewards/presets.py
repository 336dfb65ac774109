"""The presets of the grounding reward: what the predicted boxes of an anomalous part earn, and the most they can earn.

A preset of another package joins by an entry point of the group `adfm.rewards` that names a `Preset`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from adfm.errors import ConfigError, nearest
from adfm.extensions import extended, installed
from adfm.geometry import Box
from adfm.rewards.terms import paper_best, paper_grounding, set_iou_best, set_iou_grounding

GROUP = "adfm.rewards"
LIMIT = 1e6
"""The largest grounding, up or down. With bounded weights every total is finite."""


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


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("paper", paper_grounding, paper_best),
        Preset("set_iou", set_iou_grounding, set_iou_best),
    )
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
