"""A model and an MMAD folder in, `predictions.jsonl`, `metrics.json` and for a part `split.json` out: greedy, resumable.

One question per prompt, as the benchmark asks open models; both readings and both scorings of every answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from adfm import images
from adfm.data.measure import inside
from adfm.errors import DataError
from adfm.evaluation.mmad.answers import compat_letter, strict_letter
from adfm.evaluation.mmad.denominators import check_complete
from adfm.evaluation.mmad.prompt import Part as TurnPart
from adfm.evaluation.mmad.prompt import turn
from adfm.evaluation.mmad.questions import QUESTIONS, Entry, Question, knowledge_of, read_entries, read_knowledge
from adfm.evaluation.mmad.scoring import Mark, compat, strict
from adfm.evaluation.mmad.split import Part, part_of, split_json
from adfm.evaluation.run import METRICS_FILE, Progress, batches, kept_rows
from adfm.models.base import Answer, Reader, Turn
from adfm.predictions import PREDICTIONS
from adfm.storage import Journal, encode_line, sha256_bytes, write_json

SPLIT_FILE = "split.json"
MAX_NEW_TOKENS = 128
MAX_PIXELS = 1280 * 28 * 28
"""Larger pictures are shrunk to this area: the limit of the benchmark's own runs of Qwen2.5-VL."""


@dataclass(frozen=True)
class MmadSettings:
    """What is asked and how: normal pictures shown first, a file of domain knowledge, which part of the 20/80 split.

    `limit` takes that many pictures, evenly spaced over the part's order; None takes all.
    """

    shots: int = 1
    knowledge: Path | None = None
    part: Part = "all"
    seed: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class Asked:
    """A question with its picture's entry and the parts of the turn that asks it."""

    entry: Entry
    question: Question
    parts: tuple[TurnPart, ...]


def run_mmad(
    model: Reader,
    root: Path,
    out: Path,
    settings: MmadSettings | None = None,
    *,
    batch: int = 16,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask every chosen question, write the answers and their scores to `out`, and return the metrics.

    A run that was stopped goes on where it was, if model, prompts and settings are the same.

    Raises:
        UserError: the benchmark's files are not as published, a picture is missing, or `out` holds something else.
    """
    settings = settings or MmadSettings()
    started = time.monotonic()
    entries = read_entries(root)
    notes = check_complete(entries, str(root / QUESTIONS))
    asked = questions_of(entries, settings)
    require_pictures(root, asked)
    provenance = _provenance(model, root, asked, settings)
    rows = _answered(model, root, out, asked, provenance, batch=batch, progress=progress)
    if settings.part != "all":
        write_json(out / SPLIT_FILE, split_json(entries, settings.seed))
    result = metrics(asked, rows) | {"notes": list(notes)}
    result |= {"provenance": provenance | {"seconds": round(time.monotonic() - started, 2), "batch": batch}}
    write_json(out / METRICS_FILE, result)
    return result


def questions_of(entries: Sequence[Entry], settings: MmadSettings) -> tuple[Asked, ...]:
    """Return the chosen questions in the file's order, each with its turn.

    Raises:
        DataError: nothing is chosen, an entry has too few templates, or the domain knowledge lacks an object.
    """
    chosen = _limited(part_of(entries, settings.part, settings.seed), settings.limit)
    texts = _knowledge(chosen, settings.knowledge)
    asked = tuple(
        Asked(entry, question, turn(entry, question, shots=settings.shots, knowledge=text))
        for entry, text in zip(chosen, texts, strict=True)
        for question in entry.questions
    )
    if not asked:
        raise DataError(
            f"part '{settings.part}' of {QUESTIONS} has no question; take --part all or the whole benchmark"
        )
    return asked


def metrics(asked: Sequence[Asked], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the scores of the answers, read and scored both ways."""
    compat_marks = [_mark(each, row["compat"]) for each, row in zip(asked, rows, strict=True)]
    strict_marks = [_mark(each, row["strict"]) for each, row in zip(asked, rows, strict=True)]
    return {
        "benchmark": "MMAD",
        "images": len({each.entry.image for each in asked}),
        "questions": len(asked),
        "scores": {"compat": compat(compat_marks).as_json(), "strict": strict(strict_marks).as_json()},
    }


def require_pictures(root: Path, asked: Sequence[Asked]) -> None:
    """Look for every picture before the first question, so that hours of work do not end at a missing one.

    Raises:
        DataError: names the first that is missing or leads out of its data set, and how many are missing.
    """
    wanted = list(dict.fromkeys(part for each in asked for part in each.parts if isinstance(part, PurePosixPath)))
    for path in wanted:
        # The benchmark tells its users to link data sets into the folder: a link at the top is theirs, below it is not.
        inside((root / path.parts[0]).resolve(), Path(*path.parts[1:]))
    missing = [path for path in wanted if not (root / path).is_file()]
    if missing:
        raise DataError(
            f"{root / missing[0]}: no such file ({len(missing)} of {len(wanted)} pictures are missing); "
            f"put MMAD's pictures below {root}"
        )


def _answered(
    model: Reader,
    root: Path,
    out: Path,
    asked: Sequence[Asked],
    provenance: dict[str, Any],
    *,
    batch: int,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Return the rows of all questions, old ones from a stopped run; each new one is written as it comes."""
    out.mkdir(parents=True, exist_ok=True)
    kept = kept_rows(out, provenance)
    rows = [_row(each, _response(out, each, row)) for each, row in zip(asked, kept, strict=False)]
    write_json(out / "provenance.json", provenance)
    journal = Journal(out / PREDICTIONS, fresh=not kept)
    for group in batches(asked[len(rows) :], batch):
        for each, answer in zip(group, _answers(model, root, group), strict=True):
            rows.append(_row(each, answer.text))
            journal.append(rows[-1])
        if progress:
            progress(len(rows), len(asked))
    journal.close()
    return rows


def _answers(model: Reader, root: Path, group: Sequence[Asked]) -> list[Answer]:
    """Answer a batch; a picture that several of its turns show is decoded once."""
    paths = {part for each in group for part in each.parts if isinstance(part, PurePosixPath)}
    pictures = {path: _shrunk(images.load(root / path)) for path in paths}
    turns: list[Turn] = [[part if isinstance(part, str) else pictures[part] for part in each.parts] for each in group]
    return model.answer_turns(turns)


def _shrunk(picture: Image.Image) -> Image.Image:
    """Return a picture of at most `MAX_PIXELS`, sides in proportion."""
    scale = math.sqrt(MAX_PIXELS / (picture.width * picture.height))
    if scale >= 1:
        return picture
    return picture.resize(
        (max(1, int(picture.width * scale)), max(1, int(picture.height * scale))), Image.Resampling.BICUBIC
    )


def _row(asked: Asked, response: str) -> dict[str, Any]:
    """Return one question's line of `predictions.jsonl`: the truth, the raw answer and both readings of it."""
    question = asked.question
    return {
        "id": question.id,
        "image": question.image,
        "task": question.task,
        "label": asked.entry.label,
        "answer": question.answer,
        "compat": compat_letter(response, question),
        "strict": strict_letter(response, question),
        "response": response,
    }


def _response(out: Path, asked: Asked, row: dict[str, Any]) -> str:
    """Return the answer in a kept row, which is read anew."""
    response = row.get("response")
    if row.get("id") != asked.question.id or not isinstance(response, str):
        raise DataError(
            f"{out / PREDICTIONS}: has another line where '{asked.question.id}' should be; remove the folder"
        )
    return response


def _mark(asked: Asked, letter: str | None) -> Mark:
    right = None if letter is None else letter == asked.question.answer
    return Mark(asked.entry.category[0], asked.question.task, asked.entry.label, right)


def _limited(entries: Sequence[Entry], limit: int | None) -> Sequence[Entry]:
    count = len(entries) if limit is None else min(limit, len(entries))
    return [entries[number * len(entries) // count] for number in range(count)]


def _knowledge(entries: Sequence[Entry], file: Path | None) -> list[str | None]:
    """Return the domain knowledge of every entry's object."""
    if file is None:
        return [None] * len(entries)
    known = read_knowledge(file)
    texts = [knowledge_of(known, entry) for entry in entries]
    unknown = next((entry for entry, text in zip(entries, texts, strict=True) if text is None), None)
    if unknown:
        raise DataError(f"{file}: knows nothing of {' '.join(unknown.category)}; give MMAD's own domain_knowledge.json")
    return texts


def _provenance(model: Reader, root: Path, asked: Sequence[Asked], settings: MmadSettings) -> dict[str, Any]:
    """Return what answers come from: model, data, every prompt and its true answer."""
    from adfm import __version__

    return {
        "adfm": __version__,
        "model": model.name,
        "revision": model.revision,
        "data": str(root),
        **{name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()},
        "questions_sha256": sha256_bytes("".join(_prompt_lines(asked)).encode("utf-8", "replace")),
        "max_pixels": MAX_PIXELS,
        "decoding": "greedy",
    }


def _prompt_lines(asked: Sequence[Asked]) -> Iterator[str]:
    for each in asked:
        yield encode_line({"id": each.question.id, "turn": list(map(str, each.parts)), "answer": each.question.answer})
