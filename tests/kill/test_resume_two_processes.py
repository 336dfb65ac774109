"""Two processes over gloo that are killed together: the resumed run ends as one that nothing stopped."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from harness import RUN, Training, finished, forked, trainings
from quick import state

from adfm.training.engine import list_checkpoints

SECONDS = 300


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ranks(training: Training, folder: Path) -> list[int]:
    """Start the two processes of a run, or of its resume, as a launcher would."""
    port = free_port()

    def work(rank: int) -> None:
        from accelerate.state import AcceleratorState, PartialState

        AcceleratorState._reset_state(reset_partial_state=True)
        PartialState._reset_state()
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in names.items()}
        training()

    return [forked(lambda rank=rank: work(rank), folder) for rank in range(2)]  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_two_processes_resume_exactly(stage: str, tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    training = trainings(tiny, parts_data, tmp_path)[stage]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert [finished(child) for child in ranks(training, whole)] == [0, 0], (whole / "log").read_text()[-2000:]
    children, until = ranks(training, cut), time.monotonic() + SECONDS
    while not list_checkpoints(cut / RUN / "checkpoints") and time.monotonic() < until:
        time.sleep(0.01)
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert [finished(child) for child in children] == [-signal.SIGKILL] * 2
    assert [path.name for path in list_checkpoints(cut / RUN / "checkpoints")] == ["step-1"]
    assert [finished(child) for child in ranks(training, cut)] == [0, 0], (cut / "log").read_text()[-2000:]
    assert state(cut / RUN) == state(whole / RUN)
    assert len(state(whole / RUN)) == 7  # a random state for each process
