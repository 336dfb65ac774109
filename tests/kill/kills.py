"""Kills trainings at random times, many, and prints a page with what came of it: `make kills`.

Each run is killed once to three times before it may end. Its end must be that of a run that nothing stopped.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "training")]

import torch  # noqa: E402
from harness import RUN, Training, interrupted_everywhere, killed_after, resumed, trainings, uninterrupted  # noqa: E402
from tiny_models import tiny_qwen25  # noqa: E402

from adfm.data.build import build  # noqa: E402
from adfm.data.settings import BuildSettings  # noqa: E402
from adfm.data.synthetic import make  # noqa: E402

PAGE = """# Kills

A training is killed with SIGKILL, resumed, and compared with a run that nothing stopped: hashes of the final weights, of weights,
optimizer, scheduler and random state of the last checkpoint, and of the journal. The model is the tiny Qwen2.5-VL of the tests, two
steps of four samples with a checkpoint each, on one CPU thread. `make kills` makes this page.

| stage | kill | kills | runs | ended differently | left behind or refused |
|---|---|---|---|---|---|
"""


def data(out: Path) -> tuple[Path, Path]:
    """Write the model and the data of the tests."""
    make(out / "parts", seed=3, images=24, size=(64, 64), products=1, difficulty=0.2, materials=("cast",))
    build(out / "parts", out / "data", BuildSettings(split="labelled", labelled_fraction=0.5))
    return tiny_qwen25(out / "model"), out / "data"


def at_random(training: Training, out: Path, kills: int, seed: int) -> tuple[int, Counter[str], Counter[str]]:
    """Kill runs at random times until there were so many kills. Return the runs, how they ended, and what was on the disk."""
    whole, seconds = uninterrupted(training, out / "whole")
    chance, runs, done, found = random.Random(seed), 0, 0, Counter[str]()
    ends = Counter[str]()
    while done < kills:
        folder, runs = out / f"run-{runs}", runs + 1
        for _ in range(min(chance.randint(1, 3), kills - done)):
            done += killed_after(training, folder, chance.uniform(0, seconds)) == -signal.SIGKILL
            newest = max((path.name for path in (folder / RUN / "checkpoints").glob("step-*")), default="none")
            found["final" if (folder / RUN / "final").is_dir() else newest] += 1
        ends[outcome(resumed(training, folder), whole)] += 1
        shutil.rmtree(folder)
    return runs, ends, found


def everywhere(training: Training, out: Path) -> tuple[int, Counter[str]]:
    """Kill at every call of the last save, and resume after each. Return the kills and how they ended."""
    whole, _ = uninterrupted(training, out / "whole")
    left = interrupted_everywhere(training, out)
    return len(left), Counter(outcome(resumed(training, folder), whole) for folder in left.values())


def outcome(end: dict[str, str] | str, whole: dict[str, str]) -> str:
    """Return how a resumed run ended: the same, different, or not."""
    return "same" if end == whole else "failed" if isinstance(end, str) else "different"


def main() -> int:
    """Print the page. The exit code is 1 if a run ended differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="random kills, half of them for each stage")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    page, wrong, started = PAGE, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for stage, training in trainings(*data(out), out).items():
            kills, ends = everywhere(training, out / stage / "calls")
            page += row(stage, "every call of the last save", kills, kills, ends)
            runs, random_ends, found = at_random(training, out / stage / "random", arguments.kills // 2, arguments.seed)
            page += row(
                stage,
                f"random ({', '.join(f'{n} {k}' for k, n in sorted(found.items()))} on disk)",
                arguments.kills // 2,
                runs,
                random_ends,
            )
            wrong += sum((ends + random_ends).values()) - (ends + random_ends)["same"]
    minutes, python = (time.monotonic() - started) / 60, ".".join(map(str, sys.version_info[:3]))
    print(f"{page}\n{minutes:.0f} minutes on {os.cpu_count()} shared cores, seed {arguments.seed}.")
    print(f"torch {torch.__version__}, Python {python}.")
    return int(wrong > 0)


def row(stage: str, kill: str, kills: int, runs: int, ends: Counter[str]) -> str:
    """Return a line of the table."""
    return f"| {stage} | {kill} | {kills} | {runs} | {ends['different']} | {ends['failed']} |\n"


if __name__ == "__main__":
    sys.exit(main())
