"""Two readings of an answer to a question with lettered options: as MMAD's published code reads, and strictly.

No regular expression here has nested wildcards, so both are linear in the answer. Neither ever raises.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from adfm.evaluation.mmad.questions import Item

MAX_CHARS = 64 << 10
_FUZZY_CHARS = 2000
_ALONE = re.compile(r"\b[A-E]\b")
_MENTION = re.compile(r"\b([A-E])\b(?!(?<=A)[ \t]+[a-z])")  # "A scratch" begins a sentence and names no option
_LED = re.compile(r"(?:\A|\n)[ \t]*([A-E])[ \t]*(?:[.:,]|\n|\Z)")
_NAMED = re.compile(r"\b(?i:answer|option|choice)(?i:[ \t]+is)?[ \t]*[:.]?\s*([A-E])\b(?!(?<=A)[ \t]+[a-z])")
_PLAIN = str.maketrans({**dict.fromkeys("*_`\"'([{<", ""), **dict.fromkeys(")]}>", ".")})


def compat_letter(answer: str, item: Item) -> str | None:
    """Return what the published code takes for the answer: the last stand-alone capital A-E, else the nearest option.

    The nearest option has the text most like the answer, however far it is, so nearly every answer is read.
    Source: jam-cc/MMAD, `evaluation/examples`. None only where no option has anything in common with the answer.
    """
    letters = _ALONE.findall(answer[:MAX_CHARS])
    if letters:
        return str(letters[-1])
    # `difflib` takes quadratic time in the worst case, so only the answer's beginning is compared.
    nearest = get_close_matches(answer[:_FUZZY_CHARS], [text for _, text in item.options], n=1, cutoff=0.0)
    return next((letter for letter, text in item.options if text in nearest), None)


def strict_letter(answer: str, item: Item) -> str | None:
    """Return the one letter that an answer names beyond doubt, None if there is none.

    The letter must lead a line (`B`, `(B)`, `B. No`) or be named (`the answer is B`). It must be one of the item's
    letters. No other letter may be mentioned, save in the text of the option itself. Reasoning is skipped, and an answer
    that is still reasoning has no letter. Of an answer block only the inside is read.
    """
    after = answer[:MAX_CHARS].rpartition("</think>")[2]
    block = "" if "<think>" in after else after.rpartition("<answer>")[2].partition("</answer>")[0]
    final = _plain(block)
    letters = []
    for letter, text in item.options:
        bare = final.replace(_plain(text).rstrip("."), "")  # the option's own text may follow its letter
        named = {*_LED.findall(final), *_NAMED.findall(final), *_LED.findall(bare)}
        if named == {letter} and set(_MENTION.findall(bare)) <= {letter}:
            letters.append(letter)
    return letters[0] if len(letters) == 1 else None


def _plain(text: str) -> str:
    """Return a text without marks of emphasis. A closing bracket ends a letter as a full stop does."""
    return text.translate(_PLAIN).strip()
