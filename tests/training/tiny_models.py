"""Random tiny checkpoints of both Qwen families with their real processors, saved into a folder; nothing is downloaded.

Left out: any skill. Their answers are noise; what is tested on them is that two ways of computing the same thing agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = (
    "Inspect this part. Answer with the locate, examine and answer blocks.",
    '<locate>[{"bbox_2d": [0, 1, 2, 3], "label": "dark streak"}]</locate>',
    "<examine>a dark streak on the rim: a defect</examine>",
    '<answer>{"verdict": "anomalous", "regions": [{"bbox_2d": [4, 5, 6, 7], "label": "scratch"}]}</answer>',
    '<answer>{"verdict": "normal", "regions": []}</answer>',
)
VOCABULARY = 320
HIDDEN, HEADS, KEY_VALUE_HEADS, LAYERS = 64, 4, 2, 3
SIDE = 56
"""Pictures are resized to about this many pixels squared: a few visual tokens."""


def tiny_qwen25(folder: Path, *, seed: int = 0, side: int = SIDE) -> Path:
    """Save a random Qwen2.5-VL of about 0.15 M parameters and its processor into `folder`; return it."""
    import torch
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = tiny_tokenizer()
    pictures = {"size": {"shortest_edge": side**2, "longest_edge": side**2}, "patch_size": 14}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pictures),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**pictures),
        chat_template=_chat_template(),
    )
    vision = _vision() | {"num_heads": 4, "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    text = _text(tokenizer) | {"rope_scaling": {"type": "mrope", "mrope_section": [4, 2, 2]}, "rope_theta": 10_000.0}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_tokens(tokenizer))
    torch.manual_seed(seed)
    return _save(Qwen2_5_VLForConditionalGeneration(config), processor, folder)


def tiny_qwen3(folder: Path, *, seed: int = 0, side: int = SIDE) -> Path:
    """Save a random Qwen3-VL (deepstack at one vision layer) and its processor into `folder`; return it."""
    import torch
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = tiny_tokenizer()
    pictures = {"size": {"shortest_edge": side**2, "longest_edge": side**2}, "patch_size": 16}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pictures),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**pictures),
        chat_template=_chat_template(),
    )
    vision = _vision() | {
        "num_heads": 4,
        "patch_size": 16,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = _text(tokenizer) | {"head_dim": HIDDEN // HEADS, "rope_parameters": rope}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **_tokens(tokenizer))
    torch.manual_seed(seed)
    return _save(Qwen3VLForConditionalGeneration(config), processor, folder)


def tiny_internvl() -> Any:
    """Return a random InternVL, whose images are tiles; weights only, no processor."""
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision |= {"image_size": [28, 28], "patch_size": [14, 14]}
    text = {"model_type": "qwen2", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32}
    text |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    torch.manual_seed(0)
    return InternVLForConditionalGeneration(InternVLConfig(vision_config=vision, text_config=text, image_token_id=1))


def tiny_tokenizer() -> Any:
    """The tokenizer of nano, trained on a few sentences."""
    from adfm.models.nano.tokenizer import train_tokenizer

    return train_tokenizer(TEXTS, vocabulary=VOCABULARY)


def _chat_template() -> str:
    from adfm.models.nano.tokenizer import CHAT_TEMPLATE

    return CHAT_TEMPLATE


def _text(tokenizer: Any) -> dict[str, Any]:
    from adfm.models.nano.tokenizer import END, PAD

    return {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(END),
        "pad_token_id": tokenizer.convert_tokens_to_ids(PAD),
    }


def _vision() -> dict[str, Any]:
    return {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": HIDDEN}


def _tokens(tokenizer: Any) -> dict[str, Any]:
    token = tokenizer.convert_tokens_to_ids
    return {
        "tie_word_embeddings": True,
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
    }


def _save(model: Any, processor: Any, folder: Path) -> Path:
    """Widen the weights first: at the usual 0.02 so narrow a model hardly sees its context, and every test would pass."""
    import torch

    from adfm.models.nano.tokenizer import END, PAD

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                torch.nn.init.normal_(weight, std=0.1 if "embed_tokens" in name else weight[0].numel() ** -0.5)
    token = processor.tokenizer.convert_tokens_to_ids
    model.generation_config.update(eos_token_id=token(END), pad_token_id=token(PAD), do_sample=False)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
