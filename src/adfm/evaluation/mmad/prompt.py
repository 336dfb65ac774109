"""The one question that asks an MMAD item: its parts in the benchmark's order, in our own words.

Left out: an earlier turn for free reasoning, and hints drawn on the image.
"""

from __future__ import annotations

from pathlib import Path

from adfm.errors import DataError
from adfm.evaluation.mmad.questions import Entry, Item
from adfm.geometry import Frame
from adfm.reasoning import Protocol, Question

ROLE = (
    "You are an inspector of industrial products. You examine the picture of a product, judge whether it shows a defect, "
    "and answer questions with several options.\n"
)
LETTER = "Answer with the letter of the right option only.\n"
KNOWLEDGE = "What is known about this product:\n{}\n"
TEMPLATES = {
    0: "",
    1: "The following picture shows a normal sample of this product, as a template to compare with:\n",
    2: "The following {} pictures show normal samples of this product, as templates to compare with:\n",
}
QUERY = "\nThe following picture is the query image, the one that the question is about:\n"
QUESTION = "\nThe question:\nQuestion {}: {}\n{}"
NO_BOXES = Frame.original(1, 1)
"""The frame of a question whose answer is a letter."""


def ask_item(entry: Entry, item: Item, protocol: Protocol, *, knowledge: str | None = None) -> Question:
    """Return the question: role, form of the answer, knowledge, templates, query image, the item itself.

    Images are paths below the data folder. `protocol.shots` is the number of normal images shown before the query, the
    first of the entry's random templates.

    Raises:
        DataError: the entry has fewer templates than shots.
    """
    shots = protocol.shots
    if len(entry.templates) < shots:
        raise DataError(
            f"{entry.image}: has {len(entry.templates)} templates for {shots} shots; give --shots 0 or correct mmad.json"
        )
    before = ROLE + LETTER + (KNOWLEDGE.format(knowledge) if knowledge else "") + TEMPLATES[min(shots, 2)].format(shots)
    options = "\n".join(f"{letter}. {text}" for letter, text in item.options)
    asked = QUESTION.format(item.number, item.text, options)
    templates = map(Path, entry.templates[:shots])
    return Question((before, *templates, QUERY, Path(entry.image), asked), NO_BOXES, protocol)
