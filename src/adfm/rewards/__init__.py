"""What an answer is worth: (Response, Sample) to Reward, score files, reward functions of trainers. No models, no I/O."""

from adfm.rewards.compute import gold_fault, maximum, reward
from adfm.rewards.presets import PRESETS, Preset, RewardSettings, Weights, preset_named
from adfm.rewards.score import score_rows, summarise

__all__ = [
    "PRESETS",
    "Preset",
    "RewardSettings",
    "Weights",
    "gold_fault",
    "maximum",
    "preset_named",
    "reward",
    "score_rows",
    "summarise",
]
