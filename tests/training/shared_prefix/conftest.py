"""Tiny models of both families, and a way to run the stock trainer beside ours."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from step_helpers import train_with  # noqa: E402
from tiny_models import tiny_qwen3, tiny_qwen25  # noqa: E402

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
    """Run a few steps with some settings and return the trainer."""
    return partial(train_with, tmp_path)
