"""A model and a manifest in, `predictions.jsonl` and `metrics.json` out: greedy, deterministic, one picture once.

Left out: sampling, so that two evaluations of one model differ in nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from adfm import images
from adfm.calibration.decision import READ_VERDICT, Threshold
from adfm.data.contract import sample_json
from adfm.data.manifest import Manifest
from adfm.errors import UserError
from adfm.evaluation.summary import evaluate
from adfm.models.base import Answer, Model
from adfm.predictions import PREDICTIONS, Prediction, prediction_json, read_predictions
from adfm.reasoning import FULL, Stages, frame_hint, prompt, prompt_sha256, read
from adfm.records import Sample
from adfm.rewards import RewardSettings, reward
from adfm.storage import Journal, encode_line, read_json, read_jsonl, sha256_bytes, write_json, write_jsonl

METRICS_FILE = "metrics.json"
Progress = Callable[[int, int], None]
SCORING = RewardSettings(preset="set_iou")
T = TypeVar("T")


def predict(
    model: Model,
    manifest: Manifest,
    *,
    stages: Stages = FULL,
    category: bool = True,
    batch: int = 16,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Yield one prediction per sample, in the manifest's order; answers of a batch are decoded together."""
    done = 0
    for group in batches(manifest.samples, batch):
        pictures = [images.load(manifest.image_path(sample)) for sample in group]
        texts = [prompt_of(model, sample, stages, category) for sample in group]
        for sample, answer in zip(group, model.answer(pictures, texts), strict=True):
            yield prediction_of(model, sample, answer, stages)
        done += len(group)
        if progress:
            progress(done, len(manifest.samples))


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive slices of at most `size`."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def prompt_of(model: Model, sample: Sample, stages: Stages, category: bool) -> str:
    """Return the text that asks about a sample: the same as in training."""
    frame = model.frame(sample.width, sample.height)
    return prompt(stages, category=sample.category if category else None, frame_hint=frame_hint(frame))


def prediction_of(model: Model, sample: Sample, answer: Answer, stages: Stages) -> Prediction:
    """Read and rate one answer."""
    frame = model.frame(sample.width, sample.height)
    response = read(answer.text, frame, stages=stages)
    return Prediction(
        id=sample.id,
        label=sample.label,
        category=sample.category,
        defect=sample.defect,
        image=sample.image,
        width=sample.width,
        height=sample.height,
        boxes=sample.boxes,
        verdict=response.verdict,
        score=answer.score,
        regions=response.regions,
        located=response.located,
        examination=response.examination,
        response=answer.text,
        frame=frame.name,
        strict=response.strict,
        problems=response.problems,
        reward=reward(response, sample, SCORING),
        log_odds=answer.log_odds,
        votes=answer.votes,
        group=sample.group,
    )


def run_evaluation(
    model: Model,
    manifest: Manifest,
    out: Path,
    *,
    stages: Stages = FULL,
    category: bool = True,
    batch: int = 16,
    seed: int = 0,
    threshold: Threshold = READ_VERDICT,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict every sample, write `predictions.jsonl` and `metrics.json` to `out`, and return the metrics.

    `threshold` is the deployed one, plain or calibrated. An evaluation that was stopped goes on where it was, if model,
    prompts, score and data are the same.

    Raises:
        UserError: `out` holds the evaluation of something else, or a picture cannot be read.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    provenance = provenance_of(model, manifest, stages, category)
    kept = kept_rows(out, provenance)
    write_json(out / "provenance.json", provenance)
    rest = Manifest(manifest.root, manifest.samples[len(kept) :])
    journal = Journal(out / PREDICTIONS, fresh=not kept)
    for prediction in predict(model, rest, stages=stages, category=category, batch=batch, progress=progress):
        journal.append(prediction_json(prediction))
    journal.close()
    result = evaluate(read_predictions(out), seed=seed, threshold=threshold)
    result |= {"provenance": provenance | {"seconds": round(time.monotonic() - started, 2), "batch": batch}}
    write_json(out / METRICS_FILE, result)
    return result


def kept_rows(out: Path, provenance: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the predictions of a stopped evaluation of the same things; a torn last line is cut.

    Raises:
        UserError: the folder holds the evaluation of something else.
    """
    file = out / PREDICTIONS
    if not file.exists():
        return []
    earlier = out / "provenance.json"
    if not earlier.exists() or read_json(earlier) != provenance:
        raise UserError(f"{out}: holds the evaluation of another model, prompt or data set; give another --out folder")
    rows = read_jsonl(file, torn_tail=True)
    write_jsonl(file, rows)
    return rows


def provenance_of(model: Model, manifest: Manifest, stages: Stages, category: bool) -> dict[str, Any]:
    """Return what predictions come from: model, prompts, samples."""
    from adfm import __version__

    first = manifest.samples[0]
    # The whole lines: a manifest that was built anew with other boxes is another truth.
    lines = "".join(encode_line(sample_json(sample)) for sample in manifest.samples)
    return {
        "adfm": __version__,
        "model": model.name,
        "revision": model.revision,
        "data": str(manifest.root),
        "samples_sha256": sha256_bytes(lines.encode("utf-8", "replace")),
        "split": "+".join(sorted({sample.split for sample in manifest.samples})),
        "stages": stages.name,
        "category_in_prompt": category,
        "prompt_sha256": prompt_sha256(prompt_of(model, first, stages, category=False)),
        "decoding": "greedy",
        "scoring": model.scoring,
    }
