"""Run by the launcher in each of two processes: train with and without the shared prefix, and write what came out (rank 0)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import torch  # noqa: E402
from step_helpers import train_with, trained  # noqa: E402

from adfm.training.settings import SharedPrefixSettings  # noqa: E402
from adfm.training.shared_prefix.trainer import ALL_OFF  # noqa: E402


def main(folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    runs = {}
    for name, settings in (("stock", ALL_OFF), ("ours", SharedPrefixSettings())):
        trainer = train_with(
            out / name, folder, settings, per_device_train_batch_size=8, learning_rate=3e-5, max_steps=2
        )
        runs[name] = trainer
    apart = float((trained(runs["ours"]) - trained(runs["stock"])).abs().max())
    result = {
        "processes": runs["ours"].accelerator.num_processes,
        "apart": apart,
        "same_answers": runs["ours"].answers == runs["stock"].answers,
        "wrapped": type(runs["ours"].model_wrapped).__name__,
    }
    (out / f"rank{os.environ['RANK']}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
