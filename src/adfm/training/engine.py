"""The repairs that both trainers need: checkpoints published whole, exact weights, epochs in their own order, finite numbers.

Each repairs a reproduced fault of the engine (docs/engine.md) at one small method. Nothing of the engine is copied.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.utils import RepeatSampler

from adfm.errors import DataError, ModelError, NotFiniteError, WriteError
from adfm.storage import STAGING, read_json, staging_of, sync_folder, sync_tree, write_json
from adfm.training.stopping import StopRequest

CONTENTS = "contents.json"
"""The list of a checkpoint's files. One that lacks a file of its list is not loaded."""
Engine: Any = object
"""The base of a mix-in for a trainer. The type checker takes it for the trainer, whose attributes are not typed."""


class EpochSampler(RepeatSampler):  # type: ignore[misc]
    """TRL's sampler, reseeded by seed + epoch: a resumed run sees the order that an uninterrupted one would.

    The engine's own keeps one generator, so a run resumed after epoch 0 replays epoch 0's order.
    """

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader at the start of each epoch, also when it resumes inside one."""
        if self.shuffle:
            self.generator.manual_seed((self.seed or 0) + epoch)


class DurableRun(Engine):  # type: ignore[misc]
    """A mix-in before a `Trainer`: checkpoints appear as `checkpoints/step-N` only when complete, and load exactly.

    The newest `keep_checkpoints` of them stay. A loss or gradient that is not finite raises `NotFiniteError`.
    """

    def __init__(self, *args: Any, keep_checkpoints: int = 2, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep_checkpoints = keep_checkpoints
        self.remove_callback(PrinterCallback)

    def batch_rows(self) -> list[dict[str, Any]]:
        """Return what the step under way learns from: sample ids, prompts and answers."""
        return []

    def cycle(self) -> int:
        """Return how many optimizer steps share one batch. A run cannot be resumed exactly between two of them."""
        return 1

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Compute the loss and its gradient. The engine would replace a loss that is not finite by the mean of those before."""
        step = self.state.global_step + 1
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        except NotFiniteError as error:  # of a reward, which knows no steps
            raise NotFiniteError(f"step {step}: {error}") from error
        require_finite(step, "the loss", loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        require_finite(self.state.global_step + 1, "the norm of the gradient", norm)
        return norm

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002 - the engine's signature
        """Return a staging folder that no reader looks into: the engine writes in place."""
        return str(Path(self.args.output_dir) / "checkpoints" / f".checkpoint{STAGING}")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step, staging = self.state.global_step, Path(self._get_output_dir(trial))
        try:
            with saving(staging.parent / f"step-{step}"):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()  # each process writes a random state of its own
                if self.args.should_save:
                    staged = staging / f"checkpoint-{step}"
                    list_contents(staged, self._needed())
                    publish_checkpoint(staged, staging.parent, step, self.keep_checkpoints)
                    shutil.rmtree(staging, ignore_errors=True)
                self.accelerator.wait_for_everyone()
        except WriteError:
            shutil.rmtree(staging, ignore_errors=True)  # it would take the room that the next attempt needs
            raise

    def _needed(self) -> list[str]:
        """Return the files without which a resume is not exact. Sharded weights and optimizers have names of their own."""
        processes = self.accelerator.num_processes
        states = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else ["rng_state.pth"]
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        return ["trainer_state.json", "scheduler.pt", *states, *([] if sharded else ["optimizer.pt"])]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Restore a full model through `from_pretrained`, which knows the renamed keys. Anything missing is an error.

        The engine's raw, non-strict load leaves a Qwen2.5-VL at its *initial* weights without failing.
        """
        target = self.model if model is None else model
        if isinstance(target, PeftModel) or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            with loading(resume_from_checkpoint):
                super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        load_exactly(target, resume_from_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with loading(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with loading(checkpoint):
            super()._load_rng_state(checkpoint)


class StepRules(TrainerCallback):  # type: ignore[misc]
    """What holds at the end of a step: weights are finite, checkpoints fall between batches, and a stop is obeyed."""

    def __init__(self, trainer: DurableRun, stop: StopRequest) -> None:
        self._trainer, self._stop, self._owed = trainer, stop, False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the engine's signature
        """Called after the optimizer's step, before it is logged and saved.

        Raises:
            NotFiniteError: a weight is not finite.
        """
        require_finite_weights(f"step {state.global_step}", self._trainer.model)
        between = state.global_step % self._trainer.cycle() == 0 or state.global_step >= state.max_steps
        stop = self._stop.agreed()
        self._owed = self._owed or control.should_save or stop
        control.should_save = self._owed and between
        control.should_training_stop = control.should_training_stop or (stop and between)
        if control.should_save:
            self._owed = False


def require_finite(step: int, what: str, value: Any) -> None:
    """Refuse a number, or a tensor of one number, that is not finite.

    Raises:
        NotFiniteError: names the step.
    """
    if value is not None and not math.isfinite(float(value)):
        raise NotFiniteError(f"step {step}: {what} is {float(value)}")


def require_finite_weights(when: str, model: Any) -> None:
    """Refuse a model with a weight that is not finite.

    Raises:
        NotFiniteError: names the first such weight, after `when`.
    """
    weights = list(model.named_parameters())
    finite = torch.stack([weight.detach().isfinite().all() for _, weight in weights]).tolist()
    if not all(finite):
        raise NotFiniteError(f"{when}: the weight {weights[finite.index(False)][0]} is not finite")


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn what the libraries raise when they cannot write `path` into one line.

    Raises:
        WriteError: an OSError, or what torch and safetensors raise instead.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WriteError(
            f"{path}: cannot be written ({_short(error)}); make room there and resume with --resume"
        ) from error


@contextmanager
def loading(checkpoint: str | None) -> Iterator[None]:
    """Turn the failure to read a checkpoint into one line.

    Raises:
        ModelError: anything was raised.
    """
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {_short(error)}"
        raise ModelError(f"{checkpoint}: cannot be loaded ({reason}); remove it to resume from an older one") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def load_exactly(target: Any, folder: str) -> None:
    """Copy the weights of a checkpoint folder into `target`, name by name.

    Raises:
        ModelError: the folder cannot be read, or lacks a weight that the model has.
    """
    dtype = next(target.parameters()).dtype
    with loading(folder):
        saved, report = type(target).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing (first: {missing[0]}); resume from another checkpoint"
        )
    with torch.no_grad():
        target.load_state_dict(saved.state_dict(), strict=True)


def list_contents(staged: Path, needed: list[str]) -> None:
    """Write `contents.json`, the names and sizes of a staged checkpoint's files. `needed` must be among them."""
    files = {path.relative_to(staged).as_posix(): path.stat().st_size for path in staged.rglob("*") if path.is_file()}
    missing = [name for name in needed if name not in files]
    assert not missing, f"the engine did not save {', '.join(missing)}"
    write_json(staged / CONTENTS, {"files": dict(sorted(files.items()))})


def require_complete(checkpoint: Path) -> None:
    """Refuse a checkpoint that lacks a file of its list, or holds one of another size.

    Raises:
        ModelError: names the first such file, or the list where it cannot be read.
    """
    sizes: dict[str, int | None] = {CONTENTS: None, **_listed(checkpoint / CONTENTS)}
    for name, size in sizes.items():
        file = checkpoint / name
        if not file.is_file() or size not in (None, file.stat().st_size):
            fault = "is not the one that was saved" if file.is_file() else "is missing"
            raise ModelError(
                f"{checkpoint}: is incomplete ({name} {fault}); remove it to resume from an older one, or start over without any"
            )


def _listed(file: Path) -> dict[str, int]:
    """Return the names and sizes of a list. One that is damaged is a file of another size."""
    try:
        return dict(read_json(file)["files"])
    except (DataError, TypeError, KeyError, ValueError):
        return {CONTENTS: -1}


def publish_folder(staged: Path, folder: Path) -> None:
    """Flush a finished folder and rename it to `folder`, in the place of what was there."""
    sync_tree(staged)
    remove_folder(folder)
    staged.rename(folder)
    sync_folder(folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder under another name, so that a kill never leaves half of it under its own."""
    if folder.exists():
        gone = staging_of(folder)
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def publish_checkpoint(staged: Path, checkpoints: Path, step: int, keep: int) -> None:
    """Publish a staged checkpoint as `step-N` and remove the oldest beyond `keep`."""
    publish_folder(staged, checkpoints / f"step-{step}")
    for old in list_checkpoints(checkpoints)[:-keep]:
        remove_folder(old)


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """Return the published checkpoints, oldest first."""
    steps = [path for path in checkpoints.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(steps, key=lambda path: int(path.name.removeprefix("step-")))


def newest_checkpoint(run: Path) -> Path | None:
    """Return the checkpoint that `--resume` continues from, or None where the run has none yet.

    Raises:
        UserError: it is not complete.
    """
    checkpoints = list_checkpoints(run / "checkpoints")
    if not checkpoints:
        return None
    require_complete(checkpoints[-1])
    return checkpoints[-1]
