"""The rewards as ms-swift calls them: one class per term for its table `orms`. Neither torch nor swift is imported.

Weights go to ms-swift's `--reward_weights`. The plugin file that the export writes registers the classes.
Source: ms-swift 4.6, `docs/source_en/Instruction/GRPO/DeveloperGuide/reward_function.md` and `swift/rl_core`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from adfm.rewards.presets import RewardSettings
from adfm.rewards.truth import rate


class Term:
    """One term of the reward. ms-swift makes it with its arguments and calls it with completions and data columns."""

    term: ClassVar[str]
    settings: ClassVar[RewardSettings]

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args

    def __call__(self, completions: Sequence[str], *, truth: Sequence[str], **_: Any) -> list[float | None]:
        """Return the term of each answer. ms-swift leaves out of the sum a grounding that does not apply (None).

        Raises:
            DataError: a `truth` is not what `adfm data export --to ms-swift` wrote.
        """
        rows = zip(completions, truth, strict=True)
        return [getattr(rate(text, known, self.settings), self.term) for text, known in rows]


_TERMS = {
    "adfm_format": ("format", "paper"),
    "adfm_verdict": ("verdict", "paper"),
    "adfm_grounding": ("grounding", "paper"),
    "adfm_grounding_set_iou": ("grounding", "set_iou"),
}
REWARDS: dict[str, type[Term]] = {
    name: type(name, (Term,), {"term": term, "settings": RewardSettings(preset=preset)})
    for name, (term, preset) in _TERMS.items()
}
"""Name for `--reward_funcs` -> class for `orms`."""
