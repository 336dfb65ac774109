"""Leaves a training in order: the first SIGTERM or SIGINT asks for a checkpoint, the second one or a time limit ends it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import torch

from adfm.errors import StoppedError

STOPS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Listens for signals while its block runs. `stepping` says whether a step is under way that can end in a checkpoint.

    Outside of the main thread of a process, where no signal arrives, it does nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._handlers: dict[int, Any] = {}
        self.asked: int | None = None
        self.stepping = False

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in STOPS}
            self._handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handlers:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        again, self.asked = self.asked is not None, number
        if again or not self.stepping:
            raise self.stopped("before a step could be saved")
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _on_alarm(self, *_: object) -> None:
        raise self.stopped(f"because the step under way was not saved within {self._seconds:g} seconds")

    def stopped(self, when: str) -> StoppedError:
        """Return what ends the program: one line with the signal's name, and the exit code that belongs to it."""
        number = self.asked or signal.SIGTERM
        return StoppedError(f"stopped by {signal.Signals(number).name} {when}; resume with --resume", number)

    def agreed(self) -> bool:
        """Whether any process of the run was asked to stop. All must save and leave at the same step."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self.asked is not None
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        asked = torch.tensor([self.asked or 0], device=device)
        torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        self.asked = int(asked.item()) or None
        return self.asked is not None
