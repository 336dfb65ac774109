"""Which units a model family writes its boxes in; the resized size is asked from the processor's own rule.

Left out: families that do not write `bbox_2d`; they join by one line in `UNITS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

from adfm.errors import ImageError, ModelError
from adfm.geometry import Frame

FrameOf = Callable[[int, int], Frame]
"""(width, height) of a picture in original pixels -> the frame in which the model writes its boxes."""

MAX_ASPECT = 200
"""Longer pictures are refused by the processors of every family in `UNITS`."""

UNITS: dict[str, Literal["resized", "0-1000"]] = {
    "qwen2_5_vl": "resized",
    "qwen2_vl": "0-1000",
    "qwen3_vl": "0-1000",
    "qwen3_vl_moe": "0-1000",
    "internvl": "0-1000",
}


def frame_rule(model_type: str, processor: Any) -> FrameOf:
    """Return the frame rule of a family.

    Raises:
        ModelError: the family is not known here; a box of unknown units must not be read.
        ImageError (the rule itself): a picture too long for the processor.
    """
    if model_type not in UNITS:
        raise ModelError(f"model type '{model_type}': its box units are not known; known families: {', '.join(UNITS)}")
    frame = Frame.thousand if UNITS[model_type] == "0-1000" else _resized(processor.image_processor)

    def checked(width: int, height: int) -> Frame:
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise ImageError(
                f"{width} x {height} is longer than {MAX_ASPECT} : 1, which no model reads; tile the picture"
            )
        return frame(width, height)

    return checked


def _resized(image_processor: Any) -> FrameOf:
    """The frame of pixels of the resized picture, by the `smart_resize` of the processor's own module."""
    # A processor class may inherit the rule, so it is looked up along its ancestors' modules.
    modules = [sys.modules[kind.__module__] for kind in type(image_processor).__mro__]
    smart_resize = next(module.smart_resize for module in modules if hasattr(module, "smart_resize"))
    factor = image_processor.patch_size * image_processor.merge_size
    size = image_processor.size

    def frame(width: int, height: int) -> Frame:
        rows, columns = smart_resize(
            height, width, factor=factor, min_pixels=size["shortest_edge"], max_pixels=size["longest_edge"]
        )
        return Frame(width, height, columns, rows)

    return frame


def model_frame(model: str) -> FrameOf:
    """Return the frame rule of a model folder, hub id or `nano`, reading its configuration and processor only.

    Raises:
        ModelError: the model cannot be found, or its units are not known.
    """
    from adfm.models.files import load_config, load_processor, resolve

    folder = resolve(model)
    return frame_rule(load_config(folder).model_type, load_processor(folder))
