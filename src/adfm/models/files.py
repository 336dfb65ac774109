"""Loading from a model folder or hub id: safetensors only, no code from the model, and no missing weights."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from adfm.config import is_odd
from adfm.errors import ModelError
from adfm.extensions import extended
from adfm.models.adapter import merge, read_adapter
from adfm.models.boundary import third_party
from adfm.models.folder import (
    ADAPTER_CONFIG,
    CONFIG,
    GENERATION,
    READ,
    TEMPLATE,
    check_folder,
    check_weights,
    read_object,
)
from adfm.models.nano import WEIGHTS
from adfm.models.processor import check_images, try_texts
from adfm.storage import sha256_bytes, sha256_file

SAMPLING = frozenset({"temperature", "top_p", "top_k", "repetition_penalty", "max_length", "max_new_tokens"})
GENERATION_SETTINGS = SAMPLING | frozenset(
    {
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "do_sample",
        "use_cache",
        "transformers_version",
        "_from_model_config",
    }
)
"""What a folder may say about generation: where answers end, and settings that every generation of ours says itself."""


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
    if not model or is_odd(model):
        raise ModelError(f"{model!r:.80}: is no name of a model; give a folder, a hub id (owner/name) or 'nano'")
    if path.is_dir():
        if not (path / CONFIG).is_file() and not (path / ADAPTER_CONFIG).is_file():
            raise ModelError(f"{model}: holds no model (config.json is missing); give the 'final' folder of a run")
        return str(path)
    if path.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ModelError(f"{model}: no such model folder; give a folder, a hub id (owner/name) or 'nano'")
    return model


def copy_of(model: str, *, weights: bool = False) -> Path:
    """Return the checked folder of a model: itself, or the copy of a hub id, downloaded where a hub can be reached.

    Raises:
        ModelError: it cannot be found, or holds what a model folder must not.
    """
    folder = Path(model)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        kinds = [*READ, *(["*.safetensors"] if weights else [])]
        with third_party(model):
            folder = Path(snapshot_download(model, allow_patterns=kinds, ignore_patterns=["*/*"]))
    check_folder(folder)
    return folder


def load_config(model: str) -> Any:
    """Return a model's configuration (of the base model, for an adapter folder).

    Raises:
        ModelError: it cannot be loaded.
    """
    from transformers import AutoConfig

    folder = str(copy_of(base_of(model)))
    with third_party(model):
        try:
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except ValueError:
            # A type that transformers does not know may be registered by the package that adds its family.
            if not list(extended("adfm.families", {}).values()):
                raise
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_processor(model: str) -> Any:
    """Return a model's processor with left padding, which generation and training both need.

    An adapter folder without a tokenizer has that of its base.

    Raises:
        ModelError: it cannot be loaded, lacks a part, or makes of prompts or images what no model reads.
    """
    from transformers import AutoProcessor

    folder = copy_of(model)
    if not (folder / "tokenizer_config.json").is_file():
        folder = copy_of(base_of(model))
    templates = try_texts(folder)
    with third_party(model):
        processor = AutoProcessor.from_pretrained(str(folder), trust_remote_code=False)
    if not hasattr(processor, "tokenizer") or not getattr(processor, "chat_template", None):
        raise ModelError(f"{model}: its processor has no tokenizer or no chat template; give an instruct model")
    if processor.chat_template not in templates:
        raise ModelError(f"{model}: has several chat templates; keep one, in {TEMPLATE}")
    check_images(model, getattr(processor, "image_processor", None))
    processor.tokenizer.padding_side = "left"
    return processor


def base_of(model: str) -> str:
    """Return the model itself, or the base model that an adapter folder names.

    Raises:
        ModelError: the adapter's settings cannot be read, name no base, or one that is an adapter too.
    """
    file = Path(model) / ADAPTER_CONFIG
    if not file.is_file():
        return model
    base = read_object(file).get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise ModelError(f"{file}: names no base model (base_model_name_or_path); give a merged model folder")
    base = resolve(base)
    if (Path(base) / ADAPTER_CONFIG).is_file():
        raise ModelError(f"{file}: its base {base} is an adapter too; give a merged model folder")
    return base


def load_weights(model: str, *, dtype: str = "float32", device: str = "cpu") -> Any:
    """Return the model in evaluation mode, an adapter merged into its base.

    Raises:
        ModelError: weights are missing, left over, of other shapes, not finite or not safetensors; the class cannot
            answer about images; or the device is not there.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    base = base_of(model)
    adapter = read_adapter(copy_of(model)) if base != model else None
    folder, config = copy_of(base, weights=True), load_config(base)
    held = check_weights(folder)
    with third_party(base), torch.device("meta"):  # nothing is allocated
        needed = sum(weight.numel() for weight in AutoModelForImageTextToText.from_config(config).parameters())
    # Missing weights are reported below by name, but only after they were made up.
    if needed > 2 * held:
        raise ModelError(f"{base}: its configuration needs {needed} numbers and its weights hold {held}")
    with third_party(base):
        loaded, report = AutoModelForImageTextToText.from_pretrained(
            str(folder),
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,  # unset, it asks at a terminal
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    for found, fault in (("missing", "are missing"), ("unexpected", "are left over"), ("mismatched", "do not fit")):
        if names := sorted(key if isinstance(key, str) else str(key[0]) for key in report[f"{found}_keys"]):
            raise ModelError(f"{base}: {len(names)} weights {fault} (first: {names[0]:.120}); the folder is not whole")
    for name, value in loaded.generation_config.to_diff_dict().items():
        if value and name not in GENERATION_SETTINGS:
            raise ModelError(f"{folder / GENERATION}: '{name:.80}' would change answers and is not read; remove it")
        if name in SAMPLING and not isinstance(value, (int, float)):
            raise ModelError(f"{folder / GENERATION}: '{name}' must be a number; remove it")
    if adapter:
        merge(loaded, adapter)
    require_finite(model, loaded)
    with third_party(model, f"cannot be used on '{device}'"):
        return loaded.to(device).eval()


def require_finite(model: str, weights: Any) -> None:
    """Refuse weights that are not all finite.

    Raises:
        ModelError: names the first.
    """
    import torch

    for name, weight in weights.state_dict().items():
        # A sum is not finite where a number is not, or where all are huge: only then each is looked at.
        odd = weight.is_floating_point() and not weight.sum(dtype=torch.float32).isfinite()
        if odd and not weight.isfinite().all():
            raise ModelError(f"{model}: weight '{name}' holds numbers that are not finite; give another model")


def revision_of(model: str, config: Any = None) -> str:
    """Return the commit of a hub id, or for a folder a hash of every file that can change an answer, its base's too.

    The commit is taken from the configuration where that was loaded from a hub's cache. Every byte is read.
    """
    folder = Path(model)
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None) or copy_of(model).name)
    found = [path for path in folder.iterdir() if path.name in READ or path.suffix == ".safetensors"]
    parts = [f"{path.name} {sha256_file(path)}" for path in sorted(found)]
    if base_of(model) != model:
        parts.append(revision_of(base_of(model), config))
    return "model-" + sha256_bytes("\n".join(parts).encode())[:16]


def quiet_environment() -> None:
    """Silence telemetry, progress noise and deprecation notes of the libraries below, before they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
