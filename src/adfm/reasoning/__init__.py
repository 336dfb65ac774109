"""What a model is asked and how its answer is read: protocol, question, prompt, parser, canonical answers."""

from adfm.reasoning.gold import canonical, central_box, defect_label
from adfm.reasoning.parse import PROBLEMS, read
from adfm.reasoning.prompts import PIXELS, THOUSANDTHS, frame_hint, prompt
from adfm.reasoning.protocol import DEFAULT, Protocol, ProtocolFlags
from adfm.reasoning.question import Question, Shown, ask
from adfm.reasoning.saliency import focus_box
from adfm.reasoning.stages import FULL, LOCATE_ANSWER, STAGES, VERDICT, Stages, StagesName
from adfm.reasoning.tasks import TASKS, Task, read_answer, task_named

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
