"""adfm: a vision-language model as an industrial inspector (AD-FM, arXiv 2508.04175).

The names below are the Python API. Each is imported when it is first used, so `import adfm` loads no torch:

    from adfm import Inspector
    verdict = Inspector.open("nano").inspect("part.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adfm.data.manifest import Manifest, read_manifest
    from adfm.errors import UserError
    from adfm.evaluation import evaluate
    from adfm.geometry import Box, Frame
    from adfm.inspection import Inspector, Verdict
    from adfm.predictions import Prediction, read_predictions
    from adfm.reasoning import Protocol, ProtocolFlags, Question, ask, read
    from adfm.records import Region, Response, Reward, Sample
    from adfm.rewards import RewardSettings, reward

__version__ = "0.1.0"
__all__ = [
    "Box",
    "Frame",
    "Inspector",
    "Manifest",
    "Prediction",
    "Protocol",
    "ProtocolFlags",
    "Question",
    "Region",
    "Response",
    "Reward",
    "RewardSettings",
    "Sample",
    "UserError",
    "Verdict",
    "ask",
    "evaluate",
    "read",
    "read_manifest",
    "read_predictions",
    "reward",
]
_HOMES = {
    "adfm.data.manifest": ("Manifest", "read_manifest"),
    "adfm.errors": ("UserError",),
    "adfm.evaluation": ("evaluate",),
    "adfm.geometry": ("Box", "Frame"),
    "adfm.inspection": ("Inspector", "Verdict"),
    "adfm.predictions": ("Prediction", "read_predictions"),
    "adfm.reasoning": ("Protocol", "ProtocolFlags", "Question", "ask", "read"),
    "adfm.records": ("Region", "Response", "Reward", "Sample"),
    "adfm.rewards": ("RewardSettings", "reward"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'adfm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
