"""A sample as another tool meets it: picture file, prompt, truth for the reward, canonical answer; no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from adfm.geometry import Box
from adfm.reasoning import canonical, frame_hint, prompt
from adfm.records import SPLITS, Sample, Split
from adfm.rewards.truth import Truth

IMAGE = "<image>"
"""Where verl, EasyR1 and ms-swift put the picture; names from a data set lose their angle brackets, so it stays alone."""


@dataclass(frozen=True)
class Question:
    """One sample to ask about.

    `picture` is an absolute path that any decoder shows as `adfm.images.load` does. `truth` holds the sample, the frame
    of the coordinates in prompt and answer, and the protocol. `focus` is where a normal part's answer points, in
    original pixels (None: the middle); `category` tells whether the prompt names the part.
    """

    truth: Truth
    picture: Path
    focus: Box | None = None
    category: bool = True

    @property
    def sample(self) -> Sample:
        """The sample asked about."""
        return self.truth.sample


def text(question: Question) -> str:
    """Return the prompt, without a mark for the picture."""
    truth, sample = question.truth, question.sample
    category = sample.category if question.category else None
    return prompt(truth.stages, category=category, frame_hint=frame_hint(truth.frame))


def marked_text(question: Question) -> str:
    """Return the prompt after the mark of its picture, as in our own training: the picture first, nothing between."""
    return IMAGE + text(question)


def answer(question: Question) -> str:
    """Return the canonical answer, coordinates in the question's frame."""
    truth = question.truth
    return canonical(truth.sample, truth.frame, stages=truth.stages, focus=question.focus)


def by_split(questions: Iterable[Question]) -> dict[Split, list[Question]]:
    """Return the questions of each split that has some: train, validation, test."""
    listed = list(questions)
    parts = {split: [each for each in listed if each.sample.split == split] for split in SPLITS}
    return {split: part for split, part in parts.items() if part}
