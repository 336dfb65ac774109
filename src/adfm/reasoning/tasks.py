"""What a model can be asked: a task is its prompt, its reading and its canonical answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adfm.errors import ConfigError, nearest
from adfm.extensions import extended
from adfm.geometry import Box, Frame
from adfm.reasoning.gold import canonical
from adfm.reasoning.parse import read
from adfm.reasoning.prompts import frame_hint, prompt
from adfm.reasoning.protocol import Protocol
from adfm.records import Response, Sample


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: what `Protocol.task` says.
        prompt: (protocol, frame, category or None) -> the text after the image.
        read: (answer, frame, protocol) -> what could be read without guessing. It must be total and linear in the answer.
        target: (sample, frame, protocol, focus) -> the answer of a perfect model, for supervised training. `focus` is
            where a normal part looks most suspicious, in original pixels, or None.
    """

    name: str
    prompt: Callable[[Protocol, Frame, str | None], str]
    read: Callable[[str, Frame, Protocol], Response]
    target: Callable[[Sample, Frame, Protocol, Box | None], str]


VERDICT = Task(
    "verdict",
    prompt=lambda protocol, frame, category: prompt(protocol.blocks, category=category, frame_hint=frame_hint(frame)),
    read=lambda answer, frame, protocol: read(answer, frame, stages=protocol.blocks),
    target=lambda sample, frame, protocol, focus: canonical(sample, frame, stages=protocol.blocks, focus=focus),
)
TASKS: dict[str, Task] = {task.name: task for task in (VERDICT,)}


def read_answer(answer: str, frame: Frame, protocol: Protocol) -> Response:
    """Read an answer under a protocol. Any text gives a `Response`, with boxes in original pixels."""
    return task_named(protocol.task).read(answer, frame, protocol)


def task_named(name: str) -> Task:
    """Return a task of this package or of an installed extension (entry points of the group `adfm.tasks`).

    Raises:
        ConfigError: there is none of that name.
    """
    if name in TASKS:
        return TASKS[name]
    known = extended("adfm.tasks", TASKS)
    if name not in known:
        raise ConfigError(f"task '{name}': is not known{nearest(name, known)}; tasks: {', '.join(known)}")
    return known[name]
