"""Low-rank adapters of model folders: read strictly, every weight compared with the base, and merged into it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from adfm.config import Settings, first_fault
from adfm.errors import ModelError
from adfm.models.boundary import third_party
from adfm.models.folder import ADAPTER, ADAPTER_CONFIG, Shapes, read_object, shapes
from adfm.models.trial import tried

PREFIX = "base_model.model."
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,300}")
SILENT = frozenset(
    {
        "auto_mapping",
        "inference_mode",
        "task_type",
        "peft_version",
        "megatron_core",
        "qalora_group_size",
        "runtime_config",
    }
)
"""Settings that say nothing about the merged weights."""
FIX = "give a merged model folder"


class AdapterSettings(Settings):
    """What is read of `adapter_config.json`. Every other setting must be silent or off."""

    model_config = ConfigDict(extra="allow", strict=False)

    peft_type: Literal["LORA"]
    base_model_name_or_path: str = Field(min_length=1, max_length=1000)
    r: int = Field(ge=1, le=4096)
    lora_alpha: float = Field(ge=0, le=1e6)
    lora_dropout: float = Field(0.0, ge=0, le=1)
    use_rslora: bool = False
    bias: Literal["none"] = "none"
    target_modules: str | tuple[str, ...]
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    init_lora_weights: bool | Literal["gaussian", "eva", "orthogonal"] = True
    revision: str | None = None


class Adapter(NamedTuple):
    """An adapter's folder, its settings and the shapes of its weights."""

    folder: Path
    settings: AdapterSettings
    held: Shapes


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's settings and the header of its weights.

    Raises:
        ModelError: no safetensors, or a setting that is not understood.
    """
    file = folder / ADAPTER_CONFIG
    if not (folder / ADAPTER).is_file():
        raise ModelError(f"{folder}: {ADAPTER} is missing; only safetensors are read")
    try:
        settings = AdapterSettings.model_validate(read_object(file))
    except ValidationError as error:
        name, rule, given = first_fault(error)
        raise ModelError(f"{file}: '{name}': {rule} (given: {given}); {FIX}") from error
    for name, value in (settings.model_extra or {}).items():
        if value and name not in SILENT:
            raise ModelError(f"{file}: '{name:.80}': is not understood (given: {str(value)[:80]!r}); {FIX}")
    names = [*(settings.rank_pattern or {}), *(settings.alpha_pattern or {})]
    if not isinstance(settings.target_modules, str):
        names += settings.target_modules
    odd = next((name for name in names if not NAME.fullmatch(name)), None)
    if odd is not None:
        raise ModelError(f"{file}: {odd!r:.80} is no name of a module; {FIX}")
    return Adapter(folder, settings, shapes(folder / ADAPTER))


def merge(weights: Any, adapter: Adapter) -> None:
    """Add an adapter to the weights of its base, in place.

    Raises:
        ModelError: it does not fit the base: weights are missing, left over, or of other shapes.
    """
    import torch
    from safetensors.torch import load_file

    layers = {name: module for name, module in weights.named_modules() if isinstance(module, torch.nn.Linear)}
    chosen = targeted(adapter, layers)
    require_fit(adapter, {name: (layer.in_features, layer.out_features) for name, layer in chosen.items()})
    with third_party(str(adapter.folder)), torch.no_grad():
        values = load_file(adapter.folder / ADAPTER)
        for name, layer in chosen.items():
            down, up = (values[f"{PREFIX}{name}.lora_{side}.weight"].float() for side in "AB")
            update = (up @ down) * scale_of(adapter.settings, name)
            layer.weight += update.to(layer.weight.dtype)


def targeted(adapter: Adapter, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers, by name, that an adapter's settings mean.

    Raises:
        ModelError: a pattern that is none or takes too long.
    """
    targets = adapter.settings.target_modules
    if isinstance(targets, str):
        found = tried(json.dumps({"pattern": targets, "names": list(names)}))
        if "fault" in found:
            raise ModelError(
                f"{adapter.folder / ADAPTER_CONFIG}: 'target_modules': its pattern {found['fault']}; {FIX}"
            )
        return {name: names[name] for name in found["matches"]}
    return {name: layer for name, layer in names.items() if _named(name, targets)}


def _named(module: str, names: Iterable[str]) -> str | None:
    """Return the first of the names that is a module's, or its last parts."""
    return next((name for name in names if f".{module}".endswith(f".{name}")), None)


def scale_of(settings: AdapterSettings, module: str) -> float:
    """Return what the update of a module is multiplied by: alpha over the rank, or over its root."""
    rank, alphas = rank_of(settings, module), settings.alpha_pattern or {}
    alpha = alphas.get(_named(module, alphas) or "", settings.lora_alpha)
    return alpha / (math.sqrt(rank) if settings.use_rslora else rank)


def rank_of(settings: AdapterSettings, module: str) -> int:
    """Return the rank of a module's update."""
    ranks = settings.rank_pattern or {}
    return ranks.get(_named(module, ranks) or "", settings.r)


def require_fit(adapter: Adapter, sides: Mapping[str, tuple[int, int]]) -> None:
    """Compare an adapter's weights with the layers, (inputs, outputs) each, that it should change.

    Raises:
        ModelError: no layer, or weights that are missing, left over or of another shape.
    """
    expected: Shapes = {}
    for name, (inputs, outputs) in sides.items():
        rank = rank_of(adapter.settings, name)
        expected[f"{PREFIX}{name}.lora_A.weight"] = (rank, inputs)
        expected[f"{PREFIX}{name}.lora_B.weight"] = (outputs, rank)
    missing, extra = sorted(set(expected) - set(adapter.held)), sorted(set(adapter.held) - set(expected))
    other = sorted(name for name in set(expected) & set(adapter.held) if expected[name] != adapter.held[name])
    fix = "it is incomplete, or of another base"
    if not expected:
        raise ModelError(f"{adapter.folder}: 'target_modules' names no layer of its base; {fix}")
    for names, fault in ((missing, "are missing"), (extra, "belong to no layer"), (other, "are of another shape")):
        if names:
            raise ModelError(f"{adapter.folder}: {len(names)} weights {fault} (first: {names[0]:.120}); {fix}")
