"""Supervised fine-tuning on canonical answers: the cold start that teaches the format, on TRL's `SFTTrainer`.

Left out: packing and padding-free batches, which the engine does not offer for pictures.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from adfm.errors import ConfigError
from adfm.reasoning import STAGES
from adfm.training.examples import Source, manifest_examples, rows
from adfm.training.run import (
    Progress,
    RunJournal,
    Subject,
    engine_arguments,
    load_subject,
    lora_config,
    open_run,
    require_left_padding,
    save_final,
    seed_everything,
    training_manifest,
    use_threads,
    write_summary,
)
from adfm.training.settings import SftSettings

LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
}


def train_sft(settings: SftSettings, *, resume: bool = False, progress: Progress | None = None) -> Path:
    """Fine-tune on the manifest's train split and return the folder of the final model.

    Raises:
        UserError: a fault of the settings, the data, the model or the run folder.
    """
    examples = manifest_examples(
        training_manifest(settings),
        turns=settings.data.turns,
        balance=settings.data.balance,
        longest=settings.data.longest,
        cuts=settings.data.cuts,
        seed=settings.seed,
    )
    if settings.dense and settings.lora:
        raise ConfigError("setting 'dense': warms the vision tower, which 'lora' does not save; leave one of them out")
    if settings.dense and not any(example.sample.boxes for example in examples):
        settings = settings.model_copy(
            update={"dense": None}
        )  # labels alone: nothing to be dense about; config.yaml says so
    settings = capped(settings, len(examples))
    subject = load_subject(settings)
    if settings.dense and not resume:
        from adfm.training.warmup import warm_on_examples

        use_threads(settings.threads)
        seed_everything(settings.seed)  # the throw-away heads too start where the seed says
        told = progress or (lambda *_: None)
        warm_on_examples(subject.weights, subject.processor, examples, settings.dense, settings.seed, told)
    return fine_tune(settings, subject, examples, resume=resume, progress=progress)


def capped(settings: SftSettings, examples: int) -> SftSettings:
    """Return the settings with the steps that `most_epochs` passes over this many examples allow."""
    if settings.most_epochs is None:
        return settings

    passes = settings.most_epochs

    def most(steps: int, batch: int) -> int:
        return max(1, min(steps, math.ceil(passes * examples / batch)))

    dense = settings.dense
    if dense:
        dense = dense.model_copy(update={"steps": most(dense.steps, dense.batch)})
    steps = most(settings.steps, settings.micro_batch * settings.accumulation)
    return settings.model_copy(update={"steps": steps, "dense": dense})


def fine_tune(
    settings: SftSettings, subject: Subject, examples: Source, *, resume: bool = False, progress: Progress | None = None
) -> Path:
    """Fine-tune a loaded model on any source of examples; nano's build calls this with a stream of synthetic parts."""
    from adfm.training.engine import LogCallback, newest_checkpoint

    use_threads(settings.threads)
    run = open_run(settings, resume=resume)
    checkpoint = newest_checkpoint(run) if resume else None
    done = int(checkpoint.name.removeprefix("step-")) if checkpoint else 0
    seed_everything(settings.seed)
    journal = RunJournal(run, resumed_at=done, steps=settings.steps, progress=progress)
    trainer = _trainer(settings, subject, examples, run)
    trainer.keep_checkpoints = settings.keep
    trainer.add_callback(LogCallback(lambda step, logs: journal.receive(step, _row(logs))))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    journal.close()
    final = save_final(run, trainer.model, subject.processor)
    write_summary(run, settings, journal.rows, journal.seconds())
    return final


def _row(logs: dict[str, float]) -> dict[str, float]:
    return {ours: logs[theirs] for theirs, ours in LOGGED.items() if theirs in logs}


def _trainer(settings: SftSettings, subject: Subject, examples: Source, run: Path) -> Any:
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from adfm.training.engine import DurableRun

    class Trainer(DurableRun, SFTTrainer):  # type: ignore[misc]
        """TRL's trainer with published checkpoints and exact resume."""

    require_left_padding(subject.processor)
    data = rows(examples, subject.frame_of, STAGES[settings.stages], category=settings.data.category, answers=True)
    config = SFTConfig(
        **engine_arguments(settings, run),
        max_length=None,  # a truncated row would lose image tokens
        completion_only_loss=True,
        dataset_num_proc=None,
    )
    trainer = Trainer(
        model=subject.weights.train(),
        args=config,
        train_dataset=data,
        processing_class=subject.processor,
        peft_config=lora_config(settings),
        optimizers=(_optimizer(settings, subject), None),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _optimizer(settings: SftSettings, subject: Subject) -> Any:
    """Return our own optimizer where one is asked for; None lets the engine make its AdamW."""
    if settings.optimizer == "adamw":
        return None
    from adfm.training.blended import BlendedOptimizer

    return BlendedOptimizer(subject.weights, settings.learning_rate)
