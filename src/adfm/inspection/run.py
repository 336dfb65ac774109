"""Pictures in, a verdict JSON and an overlay each out, and `results.jsonl` over all; a bad picture costs only itself.

A second run into the same folder skips what `results.jsonl` already holds for the same picture, model and settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from adfm import images
from adfm.errors import DataError, ImageError, UserError
from adfm.inspection.overlay import draw
from adfm.inspection.verdict import SCHEMA, Judgement, Threshold, judge, judgement_json
from adfm.models.base import Model
from adfm.reasoning import FULL, Stages, frame_hint, prompt, prompt_sha256
from adfm.storage import Journal, read_jsonl, sha256_file, write_bytes, write_json, write_jsonl

RESULTS = "results.jsonl"
Progress = Callable[[int, int, str], None]
"""(pictures done, pictures in all, name of the last one)."""
NO_CALIBRATION = Threshold()


@dataclass(frozen=True)
class InspectionSettings:
    """How pictures are inspected: the protocol, the part's name for the prompt, the threshold."""

    stages: Stages = FULL
    category: str | None = None
    threshold: Threshold = NO_CALIBRATION


def find_pictures(path: Path) -> list[Path]:
    """Return the picture itself, or all pictures below a folder, sorted.

    Hidden files and folders are left alone, and so are links that lead out of the folder.

    Raises:
        DataError: nothing there, or the single picture cannot be decoded.
    """
    if path.is_file():
        images.load(path)  # alone, a broken picture is the user's mistake; in a folder it is an ERROR among verdicts
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such picture or folder")
    root = path.resolve()
    found = [file for file in sorted(path.rglob("*")) if images.is_image(file) and file.is_file()]
    found = [file for file in found if file.resolve().is_relative_to(root) and not _hidden(file.relative_to(path))]
    if not found:
        raise DataError(f"{path}: holds no PNG, JPEG, BMP, TIFF or WebP picture")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def require_outside(out: Path, path: Path) -> None:
    """Refuse results inside the inspected folder: their overlays would be inspected next time.

    Raises:
        UserError: they would be.
    """
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise UserError(f"{out}: lies inside the inspected folder; give an --out folder beside it")


def inspect_all(
    model: Model, path: Path, out: Path, settings: InspectionSettings, *, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Inspect a picture or folder into `out` and return one verdict per picture, in order.

    `out` mirrors the folder: `NAME.json` and `NAME.overlay.png` beside each other, named after the whole file name.
    `results.jsonl` grows while the work goes on; at the end it holds one line per picture.

    Raises:
        UserError: `out` lies in the inspected folder, or holds the results of another model or settings.
    """
    pictures = find_pictures(path)
    root = path if path.is_dir() else path.parent
    require_outside(out, path)
    identity = _identity(model, settings)
    earlier = _earlier(out / RESULTS, identity)
    journal = Journal(out / RESULTS, fresh=False)
    verdicts = []
    for number, picture in enumerate(pictures, 1):
        name = picture.relative_to(root).as_posix()
        verdict = _still_true(earlier.get(name), picture)
        if verdict is None:
            verdict = _inspect_file(model, picture, name, out, settings) | identity
            write_json(out / f"{name}.json", verdict)
            journal.append(verdict)
        verdicts.append(verdict)
        if progress:
            progress(number, len(pictures), name)
    journal.close()
    write_jsonl(out / RESULTS, (earlier | {verdict["image"]: verdict for verdict in verdicts}).values())
    return verdicts


def _identity(model: Model, settings: InspectionSettings) -> dict[str, Any]:
    """What must be the same for an earlier verdict to stand."""
    frame = model.frame(1000, 1000)
    text = prompt(settings.stages, category=settings.category, frame_hint=frame_hint(frame))
    return {
        "model": model.name,
        "revision": model.revision,
        "prompt_sha256": prompt_sha256(text),
        "decoding": {"method": "greedy", "batch": 1, "scoring": model.scoring},
        "threshold": settings.threshold.value,
        "threshold_origin": settings.threshold.origin,
        "review_from": settings.threshold.review_from,
    }


def _earlier(results: Path, identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if not results.exists():
        return {}
    rows = read_jsonl(results, torn_tail=True)
    if any({name: row.get(name) for name in identity} != identity for row in rows):
        raise UserError(f"{results}: holds verdicts of another model or other settings; give another --out folder")
    return {row["image"]: row for row in rows}


def _still_true(verdict: dict[str, Any] | None, picture: Path) -> dict[str, Any] | None:
    """An earlier verdict stands if it was one, and the picture has not changed since."""
    if verdict is None or verdict["decision"] == "ERROR" or verdict["sha256"] != _digest(picture):
        return None
    return verdict


def _digest(picture: Path) -> str | None:
    """The file's hash; None where it cannot be read, which the verdict tells as ERROR."""
    try:
        return sha256_file(picture)
    except OSError:
        return None


def _inspect_file(model: Model, picture: Path, name: str, out: Path, settings: InspectionSettings) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        image = images.load(picture)
        decoded = time.perf_counter()
        judgement = inspect_image(model, image, settings)
    except ImageError as error:
        return _failed(picture, name, str(error))
    answered = time.perf_counter()
    overlay = draw(
        image, judgement.regions, located=judgement.located, decision=judgement.decision, score=judgement.score
    )
    write_bytes(out / f"{name}.overlay.png", _png(overlay))
    finished = time.perf_counter()
    return {
        "schema": SCHEMA,
        "image": name,
        "sha256": _digest(picture),
        "width": image.width,
        "height": image.height,
        **judgement_json(judgement),
        "timings_ms": {
            "decode": round(1000 * (decoded - started), 1),
            "answer": round(1000 * (answered - decoded), 1),
            "overlay": round(1000 * (finished - answered), 1),
        },
    }


def inspect_image(model: Model, image: Image, settings: InspectionSettings) -> Judgement:
    """Inspect one RGB picture; batch 1, so that a score never depends on its neighbours.

    Raises:
        ImageError: the picture has a shape that the model cannot read.
    """
    frame = model.frame(image.width, image.height)
    text = prompt(settings.stages, category=settings.category, frame_hint=frame_hint(frame))
    answer = model.answer([image], [text])[0]
    return judge(answer, frame, settings.stages, settings.threshold)


def _failed(picture: Path, name: str, reason: str) -> dict[str, Any]:
    """The verdict on a picture that cannot be read: ERROR, with every field of the schema."""
    return {
        "schema": SCHEMA,
        "image": name,
        "sha256": _digest(picture),
        "width": None,
        "height": None,
        "decision": "ERROR",
        "score": None,
        "raw_score": None,
        "regions": [],
        "located": [],
        "explanation": "",
        "parse": ["no_answer"],
        "warnings": [reason],
        "timings_ms": {},
    }


def _png(image: Image) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def exit_code(verdicts: Iterable[dict[str, Any]]) -> int:
    """Return 0 if all are OK, 1 if some are NG, 3 if some picture has no verdict (which wins)."""
    decisions = {verdict["decision"] for verdict in verdicts}
    if decisions & {"REVIEW", "ERROR"}:
        return 3
    return 1 if "NG" in decisions else 0
