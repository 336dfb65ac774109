"""Work on many images in a few threads (decoding and hashing release the lock); the order of the results is kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from adfm.progress import Progress, quiet

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Threads:
    """How many threads (None: at most 4) and what shows the progress."""

    workers: int | None = None
    progress: Progress = quiet

    def map(self, stage: str, work: Callable[[_In], _Out], inputs: Sequence[_In]) -> list[_Out]:
        """Apply `work` to every input; the first failure stops what has not begun."""
        results: list[_Out] = []
        workers = self.workers or min(4, os.cpu_count() or 1)
        ahead = 4 * workers  # only a few inputs are submitted ahead, so that an interrupt does not wait for all
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[_Out]] = deque(pool.submit(work, one) for one in inputs[:ahead])
            for number in range(len(inputs)):
                results.append(waiting.popleft().result())
                self.progress(stage, len(results), len(inputs))
                waiting.extend(pool.submit(work, one) for one in inputs[number + ahead : number + ahead + 1])
        return results
