"""The rewards as ms-swift calls them: one class per term for its table `orms`. Neither torch nor swift is imported.

Weights go to ms-swift's `--reward_weights`. The plugin file that the export writes registers the classes.
Source: ms-swift 4.6, `docs/source_en/Instruction/GRPO/DeveloperGuide/reward_function.md` and `swift/rl_core`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from adfm.rewards.presets import RewardSettings
from adfm.rewards.truth import rate


class Term:
    """One term of the reward. ms-swift makes it with its arguments and calls it with completions and data columns."""

    term: ClassVar[Literal["format", "verdict", "grounding"]]
    settings: ClassVar[RewardSettings] = RewardSettings()

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args

    def __call__(self, completions: Sequence[str], *, truth: Sequence[str], **_: Any) -> list[float | None]:
        """Return the term of each answer. ms-swift leaves out of the sum a grounding that does not apply (None).

        Raises:
            DataError: a `truth` is not what `adfm data export --to ms-swift` wrote.
        """
        rows = zip(completions, truth, strict=True)
        return [getattr(rate(text, known, self.settings), self.term) for text, known in rows]


class Format(Term):
    """1 for the strict format, else 0."""

    term = "format"


class Verdict(Term):
    """1 for the right verdict, else 0."""

    term = "verdict"


class Grounding(Term):
    """Grounding of the preset `paper`."""

    term = "grounding"


class SetIouGrounding(Grounding):
    """Grounding of the preset `set_iou`."""

    settings = RewardSettings(preset="set_iou")


REWARDS: dict[str, type[Term]] = {
    "adfm_format": Format,
    "adfm_verdict": Verdict,
    "adfm_grounding": Grounding,
    "adfm_grounding_set_iou": SetIouGrounding,
}
"""Name for `--reward_funcs` -> class for `orms`."""
