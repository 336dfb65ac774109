"""What a model folder may hold, checked before anything is built: regular files inside it, bounded JSON, whole weights."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from adfm.errors import ModelError

MIB = 1 << 20
WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
CONFIG, ADAPTER_CONFIG, GENERATION = "config.json", "adapter_config.json", "generation_config.json"
TOKENIZER, TEMPLATE = "tokenizer.json", "chat_template.jinja"
SETTINGS: Mapping[str, int] = {
    CONFIG: MIB,
    ADAPTER_CONFIG: MIB,
    GENERATION: MIB,
    INDEX: 16 * MIB,
    "preprocessor_config.json": MIB,
    "video_preprocessor_config.json": MIB,
    "processor_config.json": MIB,
    "chat_template.json": MIB,
    "tokenizer_config.json": 4 * MIB,
    "special_tokens_map.json": MIB,
    "added_tokens.json": 4 * MIB,
}
"""JSON objects that are read, and their largest size in bytes."""
TEXTS: Mapping[str, int] = {
    TEMPLATE: MIB >> 4,
    TOKENIZER: 64 * MIB,
    "vocab.json": 16 * MIB,
    "vocab.txt": 16 * MIB,
    "merges.txt": 16 * MIB,
    "tokenizer.model": 16 * MIB,
    "adfm.json": MIB,
}
"""Other files that are read, and their largest size in bytes."""
READ: Mapping[str, int] = {**SETTINGS, **TEXTS}
FOREIGN = {
    "auto_map": "code of a model never runs",
    "quantization_config": "quantised weights are not read",
    "transformers_weights": "weights under other names are not read",
}
"""Settings that are refused wherever they say something, and why."""
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3")
"""Kinds of attention that a folder may ask for. Any other name may be code from a hub."""
LARGEST, MOST = 1 << 31, 4096
"""The largest number in a configuration, and the most of what is counted there."""
COUNTED = re.compile(r"layers|depth|blocks|experts|num_labels")
STACKED = ("num_hidden_layers", "depth", "num_layers")
"""Counts of layers, each of which has weights of its own."""
MAX_HEADER = 16 * MIB
DTYPES = ("F64", "F32", "F16", "BF16")
Shapes = dict[str, tuple[int, ...]]
"""Name of a weight -> its shape."""


def check_folder(folder: Path) -> None:
    """Check what is in a folder before a library opens any of it.

    Raises:
        ModelError: a file that is none, that leaves the folder or is too large, settings that ask for code, numbers that
            no model has.
    """
    root = root_of(folder)
    for path in sorted(folder.iterdir()):
        if not Path(os.path.realpath(path)).is_relative_to(root):  # `resolve` fails on a loop of links
            raise ModelError(f"{path}: is a link out of the folder; put the file itself there")
        if not path.is_dir() and not path.is_file():
            raise ModelError(f"{path}: is not a regular file; remove it")
        limit = READ.get(path.name)
        if limit and path.stat().st_size > limit:
            raise ModelError(f"{path}: is larger than it can be ({limit >> 10} KiB)")
    if (folder / "additional_chat_templates").exists():
        raise ModelError(f"{folder / 'additional_chat_templates'}: is not read; keep {TEMPLATE} alone")
    for name in SETTINGS:
        if name != INDEX and (folder / name).is_file():
            check_settings(folder / name, read_object(folder / name))


def root_of(folder: Path) -> Path:
    """Return the folder that a model's files must not leave. A snapshot of a hub's cache links into its repository."""
    real = folder.resolve()
    if real.parent.name == "snapshots" and real.parent.parent.name.startswith("models--"):
        return real.parent.parent
    return real


def read_bytes(path: Path, limit: int) -> bytes:
    """Return a file's bytes. A pipe or a device is never waited for.

    Raises:
        ModelError: missing, not a regular file, over `limit` bytes, or not readable.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ModelError(f"{path}: is not a regular file; remove it")
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > limit:
        raise ModelError(f"{path}: is larger than it can be ({limit >> 10} KiB)")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in one of the `SETTINGS`.

    Raises:
        ModelError: not readable, no JSON object, or a number that is not finite.
    """

    def refuse(number: str) -> NoReturn:
        raise ValueError(f"{number} is no number")

    try:
        value = json.loads(read_bytes(path, SETTINGS[path.name]), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not valid JSON ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: must hold a JSON object")
    return value


def _walk(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value inside JSON with its dotted place."""
    yield place, value
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _walk(inner, f"{place}.{key}".lstrip("."))


def check_settings(file: Path, settings: dict[str, Any]) -> None:
    """Refuse settings that ask for code or for other weights, and numbers that no model has.

    Raises:
        ModelError: names the file, the setting and the rule.
    """
    for place, value in _walk(settings):
        name = place.rpartition(".")[2]
        if name in FOREIGN and value:
            raise ModelError(f"{file}: '{place}': {FOREIGN[name]}; remove it, or give another model")
        if name.removeprefix("_") == "attn_implementation" and value not in (None, *ATTENTION):
            raise ModelError(f"{file}: '{place}': {value!r:.80} is not one of {', '.join(ATTENTION)}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            most = MOST if file.name == CONFIG and COUNTED.search(name) else LARGEST
            if not math.isfinite(value) or abs(value) > most:
                raise ModelError(f"{file}: '{place}' is over {most}, which no model has")
        if file.name == CONFIG and isinstance(value, list) and len(value) > MOST:
            raise ModelError(f"{file}: '{place}' is a list of over {MOST}, which no model has")


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a whole model: the one, or those that its index names.

    Raises:
        ModelError: none, or an index that is broken, leaves the folder, or names files or weights that are not there.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if not index.is_file():
        raise ModelError(f"{folder}: holds no {WEIGHTS}; only safetensors are read")
    listed = read_object(index).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()) or not listed:
        raise ModelError(f"{index}: must map weights to files in 'weight_map'")
    names = sorted(set(listed.values()))
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise ModelError(f"{index}: names {name!r:.80}, which is no safetensors file in this folder")
        if not (folder / name).is_file():
            raise ModelError(f"{index}: names {name!r:.80}, which is missing; the folder is incomplete")
    held = {name: set(shapes(folder / name)) for name in names}
    wrong = sorted({weight for weight, name in listed.items() if weight not in held[name]})
    wrong += sorted({weight for weights in held.values() for weight in weights} - set(listed))
    if wrong:
        raise ModelError(f"{index}: and the files differ on {len(wrong)} weights (first: {wrong[0]!r:.120})")
    return [folder / name for name in names]


def shapes(file: Path) -> Shapes:
    """Return the shape of every weight in a safetensors file, from its header alone.

    Raises:
        ModelError: damaged, a header that is too large, or weights that are no plain numbers.
    """
    from safetensors import SafetensorError, safe_open

    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
    if size > MAX_HEADER:
        raise ModelError(f"{file}: its header is over {MAX_HEADER >> 20} MiB")
    found: Shapes = {}
    try:
        with safe_open(file, "numpy") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dictionary
                weight = opened.get_slice(name)
                if weight.get_dtype() not in DTYPES:
                    raise ModelError(
                        f"{file}: '{name:.120}' is of type {weight.get_dtype()}; give an unquantised model"
                    )
                found[name] = tuple(weight.get_shape())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: is damaged ({' '.join(str(error).split())[:120]})") from error
    return found


def check_weights(folder: Path) -> int:
    """Check the headers of a whole model's weights against its configuration. Return how many numbers they hold.

    Raises:
        ModelError: damaged or missing files, or more layers than there are weights.
    """
    held = [shape for file in weight_files(folder) for shape in shapes(file).values()]
    for place, value in _walk(read_object(folder / CONFIG)):
        if place.rpartition(".")[2] in STACKED and isinstance(value, int) and value > len(held):
            raise ModelError(f"{folder / CONFIG}: '{place}' is {value}, and there are {len(held)} weights")
    return sum(map(math.prod, held))
