"""Broken answers for fuzzing and timing: canonical ones, changed at random in the ways that models and attackers do."""
# ruff: noqa: S311

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from hacking import random_sample

from adfm.geometry import Frame
from adfm.reasoning import FULL, LOCATE_ANSWER, VERDICT, canonical
from adfm.records import LABELS, Sample

TOKENS = (
    *(
        "<locate>",
        "</locate>",
        "<examine>",
        "</examine>",
        "<answer>",
        "</answer>",
        "<answer",
        "</",
        "<ANSWER>",
        "<|im_end|>",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        "[[",
        "]]",
        "{}",
        "[]",
        ",",
        ":",
        '"',
        "'",
        "\\",
        '\\"',
        "\\u0041",
        "\\ud800",
        "```json\n",
        "```",
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e-320",
        "9" * 25,
        "-" + "8" * 400,
        "7" * 5000,
        "0x10",
        "1_000",
    ),
    *("null", "true", "false", "0", "-0", "0.5", "1000", "1001", "-1", '"5"', "1.", ".5", "01"),
    *('"verdict"', '"regions"', '"bbox_2d"', '"label"', '"normal"', '"anomalous"', '"Anomalous"', '"score": 1, '),
    *("\x00", "\ud800", "\udfff", "\ufeff", "\u00a0", "\u2028", "\n", "\t", " ", "é", "缺陷", "😀", "\x1b[31m"),
)

Mutation = Callable[[str, random.Random], str]


def sample_and_frame(rng: random.Random) -> tuple[Sample, Frame]:
    """A random sample and one of the frames that models write."""
    sample = random_sample(rng, rng.choice(LABELS))
    size = sample.width, sample.height
    resized = Frame(*size, 28 * rng.randint(1, 60), 28 * rng.randint(1, 60))
    return sample, rng.choice((Frame.original(*size), Frame.thousand(*size), resized))


def _cut(text: str, rng: random.Random) -> str:
    start, end = _range(text, rng)
    return text[:start] + text[end:]


def _double(text: str, rng: random.Random) -> str:
    start, end = _range(text, rng)
    return text[:end] + text[start:end] + text[end:]


def _insert(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(TOKENS) + text[at:]


def _replace(text: str, rng: random.Random) -> str:
    start, end = _range(text, rng)
    return text[:start] + rng.choice(TOKENS) + text[end:]


def _truncate(text: str, rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))]


def _number(text: str, rng: random.Random) -> str:
    digits = [match.start() for match in re.finditer("[0-9]", text)]
    if not digits:
        return text
    at = rng.choice(digits)
    return text[:at] + rng.choice(TOKENS) + text[at + 1 :]


def _swap_words(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    a, b = rng.randrange(len(words)), rng.randrange(len(words))
    words[a], words[b] = words[b], words[a]
    return " ".join(words)


def _flip_verdict(text: str, _: random.Random) -> str:
    return text.replace('"normal"', '"?"').replace('"anomalous"', '"normal"').replace('"?"', '"anomalous"')


def _twice(text: str, _: random.Random) -> str:
    return text + "\n" + text


def _range(text: str, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(text))
    return start, min(len(text), start + rng.choice((1, 1, 2, 4, 8, 16, 64)))


MUTATIONS: tuple[Mutation, ...] = (
    *(
        _cut,
        _double,
        _insert,
        _insert,
        _replace,
        _replace,
        _truncate,
        _number,
        _number,
        _swap_words,
        _flip_verdict,
        _twice,
    ),
)


def mutated(text: str, rng: random.Random) -> str:
    """An answer after none to four mutations."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        text = rng.choice(MUTATIONS)(text, rng)
    return text


def corpus(count: int, seed: int) -> Iterator[tuple[Sample, Frame, str]]:
    """`count` mutated answers, 20 to a sample: 18 from its canonical answer, 2 from those of the shorter protocols."""
    rng = random.Random(seed)
    for first in range(0, count, 20):
        sample, frame = sample_and_frame(rng)
        full, *short = (canonical(sample, frame, stages=stages) for stages in (FULL, LOCATE_ANSWER, VERDICT))
        for text in (short + [full] * 18)[: count - first]:
            yield sample, frame, mutated(text, rng)
