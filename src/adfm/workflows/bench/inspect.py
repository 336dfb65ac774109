"""`adfm bench inspect`: pictures a second of an inspection, files and all, against a plain loop around `generate`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adfm.data.synthetic import make
from adfm.images import load
from adfm.inspection.run import InspectionSettings, find_pictures, inspect_all
from adfm.models.local import GREEDY, MAX_NEW_TOKENS, LocalModel, placeholder_tokens
from adfm.reasoning import frame_hint, prompt, read
from adfm.records import region_json

FEWEST = 8  # that the generator shares out over its kinds

Progress = Callable[[str, int, int], None]


def bench_inspect(
    model: str,
    source: Path | None,
    *,
    images: int = 16,
    repeats: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return pictures a second of both in turn, their ratio, and whether all boxes agree; a first round warms up.

    `source` is a folder of pictures; without one, synthetic parts are drawn.

    Raises:
        UserError: no picture, or no such model.
    """
    local = LocalModel.load(model)
    with TemporaryDirectory() as made:
        if source is None:
            source = Path(made) / "parts"
            make(source, images=max(images, FEWEST), seed=seed, size=(140, 140), products=1)
        pictures = find_pictures(source)
        ours, plain, equal = [], [], True
        for repeat in range(repeats + 1):
            spent, verdicts = _spent(lambda out=Path(made) / f"{repeat}": _inspected(local, source, out))  # type: ignore[misc]
            spent_plain, answers = _spent(lambda: plain_loop(local, pictures))
            equal = equal and verdicts == answers
            if repeat:
                ours.append(len(pictures) / spent)
                plain.append(len(pictures) / spent_plain)
            if progress:
                progress("inspecting", repeat, repeats)
    return {
        "images": len(pictures),
        "ours": _quantiles(ours),
        "plain": _quantiles(plain),
        "ratio": _quantiles([a / b for a, b in zip(ours, plain, strict=True)]),
        "equal": equal,
    }


def _inspected(local: LocalModel, source: Path, out: Path) -> list[list[dict[str, Any]]]:
    return [verdict["regions"] for verdict in inspect_all(local, source, out, InspectionSettings())]


def plain_loop(local: LocalModel, pictures: Sequence[Path]) -> list[list[dict[str, Any]]]:
    """Return the regions of each picture by the loop that a user of transformers would write: no score, no files."""
    import torch

    weights, processor = local.weights, local.processor
    found = []
    for path in pictures:
        image = load(path)
        frame = local.frame(*image.size)
        text = prompt(category=None, frame_hint=frame_hint(frame))
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        asked = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        batch = processor(text=[asked], images=[image], return_tensors="pt").to(weights.device)
        with torch.inference_mode():
            tokens = weights.generate(
                **batch,
                **GREEDY,
                max_new_tokens=MAX_NEW_TOKENS,
                suppress_tokens=placeholder_tokens(weights.config),
                disable_compile=True,
            )
        answer = processor.tokenizer.decode(tokens[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        found.append([region_json(region) for region in read(answer, frame).regions])
    return found


def _spent(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
