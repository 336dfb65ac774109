"""A model and an MMAD folder in, `predictions.jsonl`, `metrics.json` and for a part `split.json` out: greedy, resumable.

The prompt holds one item, as the benchmark asks open models. Every answer is read and scored both ways.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from adfm import __version__, images
from adfm.data.measure import inside
from adfm.errors import DataError
from adfm.evaluation.mmad.answers import compat_letter, strict_letter
from adfm.evaluation.mmad.prompt import ask_item
from adfm.evaluation.mmad.questions import (
    QUESTIONS,
    Entry,
    Item,
    check_complete,
    knowledge_of,
    label_of,
    read_entries,
    read_knowledge,
)
from adfm.evaluation.mmad.scoring import Mark, compat, strict
from adfm.evaluation.mmad.split import Part, part_of, split_json
from adfm.evaluation.run import METRICS_FILE, PROVENANCE, batches, kept_rows
from adfm.models.base import Model
from adfm.ownership import owned_folder
from adfm.predictions import PREDICTIONS
from adfm.progress import Progress, quiet
from adfm.reasoning import Protocol, ProtocolFlags, Question
from adfm.storage import Journal, encode_line, sha256_bytes, write_json

SPLIT_FILE = "split.json"
MAX_NEW_TOKENS = 128
MAX_PIXELS = 1280 * 28 * 28
"""Larger images are shrunk to this area: the limit of the benchmark's own runs of Qwen2.5-VL."""


@dataclass(frozen=True)
class MmadSettings:
    """What is asked: normal images shown first, a file of domain knowledge, the part of the 20/80 split and its seed.

    `limit` takes that many images, evenly spaced over the part's order. None takes all.
    """

    shots: int = 1
    knowledge: Path | None = None
    part: Part = "all"
    seed: int = 0
    limit: int | None = None
    max_new_tokens: int = MAX_NEW_TOKENS


class Asked(NamedTuple):
    """An item and the question that asks it."""

    item: Item
    question: Question


def run_mmad(
    model: Model,
    root: Path,
    out: Path,
    settings: MmadSettings | None = None,
    *,
    batch: int = 16,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Ask every chosen item, write the answers and their scores to `out`, and return the metrics.

    A run that was stopped continues, if model, prompts and settings are the same.

    Raises:
        UserError: the benchmark's files are not as published, an image is missing, or `out` holds something else.
    """
    settings = settings or MmadSettings()
    started = time.monotonic()
    entries = read_entries(root)
    notes = check_complete(entries, str(root / QUESTIONS))
    flags = ProtocolFlags(shots=settings.shots, max_new_tokens=settings.max_new_tokens)
    protocol = model.protocol.with_flags(flags)
    asked = questions_of(entries, settings, protocol)
    require_images(root, asked)
    prompts = "".join(
        encode_line({"id": item.id, "turn": list(map(str, question.parts)), "answer": item.answer})
        for item, question in asked
    )
    provenance = {
        "adfm": __version__,
        "model": model.name,
        "revision": model.revision,
        "data": str(root),
        "shots": settings.shots,
        "knowledge": settings.knowledge and str(settings.knowledge),
        "part": settings.part,
        "seed": settings.seed,
        "limit": settings.limit,
        "protocol": protocol.model_dump(),
        "questions_sha256": sha256_bytes(prompts.encode("utf-8", "replace")),
        "max_pixels": MAX_PIXELS,
        "decoding": "greedy",
    }
    with owned_folder(out, "an evaluation on MMAD"):
        rows = _answer_all(model, root, out, asked, provenance, batch=batch, progress=progress)
        if settings.part != "all":
            write_json(out / SPLIT_FILE, split_json(entries, settings.seed))
        result = metrics(rows) | {"notes": list(notes)}
        result |= {"provenance": provenance | {"seconds": round(time.monotonic() - started, 2), "batch": batch}}
        write_json(out / METRICS_FILE, result)
        return result


def questions_of(entries: Sequence[Entry], settings: MmadSettings, protocol: Protocol) -> list[Asked]:
    """Return the chosen items in the file's order, each with its question.

    Raises:
        DataError: nothing is chosen, an entry has too few templates, or the domain knowledge lacks an object.
    """
    chosen = part_of(entries, settings.part, settings.seed)
    count = len(chosen) if settings.limit is None else min(settings.limit, len(chosen))
    known = read_knowledge(settings.knowledge) if settings.knowledge else None
    asked = []
    for entry in (chosen[number * len(chosen) // count] for number in range(count)):
        knowledge = None if known is None else knowledge_of(known, entry)
        if known is not None and knowledge is None:
            raise DataError(
                f"{settings.knowledge}: knows nothing of {' '.join(entry.category)}; "
                "give MMAD's own domain_knowledge.json"
            )
        asked += [Asked(item, ask_item(entry, item, protocol, knowledge=knowledge)) for item in entry.questions]
    if not asked:
        raise DataError(
            f"part '{settings.part}' of {QUESTIONS} has no question; take --part all or a complete mmad.json"
        )
    return asked


def require_images(root: Path, asked: Sequence[Asked]) -> None:
    """Look for every image before the first question, so that hours of work do not end at a missing one.

    Raises:
        DataError: names the first that is missing or leads out of its data set, and how many are missing.
    """
    wanted = list(dict.fromkeys(part for each in asked for part in each.question.images if isinstance(part, Path)))
    for path in wanted:
        # The benchmark's users link data sets into the folder: a link at the top is allowed, one below it is not.
        inside((root / path.parts[0]).resolve(), Path(*path.parts[1:]))
    missing = [path for path in wanted if not (root / path).is_file()]
    if missing:
        raise DataError(
            f"{root / missing[0]}: no such file ({len(missing)} of {len(wanted)} images are missing); "
            f"put MMAD's images below {root}"
        )


def _answer_all(
    model: Model,
    root: Path,
    out: Path,
    asked: Sequence[Asked],
    provenance: dict[str, Any],
    *,
    batch: int,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Return the rows of all items, those of a stopped run first. Each new one is written as it comes."""
    kept = kept_rows(out, provenance)
    rows = []
    for (item, _), old in zip(asked, kept, strict=False):
        if old.get("id") != item.id or not isinstance(old.get("response"), str):
            raise DataError(f"{out / PREDICTIONS}: has another line where '{item.id}' should be; remove the folder")
        rows.append(_row(item, old["response"]))
    write_json(out / PROVENANCE, provenance)
    journal = Journal(out / PREDICTIONS, fresh=not kept)
    for group in batches(asked[len(rows) :], batch):
        load = cache(partial(_load_shrunk, root))  # an image that several questions show is decoded once
        answers = model.answer([question.decoded(load) for _, question in group])
        for (item, _), answer in zip(group, answers, strict=True):
            rows.append(_row(item, answer.text))
            journal.append(rows[-1])
        progress("asking", len(rows), len(asked))
    journal.close()
    return rows


def _load_shrunk(root: Path, path: Path) -> Image.Image:
    """Return an image of at most `MAX_PIXELS`, sides in proportion."""
    image = images.load(root / path)
    scale = math.sqrt(MAX_PIXELS / (image.width * image.height))
    if scale >= 1:
        return image
    return image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))), Image.Resampling.BICUBIC)


def _row(item: Item, response: str) -> dict[str, Any]:
    """Return one item's line of `predictions.jsonl`: the truth, the raw answer and both readings of it."""
    return {
        "id": item.id,
        "image": item.image,
        "task": item.task,
        "label": label_of(item.image),
        "answer": item.answer,
        "compat": compat_letter(response, item),
        "strict": strict_letter(response, item),
        "response": response,
    }


def metrics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the scores of the answers, read and scored both ways."""
    scores = {}
    for reading, score in (("compat", compat), ("strict", strict)):
        marks = [
            Mark(
                dataset=row["image"].partition("/")[0],
                task=row["task"],
                label=row["label"],
                right=None if row[reading] is None else row[reading] == row["answer"],
            )
            for row in rows
        ]
        scores[reading] = asdict(score(marks))
    return {
        "benchmark": "MMAD",
        "images": len({row["image"] for row in rows}),
        "questions": len(rows),
        "scores": scores,
    }
