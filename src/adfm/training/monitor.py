"""What a GRPO run logs of its rollouts: a dead focus reward, rising false rejects, answers that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adfm.geometry import Frame
from adfm.reasoning import Protocol, read_answer
from adfm.records import Sample
from adfm.rewards.trl import completion_text
from adfm.training.journal import LOGGED

QUANTITIES = (
    "located/normal_0",
    "located/normal_1",
    "located/normal_2plus",
    "false_positive_rate",
    "miss_rate",
    "unread_rate",
    "box_count_error",
    "zero_advantage_share",
    "reward_failures",
)
JOURNAL_NAMES = {
    **LOGGED,
    "reward": "reward/total",
    "reward_std": "reward_std/total",
    "entropy": "entropy",
    "kl": "kl",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "truncated_rate",
    **{
        f"rewards/{reward}/{theirs}": f"{ours}/{reward}"
        for reward in ("format", "verdict", "grounding")
        for theirs, ours in (("mean", "reward"), ("std", "reward_std"))
    },
    **{name: name for name in QUANTITIES},
}
"""Name in the engine's log -> name in `metrics.jsonl`, in the order of its columns."""


class RolloutMonitor:
    """Reads the answers of every batch and counts what a reward's mean hides."""

    def __init__(self, samples: Mapping[str, Sample], protocol: Protocol) -> None:
        self._samples, self._protocol = samples, protocol

    def observe(self, inputs: Sequence[Mapping[str, Any]], completions: Sequence[Any]) -> dict[str, float]:
        """Return the quantities of one batch of rollouts. A share over nothing is left out."""
        pairs = []
        for row, completion in zip(inputs, completions, strict=True):
            sample = self._samples[row["sample_id"]]
            frame = Frame.parse(row["frame"], sample.width, sample.height)
            pairs.append((sample, read_answer(completion_text(completion), frame, self._protocol)))
        normal = [response for sample, response in pairs if not sample.anomalous]
        anomalous = [response for sample, response in pairs if sample.anomalous]
        located = [len(response.located or ()) for response in normal]
        errors = [
            abs(len(response.regions) - len(sample.boxes))
            for sample, response in pairs
            if sample.anomalous and sample.boxes is not None
        ]
        quantities = {
            "located/normal_0": mean(count == 0 for count in located),
            "located/normal_1": mean(count == 1 for count in located),
            "located/normal_2plus": mean(count > 1 for count in located),
            "false_positive_rate": mean(response.verdict == "anomalous" for response in normal),
            "miss_rate": mean(response.verdict == "normal" for response in anomalous),
            "unread_rate": mean(response.verdict is None for _, response in pairs),
            "box_count_error": mean(errors),
        }
        return {name: value for name, value in quantities.items() if value is not None}


def mean(numbers: Iterable[float]) -> float | None:
    """Return the mean, which of flags is the share of true ones, or None of nothing."""
    values = list(numbers)
    return sum(values) / len(values) if values else None
