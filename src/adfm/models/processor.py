"""A model's processor: what it makes of prompts is tried in a process of its own, what it makes of images has limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from adfm.errors import ModelError
from adfm.models.folder import SETTINGS, TEMPLATE, TEXTS, TOKENIZER, read_bytes, read_object
from adfm.models.trial import tried
from adfm.storage import sha256_file

MOST_PIXELS = 1 << 27
"""An image after resizing. A family's own limit is below 2^24."""
LEAST_PIXELS = 1 << 22
"""The largest area to which small images may be enlarged."""


def chats() -> list[dict[str, Any]]:
    """Return what templates are tried with: prompts of one and of several images, with and without an answer."""
    text, image = {"type": "text", "text": "Inspect this part."}, {"type": "image"}
    prompts = [[image, text], [text, image, text, image, image, text], [text]]
    asked = [[{"role": "user", "content": parts}] for parts in prompts]
    answer = {"role": "assistant", "content": [{"type": "text", "text": "<answer>{}</answer>"}]}
    return [
        {"messages": [*chat, *end], "add_generation_prompt": not end, "add_vision_id": len(chat[0]["content"]) > 2}
        for chat in asked
        for end in ([], [answer])
    ]


def templates_in(folder: Path) -> list[str]:
    """Return every text in a folder that may be its chat template.

    Raises:
        ModelError: a file that cannot be read, or templates that are no text.
    """
    found: list[str] = []
    if (folder / TEMPLATE).is_file():
        try:
            found.append(read_bytes(folder / TEMPLATE, TEXTS[TEMPLATE]).decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ModelError(f"{folder / TEMPLATE}: is not UTF-8 text (byte {error.start})") from error
    for name in SETTINGS:
        template = read_object(folder / name).get("chat_template") if (folder / name).is_file() else None
        if template is None:
            continue
        if not isinstance(template, str) or len(template) > TEXTS[TEMPLATE]:
            raise ModelError(
                f"{folder / name}: 'chat_template' must be one text of at most {TEXTS[TEMPLATE]} characters"
            )
        found.append(template)
    return found


def try_texts(folder: Path) -> list[str]:
    """Render a folder's templates and tokenize what they write, in a process of its own. Return the templates.

    Raises:
        ModelError: that fails, or does not end.
    """
    templates, tokenizer = templates_in(folder), folder / TOKENIZER
    there = tokenizer.is_file()
    request = {
        "templates": templates,
        "chats": chats(),
        "tokenizer": str(tokenizer.resolve()) if there else None,
        "sha256": sha256_file(tokenizer) if there else None,
    }
    fault = tried(json.dumps(request)).get("fault")
    if fault:
        raise ModelError(f"{folder}: its chat template and tokenizer cannot be used ({fault})")
    return templates


def check_images(model: str, image_processor: Any) -> None:
    """Check what a processor makes of images.

    Raises:
        ModelError: there is none, or one of its settings is out of range.
    """
    if image_processor is None:
        raise ModelError(f"{model}: its processor has no part for images; give a vision-language model")
    sides = [
        (name, 1, 256) for name in ("patch_size", "merge_size", "temporal_patch_size", "min_patches", "max_patches")
    ]
    limits = [*sides, ("rescale_factor", 1e-6, 1.0), ("image_mean", -1e3, 1e3), ("image_std", 1e-6, 1e3)]
    for name, low, high in limits:
        value = getattr(image_processor, name, None)
        for number in value if isinstance(value, (list, tuple)) else [value]:
            _require(model, name, number, low, high)
    size = dict(getattr(image_processor, "size", None) or {})
    for name, number in size.items():
        _require(model, f"size.{name}", number, 1, LEAST_PIXELS if name == "shortest_edge" else MOST_PIXELS)
    if (size.get("shortest_edge") or 0) > (size.get("longest_edge") or MOST_PIXELS):
        raise ModelError(f"{model}: its processor: 'size': the least is above the most")
    for name, wanted in (("do_resize", True), ("do_center_crop", False)):
        if bool(getattr(image_processor, name, wanted)) is not wanted and getattr(image_processor, name) is not None:
            raise ModelError(
                f"{model}: its processor: '{name}' must be {str(wanted).lower()}, or boxes would be misread"
            )


def _require(model: str, name: str, value: Any, low: float, high: float) -> None:
    """Refuse a value that is no number from `low` to `high`. None says nothing.

    Raises:
        ModelError: names the setting.
    """
    if value is None:
        return
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not low <= value <= high:
        raise ModelError(f"{model}: its processor: '{name}' must be from {low:g} to {high:g}, is {str(value)[:40]}")
