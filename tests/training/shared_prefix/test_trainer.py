"""Whole runs beside the stock trainer: the same answers, and after ten optimizer steps the same weights; and when parts are refused."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from peft import LoraConfig
from step_helpers import trained
from trl import GRPOTrainer

from adfm.models.files import load_weights
from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix import trainer as steps
from adfm.training.shared_prefix.support import supported
from adfm.training.shared_prefix.trainer import ALL_OFF, chunks

ON = SharedPrefixSettings()
WEIGHTS = 1e-5
LORA = LoraConfig(
    r=4, lora_alpha=8, target_modules=r".*language_model.*(q_proj|v_proj|down_proj)", task_type="CAUSAL_LM"
)


def apart(ours: Any, theirs: Any) -> float:
    return float((trained(ours) - trained(theirs)).abs().max())


def moved(trainer: Any, folder: Any) -> float:
    start = torch.cat(
        [weight.detach().flatten() for weight in load_weights(str(folder)).parameters() if weight.requires_grad]
    )
    return float((trained(trainer) - start).abs().max())


def test_ten_steps_end_at_the_same_weights(folder: Any, train: Any) -> None:
    theirs, ours = (train(folder, settings, max_steps=10, learning_rate=3e-5) for settings in (ALL_OFF, ON))
    assert ours.answers == theirs.answers
    assert apart(ours, theirs) < WEIGHTS
    assert moved(ours, folder) > 10 * WEIGHTS


CASES = {
    "pieces": {"steps_per_generation": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 8},
    "split groups": {"steps_per_generation": 4, "gradient_accumulation_steps": 4, "per_device_train_batch_size": 2},
    "reference": {"beta": 0.04},
    "reused": {"num_iterations": 2, "loss_type": "grpo"},
    "checkpointing": {"gradient_checkpointing": True},
    "adapter": {"lora": LORA, "learning_rate": 3e-4},
    "adapter, reference, checkpointing": {"lora": LORA, "beta": 0.1, "gradient_checkpointing": True},
    "masked": {"mask_truncated_completions": True, "max_completion_length": 6},
    "sequence": {"importance_sampling_level": "sequence", "loss_type": "bnpo"},
    "dr": {"loss_type": "dr_grpo", "num_generations": 8},
    "pairs": {"num_generations": 2},
    "one large group": {"num_generations": 16},
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_same_steps_in_every_mode(folder: Any, train: Any, case: str) -> None:
    options: dict[str, Any] = {"learning_rate": 3e-5} | CASES[case]
    theirs, ours = (train(folder, settings, **options) for settings in (ALL_OFF, ON))
    assert ours.answers == theirs.answers
    assert apart(ours, theirs) < WEIGHTS
    for a, b in zip(theirs.state.log_history, ours.state.log_history, strict=True):
        for name in {
            "loss",
            "grad_norm",
            "reward",
            "kl",
            "completions/mean_length",
            "clip_ratio/region_mean",
        } & a.keys():
            assert b[name] == pytest.approx(a[name], rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("part", list(SharedPrefixSettings.model_fields))
def test_each_part_alone_changes_nothing(qwen25: Any, train: Any, part: str) -> None:
    theirs, ours = (train(qwen25, settings) for settings in (ALL_OFF, ALL_OFF.model_copy(update={part: True})))
    assert ours.answers == theirs.answers
    assert apart(ours, theirs) < WEIGHTS


def test_rows_without_advantage_are_dropped(qwen25: Any, train: Any, monkeypatch: Any) -> None:
    kept: list[Any] = []
    stock = steps._busy
    monkeypatch.setattr(steps, "_busy", lambda *given: kept.append(stock(*given)) or kept[-1])
    train(qwen25, ON)
    assert any(rows is not None and 1 < len(rows) < 16 for rows in kept)


def test_a_wrong_row_for_a_dropped_one_would_be_seen(qwen25: Any, train: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(steps, "_busy", lambda idle, answers: list(range(len(answers) // 2)))
    theirs, ours = (train(qwen25, settings) for settings in (ALL_OFF, ON))
    assert apart(ours, theirs) > 2 * WEIGHTS


def test_a_batch_without_any_lesson_still_steps(qwen25: Any, train: Any) -> None:
    trainer = train(qwen25, ON, go=False)
    trainer.reward_funcs[0] = lambda completion_ids, **_: [1.0] * len(completion_ids)
    passes: list[int] = []
    trainer.model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: (
            passes.append(kwargs["inputs_embeds"].shape[1]) if torch.is_grad_enabled() else None
        ),
        with_kwargs=True,
    )
    trainer.train()
    assert moved(trainer, qwen25) == 0.0
    assert len(passes) == 3
    assert max(passes) < 60, "one short row is passed, not sixteen"


def test_pictures_and_prompts_are_passed_once_per_group(qwen25: Any, train: Any) -> None:
    counts = {}
    for name, settings in (("stock", ALL_OFF), ("ours", ON.model_copy(update={"skip_zero_advantage": False}))):
        trainer = train(qwen25, settings, go=False)
        patches: list[int] = []
        tower = trainer.model.model.visual
        tower.register_forward_pre_hook(lambda module, args, seen=patches: seen.append(len(args[0])))
        trainer.train()
        counts[name] = sum(patches)
    assert counts["stock"] == 4 * counts["ours"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"beta": 0.1}, "skip_zero_advantage"),
        ({"entropy_coef": 0.01}, "skip_zero_advantage"),
        ({"top_entropy_quantile": 0.5}, "skip_zero_advantage"),
        ({"repetition_penalty": 1.2}, "shared_generation"),
    ],
)
def test_a_part_that_would_not_be_exact_is_refused_with_a_reason(
    qwen25: Any, train: Any, options: Any, part: str
) -> None:
    settings, reasons = supported(ON, train(qwen25, ALL_OFF, go=False, **options))
    assert not getattr(settings, part)
    assert sum(map(int, settings.model_dump().values())) == 3
    assert len(reasons) == 1
    assert reasons[0].startswith(f"shared_prefix.{part} is off: ")


def test_dropout_in_an_adapter_refuses_the_packed_loss_alone(qwen25: Any, train: Any) -> None:
    dropping = LoraConfig(r=4, lora_dropout=0.1, target_modules=r".*language_model.*q_proj", task_type="CAUSAL_LM")
    settings, reasons = supported(ON, train(qwen25, ALL_OFF, go=False, lora=dropping))
    assert settings == ON.model_copy(update={"packed_loss": False})
    assert "lora.dropout=0" in reasons[0]
    assert supported(ON, train(qwen25, ALL_OFF, go=False, lora=LORA)) == (ON, [])


def test_another_attention_refuses_both_shared_passes(qwen25: Any, train: Any) -> None:
    trainer = train(qwen25, ALL_OFF, go=False)
    trainer.model.set_attn_implementation("eager")
    settings, reasons = supported(ON, trainer)
    assert (settings.packed_loss, settings.shared_generation, settings.preprocess_once) == (False, False, True)
    assert len(reasons) == 2


def test_the_configuration_that_is_saved_does_not_name_our_attention(qwen25: Any, train: Any, tmp_path: Any) -> None:
    train(qwen25, ON, max_steps=1).model.save_pretrained(tmp_path / "saved")
    assert "adfm" not in (tmp_path / "saved" / "config.json").read_text()


def test_chunks_hold_whole_groups() -> None:
    assert list(chunks([[0, 3], [1, 2], [4, 5, 6]], 4)) == [[0, 3, 1, 2], [4, 5, 6]]
    assert list(chunks([[0, 1, 2]], 2)) == [[0, 1, 2]]


ENGINE = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_tokenize_prompts": ["self", "prompts"],
    "_generate_single_turn": [
        "self",
        "prompt_ids",
        "images",
        "multimodal_fields",
        "num_generations",
        "has_tool_images",
    ],
    "_prepare_inputs": ["self", "generation_batch"],
    "_compute_loss": ["self", "model", "inputs"],
}


@pytest.mark.parametrize("method", list(ENGINE))
def test_the_engine_still_has_the_methods_that_we_wrap(method: str) -> None:
    assert list(inspect.signature(getattr(GRPOTrainer, method)).parameters) == ENGINE[method]


def test_the_engine_still_asks_for_log_probabilities_this_way() -> None:
    names = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    ours = list(inspect.signature(steps.SharedPrefixSteps._get_per_token_logps_and_entropies).parameters)
    assert names[: len(ours) - 1] == ours[:-1]
    assert {"pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids"} <= set(names)
