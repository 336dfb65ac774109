"""Seconds and peak memory of one training step, by phase.

It wraps methods of one trainer and changes none of its results.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

METHODS = {
    "_generate": "generate",
    "_calculate_rewards": "rewards",
    "_get_per_token_logps_and_entropies": "log_probs",
    "_compute_loss": "forward",
}
"""Methods of the engine's trainer, and the phase that each of them is. A phase inside another counts for the outer one."""
PHASES = ("generate", "log_probs", "rewards", "forward", "backward", "rest")


class Phases:
    """Seconds of each phase since the last `take`."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._inside = False

    def watch(self, trainer: Any) -> None:
        """Time the phases of a trainer."""
        for method, phase in METHODS.items():
            setattr(trainer, method, self._timed(getattr(trainer, method), phase))
        trainer.accelerator.backward = self._timed(trainer.accelerator.backward, "backward")

    def take(self, whole: float) -> dict[str, float]:
        """Return the seconds of each phase of a step that took `whole` seconds, and start again from zero."""
        taken = {phase: self._seconds[phase] for phase in PHASES if phase != "rest"}
        self._seconds.clear()
        return taken | {"rest": whole - sum(taken.values())}

    def _timed(self, work: Callable[..., Any], phase: str) -> Callable[..., Any]:
        @functools.wraps(work)
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return work(*arguments, **options)
            self._inside, started = True, clock()
            try:
                return work(*arguments, **options)
            finally:
                self._inside = False
                self._seconds[phase] += clock() - started

        return timed


def clock() -> float:
    """Return seconds, after all that was sent to a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def peak_memory(into: dict[str, float]) -> Iterator[None]:
    """Write `memory_mib`: how far a block of work rose above the memory in use before it. Not every system says it.

    On a GPU this is allocated memory, else the resident memory of the process by the kernel's own high-water mark. Freed
    memory is given back first, so that it does not count as in use.
    """
    gpu = torch.cuda.is_available()
    before: int | None = None
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            before = _status("VmRSS")
    yield
    after = torch.cuda.max_memory_allocated() if gpu else _status("VmHWM")
    if before is not None and after is not None:
        into["memory_mib"] = max(0.0, (after - before) / 2**20)


def _status(name: str) -> int | None:
    """Return a field of the process's status in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
