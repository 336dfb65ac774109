"""A run that was stopped and resumed ends where an uninterrupted one does: same journal, same weights, byte for byte.

Beside each repair stands the control: with the engine's own method the comparison fails.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quick import LORA, StoppedError, few_samples, grpo_settings, noisy_rewards, sft_settings, state, stop_at
from trl.trainer.utils import RepeatSampler

from adfm.errors import ModelError
from adfm.training import grpo
from adfm.training.engine import (
    CONTENTS,
    DurableRun,
    list_checkpoints,
    list_contents,
    newest_checkpoint,
    require_complete,
)
from adfm.training.settings import GrpoSettings, SftSettings

Train = Callable[..., Path]
INSIDE_EPOCH_0 = {"rows": 10, "steps": 4, "save_every": 2}
INSIDE_EPOCH_1 = {"rows": 4, "steps": 4, "save_every": 3}
AT_ITS_END = {"rows": 4, "steps": 3, "save_every": 2}
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


def cut_and_resumed(
    make: Callable[..., Any], model: Path, source: Path, tmp_path: Path, plan: dict[str, int], **more: Any
) -> None:
    """Run once through in `whole`, and once in `cut`, stopped after the checkpoint and resumed."""
    rows = few_samples(source, tmp_path / "rows", plan["rows"])
    common = {name: plan[name] for name in ("steps", "save_every")} | more
    whole, cut = (make(model, rows, tmp_path / name, **common) for name in ("whole", "cut"))
    train(whole)
    with pytest.raises(StoppedError):
        train(cut, progress=stop_at(plan["save_every"] + 1))
    train(cut, resume=True)


def both(make: Callable[..., Any], model: Path, data: Path, tmp_path: Path, plan: dict[str, int], **more: Any) -> Any:
    """Return the outcomes of both runs."""
    cut_and_resumed(make, model, data, tmp_path, plan, **more)
    return outcome(tmp_path / "whole"), outcome(tmp_path / "cut")


ALL_OFF = dict.fromkeys(("packed_loss", "shared_generation", "preprocess_once", "skip_zero_advantage"), False)
SFT: dict[str, dict[str, Any]] = {
    "adamw": {},
    "lora": {"lora": LORA | {"dropout": 0.1}},
    "blended": {"optimizer": "blended"},
    "dense": {"optimizer": "blended", "dense": {"steps": 2, "batch": 2}},
    "accumulation": {"micro_batch": 1, "accumulation": 2},
    "loader processes": {"workers": 1},
    "views": {"data": {"crops": 1, "flips_rotations": True}},
}
GRPO: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": LORA | {"dropout": 0.1}},
    "stock engine": {"shared_prefix": ALL_OFF},
    "resample": {"resample": 2},
    "reference model": {"beta": 0.1},
    "accumulation": {"micro_batch": 2, "accumulation": 2},
    "self check": {"self_check": True},
}
RUNS = [(sft_settings, name, "qwen2.5") for name in SFT] + [(grpo_settings, name, "qwen2.5") for name in GRPO]
RUNS += [(sft_settings, "adamw", "qwen3"), (grpo_settings, "full", "qwen3"), (sft_settings, "blended", "nano")]


def with_manifest(more: dict[str, Any], rows: Path) -> dict[str, Any]:
    return more | {"data": more["data"] | {"manifest": str(rows)}} if "data" in more else more


@pytest.mark.parametrize(("make", "name", "model"), RUNS, ids=[f"{m.__name__[:4]} {n} {f}" for m, n, f in RUNS])
@pytest.mark.usefixtures("noise")
def test_a_resumed_run_is_the_uninterrupted_one(
    make: Callable[..., Any], name: str, model: str, tiny_folders: dict[str, Path], parts_data: Path, tmp_path: Path
) -> None:
    more = {"micro_batch": 2} | SFT[name] if make is sft_settings else GRPO[name]
    folder = tiny_folders.get(model, Path(model))
    cut_and_resumed(make, folder, parts_data, tmp_path, INSIDE_EPOCH_1, **with_manifest(more, tmp_path / "rows"))
    assert state(tmp_path / "whole") == state(tmp_path / "cut")
    assert len(state(tmp_path / "whole")) == 6


@pytest.mark.parametrize("plan", [INSIDE_EPOCH_0, AT_ITS_END], ids=["inside epoch 0", "at its end"])
@pytest.mark.usefixtures("noise")
def test_wherever_the_checkpoint_falls(plan: dict[str, int], tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    cut_and_resumed(grpo_settings, tiny, parts_data, tmp_path, plan)
    assert state(tmp_path / "whole") == state(tmp_path / "cut")


def several_steps_on_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = grpo.grpo_arguments

    def changed(*given: Any) -> Any:
        made = arguments(*given)
        made.num_iterations = 2
        return made

    monkeypatch.setattr(grpo, "grpo_arguments", changed)


@pytest.mark.usefixtures("noise")
def test_several_steps_on_the_same_answers(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint asked for between two of them is saved after the second."""
    several_steps_on_the_same_answers(monkeypatch)
    plan = {"rows": 4, "steps": 6, "save_every": 3}
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    whole, cut = (
        grpo_settings(tiny, rows, tmp_path / name, steps=plan["steps"], save_every=3) for name in ("whole", "cut")
    )
    train(whole)
    with pytest.raises(StoppedError):
        train(cut, progress=stop_at(5))
    assert [path.name for path in list_checkpoints(tmp_path / "cut" / "checkpoints")] == ["step-4"]
    train(cut, resume=True)
    assert state(tmp_path / "whole") == state(tmp_path / "cut")


@pytest.mark.usefixtures("noise")
def test_control_a_checkpoint_between_two_of_them(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several_steps_on_the_same_answers(monkeypatch)
    monkeypatch.setattr(grpo.GroundedGRPOTrainer, "cycle", lambda _: 1)
    cut_and_resumed(grpo_settings, tiny, parts_data, tmp_path, {"rows": 4, "steps": 6, "save_every": 3})
    assert state(tmp_path / "whole") != state(tmp_path / "cut")


def forget(method: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what leaves out one part of the state when a run is resumed."""
    return lambda monkeypatch: monkeypatch.setattr(DurableRun, method, lambda *_, **__: None)


def forget_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    load = DurableRun._load_optimizer_and_scheduler

    def partly(self: Any, checkpoint: str | None) -> None:
        begun = self.lr_scheduler.state_dict()
        load(self, checkpoint)
        self.lr_scheduler.load_state_dict(begun)

    monkeypatch.setattr(DurableRun, "_load_optimizer_and_scheduler", partly)


def forget_the_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adfm.training.grpo.EpochSampler", RepeatSampler)


def forget_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adfm.training.journal.cut_journal", lambda *_: [])


FORGOTTEN = {
    "weights": forget("_load_from_checkpoint"),
    "optimizer and scheduler": forget("_load_optimizer_and_scheduler"),
    "scheduler": forget_the_scheduler,
    "random state": forget("_load_rng_state"),
    "sampler": forget_the_sampler,
    "journal": forget_the_journal,
}


@pytest.mark.parametrize("part", FORGOTTEN)
@pytest.mark.usefixtures("noise")
def test_control_a_part_of_the_state_that_is_left_out_is_noticed(
    part: str, tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORGOTTEN[part](monkeypatch)
    plan = BEYOND_EPOCH_0 if part == "sampler" else INSIDE_EPOCH_1
    cut_and_resumed(grpo_settings, tiny, parts_data, tmp_path, plan)
    assert state(tmp_path / "whole") != state(tmp_path / "cut")


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", CONTENTS])
def test_a_checkpoint_that_lacks_a_file_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "step-2"
    folder.mkdir(parents=True)
    parts = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
    for part in parts:
        (folder / part).write_bytes(b"12")
    list_contents(folder, [*parts])
    require_complete(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"step-2: is incomplete \({name} is missing\); remove it to resume from an"):
        newest_checkpoint(tmp_path)
    (folder / name).write_bytes(b"1")
    with pytest.raises(ModelError, match=rf"\({name} is not the one that was saved\)"):
        newest_checkpoint(tmp_path)


def test_a_save_that_lacks_a_part_is_never_published(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"the engine did not save optimizer.pt"):
        list_contents(tmp_path, ["optimizer.pt"])


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
    monkeypatch.delattr(DurableRun, "_load_from_checkpoint")
    whole, cut = both(sft_settings, tiny, parts_data, tmp_path, INSIDE_EPOCH_0)
    assert whole[1] != cut[1]


def test_a_half_written_checkpoint_is_not_seen(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    for name in ("step-2", "step-10", ".checkpoint.adfm-part/checkpoint-12", "step-x"):
        (checkpoints / name).mkdir(parents=True)
    list_contents(checkpoints / "step-10", [])
    found = newest_checkpoint(tmp_path)
    assert found and found.name == "step-10"


def test_a_run_without_a_checkpoint_has_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
