"""How fast answers are read and rewarded, and whether the time is linear: `python benchmarks/parse.py [--fuzz N]`.

Prints quantiles on mutated answers, the rate on typical ones, the worst of the hostile texts at 16 KiB, and the ratios
time(2n) / time(n) up to 1 MiB. With `--fuzz N` it only reads N mutated answers, each under every protocol, and rewards
them under every preset: any that raises, takes longer than 100 ms or earns no bounded number is reported.
"""
# ruff: noqa: S311

from __future__ import annotations

import argparse
import gc
import random
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from mutations import corpus, mutated, sample_and_frame

from adfm.geometry import Frame
from adfm.reasoning import canonical, parse, read
from adfm.reasoning.protocol import STAGES
from adfm.records import Sample
from adfm.rewards import PRESETS, RewardSettings, reward

BOUND = 0.1
"""Seconds of one thread that one reading may take."""
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
    "a number and white space": lambda n: "1" + " " * n + "x",
    "numbers and commas": lambda n: _filled("1 ,;", n),
    "round brackets": lambda n: _filled("(  ", n),
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
    shown(f"read, {count} mutated answers", times)


def shown(what: str, times: Iterable[float]) -> None:
    """Print the quantiles of some times in seconds of one thread."""
    ranked = sorted(times)
    quantiles = (f"p{100 * q:g} {ranked[int(q * (len(ranked) - 1))] * 1e3:.3f}" for q in (0.5, 0.99, 0.999, 1))
    print(f"{what}, ms: " + ", ".join(quantiles))


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


def answers(count: int, seed: int) -> Iterator[tuple[Sample, Frame, str]]:
    """The corpus of mutated answers. Every hundredth is a mutated hostile text instead, up to beyond the cap."""
    rng, fillers = random.Random(seed), list(HOSTILE.values())
    for number, (sample, frame, text) in enumerate(corpus(count, seed)):
        if number % 100:
            yield sample, frame, text
        else:
            yield sample, frame, mutated(rng.choice(fillers)(1 << rng.randint(6, 17)), rng)


def fuzz(count: int, seed: int) -> int:
    """Read and reward `count` mutated answers; return how many break a promise, with the time of one reading."""
    presets = [RewardSettings(preset=name) for name in PRESETS]
    broken, times = 0, array("d")
    for sample, frame, text in answers(count, seed):
        for stages in STAGES.values():
            start, totals, fault = time.thread_time(), [0.0], ""
            try:
                response = read(text, frame, stages=stages)
                spent = time.thread_time() - start
                totals = [reward(response, sample, settings).total for settings in presets]
            except Exception as error:  # noqa: BLE001 - any exception is the finding
                spent, fault = time.thread_time() - start, f"raised {error!r}"
            times.append(spent)
            if spent > BOUND:
                fault = fault or f"took {spent:.3f} s"
            elif not all(-1.1 <= total <= 3.5 for total in totals):
                fault = f"earned {totals}"
            if fault:
                broken += 1
                print(f"{fault} under {stages.name} on {text!r:.300}")
    shown(f"fuzz: {count} answers (seed {seed}), {broken} faults; {len(times)} readings", times)
    return broken


def main() -> int:
    """Run the measurements; 1 if any answer broke a promise."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--fuzz", type=int, metavar="N", help="only read N mutated answers")
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    if args.fuzz is not None:
        return 1 if fuzz(args.fuzz, args.seed) else 0
    quantiles(20_000)
    rates()
    hostile()
    linearity()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
