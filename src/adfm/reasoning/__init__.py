"""The protocol of the answers: prompt out, text in, canonical answers; no rewards and no models."""

from adfm.reasoning.gold import canonical, central_box, defect_label
from adfm.reasoning.parse import PROBLEMS, read
from adfm.reasoning.prompts import PIXELS, THOUSANDTHS, frame_hint, messages, prompt, prompt_sha256
from adfm.reasoning.saliency import focus_box
from adfm.reasoning.stages import FULL, LOCATE_ANSWER, STAGES, VERDICT, Stages

__all__ = [
    "FULL",
    "LOCATE_ANSWER",
    "PIXELS",
    "PROBLEMS",
    "STAGES",
    "THOUSANDTHS",
    "VERDICT",
    "Stages",
    "canonical",
    "central_box",
    "defect_label",
    "focus_box",
    "frame_hint",
    "messages",
    "prompt",
    "prompt_sha256",
    "read",
]
