"""Which parts of the shared prefix are exact for a model and its settings, and why the others are not."""

from __future__ import annotations

from typing import Any

from torch import nn

from adfm.models.families import family_of
from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix.attention import NAME

ROW_BOUND = {
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1.0,
    "watermarking_config": None,
    "prompt_lookup_num_tokens": None,
}
"""Generation settings, with their neutral values, whose processors or modes are made for a fixed batch of rows."""


def supported(wanted: SharedPrefixSettings, trainer: Any) -> tuple[SharedPrefixSettings, list[str]]:
    """Return the settings with every inexact part off and, for each part that this switches off, one line that says why."""
    refused = {name: reason for name, reason in _obstacles(trainer).items() if getattr(wanted, name)}
    settings = wanted.model_copy(update=dict.fromkeys(refused, False))
    return settings, [f"shared_prefix.{name} is off: {reason}" for name, reason in refused.items()]


def plain_model(trainer: Any, model: Any) -> Any:
    """Return the transformers model inside what the trainer, or an adapter, wraps it in."""
    inner = trainer.accelerator.unwrap_model(model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def _obstacles(trainer: Any) -> dict[str, str]:
    """Return the first reason against each part that has one: what would make its numbers differ from the stock ones."""
    config, generation = plain_model(trainer, trainer.model).config, trainer.generation_config
    family, text = family_of(config.model_type), config.get_text_config()
    layers = getattr(text, "layer_types", None) or ()
    row_bound = [name for name, off in ROW_BOUND.items() if getattr(generation, name, None) not in (None, off)]
    grids = family.image_tokens.made_by(trainer.processing_class)
    images = [(not grids, "the processor does not return a grid of patches per image")]
    shared_pass = [
        (family.no_shared_prefix is not None, f"{family.name}: {family.no_shared_prefix}"),
        *images,
        (text._attn_implementation not in ("sdpa", NAME), f"attention '{text._attn_implementation}' is not 'sdpa'"),
        (any(kind != "full_attention" for kind in layers), "some layers do not attend to the whole prompt"),
        (bool(trainer.tools or trainer.environment_factories), "tools make the prompts of a group differ"),
    ]
    reasons = {
        "packed_loss": [
            *shared_pass,
            (trainer.aux_loss_enabled, "a balancing loss counts tokens"),
            (dropout(trainer.model), "dropout would hit the shared prompt once for all answers; set lora.dropout=0"),
        ],
        "shared_generation": [
            *shared_pass,
            (trainer.use_vllm, "vLLM generates and shares prefixes itself"),
            (trainer.use_transformers_continuous_batching, "continuous batching generates and shares prefixes itself"),
            (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled, "processes with sharded weights decode in step"),
            (bool(row_bound), f"'{', '.join(row_bound)}' is bound to the rows of a batch"),
        ],
        "preprocess_once": images,
        "skip_zero_advantage": [
            *images,
            (trainer.beta != 0.0, "the KL term (beta) pulls on every row"),
            (trainer._entropy_bonus_enabled, "an entropy bonus pulls on every row"),
            (trainer.top_entropy_quantile < 1.0, "the entropy quantile looks at every row"),
            (trainer.aux_loss_enabled, "a balancing loss looks at every row"),
            (trainer.off_policy_mask_threshold is not None, "off-policy masking looks at every row"),
        ],
    }
    first = {part: next((why for holds, why in pairs if holds), None) for part, pairs in reasons.items()}
    return {part: why for part, why in first.items() if why}


def dropout(model: Any) -> bool:
    """Whether any part of a model drops values at random while it trains."""
    modules = any(part.p > 0 for part in model.modules() if isinstance(part, nn.Dropout))
    return modules or any(getattr(part, "attention_dropout", 0.0) for part in model.modules())
