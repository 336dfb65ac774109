"""Tiny models of both families, and a way to run the stock trainer beside ours."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from step_helpers import STOPS, dataset, reward, spy  # noqa: E402
from tiny_models import tiny_qwen3, tiny_qwen25  # noqa: E402

from adfm.models.files import load_processor, load_weights  # noqa: E402
from adfm.training.settings import LeverSettings  # noqa: E402

FAMILIES = {"qwen25": tiny_qwen25, "qwen3": tiny_qwen3}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session", params=list(FAMILIES))
def folder(request: Any, tmp_path_factory: Any) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def qwen25(tmp_path_factory: Any) -> Path:
    return tiny_qwen25(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Any]:
    """Run a few steps with some levers and return the trainer."""
    from trl import GRPOConfig, GRPOTrainer

    from adfm.training.shared_prefix.selfcheck import SelfCheckedSteps
    from adfm.training.shared_prefix.support import supported_levers

    class Trainer(SelfCheckedSteps, GRPOTrainer):  # type: ignore[misc]
        pass

    def run(
        folder: Path, levers: LeverSettings, *, lora: Any = None, kind: Any = Trainer, go: bool = True, **options: Any
    ) -> Any:
        torch.manual_seed(0)
        weights = load_weights(str(folder)).train()
        banned = [weights.config.image_token_id, weights.config.video_token_id]
        settings = {
            "output_dir": str(tmp_path),
            "max_steps": 3,
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "learning_rate": 1e-4,
            "max_completion_length": 10,
            "bf16": False,
            "use_cpu": True,
            "report_to": "none",
            "remove_unused_columns": False,
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "gradient_checkpointing": False,
            "seed": 3,
            "generation_kwargs": {"suppress_tokens": banned, "eos_token_id": STOPS},
        }
        trainer = kind(
            model=weights,
            args=GRPOConfig(**(settings | options)),
            reward_funcs=[reward],
            train_dataset=dataset(),
            processing_class=load_processor(str(folder)),
            peft_config=lora,
        )
        trainer.answers = spy(trainer)
        if kind is Trainer:
            trainer.attach_levers(supported_levers(levers, trainer)[0])
        if go:
            trainer.train()
        return trainer

    return run
