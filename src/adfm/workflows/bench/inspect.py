"""`adfm bench inspect`: images a second of an inspection, files included, against a plain loop around `generate`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adfm.data.synthetic import make
from adfm.images import load
from adfm.inspection.folder import find_images, inspect_folder
from adfm.inspection.inspector import Inspector
from adfm.models.families import family_of
from adfm.models.local import GREEDY, LocalModel
from adfm.progress import Progress, quiet
from adfm.reasoning import ask
from adfm.records import Region
from adfm.workflows.bench import quantiles

MIN_IMAGES = 8  # images of which the generator draws every defect type


def bench_inspect(
    model: str,
    source: Path | None,
    *,
    images: int = 16,
    repeats: int = 3,
    seed: int = 0,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return images a second of both in turn, their ratio, and whether all boxes agree. A first round warms up.

    `source` is a folder of images. Without one, synthetic parts are drawn.

    Raises:
        UserError: no image, or no such model.
    """
    local = LocalModel.load(model)
    inspector = Inspector(local)
    with TemporaryDirectory() as folder:
        if source is None:
            source = Path(folder) / "parts"
            make(source, images=max(images, MIN_IMAGES), seed=seed, size=(140, 140), products=1)
        paths = find_images(source)
        ours, plain, equal = [], [], True
        for repeat in range(repeats + 1):
            started = time.perf_counter()
            verdicts = inspect_folder(inspector, source, Path(folder) / f"{repeat}")
            between = time.perf_counter()
            answers = plain_loop(local, paths)
            ended = time.perf_counter()
            equal = equal and [verdict.regions for verdict in verdicts if not verdict.left_out] == answers
            if repeat:
                ours.append(len(paths) / (between - started))
                plain.append(len(paths) / (ended - between))
            progress("inspecting", repeat, repeats)
    return {
        "images": len(paths),
        "ours": quantiles(ours),
        "plain": quantiles(plain),
        "ratio": quantiles([a / b for a, b in zip(ours, plain, strict=True)]),
        "equal": equal,
    }


def plain_loop(local: LocalModel, paths: Sequence[Path]) -> list[tuple[Region, ...]]:
    """Return the regions of each image by the loop that a user of transformers would write: no score, no files."""
    import torch

    weights, processor = local.weights, local.processor
    placeholders = family_of(weights.config.model_type).placeholder_tokens(weights.config)
    regions = []
    for path in paths:
        image = load(path)
        question = ask(image, local.frame(*image.size), local.protocol, category=None)
        text = processor.apply_chat_template(question.chat, tokenize=False, add_generation_prompt=True)
        batch = processor(text=[text], images=[image], return_tensors="pt").to(weights.device)
        with torch.inference_mode():
            tokens = weights.generate(
                **batch,
                **GREEDY,
                max_new_tokens=local.protocol.max_new_tokens,
                suppress_tokens=placeholders,
                disable_compile=True,
            )
        answer = processor.tokenizer.decode(tokens[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        regions.append(question.read(answer).regions)
    return regions
