"""What an answer is worth: (Response, Sample) to Reward, score files, TRL reward functions; no models and no I/O."""

from adfm.rewards.compute import full_marks, gold_fault, maximum, reward
from adfm.rewards.score import FrameOf, parsed_json, score_rows, summarise
from adfm.rewards.settings import PRESETS, Preset, RewardSettings, Weights

__all__ = [
    "PRESETS",
    "FrameOf",
    "Preset",
    "RewardSettings",
    "Weights",
    "full_marks",
    "gold_fault",
    "maximum",
    "parsed_json",
    "reward",
    "score_rows",
    "summarise",
]
