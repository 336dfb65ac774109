"""Two processes over gloo: each packs its own groups, and the weights end where the stock engine's end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "two_processes.py"


@pytest.mark.slow
def test_two_processes_end_at_the_same_weights(qwen25: Any, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*launcher, str(SCRIPT), str(qwen25), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in range(2):
        result = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert result["processes"] == 2
        assert result["wrapped"] == "DistributedDataParallel"
        assert result["same_answers"]
        assert result["apart"] < 1e-5
