"""The repairs that both trainers need: checkpoints published whole, exact weights, epochs in their own order.

Each repairs a reproduced fault of the engine (docs/engine.md) at one small method. Nothing of the engine is copied.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PrinterCallback
from trl.trainer.utils import RepeatSampler

from adfm.errors import ModelError, UserError
from adfm.storage import sync_folder, sync_tree

STAGING = ".staging"
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

    The newest `keep_checkpoints` of them stay.
    """

    def __init__(self, *args: Any, keep_checkpoints: int = 2, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep_checkpoints = keep_checkpoints
        self.remove_callback(PrinterCallback)

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002 - the engine's signature
        """Return a staging folder that no reader looks into: the engine writes in place."""
        return str(Path(self.args.output_dir) / "checkpoints" / STAGING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            step, staging = self.state.global_step, Path(self._get_output_dir(trial))
            publish_checkpoint(staging / f"checkpoint-{step}", staging.parent, step, self.keep_checkpoints)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Restore a full model through `from_pretrained`, which knows the renamed keys. Anything missing is an error.

        The engine's raw, non-strict load leaves a Qwen2.5-VL at its *initial* weights without failing.
        """
        target = self.model if model is None else model
        if isinstance(target, PeftModel) or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        load_exactly(target, resume_from_checkpoint)


def load_exactly(target: Any, folder: str) -> None:
    """Copy the weights of a checkpoint folder into `target`, name by name.

    Raises:
        ModelError: the folder lacks a weight that the model has.
    """
    dtype = next(target.parameters()).dtype
    saved, report = type(target).from_pretrained(folder, dtype=dtype, use_safetensors=True, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing (first: {missing[0]}); resume from another checkpoint"
        )
    with torch.no_grad():
        target.load_state_dict(saved.state_dict(), strict=True)


def publish_checkpoint(staged: Path, checkpoints: Path, step: int, keep: int) -> None:
    """Flush a staged checkpoint, rename it to `step-N` and remove the oldest beyond `keep`."""
    sync_tree(staged)
    final = checkpoints / f"step-{step}"
    shutil.rmtree(final, ignore_errors=True)
    staged.rename(final)
    sync_folder(checkpoints)
    for old in list_checkpoints(checkpoints)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """Return the published checkpoints, oldest first."""
    steps = [path for path in checkpoints.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(steps, key=lambda path: int(path.name.removeprefix("step-")))


def newest_checkpoint(run: Path) -> Path:
    """Return the checkpoint that `--resume` continues from, and remove what a killed save left behind.

    Raises:
        UserError: the run has none.
    """
    shutil.rmtree(run / "checkpoints" / STAGING, ignore_errors=True)
    checkpoints = list_checkpoints(run / "checkpoints")
    if not checkpoints:
        raise UserError(f"{run}: has no checkpoint to resume from; remove it and start again (with save_every set)")
    return checkpoints[-1]
