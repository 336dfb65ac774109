"""Which parts of the shared prefix are exact for a model and its settings, and why the others are not; nothing is changed here."""

from __future__ import annotations

from typing import Any

from adfm.training.settings import SharedPrefixSettings

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
    obstacles = {
        "packed_loss": _model_obstacle(trainer) or _loss_obstacle(trainer),
        "shared_generation": _model_obstacle(trainer) or _generation_obstacle(trainer),
        "preprocess_once": None if _takes_grids(trainer) else "the processor does not return a grid per picture",
        "skip_zero_advantage": _gradient_obstacle(trainer)
        or (None if _takes_grids(trainer) else "unknown picture format"),
    }
    refused = {name: reason for name, reason in obstacles.items() if reason and getattr(wanted, name)}
    settings = wanted.model_copy(update=dict.fromkeys(refused, False))
    return settings, [f"shared_prefix.{name} is off: {reason}" for name, reason in refused.items()]


def _takes_grids(trainer: Any) -> bool:
    names = getattr(trainer.processing_class, "model_input_names", [])
    return "image_grid_thw" in names


def _model_obstacle(trainer: Any) -> str | None:
    """The attention of the text model must be plain, causal and `sdpa`, and its positions known beforehand."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    text = model.config.get_text_config()
    if not hasattr(getattr(model, "model", None), "get_rope_index") or not _takes_grids(trainer):
        return f"model type '{model.config.model_type}' is not of the Qwen-VL kind"
    if text._attn_implementation not in ("sdpa", "adfm_shared_prefix"):
        return f"attention '{text._attn_implementation}' is not 'sdpa'"
    if any(kind != "full_attention" for kind in getattr(text, "layer_types", None) or ()):
        return "some layers do not attend to the whole prompt"
    if trainer.tools or trainer.environment_factories:
        return "tools make the prompts of a group differ"
    return None


def _loss_obstacle(trainer: Any) -> str | None:
    """The pass must do to every token what the stock pass does, and must not count tokens."""
    if trainer.aux_loss_enabled:
        return "a balancing loss counts tokens"
    if dropout(trainer.model):
        return (
            "dropout would hit the shared prompt once for all answers, not once for each; set it to 0 (lora.dropout=0)"
        )
    return None


def dropout(model: Any) -> bool:
    """Tell whether any part of a model drops values at random while it trains."""
    from torch import nn

    modules = any(part.p > 0 for part in model.modules() if isinstance(part, nn.Dropout))
    return modules or any(getattr(part, "attention_dropout", 0.0) for part in model.modules())


def _generation_obstacle(trainer: Any) -> str | None:
    if trainer.use_vllm or trainer.use_transformers_continuous_batching:
        return "another engine generates (it shares prefixes itself)"
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return "sharded weights need processes to decode in step"
    config = trainer.generation_config
    changed = [name for name, neutral in ROW_BOUND.items() if getattr(config, name, None) not in (None, neutral)]
    return f"'{changed[0]}' is bound to the rows of a batch" if changed else None


def _gradient_obstacle(trainer: Any) -> str | None:
    """A row without advantage must not have any other gradient."""
    if trainer.beta != 0.0:
        return "the KL term (beta) pulls on every row"
    if trainer._entropy_bonus_enabled or trainer.top_entropy_quantile < 1.0:
        return "an entropy term looks at every row"
    if trainer.aux_loss_enabled:
        return "a balancing loss looks at every row"
    if trainer.off_policy_mask_threshold is not None:
        return "off-policy masking looks at every row"
    return None
