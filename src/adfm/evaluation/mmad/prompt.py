"""The one user turn that asks an MMAD question: its parts in the benchmark's order, in our own words; no pixels.

Left out: an earlier turn for free reasoning, and hints drawn on the picture.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from adfm.errors import DataError
from adfm.evaluation.mmad.questions import Entry, Question

Part = str | PurePosixPath
"""A text, or a picture by its path below the data folder."""

ROLE = (
    "You are an inspector of industrial products. You examine the picture of a product, judge whether it shows a defect, "
    "and answer questions with several options.\n"
)
LETTER = "Answer with the letter of the right option only.\n"
KNOWLEDGE = "What is known about this product:\n{}\n"
TEMPLATES = {
    1: "The following picture shows a normal sample of this product, as a template to compare with:\n",
    2: "The following {} pictures show normal samples of this product, as templates to compare with:\n",
}
QUERY = "\nThe following picture is the query image, the one that the question is about:\n"
QUESTION = "\nThe question:\nQuestion {}: {}\n{}"


def turn(entry: Entry, question: Question, *, shots: int, knowledge: str | None = None) -> tuple[Part, ...]:
    """Return the parts of a question's turn: role, form of the answer, knowledge, templates, query picture, question.

    `shots` is the number of normal pictures shown before the query, the first of the entry's random templates.

    Raises:
        DataError: the entry has fewer templates than shots.
    """
    if len(entry.templates) < shots:
        raise DataError(
            f"{entry.image}: has {len(entry.templates)} templates for {shots} shots; give --shots 0 or mend mmad.json"
        )
    known = KNOWLEDGE.format(knowledge) if knowledge else ""
    texts = ROLE + LETTER + known + _template_sentence(shots)
    templates = (PurePosixPath(path) for path in entry.templates[:shots])
    return texts, *templates, QUERY, PurePosixPath(entry.image), _asked(question)


def _template_sentence(shots: int) -> str:
    return TEMPLATES[min(shots, 2)].format(shots) if shots else ""


def _asked(question: Question) -> str:
    options = "\n".join(f"{letter}. {text}" for letter, text in question.options)
    return QUESTION.format(question.number, question.text, options)
