"""Supervised fine-tuning on canonical answers: the cold start that teaches the format, on TRL's `SFTTrainer`.

Left out: packing and padding-free batches, which the engine does not offer for images.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from trl import SFTConfig, SFTTrainer

from adfm.data.manifest import Manifest
from adfm.errors import ConfigError
from adfm.training.blended import BlendedOptimizer
from adfm.training.engine import DurableRun
from adfm.training.examples import Source, manifest_examples, rows
from adfm.training.incidents import Incidents, Readable
from adfm.training.journal import LOGGED, StepProgress
from adfm.training.run import engine_arguments, execute, training_manifest
from adfm.training.settings import SftSettings
from adfm.training.subject import Subject, load_subject, lora_config, resolved
from adfm.training.warmup import warm_on_examples


class DurableSFTTrainer(DurableRun, SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with published checkpoints and exact resume."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data_collator: Any = NamedRows(self.data_collator)
        self._rows: tuple[list[str], Any] = ([], None)

    def _prepare_inputs(self, inputs: Any) -> Any:
        self._rows = inputs.pop("sample_id", []), inputs["input_ids"]
        return super()._prepare_inputs(inputs)

    def batch_rows(self) -> list[dict[str, Any]]:
        """Return the rows of the micro-batch under way: sample ids, and prompts with their answers."""
        ids, tokens = self._rows
        texts = self.processing_class.batch_decode(tokens) if ids else []
        return [{"sample_id": name, "text": text} for name, text in zip(ids, texts, strict=True)]


class NamedRows:
    """A collator that leaves the ids of the samples in its batch."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate the rows as ever, and add their ids."""
        ids = [row["sample_id"] for row in rows]
        return {**self._collate(rows), "sample_id": ids}


def train_sft(settings: SftSettings, *, resume: bool = False, progress: StepProgress | None = None) -> Path:
    """Fine-tune on the manifest's train split and return the folder of the final model.

    Raises:
        UserError: a fault of the settings, the data, the model or the run folder.
    """
    manifest = training_manifest(settings)
    examples = manifest_examples(manifest, settings.data, seed=settings.seed)
    if settings.dense and settings.lora:
        raise ConfigError("setting 'dense': warms the vision tower, which 'lora' does not save; leave one of them out")
    if settings.dense and not any(example.sample.boxes for example in examples):
        # There are labels alone, and nothing to be dense about. config.yaml says so.
        settings = settings.model_copy(update={"dense": None})
    settings = capped(resolved(settings), len(examples))
    subject = load_subject(settings)
    return fine_tune(settings, subject, examples, manifest=manifest, resume=resume, progress=progress)


def capped(settings: SftSettings, examples: int) -> SftSettings:
    """Return the settings with the steps that `max_epochs` passes over this many examples allow."""
    if settings.max_epochs is None:
        return settings
    images, dense = settings.max_epochs * examples, settings.dense
    if dense:
        dense = dense.model_copy(update={"steps": max(1, min(dense.steps, math.ceil(images / dense.batch)))})
    most = math.ceil(images / (settings.micro_batch * settings.accumulation))
    return settings.model_copy(update={"steps": max(1, min(settings.steps, most)), "dense": dense})


def fine_tune(
    settings: SftSettings,
    subject: Subject,
    examples: Source,
    *,
    manifest: Manifest | None = None,
    resume: bool = False,
    progress: StepProgress | None = None,
) -> Path:
    """Fine-tune a loaded model on any source of examples. nano's build calls this with a stream of synthetic parts."""

    def build(run: Path) -> Any:
        blended = settings.optimizer == "blended"
        return DurableSFTTrainer(
            model=subject.weights.train(),
            args=SFTConfig(
                **engine_arguments(settings, run),
                max_length=None,  # a truncated row would lose image tokens
                completion_only_loss=True,
            ),
            train_dataset=rows(Readable(examples, Incidents(run)), subject, answers=True),
            processing_class=subject.processor,
            peft_config=lora_config(settings, subject.family),
            optimizers=(BlendedOptimizer(subject.weights, settings.learning_rate) if blended else None, None),
            keep_checkpoints=settings.keep_checkpoints,
        )

    def warm(run: Path) -> None:
        if settings.dense:
            known = [one for one in map(examples.__getitem__, range(len(examples))) if one.sample.boxes is not None]
            source, report = Readable(known, Incidents(run)), progress or (lambda *_: None)
            warm_on_examples(subject.weights, subject.processor, source, settings.dense, settings.seed, report)

    names = {**LOGGED, "mean_token_accuracy": "token_accuracy"}
    return execute(settings, subject, build, names, manifest=manifest, warm=warm, resume=resume, progress=progress)
