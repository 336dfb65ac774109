"""Model families: one record each with all that differs between them. No other module knows a family by name.

A family of another package joins by an entry point of the group `adfm.families` that names a `Family`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from adfm.errors import ConfigError, ImageError, ModelError, nearest
from adfm.extensions import extended
from adfm.geometry import Frame, FrameOf
from adfm.models.image_tokens import GRID, TILES, ImageTokens


@dataclass(frozen=True)
class Family:
    """One family of vision-language models, as transformers' `AutoModelForImageTextToText` loads it.

    Attributes:
        name: what people call it.
        model_types: `model_type` of the configurations that belong to it.
        units: what its boxes are written in: pixels of the resized image, thousandths of each side, or original pixels.
        image_tokens: how its images become tokens.
        tower: dotted path of the vision tower in the model.
        decoder: dotted path of the language model in the model.
        patch_embedding: dotted path of the layer inside the tower that embeds patches, None where it is no plain layer.
        lora_targets: the decoder's projections that an adapter changes by default.
        placeholders: names in the configuration of tokens that stand for images. A model must never write them.
        max_aspect: a longer image is refused by its processor.
        pixel_limit: sets the largest image, in pixels, on an image processor. None where the family has no such limit.
        no_shared_prefix: why the shared prefix is not exact for this family, None where it is.
    """

    name: str
    model_types: tuple[str, ...]
    units: Literal["resized", "0-1000", "original"]
    image_tokens: ImageTokens = GRID
    tower: str = "model.visual"
    decoder: str = "model.language_model"
    patch_embedding: str | None = None
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    placeholders: tuple[str, ...] = ("image_token_id", "video_token_id")
    max_aspect: int = 200
    pixel_limit: Callable[[Any, int], None] | None = None
    no_shared_prefix: str | None = None

    def frame_rule(self, processor: Any) -> FrameOf:
        """Return (width, height) in original pixels -> the frame in which the model writes boxes on such an image.

        Raises (the rule):
            ImageError: the image is too long for the processor.
        """
        rules = {"0-1000": Frame.thousand, "original": Frame.original}
        rule = rules[self.units] if self.units in rules else _resized(processor.image_processor)

        def checked(width: int, height: int) -> Frame:
            if max(width, height) > self.max_aspect * min(width, height):
                raise ImageError(
                    f"{width} x {height} is longer than {self.max_aspect} : 1, which no model reads; tile the image"
                )
            return rule(width, height)

        return checked

    def limit_pixels(self, processor: Any, pixels: int) -> None:
        """Let the processor resize images to at most `pixels` (0: its own limit). The limit is saved with the model.

        Raises:
            ConfigError: the family has no such limit.
        """
        if not pixels:
            return
        if self.pixel_limit is None:
            raise ConfigError(f"setting 'data.max_pixels': {self.name} has no limit on pixels; leave it at 0")
        self.pixel_limit(processor.image_processor, pixels)

    def tower_of(self, model: Any) -> Any:
        """Return the vision tower of a model.

        Raises:
            ModelError: there is none where this record says.
        """
        try:
            return model.get_submodule(self.tower)
        except AttributeError as error:
            raise ModelError(
                f"model type '{model.config.model_type}': no vision tower at '{self.tower}', as its family says"
            ) from error

    def is_tower(self, weight_name: str) -> bool:
        """Whether a weight, by its name in the model or in a wrapped one, belongs to the vision tower."""
        return f".{self.tower}." in f".{weight_name}"

    def lora_pattern(self, targets: Sequence[str]) -> str:
        """Return the regular expression of the decoder's modules that get an adapter."""
        return rf".*{re.escape(self.decoder)}\..*\.({'|'.join(map(re.escape, targets))})"

    def placeholder_tokens(self, config: Any) -> list[int]:
        """Return the ids of the tokens that stand for images."""
        return sorted({token for name in self.placeholders if (token := getattr(config, name, None)) is not None})


def _resized(image_processor: Any) -> FrameOf:
    """Return the frame of pixels of the resized image, by the `smart_resize` of the processor's own module."""
    # A processor class may inherit the rule, so it is looked up along its ancestors' modules.
    modules = [sys.modules[kind.__module__] for kind in type(image_processor).__mro__]
    smart_resize = next(module.smart_resize for module in modules if hasattr(module, "smart_resize"))
    factor, size = image_processor.patch_size * image_processor.merge_size, image_processor.size

    def frame(width: int, height: int) -> Frame:
        rows, columns = smart_resize(
            height, width, factor=factor, min_pixels=size["shortest_edge"], max_pixels=size["longest_edge"]
        )
        return Frame(width, height, columns, rows)

    return frame


def _limit_edges(image_processor: Any, pixels: int) -> None:
    """Limit the area of the resized image. Qwen's processors call the two areas `shortest_edge` and `longest_edge`."""
    smallest = image_processor.size["shortest_edge"]
    image_processor.size = {"shortest_edge": min(smallest, pixels), "longest_edge": pixels}


_QWEN = {
    "placeholders": ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"),
    "pixel_limit": _limit_edges,
    "patch_embedding": "patch_embed.proj",
}
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("Qwen2-VL", ("qwen2_vl",), "0-1000", **_QWEN),  # type: ignore[arg-type]
        Family("Qwen2.5-VL", ("qwen2_5_vl",), "resized", **_QWEN),  # type: ignore[arg-type]
        Family("Qwen3-VL", ("qwen3_vl", "qwen3_vl_moe"), "0-1000", **_QWEN),  # type: ignore[arg-type]
        Family(
            "InternVL",
            ("internvl",),
            "0-1000",
            image_tokens=TILES,
            tower="model.vision_tower",
            no_shared_prefix="its images are tiles, and the shared prefix knows grids of patches only",
        ),
    )
}


def family_of(model_type: str) -> Family:
    """Return the family of a configuration's `model_type`.

    Raises:
        ModelError: none is known. A box of unknown units must not be read.
    """
    known: Mapping[str, Family] = FAMILIES
    if not any(model_type in family.model_types for family in known.values()):
        known = extended("adfm.families", FAMILIES)
    for family in known.values():
        if model_type in family.model_types:
            return family
    types = [name for family in known.values() for name in family.model_types]
    raise ModelError(
        f"model type '{model_type}': its box units are not known{nearest(model_type, types)}; "
        f"known model types: {', '.join(types)}"
    )


def frame_of_model(model: str) -> FrameOf:
    """Return the frame rule of a model folder, hub id or `nano`. Only its configuration and processor are read.

    Raises:
        ModelError: the model cannot be found, or its family is not known.
    """
    from adfm.models.files import load_config, load_processor, resolve

    folder = resolve(model)
    return family_of(load_config(folder).model_type).frame_rule(load_processor(folder))
