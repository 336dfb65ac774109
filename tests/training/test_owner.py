"""Two processes never train in one run folder; the lock ends with the process that held it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from quick import few_samples, sft_settings

from adfm.errors import UserError
from adfm.training.sft import train_sft


def test_a_second_resume_is_refused_while_the_first_one_trains(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    settings = sft_settings(tiny, few_samples(parts_data, tmp_path / "rows", 4), tmp_path / "run", steps=2)
    at_work, reading = os.pipe()[::-1]
    child = os.fork()
    if not child:
        train_sft(settings, progress=lambda *_: (os.write(at_work, b"1"), signal.pause()))  # type: ignore[func-returns-value]
        os._exit(1)
    assert os.read(reading, 1) == b"1"
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    for _ in range(7):
        with pytest.raises(UserError, match="another adfm process works in it"):
            train_sft(settings, resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert train_sft(settings, resume=True).is_dir()
