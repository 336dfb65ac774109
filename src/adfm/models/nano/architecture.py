"""nano's shape: a real Qwen2.5-VL configuration and processor, small enough to train from scratch on one CPU core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adfm.config import Settings
from adfm.models.nano.tokenizer import CHAT_TEMPLATE, END, PAD, VOCABULARY


class NanoShape(Settings):
    """Sizes of nano. The defaults give about 1.9 million parameters and 25 visual tokens an image.

    Every image is resized to the area of a square of `side` pixels, its aspect kept. `patch` is a patch's side in pixels.
    """

    vocabulary: int = VOCABULARY
    side: int = 140
    patch: int = 14
    vision_hidden: int = 128
    vision_layers: int = 4
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    intermediate: int = 384


def build_processor(tokenizer: Any, shape: NanoShape) -> Any:
    """Return a real `Qwen2_5_VLProcessor` that resizes every image to about `side` x `side` pixels."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    area = shape.side**2
    options = {"size": {"shortest_edge": area, "longest_edge": area}, "patch_size": shape.patch}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**options),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**options),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    tokenizer: Any, shape: NanoShape, *, seed: int, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Any:
    """Return a randomly initialised `Qwen2_5_VLForConditionalGeneration` of this shape, float32.

    `overrides` win over fields of `text_config` and `vision_config`, for shapes that are not nano's.
    """
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    configuration = _configuration(tokenizer, shape)
    for part, fields in (overrides or {}).items():
        configuration[part] |= fields
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**configuration))
    # A deviation of one over the root of the inputs: 0.02 is too small for narrow layers.
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and "embed_tokens" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    model.generation_config.update(
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        do_sample=False,
    )
    return model


def _configuration(tokenizer: Any, shape: NanoShape) -> dict[str, Any]:
    """Return the nested configuration. Its rope sections split half a head over time, height, width as Qwen's 16 : 24 : 24."""
    token = tokenizer.convert_tokens_to_ids
    half_head = shape.hidden // shape.heads // 2
    spatial = half_head * 3 // 8
    return {
        "text_config": {
            "vocab_size": len(tokenizer),
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.key_value_heads,
            "rope_scaling": {"type": "mrope", "mrope_section": [half_head - 2 * spatial, spatial, spatial]},
            "rope_theta": 10_000.0,
            "tie_word_embeddings": True,
            "max_position_embeddings": 4096,
            "bos_token_id": None,
            "eos_token_id": token(END),
            "pad_token_id": token(PAD),
        },
        "vision_config": {
            "depth": shape.vision_layers,
            "hidden_size": shape.vision_hidden,
            "intermediate_size": 2 * shape.vision_hidden,
            "num_heads": 4,
            "patch_size": shape.patch,
            "out_hidden_size": shape.hidden,
            "window_size": 8 * shape.patch,
            "fullatt_block_indexes": list(range(shape.vision_layers)),
        },
        "tie_word_embeddings": True,
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
    }
