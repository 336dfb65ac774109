"""One training run: how it is opened, executed, journalled and closed, the same for SFT and GRPO."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, set_seed

from adfm.config import dump_settings
from adfm.data.manifest import Manifest, read_manifest
from adfm.errors import ConfigError, UserError
from adfm.models.device import best_device, use_threads
from adfm.reasoning import ask
from adfm.storage import Journal, read_jsonl, write_json, write_jsonl, write_text
from adfm.training.engine import newest_checkpoint
from adfm.training.settings import TrainSettings
from adfm.training.subject import Subject, is_first_process, save_final

StepProgress = Callable[[int, int, dict[str, float]], None]
"""(step, steps, quantities) after every optimizer step."""
QUESTIONS = "questions.json"
LOGGED = {name: name for name in ("loss", "grad_norm", "learning_rate")}
"""What every stage logs: name in the engine's log -> name in `metrics.jsonl`."""


def training_manifest(settings: TrainSettings) -> Manifest:
    """Read the manifest and keep its train split.

    Raises:
        ConfigError: no manifest is named.
        DataError: it cannot be read, or has no train split.
    """
    if not settings.data.manifest:
        raise ConfigError("setting 'data.manifest' is empty; give data.manifest=FOLDER made by `adfm data build`")
    return read_manifest(Path(settings.data.manifest)).only("train")


def execute(
    settings: TrainSettings,
    subject: Subject,
    build: Callable[[Path], Any],
    names: Mapping[str, str],
    *,
    manifest: Manifest | None = None,
    resume: bool = False,
    progress: StepProgress | None = None,
) -> Path:
    """Open the run folder, train, journal every step, save the final model and return its folder.

    Args:
        settings: the resolved settings, which `config.yaml` keeps.
        subject: the model to train.
        build: makes the engine's trainer for the run folder. It is called once everything is seeded.
        names: what the stage logs: name in the engine's log -> name in `metrics.jsonl`.
        manifest: the samples to train on. The hashes of their questions are kept in `questions.json`.
        resume: continue from the newest checkpoint.

    Raises:
        UserError: the folder holds another run, or none to resume.
    """
    use_threads(settings.threads)
    run = open_run(settings, resume=resume)
    if manifest is not None and is_first_process():
        write_json(run / QUESTIONS, question_hashes(subject, manifest))
    checkpoint = newest_checkpoint(run) if resume else None
    done = int(checkpoint.name.removeprefix("step-")) if checkpoint else 0
    set_seed(settings.seed)  # the engine seeds later than the first draws
    journal = RunJournal(run, resumed_at=done, steps=settings.steps, progress=progress, names=names)
    trainer = build(run)
    trainer.add_callback(journal)
    if checkpoint and is_complete(done, settings):
        trainer._load_from_checkpoint(str(checkpoint))
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    journal.close()
    final = save_final(run, trainer.model, subject, settings, manifest)
    if is_first_process():
        write_json(run / "summary.json", _summary(settings, journal))
    return final


def is_complete(done: int, settings: TrainSettings) -> bool:
    """Whether a run was stopped between its last checkpoint and its end. The engine would train one step too many."""
    return done >= settings.steps


def open_run(settings: TrainSettings, *, resume: bool) -> Path:
    """Make the run folder and write the resolved settings, or check that a resumed run has the same ones.

    Raises:
        UserError: the folder holds another run, or the settings differ on resume.
    """
    run = Path(settings.out)
    if not is_first_process():
        return run
    wanted, file = dump_settings(settings), run / "config.yaml"
    if resume and not file.is_file():
        raise UserError(f"{run}: holds no run to resume (config.yaml is missing)")
    if not resume and file.is_file():
        raise UserError(f"{run}: already holds a run; add --resume, or choose another out=FOLDER")
    if resume:
        pairs = zip_longest(file.read_text(encoding="utf-8").splitlines(), wanted.splitlines(), fillvalue="nothing")
        changed = next((f"'{old.strip()}' was, '{new.strip()}' is" for old, new in pairs if old != new), "")
        if changed:
            raise UserError(f"{file}: differs from the settings given ({changed}); resume with the same settings")
    write_text(file, wanted)
    return run


def question_hashes(subject: Subject, manifest: Manifest) -> dict[str, Any]:
    """Return the protocol, and the hash of every question that the manifest's samples are asked with its count."""
    hashes: Counter[str] = Counter()
    for sample in manifest.samples:
        frame = subject.frame_of(sample.width, sample.height)
        hashes[ask(Path(sample.image), frame, subject.protocol, category=sample.category).sha256] += 1
    return {"protocol": subject.protocol.model_dump(), "questions": dict(sorted(hashes.items()))}


def engine_arguments(settings: TrainSettings, run: Path) -> dict[str, Any]:
    """Return the arguments that TRL's SFT and GRPO configurations share."""
    gpu = best_device() == "cuda"
    same = {"seed", "learning_rate", "warmup_steps", "weight_decay", "max_grad_norm", "gradient_checkpointing"}
    return {
        **settings.model_dump(include=same),
        "output_dir": str(run),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": settings.accumulation,
        "lr_scheduler_type": settings.scheduler,
        "bf16": gpu,
        "use_cpu": not gpu,
        "logging_steps": 1,
        "save_strategy": "steps" if settings.save_every else "no",
        "save_steps": settings.save_every or 500,
        "report_to": settings.tracker,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "dataloader_num_workers": settings.workers,
        "dataloader_pin_memory": gpu,
    }


class RunJournal(TrainerCallback):  # type: ignore[misc]
    """`metrics.jsonl`, the same for the same seed, and beside it `timings.jsonl` with the seconds, which never are.

    The seconds of a resumed run continue from those of its checkpoint. `rows` are those of the run so far.
    """

    def __init__(
        self,
        run: Path,
        *,
        resumed_at: int,
        steps: int,
        progress: StepProgress | None,
        names: Mapping[str, str] = LOGGED,
    ) -> None:
        self._steps, self._progress, self._names = steps, progress, names
        self._writes = is_first_process()
        self.rows: list[dict[str, Any]] = []
        self._started = time.monotonic()
        if self._writes:
            self.rows = cut_journal(run / "metrics.jsonl", resumed_at)
            earlier = cut_journal(run / "timings.jsonl", resumed_at)
            self._started -= earlier[-1]["seconds"] if earlier else 0
            self._metrics = Journal(run / "metrics.jsonl", fresh=resumed_at == 0)
            self._timings = Journal(run / "timings.jsonl", fresh=resumed_at == 0)

    def seconds(self) -> float:
        """Return the seconds of training so far, those before the checkpoint included."""
        return time.monotonic() - self._started

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Receive what the engine logged at this step. The closing summary of a run has no loss and is left out."""
        if logs and "loss" in logs:
            named = {ours: logs[theirs] for theirs, ours in self._names.items() if theirs in logs}
            self.receive(state.global_step, named)

    def receive(self, step: int, quantities: dict[str, float]) -> None:
        """Append one row and report progress. A quantity that is no finite number is left out."""
        if not self._writes:
            return
        finite = {name: value for name, value in quantities.items() if math.isfinite(value)}
        row = {"step": step, **finite}
        self.rows.append(row)
        self._metrics.append(row)
        self._timings.append({"step": step, "seconds": round(self.seconds(), 3)})
        if self._progress:
            self._progress(step, self._steps, finite)

    def close(self) -> None:
        """Flush both files."""
        if self._writes:
            self._metrics.close()
            self._timings.close()


def cut_journal(path: Path, last: int) -> list[dict[str, Any]]:
    """Cut a journal back to the checkpoint's step, because later rows will be written again. Return what is left."""
    if not last or not path.exists():
        return []
    rows = [row for row in read_jsonl(path, torn_tail=True) if row["step"] <= last]
    write_jsonl(path, rows)
    return rows


def _summary(settings: TrainSettings, journal: RunJournal) -> dict[str, Any]:
    """Return what was trained, how far, how long, and the last row of the journal."""
    return {
        "model": settings.model,
        "data": settings.data.manifest,
        "protocol": settings.protocol.given(),
        "steps": settings.steps,
        "seed": settings.seed,
        "seconds": round(journal.seconds(), 1),
        "last": journal.rows[-1] if journal.rows else {},
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")},
    }
