"""What a model is asked and how its answer is read: protocol, question, prompt, parser, canonical answers."""

from adfm.reasoning.parse import PROBLEMS, read
from adfm.reasoning.prompts import PIXELS, THOUSANDTHS, frame_hint, prompt
from adfm.reasoning.protocol import (
    DEFAULT,
    FULL,
    LOCATE_ANSWER,
    STAGES,
    VERDICT,
    Protocol,
    ProtocolFlags,
    Stages,
    StagesName,
)
from adfm.reasoning.question import Question, Shown, ask
from adfm.reasoning.saliency import focus_box
from adfm.reasoning.tasks import TASKS, Task, canonical, central_box, defect_label, read_answer, task_named

__all__ = [
    "DEFAULT",
    "FULL",
    "LOCATE_ANSWER",
    "PIXELS",
    "PROBLEMS",
    "STAGES",
    "TASKS",
    "THOUSANDTHS",
    "VERDICT",
    "Protocol",
    "ProtocolFlags",
    "Question",
    "Shown",
    "Stages",
    "StagesName",
    "Task",
    "ask",
    "canonical",
    "central_box",
    "defect_label",
    "focus_box",
    "frame_hint",
    "prompt",
    "read",
    "read_answer",
    "task_named",
]
