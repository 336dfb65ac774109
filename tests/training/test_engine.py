"""Our hold on the engine: every method that we override exists there with the signature that we wrote against.

A new version of TRL or transformers that moves one of them fails here first, by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback
from trl import GRPOTrainer, SFTTrainer
from trl.trainer.utils import RepeatSampler

from adfm.errors import ModelError
from adfm.training.engine import (
    DurableRun,
    EpochSampler,
    list_checkpoints,
    load_exactly,
    publish_checkpoint,
)
from adfm.training.grpo import GroundedGRPOTrainer
from adfm.training.journal import RunJournal

ENGINE: list[tuple[Any, str, list[str]]] = [
    (Trainer, "_get_output_dir", ["self", "trial"]),
    (Trainer, "_save_checkpoint", ["self", "model", "trial"]),
    (Trainer, "_load_from_checkpoint", ["self", "resume_from_checkpoint", "model"]),
    (Trainer, "_load_optimizer_and_scheduler", ["self", "checkpoint"]),
    (Trainer, "_load_rng_state", ["self", "checkpoint"]),
    (Trainer, "_get_grad_norm", ["self", "model", "grad_norm"]),
    (Trainer, "training_step", ["self", "model", "inputs", "num_items_in_batch"]),
    (TrainerCallback, "on_step_end", ["self", "args", "state", "control", "kwargs"]),
    (SFTTrainer, "_save_checkpoint", ["self", "model", "trial"]),
    (GRPOTrainer, "_save_checkpoint", ["self", "model", "trial"]),
    (GRPOTrainer, "_get_train_sampler", ["self", "dataset"]),
    (GRPOTrainer, "_generate_and_score_completions", ["self", "inputs"]),
    (GRPOTrainer, "_calculate_rewards", ["self", "inputs", "prompts", "completions", "completion_ids_list"]),
    (
        RepeatSampler,
        "__init__",
        ["self", "data_source", "mini_repeat_count", "batch_size", "repeat_count", "shuffle", "seed"],
    ),
    (TrainerCallback, "on_log", ["self", "args", "state", "control", "kwargs"]),
]


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(("owner", "name", "expected"), ENGINE, ids=[f"{e[0].__name__}.{e[1]}" for e in ENGINE])
def test_the_engine_has_what_we_override(owner: Any, name: str, expected: list[str]) -> None:
    assert parameters(getattr(owner, name)) == expected


def overridden(ours: type, engine: type) -> Iterator[str]:
    """The names that our class defines and the engine's class has too; a constructor adds keywords and hands on the rest."""
    for name, value in vars(ours).items():
        if inspect.isfunction(value) and hasattr(engine, name) and name != "__init__":
            yield name


@pytest.mark.parametrize(
    ("ours", "engine"),
    [(GroundedGRPOTrainer, GRPOTrainer), (DurableRun, Trainer)],
)
def test_every_override_takes_what_the_engine_gives(ours: type, engine: type) -> None:
    names = list(overridden(ours, engine))
    assert names
    for name in names:
        assert parameters(getattr(ours, name)) == parameters(getattr(engine, name)), name


def test_a_moved_method_is_found() -> None:
    class Moved:
        def _save_checkpoint(self, model: Any, trial: Any, metrics: Any) -> None: ...

    class Ours(Moved):
        def _save_checkpoint(self, model: Any, trial: Any) -> None: ...  # type: ignore[override]

    with pytest.raises(AssertionError):
        test_every_override_takes_what_the_engine_gives(Ours, Moved)


def test_our_methods_come_before_the_engines() -> None:
    for name in overridden(DurableRun, Trainer):
        assert getattr(GroundedGRPOTrainer, name) is getattr(DurableRun, name)


def sampler(**changes: Any) -> EpochSampler:
    return EpochSampler(
        **({"data_source": list(range(10)), "mini_repeat_count": 2, "batch_size": 5, "seed": 3} | changes)
    )


def test_an_epochs_order_does_not_depend_on_those_before_it() -> None:
    through, fresh = sampler(), sampler()
    orders = []
    for epoch in range(3):
        through.set_epoch(epoch)
        orders.append(list(through))
    fresh.set_epoch(2)
    assert list(fresh) == orders[2]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted([*range(10)] * 2) for order in orders)


def test_the_engines_own_order_depends_on_them() -> None:
    engine = RepeatSampler(list(range(10)), 2, 5, seed=3)
    first, second = list(engine), list(engine)
    assert first != second
    assert list(RepeatSampler(list(range(10)), 2, 5, seed=3)) == first


def test_seeds_differ_and_no_shuffle_is_the_order_itself() -> None:
    first, second = sampler(seed=0), sampler(seed=7)
    first.set_epoch(0)
    second.set_epoch(0)
    assert list(first) != list(second)
    plain = sampler(shuffle=False)
    plain.set_epoch(1)
    assert list(plain) == [number for number in range(10) for _ in range(2)]


def test_checkpoints_are_published_complete_and_the_oldest_go(tmp_path: Path) -> None:
    for step in (2, 4, 10):
        staged = tmp_path / ".staging" / f"checkpoint-{step}"
        staged.mkdir(parents=True)
        (staged / "state").write_text(str(step))
        publish_checkpoint(staged, tmp_path, step, keep=2)
        assert not staged.exists()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-4", "step-10"]
    assert (tmp_path / "step-10" / "state").read_text() == "10"


def test_a_checkpoint_without_a_weight_is_refused(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from adfm.models.files import load_weights

    model = load_weights(str(tiny))
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[next(name for name in tensors if "q_proj" in name)]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="weights are missing"):
        load_exactly(model, str(tmp_path))


def test_exact_loading_restores_every_weight(either: Path) -> None:
    from adfm.models.files import load_weights

    model, truth = load_weights(str(either)), load_weights(str(either)).state_dict()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    load_exactly(model, str(either))
    assert all(value.equal(truth[name]) for name, value in model.state_dict().items())


def test_only_rows_with_a_loss_are_logged(tmp_path: Path) -> None:
    class State:
        global_step = 3

    class Control:
        should_save = False

    received: list[tuple[int, dict[str, float]]] = []
    callback = RunJournal(tmp_path, resumed_at=0, steps=3, progress=lambda step, _, row: received.append((step, row)))
    callback.on_log(None, State, Control, {"loss": 1.0})
    callback.on_log(None, State, Control, {"train_runtime": 1.0})
    callback.on_log(None, State, Control, None)
    assert received == [(3, {"loss": 1.0})]
