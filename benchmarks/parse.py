"""How fast answers are read and rewarded, and whether the time is linear: `python benchmarks/parse.py [--fuzz N]`.

Prints quantiles on mutated answers, the rate on typical ones, the worst of the hostile texts at 16 KiB, and the ratios
time(2n) / time(n) up to 1 MiB. With `--fuzz N` also reads N mutated answers and reports any that raise.
"""
# ruff: noqa: S311

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable
from itertools import pairwise

from mutations import corpus, sample_and_frame

from adfm.geometry import Frame
from adfm.reasoning import canonical, parse, read
from adfm.rewards import RewardSettings, reward

FRAME = Frame.thousand(640, 480)
REGION = '{"bbox_2d": [1, 2, 30, 40], "label": "x"}'


def _answer(regions: str) -> str:
    return f'<locate>[]</locate><examine></examine><answer>{{"verdict": "anomalous", "regions": {regions}}}</answer>'


def _filled(piece: str, size: int) -> str:
    return piece * max(1, size // len(piece))


HOSTILE: dict[str, Callable[[int], str]] = {
    "opening tags": lambda n: _filled("<answer>", n),
    "tag beginnings": lambda n: _filled("<answe", n),
    "angle brackets": lambda n: "<" * n,
    "white space": lambda n: " " * n,
    "open brackets": lambda n: _answer("[" * n),
    "open objects": lambda n: _answer(_filled('{"a":', n)),
    "closed brackets": lambda n: _answer("[" + _filled("[],", n) + "[]]"),
    "quotes": lambda n: _answer('"' * n),
    "backslashes": lambda n: _answer('["' + "\\" * n + '"]'),
    "one long string": lambda n: _answer('["' + "a" * n + '"]'),
    "escapes": lambda n: _answer('["' + _filled("\\ud800", n) + '"]'),
    "one long number": lambda n: _answer("[" + "9" * n + "]"),
    "one long fraction": lambda n: _answer("[0." + "1" * n + "e-999999]"),
    "many numbers": lambda n: _answer("[" + _filled("1,", n) + "1]"),
    "many regions": lambda n: _answer("[" + _filled(REGION + ",", n) + REGION + "]"),
    "repeated keys": lambda n: _answer("[{" + _filled('"a":1,', n) + '"a":1}]'),
    "brackets in a string": lambda n: _answer('["' + "[" * n + '"]'),
    "wide characters": lambda n: _answer('["' + "😀" * (n // 4) + '"]'),
    "noise": lambda n: "".join(random.Random(0).choices('<>/answer[]{}",:0 \\', k=n)),
}


def timed(function: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs, in seconds of this thread: the least disturbed one, without garbage collection."""
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            start = time.thread_time()
            function()
            best = min(best, time.thread_time() - start)
    finally:
        gc.enable()
    return best


def quantiles(count: int) -> None:
    """Time each of `count` mutated answers on its own."""
    times = []
    for _, frame, text in corpus(count, seed=0):
        start = time.thread_time()
        read(text, frame)
        times.append(time.thread_time() - start)
    times.sort()
    shown = (f"p{100 * q:g} {times[int(q * (count - 1))] * 1e3:.3f}" for q in (0.5, 0.99, 0.999, 1))
    print(f"read, {count} mutated answers, ms: " + ", ".join(shown))


def rates() -> None:
    """Read and reward canonical answers of random samples, as in training."""
    rng = random.Random(1)
    cases = [(*sample_and_frame(rng),) for _ in range(500)]
    texts = [(canonical(sample, frame), sample, frame) for sample, frame in cases]
    for preset in ("paper", "set_iou"):
        settings = RewardSettings(preset=preset)

        def work(settings: RewardSettings = settings) -> None:
            for text, sample, frame in texts:
                reward(read(text, frame), sample, settings)

        print(f"read + reward, {preset}: {len(texts) / timed(work, 20):,.0f} answers a second")


def hostile() -> None:
    """The slowest hostile text at 16 KiB, with the cap in force."""
    worst = {name: _spent(make(16 * 1024), 5) for name, make in HOSTILE.items()}
    slowest = max(worst, key=lambda name: worst[name])
    print(f"hostile texts at 16 KiB: slowest {worst[slowest] * 1e3:.2f} ms ({slowest})")


def _spent(text: str, repeats: int) -> float:
    return timed(lambda: read(text, FRAME), repeats)


def linearity() -> None:
    """time(2n) / time(n) with the cap lifted, so that the scanners themselves are measured up to 1 MiB."""
    cap, parse.MAX_BYTES = parse.MAX_BYTES, 1 << 30
    try:
        for name, make in HOSTILE.items():
            spent = [_spent(make(1 << power), 7) for power in range(16, 21)]
            ratios = ", ".join(f"{b / a:.2f}" for a, b in pairwise(spent))
            print(f"{name:>22}: {spent[-1] * 1e3:8.2f} ms at 1 MiB; ratios from 64 KiB up: {ratios}")
    finally:
        parse.MAX_BYTES = cap


def fuzz(count: int, seed: int) -> int:
    """Read and reward `count` mutated answers; returns how many raised."""
    settings, raised = RewardSettings(), 0
    for sample, frame, text in corpus(count, seed):
        try:
            reward(read(text, frame), sample, settings)
        except Exception as error:  # noqa: BLE001 - any exception is the finding
            raised += 1
            print(f"raised {error!r} on {text!r:.300}")
    return raised


def main() -> int:
    """Run the measurements; 1 if any answer raised."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--fuzz", type=int, default=0, metavar="N", help="also read N mutated answers")
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    quantiles(20_000)
    rates()
    hostile()
    linearity()
    raised = fuzz(args.fuzz, args.seed)
    print(f"fuzz: {args.fuzz} answers, {raised} raised")
    return 1 if raised else 0


if __name__ == "__main__":
    raise SystemExit(main())
