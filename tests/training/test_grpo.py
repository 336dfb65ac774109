"""What our GRPO does that the engine's does not: no lesson from rounding, bounded resampling, whole groups, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from quick import LORA, few_samples, grpo_settings, noisy_rewards, sft_settings, vowels

from adfm.errors import ConfigError, ModelError, UserError
from adfm.training import grpo
from adfm.training.grpo import GroundedGRPOTrainer, check_batch, flat_groups, train_grpo, with_rows_replaced
from adfm.training.settings import GrpoSettings
from adfm.training.sft import train_sft

ONLY_FORMAT = {"preset": "set_iou", "weights": {"format": 1, "verdict": 0, "grounding": 0}}


def journal(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def advantages(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Every batch of advantages that the trainer learns from."""
    seen: list[torch.Tensor] = []
    scored = GroundedGRPOTrainer._generate_and_score_completions

    def watched(self: Any, inputs: Any) -> Any:
        output = scored(self, inputs)
        seen.append(output["advantages"].clone())
        return output

    monkeypatch.setattr(GroundedGRPOTrainer, "_generate_and_score_completions", watched)
    return seen


def constant_run(tiny: Path, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    """Train one step on eight answers that all earn 0.7."""
    monkeypatch.setattr(grpo, "trl_rewards", noisy_rewards(lambda _: 0.7))
    train_grpo(grpo_settings(tiny, data, out, generations=8, micro_batch=8, steps=1, rewards=ONLY_FORMAT, **more))
    return out


def test_equal_rewards_teach_exactly_nothing(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, advantages: list[torch.Tensor]
) -> None:
    run = constant_run(tiny, parts_data, tmp_path / "run", monkeypatch)
    assert len(advantages) == 1 and torch.equal(advantages[0], torch.zeros(8))
    assert journal(run)[0]["zero_advantage_share"] == 1.0
    assert journal(run)[0]["grad_norm"] == 0.0


def test_control_the_engine_learns_from_rounding(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, advantages: list[torch.Tensor]
) -> None:
    monkeypatch.setattr(grpo, "flat_groups", lambda totals, _: torch.zeros(len(totals), dtype=torch.bool))
    run = constant_run(tiny, parts_data, tmp_path / "run", monkeypatch)
    assert advantages[0].abs().max() > 1e-4
    assert journal(run)[0]["grad_norm"] > 0.0


@pytest.mark.parametrize(
    ("rewards", "flat"),
    [
        ([0.7] * 8, True),
        ([0.0] * 8, True),
        ([3.0, 3.0 + 1e-6, 3.0], True),
        ([-2.5] * 3, True),
        ([0.7, 0.7, 0.7001], False),
        ([0.0, 1e-4, 0.0], False),
        ([0.0, 2e-6], False),
    ],
)
def test_flat_groups(rewards: list[float], flat: bool) -> None:
    assert flat_groups(torch.tensor([rewards]), 1e-6).tolist() == [flat]
    assert flat_groups(torch.tensor([rewards, list(range(len(rewards)))]), 1e-6).tolist() == [flat, False]


def test_rows_are_replaced_and_padded() -> None:
    old = {
        "prompt_ids": torch.ones(4, 3),
        "completion_ids": torch.tensor([[1, 2], [3, 9], [4, 5], [6, 9]]),
        "completion_mask": torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]]),
        "advantages": torch.tensor([0.0, 0.0, 1.0, -1.0]),
        "old_per_token_logps": torch.full((4, 2), -1.0),
        "num_items_in_batch": torch.tensor(6),
    }
    fresh = {
        "completion_ids": torch.tensor([[7, 7, 7], [8, 9, 9]]),
        "completion_mask": torch.tensor([[1, 1, 1], [1, 0, 0]]),
        "advantages": torch.tensor([2.0, -2.0]),
        "old_per_token_logps": torch.full((2, 3), -2.0),
    }
    new = with_rows_replaced(old, fresh, [0, 1], pad=9)
    assert new["completion_ids"].tolist() == [[7, 7, 7], [8, 9, 9], [4, 5, 9], [6, 9, 9]]
    assert new["completion_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert new["advantages"].tolist() == [2.0, -2.0, 1.0, -1.0]
    assert new["old_per_token_logps"].tolist() == [[-2.0] * 3, [-2.0] * 3, [-1, -1, 0], [-1, -1, 0]]
    assert new["prompt_ids"] is old["prompt_ids"]
    assert new["num_items_in_batch"] == 7
    assert old["completion_ids"].shape == (4, 2), "the old batch is left as it was"


def test_rows_are_replaced_by_shorter_ones() -> None:
    old = {"completion_ids": torch.tensor([[1, 2, 3], [4, 5, 6]]), "completion_mask": torch.ones(2, 3)}
    old["advantages"] = torch.zeros(2)
    fresh = {"completion_ids": torch.tensor([[7]]), "completion_mask": torch.ones(1, 1), "advantages": torch.ones(1)}
    assert with_rows_replaced(old, fresh, [1], pad=0)["completion_ids"].tolist() == [[1, 2, 3], [7, 0, 0]]


@pytest.mark.parametrize("resample", [0, 2])
def test_resampling_is_bounded(
    resample: int, tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    scored = GroundedGRPOTrainer._scored

    def counted(self: Any, inputs: Any) -> Any:
        calls.append(len(inputs))
        return scored(self, inputs)

    monkeypatch.setattr(GroundedGRPOTrainer, "_scored", counted)
    constant_run(tiny, parts_data, tmp_path / "run", monkeypatch, resample=resample)
    assert calls == [8] * (1 + resample)


def test_only_flat_groups_are_sampled_again(
    tiny: Path,
    parts_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    advantages: list[torch.Tensor],
) -> None:
    """The first two answers are worth the same, every later one something else: group 0 is flat once and then is not."""
    given: list[float] = []

    def rate(_: str) -> float:
        given.append(0.5 if len(given) < 2 else len(given) / 100)
        return given[-1]

    monkeypatch.setattr(grpo, "trl_rewards", noisy_rewards(rate))
    settings = grpo_settings(tiny, parts_data, tmp_path / "run", steps=1, resample=3, rewards=ONLY_FORMAT)
    monkeypatch.setattr(grpo, "reward_weights", lambda _: [1.0, 0.0, 0.0])
    train_grpo(settings)
    assert len(given) == 3 * (4 + 2)  # three functions; four answers, then the two of the flat group
    assert len(advantages[0]) == 4 and (advantages[0] != 0).all()


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_the_seed_decides_everything(
    stage: str, tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpo, "trl_rewards", noisy_rewards())
    make, train = (sft_settings, train_sft) if stage == "sft" else (grpo_settings, train_grpo)
    texts, weights = [], []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(make(tiny, parts_data, tmp_path / name, steps=2, seed=seed))  # type: ignore[operator]
        texts.append((tmp_path / name / "metrics.jsonl").read_text())
        weights.append((tmp_path / name / "final" / "model.safetensors").read_bytes())
    assert texts[0] == texts[1] and weights[0] == weights[1]
    assert texts[0] != texts[2] and weights[0] != weights[2]


def test_the_journal_tells_what_the_rollouts_did(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    train_grpo(grpo_settings(tiny, parts_data, tmp_path / "run", steps=1, micro_batch=8))
    row = journal(tmp_path / "run")[0]
    told = {"loss", "reward/total", "reward/format", "reward/verdict", "reward_std/format", "zero_advantage_share"}
    assert told | {"unread_rate", "completion_length"} <= set(row)
    assert row["unread_rate"] == 1.0  # noise is never read as a verdict
    assert not {name for name in row if "time" in name or "seconds" in name}


def test_a_batch_must_hold_whole_groups() -> None:
    with pytest.raises(ConfigError, match=r"3 x 1\) must be a multiple of 'generations' \(2\)"):
        check_batch(GrpoSettings(micro_batch=3, generations=2))
    check_batch(GrpoSettings(micro_batch=3, accumulation=2, generations=2))


def test_resampling_in_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="one process only"):
        check_batch(GrpoSettings(resample=1))


def test_fewer_images_than_a_step_needs_are_refused(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 3)
    with pytest.raises(UserError, match="4 prompts a step"):
        train_grpo(grpo_settings(tiny, rows, tmp_path / "run", steps=1, micro_batch=8))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_right_padding_is_refused(
    stage: str, tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adfm.training import subject

    def right(model: str) -> Any:
        processor = load(model)
        processor.tokenizer.padding_side = "right"
        return processor

    load = subject.load_processor
    monkeypatch.setattr(subject, "load_processor", right)
    make, train = (sft_settings, train_sft) if stage == "sft" else (grpo_settings, train_grpo)
    with pytest.raises(ModelError, match="pads on the right"):
        train(make(tiny, parts_data, tmp_path / "run", steps=1))  # type: ignore[operator]


def test_lora_trains_the_language_model_alone(tiny: Path) -> None:
    from peft import get_peft_model

    from adfm.models.families import FAMILIES
    from adfm.models.files import load_weights
    from adfm.training.subject import lora_config

    settings = GrpoSettings(lora=LORA)
    adapted = get_peft_model(load_weights(str(tiny)), lora_config(settings, FAMILIES["Qwen2.5-VL"]))
    names = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert names and all("language_model" in name and "lora_" in name for name in names)


def test_vowels_differ() -> None:
    assert vowels("aei") > vowels("axx") > vowels("xyz") == vowels("")
