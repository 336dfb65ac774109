"""What SFT and GRPO do alike: run folder, the model to train, the engine's arguments, the journal, the final model.

Under a launcher with several processes only the first one writes files.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import time
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from adfm.config import dump_settings
from adfm.data.manifest import Manifest, read_manifest
from adfm.errors import ConfigError, ModelError, UserError
from adfm.models.files import best_device, load_config, load_processor, load_weights, quiet_environment, resolve
from adfm.models.frames import FrameOf, frame_rule
from adfm.storage import Journal, read_jsonl, sync_folder, sync_tree, write_json, write_jsonl, write_text
from adfm.training.settings import TrainSettings

Progress = Callable[[int, int, dict[str, float]], None]
"""(step, steps, quantities) after every optimizer step."""
VISION_NAMES = (".visual.", ".vision_tower.", ".vision_model.")


class Subject(NamedTuple):
    """The model that a run trains, its processor and the frame it writes boxes in."""

    weights: Any
    processor: Any
    frame_of: FrameOf


def load_subject(settings: TrainSettings) -> Subject:
    """Load the model and processor to train.

    Raises:
        ModelError: not found, incomplete, or of a family whose box units are not known.
    """
    quiet_environment()
    folder = resolve(settings.model)
    processor = load_processor(folder)
    limit_pixels(processor, settings.data.max_pixels)
    frame_of = frame_rule(load_config(folder).model_type, processor)
    weights = load_weights(folder, dtype="float32", device="cpu")
    if settings.freeze_vision or settings.lora:
        freeze_vision(weights)
    return Subject(weights, processor, frame_of)


def limit_pixels(processor: Any, most: int) -> None:
    """Let the processor resize pictures to at most `most` pixels (0: its own limit); it is saved with the model.

    So evaluation, inspection and vLLM see pictures as training does.
    """
    pictures = processor.image_processor
    if most:
        pictures.size = {"shortest_edge": min(pictures.size["shortest_edge"], most), "longest_edge": most}


def freeze_vision(weights: Any) -> None:
    """Stop training the vision tower.

    Raises:
        ModelError: no weight looks like a vision tower's; it would be trained without a word.
    """
    tower = [parameter for name, parameter in weights.named_parameters() if any(part in name for part in VISION_NAMES)]
    if not tower:
        raise ModelError(f"model type '{weights.config.model_type}': no vision tower was found to freeze")
    for parameter in tower:
        parameter.requires_grad_(False)


def require_left_padding(processor: Any) -> None:
    """Refuse a processor that pads on the right: prompts and answers would be misaligned without a word.

    Raises:
        ModelError: it does.
    """
    side = processor.tokenizer.padding_side
    if side != "left":
        raise ModelError(f"the tokenizer pads on the {side}; set padding_side to left, as load_processor does")


def lora_config(settings: TrainSettings) -> Any:
    """Return the adapter's configuration, on the language model only, or None."""
    if settings.lora is None:
        return None
    from peft import LoraConfig

    lora = settings.lora
    targets = r".*language_model.*\.(" + "|".join(lora.targets) + ")"
    return LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )


def training_manifest(settings: TrainSettings) -> Manifest:
    """Read the manifest and keep its train split.

    Raises:
        ConfigError: no manifest is named.
        DataError: it cannot be read, or has no train split.
    """
    if not settings.data.manifest:
        raise ConfigError("setting 'data.manifest' is empty; give data.manifest=FOLDER made by `adfm data build`")
    return read_manifest(Path(settings.data.manifest)).only("train")


def open_run(settings: TrainSettings, *, resume: bool) -> Path:
    """Make the run folder and write the resolved settings, or check that a resumed run has the same ones.

    Raises:
        UserError: the folder holds another run, or the settings differ on resume.
    """
    run = Path(settings.out)
    if not is_first_process():
        return run
    resolved = dump_settings(settings)
    file = run / "config.yaml"
    if resume:
        if not file.is_file():
            raise UserError(f"{run}: holds no run to resume (config.yaml is missing)")
        changed = differing_lines(file.read_text(encoding="utf-8"), resolved)
        if changed:
            raise UserError(f"{file}: differs from the settings given ({changed}); resume with the same settings")
    elif file.is_file():
        raise UserError(f"{run}: already holds a run; add --resume, or choose another out=FOLDER")
    write_text(file, resolved)
    return run


def is_first_process() -> bool:
    """Whether this process writes the run's files: the only one, or the launcher's number 0."""
    return os.environ.get("RANK", "0") == "0"


def differing_lines(old: str, new: str) -> str:
    """Return the first line that two settings files do not share, or an empty text."""
    pairs = zip_longest(old.splitlines(), new.splitlines(), fillvalue="nothing")
    return next((f"'{a.strip()}' was, '{b.strip()}' is" for a, b in pairs if a != b), "")


def engine_arguments(settings: TrainSettings, run: Path) -> dict[str, Any]:
    """Return the arguments that TRL's SFT and GRPO configurations share."""
    gpu = best_device() == "cuda"
    return {
        "output_dir": str(run),
        "seed": settings.seed,
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": gpu,
        "use_cpu": not gpu,
        "logging_steps": 1,
        "logging_strategy": "steps",
        "save_strategy": "steps" if settings.save_every else "no",
        "save_steps": settings.save_every or 500,
        "report_to": settings.tracker,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "dataloader_num_workers": settings.workers,
        "dataloader_pin_memory": gpu,
    }


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch; the engine's own seeding comes later than the first draws."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def use_threads(count: int) -> None:
    """Set torch's threads; 0 keeps its default. Two collapse whenever anything else runs on a small machine."""
    import torch

    if count:
        torch.set_num_threads(count)


class RunJournal:
    """`metrics.jsonl`, the same for the same seed, and beside it `timings.jsonl` with the seconds, which never are.

    The seconds of a resumed run go on from those of its checkpoint. `rows` are those of the run so far.
    """

    def __init__(self, run: Path, *, resumed_at: int, steps: int, progress: Progress | None) -> None:
        self._steps, self._progress = steps, progress
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

    def receive(self, step: int, quantities: dict[str, float]) -> None:
        """Append one row and report progress; a quantity that is no finite number is left out."""
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
    """Cut a journal back to the checkpoint's step, because later rows will be written again; return what is left."""
    if not last or not path.exists():
        return []
    rows = [row for row in read_jsonl(path, torn_tail=True) if row["step"] <= last]
    write_jsonl(path, rows)
    return rows


def save_final(run: Path, weights: Any, processor: Any) -> Path:
    """Write `final/`: the model (an adapter merged) and its processor, loadable with two lines of transformers."""
    from peft import PeftModel

    final = run / "final"
    merged = weights.merge_and_unload() if isinstance(weights, PeftModel) else weights
    save_model(final, merged, processor)
    return final


def save_model(folder: Path, weights: Any, processor: Any) -> None:
    """Write model and processor to a folder as safetensors and JSON, replacing what was there only when it is whole."""
    if not is_first_process():
        return
    staging = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    weights.save_pretrained(staging)
    processor.save_pretrained(staging)
    sync_tree(staging)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    sync_folder(folder.parent)


def write_summary(run: Path, settings: TrainSettings, rows: list[dict[str, Any]], seconds: float) -> None:
    """Write `summary.json`: what was trained, how far, how long, and the last row of the journal."""
    from importlib.metadata import version

    if not is_first_process():
        return
    write_json(
        run / "summary.json",
        {
            "model": settings.model,
            "data": settings.data.manifest,
            "steps": settings.steps,
            "seed": settings.seed,
            "seconds": round(seconds, 1),
            "last": rows[-1] if rows else {},
            "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")},
        },
    )
