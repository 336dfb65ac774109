"""A model and a manifest in, `predictions.jsonl` and `metrics.json` out: greedy, deterministic, one question per sample.

Left out: sampling, so that two evaluations of one model differ in nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from adfm import __version__
from adfm.calibration.decision import READ_VERDICT, Threshold
from adfm.data.manifest import Manifest
from adfm.errors import UserError
from adfm.evaluation.summary import evaluate
from adfm.models.base import Answer, Model
from adfm.ownership import owned_folder
from adfm.predictions import PREDICTIONS, Prediction, prediction_json, read_predictions
from adfm.progress import Progress, quiet
from adfm.reasoning import Protocol, Question, ask
from adfm.records import Sample
from adfm.rewards import RewardSettings, reward
from adfm.storage import Journal, read_json, read_jsonl, write_json, write_jsonl

METRICS_FILE = "metrics.json"
PROVENANCE = "provenance.json"
EVALUATION = "an evaluation"
"""What the marker of an evaluation's folder says."""
SCORING = RewardSettings(preset="set_iou")
T = TypeVar("T")


def predict(
    model: Model,
    manifest: Manifest,
    *,
    protocol: Protocol | None = None,
    batch: int = 16,
    progress: Progress = quiet,
    stage: str = "evaluating",
) -> Iterator[Prediction]:
    """Yield one prediction per sample, in the manifest's order. Answers of a batch are decoded together.

    `protocol` is the model's own by default. Progress is reported under the name `stage`.
    """
    protocol, done = protocol or model.protocol, 0
    for group in batches(manifest.samples, batch):
        questions = [
            ask(
                manifest.load(sample),
                model.frame(sample.width, sample.height),
                protocol,
                category=sample.category,
            )
            for sample in group
        ]
        for sample, question, answer in zip(group, questions, model.answer(questions), strict=True):
            yield prediction_of(sample, question, answer)
        done += len(group)
        progress(stage, done, len(manifest.samples))


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive slices of at most `size`."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def prediction_of(sample: Sample, question: Question, answer: Answer) -> Prediction:
    """Read and rate one answer."""
    response = question.read(answer.text)
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
        frame=question.frame.name,
        strict=response.strict,
        problems=response.problems,
        reward=reward(response, sample, SCORING),
        log_odds=answer.log_odds,
        votes=answer.votes,
        group=sample.group,
        white=sample.white,
        question_sha256=question.sha256,
    )


def run_evaluation(
    model: Model,
    manifest: Manifest,
    out: Path,
    *,
    protocol: Protocol | None = None,
    batch: int = 16,
    seed: int = 0,
    threshold: Threshold = READ_VERDICT,
    progress: Progress = quiet,
    stage: str = "evaluating",
) -> dict[str, Any]:
    """Predict every sample, write `predictions.jsonl` and `metrics.json` to `out`, and return the metrics.

    `protocol` is the model's own by default, and `threshold` is the deployed one, plain or calibrated. A stopped
    evaluation continues where it was, if model, protocol, score and data are the same.

    Raises:
        UserError: `out` holds something else or is in use, or an image cannot be read or was replaced after the build.
    """
    started = time.monotonic()
    with owned_folder(out, EVALUATION):
        provenance = provenance_of(model, manifest, protocol or model.protocol)
        kept = kept_rows(out, provenance)
        write_json(out / PROVENANCE, provenance)
        rest = Manifest(manifest.root, manifest.samples[len(kept) :])
        journal = Journal(out / PREDICTIONS, fresh=not kept)
        for prediction in predict(model, rest, protocol=protocol, batch=batch, progress=progress, stage=stage):
            journal.append(prediction_json(prediction))
        journal.close()
        result = evaluate(read_predictions(out), seed=seed, threshold=threshold)
        result |= {"provenance": provenance | {"seconds": round(time.monotonic() - started, 2), "batch": batch}}
        write_json(out / METRICS_FILE, result)
        return result


def kept_rows(out: Path, provenance: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the predictions of a stopped evaluation of the same things. A torn last line is cut.

    Raises:
        UserError: the folder holds the evaluation of something else.
    """
    file = out / PREDICTIONS
    if not file.exists():
        return []
    earlier = out / PROVENANCE
    if not earlier.exists() or read_json(earlier) != provenance:
        raise UserError(
            f"{out}: holds the evaluation of another model, protocol or data set; give another --out folder"
        )
    rows = read_jsonl(file, torn_tail=True)
    write_jsonl(file, rows)
    return rows


def provenance_of(model: Model, manifest: Manifest, protocol: Protocol) -> dict[str, Any]:
    """Return what predictions come from: model, protocol, samples."""
    return {
        "adfm": __version__,
        "model": model.name,
        "revision": model.revision,
        "data": str(manifest.root),
        "samples_sha256": manifest.sha256,
        "split": "+".join(sorted({sample.split for sample in manifest.samples})),
        "protocol": protocol.model_dump(),
        "protocol_overrides": protocol.overrides(model.protocol),
        "stages": protocol.stages,
        "category_in_prompt": protocol.name_category,
        "decoding": "greedy",
        "scoring": model.scoring,
    }
