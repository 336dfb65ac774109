"""One training run: how it is opened, executed, journalled and closed, the same for SFT and GRPO."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

from transformers import set_seed

from adfm.config import dump_settings
from adfm.data.manifest import Manifest, read_manifest
from adfm.errors import ConfigError, NotFiniteError, UserError
from adfm.models.device import best_device, use_threads
from adfm.models.files import load_config, resolve, revision_of
from adfm.ownership import MARKER, owned_folder
from adfm.reasoning import ask
from adfm.storage import read_json, write_json, write_text
from adfm.training.engine import StepRules, newest_checkpoint
from adfm.training.incidents import Incidents, begin
from adfm.training.journal import RunJournal, StepProgress, collapsed_at
from adfm.training.settings import TrainSettings
from adfm.training.stopping import StopRequest
from adfm.training.subject import Subject, is_first_process, save_final

INPUTS = "inputs.json"
QUESTIONS = "questions.json"
SUMMARY = "summary.json"
NOT_FINITE = "not-finite.json"


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
    warm: Callable[[Path], None] | None = None,
    resume: bool = False,
    progress: StepProgress | None = None,
) -> Path:
    """Claim the run folder, train, journal every step, save the final model and return its folder.

    Args:
        settings: the resolved settings, which `config.yaml` keeps.
        subject: the model to train.
        build: makes the engine's trainer for the run folder. It is called once everything is seeded.
        names: what the stage logs: name in the engine's log -> name in `metrics.jsonl`.
        manifest: the samples to train on. The hashes of their questions are kept in `questions.json`.
        warm: prepares the model's weights, seeded, before the first step of a run without a checkpoint.
        resume: continue from the newest checkpoint; a run without one starts over, a finished one stays as it is.

    Raises:
        UserError: the folder holds another run or none to resume, another process works in it, or what the run was started
            from has changed.
        NotFiniteError: a number became infinite or NaN. `not-finite.json` keeps what that step learned from.
        StoppedError: a signal ended the run.
        WriteError: there is no room. The checkpoint before is complete.
    """
    use_threads(settings.threads)
    run = Path(settings.out)
    if resume and not is_started(run):
        raise UserError(f"{run}: holds no run to resume ({MARKER} is missing)")
    with claimed(run), StopRequest(settings.stop_seconds) as stop:
        open_run(settings, started_from(settings, manifest), resume=resume)
        if resume and (run / SUMMARY).is_file() and (run / "final").is_dir():
            return run / "final"
        checkpoint = newest_checkpoint(run) if resume else None
        if resume and checkpoint is None:
            logging.getLogger("adfm").warning(f"{run}: has no checkpoint yet; the run starts over")
        if is_first_process():
            begin(run, fresh=checkpoint is None)
            if manifest is not None:
                write_json(run / QUESTIONS, question_hashes(subject, manifest))
        if warm and checkpoint is None:
            set_seed(settings.seed)
            warm(run)
        return train_opened(settings, subject, build, names, manifest, checkpoint, stop, progress)


def train_opened(
    settings: TrainSettings,
    subject: Subject,
    build: Callable[[Path], Any],
    names: Mapping[str, str],
    manifest: Manifest | None,
    checkpoint: Path | None,
    stop: StopRequest,
    progress: StepProgress | None,
) -> Path:
    """Train from a checkpoint or from the start to the end, in a run folder that is open."""
    run, done = Path(settings.out), int(checkpoint.name.removeprefix("step-")) if checkpoint else 0
    set_seed(settings.seed)  # the engine seeds later than the first draws
    journal = RunJournal(run, resumed_at=done, steps=settings.steps, progress=progress, names=names)
    trainer = build(run)
    for callback in (StepRules(trainer, stop), journal):
        trainer.add_callback(callback)
    if checkpoint and is_complete(done, settings):
        trainer._load_from_checkpoint(str(checkpoint))
    else:
        with stepping(trainer, stop):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        done = trainer.state.global_step
    journal.close()
    if stop.asked is not None and done < settings.steps:
        raise stop.stopped(f"after step {done} of {settings.steps}, which is saved")
    final = save_final(run, trainer.model, subject, settings, manifest)
    if is_first_process():
        write_json(run / SUMMARY, _summary(settings, journal))
    return final


@contextmanager
def stepping(trainer: Any, stop: StopRequest) -> Iterator[None]:
    """Keep the batch of a step that is not finite, and make the failures of loader processes one line.

    Raises:
        NotFiniteError: with the run folder and the file that keeps the batch.
        StoppedError: loader processes got the signal as well and left before the step was done.
        UserError: what a loader process raised.
    """
    run = Path(trainer.args.output_dir)
    stop.stepping = True
    try:
        yield
    except NotFiniteError as error:
        if is_first_process():
            write_json(run / NOT_FINITE, {"reason": str(error), "rows": trainer.batch_rows()})
        raise NotFiniteError(
            f"{run}: {error}; {NOT_FINITE} keeps what that step learned from, the last checkpoint is complete; start a new "
            "run with a lower learning_rate or max_grad_norm"
        ) from error
    except UserError as error:
        raise without_traceback(error) from error
    except RuntimeError as error:
        if stop.asked is None or "DataLoader worker" not in str(error):
            raise
        raise stop.stopped("with its loader processes, before a step could be saved") from error
    finally:
        stop.stepping = False


def without_traceback(error: UserError) -> UserError:
    """Return an error without the traceback that a loader process puts before its message."""
    text = str(error)
    if "DataLoader worker process" not in text:
        return error
    return type(error)(text.strip().splitlines()[-1].partition(": ")[2])


def claimed(run: Path) -> AbstractContextManager[None]:
    """Keep other runs out of the folder. Of several processes the first one claims it."""
    return owned_folder(run, "a training run") if is_first_process() else nullcontext()


def is_started(run: Path) -> bool:
    """Whether a run was started in this folder, even if it was killed at once."""
    return (run / MARKER).is_file()


def is_complete(done: int, settings: TrainSettings) -> bool:
    """Whether a run was stopped between its last checkpoint and its end. The engine would train one step too many."""
    return done >= settings.steps


def started_from(settings: TrainSettings, manifest: Manifest | None) -> dict[str, Any]:
    """Return what a run's results stand for besides its settings, by name: hashes of its data and model, its processes."""
    model = resolve(settings.model)
    return {
        f"the manifest {settings.data.manifest}": manifest.sha256 if manifest else None,
        f"the model {settings.model}": revision_of(model, load_config(model)),
        "the number of processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def open_run(settings: TrainSettings, inputs: Mapping[str, Any], *, resume: bool) -> None:
    """Write the resolved settings and what the run starts from, or check that a resumed run has the same ones.

    Raises:
        UserError: the folder holds another run, or something differs on resume.
    """
    run = Path(settings.out)
    if not is_first_process():
        return
    wanted, file = dump_settings(settings), run / "config.yaml"
    if file.is_file() and not resume:
        raise UserError(f"{run}: already holds a run; add --resume, or choose another out=FOLDER")
    if file.is_file():
        require_same_settings(file, wanted)
        require_same_inputs(run / INPUTS, inputs)
    write_json(run / INPUTS, inputs)
    write_text(file, wanted)


def require_same_settings(file: Path, wanted: str) -> None:
    """Refuse to resume a run with other settings than those of its `config.yaml`.

    Raises:
        UserError: names the first difference.
    """
    pairs = zip_longest(file.read_text(encoding="utf-8").splitlines(), wanted.splitlines(), fillvalue="nothing")
    changed = next((f"'{old.strip()}' was, '{new.strip()}' is" for old, new in pairs if old != new), "")
    if changed:
        raise UserError(f"{file}: differs from the settings given ({changed}); resume with the same settings")


def require_same_inputs(file: Path, inputs: Mapping[str, Any]) -> None:
    """Refuse to resume a run whose data or model are no longer those that it was started from.

    Raises:
        UserError: names what has changed.
    """
    was = read_json(file)
    for name, value in inputs.items():
        if not isinstance(was, dict) or was.get(name) != value:
            before = was.get(name) if isinstance(was, dict) else None
            raise UserError(
                f"{file.parent}: {name} changed since the run was started ({before} was, {value} is); restore it, or train "
                "in another out=FOLDER"
            )


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
        "logging_nan_inf_filter": False,
        "save_strategy": "steps" if settings.save_every else "no",
        "save_steps": settings.save_every or 500,
        "report_to": settings.tracker,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "dataloader_num_workers": settings.workers,
        "dataloader_pin_memory": gpu,
    }


def _summary(settings: TrainSettings, journal: RunJournal) -> dict[str, Any]:
    """Return what was trained, how far, how long, what went wrong on the way, and the last row of the journal."""
    return {
        "model": settings.model,
        "data": settings.data.manifest,
        "protocol": settings.protocol.given(),
        "steps": settings.steps,
        "seed": settings.seed,
        "seconds": round(journal.seconds(), 1),
        "last": journal.rows[-1] if journal.rows else {},
        "collapsed_at": collapsed_at(journal.rows),
        "incidents": Incidents(Path(settings.out)).counts(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")},
    }
