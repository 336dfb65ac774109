"""The protocol of a model: everything that decides what it is asked, in which blocks it answers, and how that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from adfm.config import Settings

Block = Literal["locate", "examine", "answer"]
StagesName = Literal["full", "locate_answer", "verdict"]
Shots = Annotated[int, Field(ge=0, le=16)]
Tokens = Annotated[int, Field(ge=1, le=1 << 16)]


@dataclass(frozen=True)
class Stages:
    """A set of blocks: its name and the blocks that an answer holds, in order. The last one is always `answer`."""

    name: StagesName
    blocks: tuple[Block, ...]


FULL = Stages("full", ("locate", "examine", "answer"))
LOCATE_ANSWER = Stages("locate_answer", ("locate", "answer"))
VERDICT = Stages("verdict", ("answer",))
STAGES: dict[str, Stages] = {stages.name: stages for stages in (FULL, LOCATE_ANSWER, VERDICT)}


class ProtocolFlags(Settings):
    """What a command or a recipe says about the protocol. A field that is null leaves the model's own value."""

    task: str | None = Field(None, description="what is asked: `verdict`, or a task of an installed extension")
    stages: StagesName | None = Field(None, description="which blocks an answer holds")
    name_category: bool | None = Field(None, description="name the part's category in the prompt")
    shots: Shots | None = Field(None, description="how many reference images of good parts a prompt shows")
    max_new_tokens: Tokens | None = Field(None, description="longest answer, in tokens")

    def given(self) -> dict[str, str | int | bool]:
        """Return the fields that are not null."""
        return self.model_dump(exclude_none=True)


class Protocol(Settings):
    """One protocol. Training writes it beside the weights, and every command that asks the model reads it there."""

    task: str = "verdict"
    stages: StagesName = "full"
    name_category: bool = True
    shots: Shots = 0
    max_new_tokens: Tokens = 512

    @property
    def blocks(self) -> Stages:
        """The blocks of an answer, in order."""
        return STAGES[self.stages]

    def with_flags(self, flags: ProtocolFlags) -> Protocol:
        """Return this protocol with the given flags in place of its own values."""
        return self.model_copy(update=flags.given())

    def overrides(self, own: Protocol) -> dict[str, str | int | bool]:
        """Return the fields in which this protocol differs from a model's `own`, for the record of a run."""
        theirs = own.model_dump()
        return {name: value for name, value in self.model_dump().items() if value != theirs[name]}


DEFAULT = Protocol()
"""The protocol of a model that has none of its own."""
