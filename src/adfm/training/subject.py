"""The model that a run trains: what is loaded, frozen, adapted and saved.

Under a launcher with several processes only the first one writes files.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig, PeftModel

from adfm.config import dump_settings
from adfm.data.manifest import Manifest
from adfm.errors import ModelError
from adfm.geometry import FrameOf
from adfm.models.card import ModelCard, TrainedOn, protocol_of, write_card
from adfm.models.families import Family, family_of
from adfm.models.files import load_config, load_processor, load_weights, quiet_environment, resolve
from adfm.reasoning import Protocol, ProtocolFlags
from adfm.storage import sha256_bytes, sync_folder, sync_tree
from adfm.training.settings import T, TrainSettings


class Subject(NamedTuple):
    """A model to train, its processor, the frame of its boxes, its family and the protocol it is trained for."""

    weights: Any
    processor: Any
    frame_of: FrameOf
    family: Family
    protocol: Protocol


def resolved(settings: T) -> T:
    """Return the settings with the whole protocol filled in: the start model's, changed by what the settings say."""
    protocol = protocol_of(settings.model).with_flags(settings.protocol)
    return settings.model_copy(update={"protocol": ProtocolFlags(**protocol.model_dump())})


def load_subject(settings: TrainSettings) -> Subject:
    """Load the model and processor to train, limit its images and freeze what the settings say.

    Raises:
        ModelError: not found, incomplete, or of a family that is not known.
        ConfigError: the family cannot do what a setting asks.
    """
    quiet_environment()
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
    protocol = protocol_of(folder).with_flags(settings.protocol)
    return Subject(weights, processor, family.frame_rule(processor), family, protocol)


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
    """
    trained_on = TrainedOn(
        manifest_sha256=manifest.sha256 if manifest else None,
        recipe_sha256=sha256_bytes(dump_settings(settings).encode()),
        seed=settings.seed,
        start=settings.model,
        white=manifest.white if manifest else None,
    )
    merged = weights.merge_and_unload() if isinstance(weights, PeftModel) else weights
    card = ModelCard(protocol=subject.protocol, trained_on=trained_on)
    save_model(run / "final", merged, subject.processor, card)
    return run / "final"


def save_model(folder: Path, weights: Any, processor: Any, card: ModelCard) -> None:
    """Write a model to a folder as safetensors and JSON. What was there is replaced only by a complete model."""
    if not is_first_process():
        return
    staging = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    weights.save_pretrained(staging)
    processor.save_pretrained(staging)
    write_card(staging, card)
    sync_tree(staging)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    sync_folder(folder.parent)
