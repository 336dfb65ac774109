"""A run that was stopped and resumed ends where an uninterrupted one does: same journal, same weights, byte for byte.

Beside each repair stands the control: with the engine's own method the comparison fails.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quick import LORA, StoppedError, few_samples, grpo_settings, noisy_rewards, sft_settings, stop_at

from adfm.training.engine import list_contents, newest_checkpoint
from adfm.training.settings import GrpoSettings, SftSettings

Train = Callable[..., Path]
INSIDE_EPOCH_0 = {"rows": 10, "steps": 4, "save_every": 2}
BEYOND_EPOCH_0 = {"rows": 4, "steps": 6, "save_every": 3}
"""Two steps an epoch: the checkpoint is in the middle of epoch 1, and a whole epoch comes after it."""


def train(settings: SftSettings | GrpoSettings, **more: Any) -> Path:
    """Train by the function of the settings' stage."""
    from adfm.training.grpo import train_grpo
    from adfm.training.sft import train_sft

    return train_grpo(settings, **more) if isinstance(settings, GrpoSettings) else train_sft(settings, **more)


def outcome(run: Path) -> tuple[str, bytes]:
    """What must be the same: the journal's text and the final weights."""
    return (run / "metrics.jsonl").read_text(), (run / "final" / "model.safetensors").read_bytes()


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewards that differ inside a group of noise: without them no weight would move and every test would pass."""
    monkeypatch.setattr("adfm.training.grpo.trl_rewards", noisy_rewards())


def both(make: Callable[..., Any], model: Path, data: Path, tmp_path: Path, plan: dict[str, int], **more: Any) -> Any:
    """Run once through, and once stopped after the checkpoint and resumed; return both outcomes."""
    rows = few_samples(data, tmp_path / "rows", plan["rows"])
    common = {name: plan[name] for name in ("steps", "save_every")} | more
    whole, cut = (make(model, rows, tmp_path / name, **common) for name in ("whole", "cut"))
    train(whole)
    with pytest.raises(StoppedError):
        train(cut, progress=stop_at(plan["save_every"] + 1))
    train(cut, resume=True)
    return outcome(tmp_path / "whole"), outcome(tmp_path / "cut")


@pytest.mark.parametrize("plan", [INSIDE_EPOCH_0, BEYOND_EPOCH_0], ids=["epoch 0", "later"])
@pytest.mark.usefixtures("noise")
def test_grpo_full(plan: dict[str, int], tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    whole, cut = both(grpo_settings, tiny, parts_data, tmp_path, plan)
    assert whole == cut


@pytest.mark.usefixtures("noise")
def test_grpo_lora(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    whole, cut = both(grpo_settings, tiny, parts_data, tmp_path, BEYOND_EPOCH_0, lora=LORA)
    assert whole == cut


@pytest.mark.usefixtures("noise")
def test_grpo_of_the_other_family(tiny_folders: dict[str, Path], parts_data: Path, tmp_path: Path) -> None:
    whole, cut = both(grpo_settings, tiny_folders["qwen3"], parts_data, tmp_path, BEYOND_EPOCH_0)
    assert whole == cut


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_sft(lora: dict[str, int] | None, tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    whole, cut = both(sft_settings, tiny, parts_data, tmp_path, BEYOND_EPOCH_0, lora=lora, micro_batch=2)
    assert whole == cut


def finished_again(make: Callable[..., Any], model: Path, data: Path, tmp_path: Path, **more: Any) -> Any:
    """Outcomes of a run, and of the same run stopped after its last checkpoint, resumed, and resumed once more."""
    settings = make(model, few_samples(data, tmp_path / "rows", 10), tmp_path / "run", steps=4, save_every=2, **more)
    train(settings)
    outcomes = [outcome(tmp_path / "run")]
    for _ in range(2):
        shutil.rmtree(tmp_path / "run" / "final")
        (tmp_path / "run" / "summary.json").unlink()
        train(settings, resume=True)
        outcomes.append(outcome(tmp_path / "run"))
    return outcomes


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("make", [sft_settings, grpo_settings])
@pytest.mark.usefixtures("noise")
def test_a_run_stopped_after_its_last_checkpoint_is_only_finished(
    make: Callable[..., Any], lora: dict[str, int] | None, tiny: Path, parts_data: Path, tmp_path: Path
) -> None:
    whole, *resumed = finished_again(make, tiny, parts_data, tmp_path, lora=lora)
    assert resumed == [whole, whole]


def test_control_the_engine_trains_a_step_too_many(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it once was: the engine is called for a run that has all its steps."""
    monkeypatch.setattr("adfm.training.run.is_complete", lambda *_: False)
    whole, first, _ = finished_again(sft_settings, tiny, parts_data, tmp_path, scheduler="constant")
    assert first[0].count("\n") == whole[0].count("\n") + 1
    assert first[1] != whole[1]


def test_control_the_engines_own_load(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adfm.training.engine import DurableRun

    monkeypatch.delattr(DurableRun, "_load_from_checkpoint")
    whole, cut = both(sft_settings, tiny, parts_data, tmp_path, INSIDE_EPOCH_0)
    assert whole[1] != cut[1]


@pytest.mark.usefixtures("noise")
def test_control_the_engines_own_sampler(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer.utils import RepeatSampler

    monkeypatch.setattr("adfm.training.grpo.EpochSampler", RepeatSampler)
    whole, cut = both(grpo_settings, tiny, parts_data, tmp_path, BEYOND_EPOCH_0)
    assert whole[0] != cut[0]


def test_a_half_written_checkpoint_is_not_seen(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    for name in ("step-2", "step-10", ".checkpoint.adfm-part/checkpoint-12", "step-x"):
        (checkpoints / name).mkdir(parents=True)
    list_contents(checkpoints / "step-10", [])
    found = newest_checkpoint(tmp_path)
    assert found and found.name == "step-10"


def test_a_run_without_a_checkpoint_has_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
