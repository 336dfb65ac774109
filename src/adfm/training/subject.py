"""The model that a run trains: what is loaded, frozen, adapted and saved.

Under a launcher with several processes only the first one writes files.
"""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, PeftModel

from adfm.config import dump_settings
from adfm.data.manifest import Manifest
from adfm.errors import ConfigError, ModelError, WriteError, nearest
from adfm.geometry import FrameOf
from adfm.models.card import ModelCard, TrainedOn, protocol_of, write_card
from adfm.models.device import best_device
from adfm.models.families import Family, family_of
from adfm.models.files import load_config, load_processor, load_weights, quiet_environment, resolve
from adfm.models.local import LocalModel
from adfm.reasoning import Protocol, ProtocolFlags
from adfm.reasoning.tasks import task_named
from adfm.storage import STAGING, sha256_bytes
from adfm.training.engine import publish_folder, require_finite_weights, saving
from adfm.training.settings import LoraSettings, T, TrainSettings

TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}
"""The packages of which each tracker needs one."""


class Subject(NamedTuple):
    """A model to train, its processor, the frame of its boxes, its family and the protocol it is trained for."""

    weights: Any
    processor: Any
    frame_of: FrameOf
    family: Family
    protocol: Protocol


def resolved(settings: T) -> T:
    """Return the settings with the whole protocol filled in: the start model's, changed by what the settings say.

    Raises:
        UserError: the model cannot be found, or its task is not known.
    """
    protocol = protocol_of(settings.model).with_flags(settings.protocol)
    task_named(protocol.task)
    return settings.model_copy(update={"protocol": ProtocolFlags(**protocol.model_dump())})


def load_subject(settings: TrainSettings) -> Subject:
    """Load the model and processor to train, limit its images and freeze what the settings say.

    Raises:
        ModelError: not found, incomplete, or of a family that is not known.
        ConfigError: the family cannot do what a setting asks, or a package for it is not installed.
    """
    quiet_environment()
    require_installed(settings)
    folder = resolve(settings.model)
    family = family_of(load_config(folder).model_type)
    processor = load_processor(folder)
    # Prompts and answers would be misaligned silently.
    side = processor.tokenizer.padding_side
    if side != "left":
        raise ModelError(f"{settings.model}: the tokenizer pads on the {side}, not the left")
    family.limit_pixels(processor, settings.data.max_pixels)
    weights = load_weights(folder, dtype="float32", device="cpu")
    if settings.freeze_vision or settings.lora:
        for parameter in family.tower_of(weights).parameters():
            parameter.requires_grad_(False)
    if settings.lora:
        require_targets(settings.lora, family, weights)
    LocalModel(settings.model, weights, processor, revision="").rehearse()
    protocol = protocol_of(folder).with_flags(settings.protocol)
    return Subject(weights, processor, family.frame_rule(processor), family, protocol)


def require_targets(lora: LoraSettings, family: Family, weights: Any) -> None:
    """Check that every target of an adapter is a projection of the language model.

    Raises:
        ConfigError: names the first that is not, and the nearest that is.
    """
    layers = [name for name, module in weights.named_modules() if isinstance(module, torch.nn.Linear)]
    inside = [name for name in layers if f".{family.decoder}." in f".{name}"]
    known = sorted({name.rpartition(".")[2] for name in inside})
    for target in lora.targets or family.lora_targets:
        if not any(re.fullmatch(family.lora_pattern([target]), name) for name in layers):
            raise ConfigError(
                f"setting 'lora.targets': the model has no projection '{target}'{nearest(target, known)}; "
                f"it has {', '.join(known)}"
            )


def require_installed(settings: TrainSettings) -> None:
    """Check that what the settings name is installed and that this machine has what it needs.

    Raises:
        ConfigError: names the setting and the package.
    """
    tracker = settings.tracker
    if tracker != "none" and not any(map(find_spec, TRACKERS[tracker])):
        raise ConfigError(
            f"setting 'tracker': {tracker} is not installed; run `pip install {tracker}`, or set tracker=none"
        )
    if getattr(settings, "vllm", None) is not None:
        if find_spec("vllm") is None:
            raise ConfigError("setting 'vllm': vLLM is not installed; run `pip install vllm`, or set vllm=null")
        if best_device() != "cuda":
            raise ConfigError("setting 'vllm': needs a GPU; set vllm=null")


def lora_config(settings: TrainSettings, family: Family) -> Any:
    """Return the configuration of an adapter on the language model, or None."""
    if settings.lora is None:
        return None
    lora = settings.lora
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=family.lora_pattern(lora.targets or family.lora_targets),
        task_type="CAUSAL_LM",
    )


def is_first_process() -> bool:
    """Whether this process writes the run's files: the only one, or the launcher's number 0."""
    return os.environ.get("RANK", "0") == "0"


def save_final(run: Path, weights: Any, subject: Subject, settings: TrainSettings, manifest: Manifest | None) -> Path:
    """Write `final/`: the model (an adapter merged), its processor and its card. Two lines of transformers load it.

    `manifest` is what was trained on, None where that is no manifest.

    Raises:
        NotFiniteError: a weight is not finite, perhaps only once the adapter was merged.
        WriteError: it cannot be written.
    """
    trained_on = TrainedOn(
        manifest_sha256=manifest.sha256 if manifest else None,
        recipe_sha256=sha256_bytes(dump_settings(settings).encode()),
        seed=settings.seed,
        start=settings.model,
        white=manifest.white if manifest else None,
    )
    merged = weights.merge_and_unload() if isinstance(weights, PeftModel) else weights
    require_finite_weights("the final model", merged)
    card = ModelCard(protocol=subject.protocol, trained_on=trained_on)
    save_model(run / "final", merged, subject.processor, card)
    return run / "final"


def save_model(folder: Path, weights: Any, processor: Any, card: ModelCard) -> None:
    """Write a model to a folder as safetensors and JSON. What was there is replaced only by a complete model.

    Raises:
        WriteError: it cannot be written.
    """
    if not is_first_process():
        return
    staging = folder.with_name(f".{folder.name}{STAGING}")
    try:
        with saving(folder):
            shutil.rmtree(staging, ignore_errors=True)
            weights.save_pretrained(staging)
            processor.save_pretrained(staging)
            write_card(staging, card)
            publish_folder(staged=staging, folder=folder)
    except WriteError:
        shutil.rmtree(staging, ignore_errors=True)  # it would take the room that the next attempt needs
        raise
