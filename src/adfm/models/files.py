"""Loading from a model folder or hub id: safetensors only, no code from the model, and no missing weights."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adfm.errors import ModelError
from adfm.extensions import extended
from adfm.models.nano import WEIGHTS
from adfm.storage import read_json, sha256_bytes, sha256_file


def resolve(model: str) -> str:
    """Return the folder or hub id that a user's `--model` names; `nano` is the bundled model.

    Raises:
        ModelError: it looks like a folder and is not one, or a folder without a model in it.
    """
    if model == "nano":
        if not (WEIGHTS / "config.json").is_file():
            raise ModelError("nano: its weights are not installed; run `adfm nano build` and give its folder")
        return str(WEIGHTS)
    path = Path(model)
    if path.is_dir():
        if not (path / "config.json").is_file() and not (path / "adapter_config.json").is_file():
            raise ModelError(f"{model}: holds no model (config.json is missing); give the 'final' folder of a run")
        return str(path)
    if path.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ModelError(f"{model}: no such model folder; give a folder, a hub id (owner/name) or 'nano'")
    return model


@contextmanager
def _failing_in_one_line(model: str) -> Iterator[None]:
    """Turn failures of transformers into one line, and keep it quiet meanwhile. Its progress bars stay off."""
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{model}: cannot be loaded ({reason})") from error
    finally:
        transformers_logging.set_verbosity(level)


def load_config(model: str) -> Any:
    """Return a model's configuration (of the base model, for an adapter folder)."""
    from transformers import AutoConfig

    with _failing_in_one_line(model):
        try:
            return AutoConfig.from_pretrained(base_of(model), trust_remote_code=False)
        except ValueError:
            # A type that transformers does not know may be registered by the package that adds its family.
            if not list(extended("adfm.families", {}).values()):
                raise
            return AutoConfig.from_pretrained(base_of(model), trust_remote_code=False)


def load_processor(model: str) -> Any:
    """Return a model's processor with left padding, which generation and training both need.

    Raises:
        ModelError: it cannot be loaded, or has no tokenizer or chat template.
    """
    from transformers import AutoProcessor

    with _failing_in_one_line(model):
        processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
    if not hasattr(processor, "tokenizer") or not getattr(processor, "chat_template", None):
        raise ModelError(f"{model}: its processor has no tokenizer or no chat template; give an instruct model")
    processor.tokenizer.padding_side = "left"
    return processor


def base_of(model: str) -> str:
    """Return the model itself, or the base model that an adapter folder names.

    Raises:
        UserError: the adapter's settings cannot be read or name no base.
    """
    adapter = Path(model) / "adapter_config.json"
    if not adapter.is_file():
        return model
    base = read_json(adapter).get("base_model_name_or_path")
    if not base:
        raise ModelError(f"{adapter}: names no base model (base_model_name_or_path); give a merged model folder")
    return str(base)


def load_weights(model: str, *, dtype: str = "float32", device: str = "cpu") -> Any:
    """Return the model in evaluation mode, an adapter merged into its base.

    Raises:
        ModelError: weights are missing or not safetensors, or the class cannot answer about images.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    base = base_of(model)
    with _failing_in_one_line(model):
        loaded, report = AutoModelForImageTextToText.from_pretrained(
            base,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,  # unset, it asks at a terminal
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(f"{base}: {len(missing)} weights are missing (first: {missing[0]}); the folder is incomplete")
    if base != model:
        from peft import PeftModel

        if not (Path(model) / "adapter_model.safetensors").is_file():
            raise ModelError(f"{model}: adapter_model.safetensors is missing; only safetensors are read")
        with _failing_in_one_line(model):
            loaded = PeftModel.from_pretrained(loaded, model).merge_and_unload()
    return loaded.to(device).eval()


def revision_of(model: str, config: Any) -> str:
    """Return the hub commit of a downloaded model, or for a folder a hash of its weight files (and of its base's)."""
    folder = Path(model)
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None) or "unknown")
    files = [f"{file.name} {sha256_file(file)}" for file in sorted(folder.glob("*.safetensors"))]
    if base_of(model) != model:
        files.append(revision_of(base_of(model), config))
    return "weights-" + sha256_bytes("\n".join(files).encode())[:16]


def quiet_environment() -> None:
    """Silence telemetry, progress noise and deprecation notes of the libraries below, before they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
