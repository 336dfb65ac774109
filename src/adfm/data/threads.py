"""Work on many pictures in a few threads (decoding and hashing release the lock); the order of the results is kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

Progress = Callable[[str, int, int], None]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Threads:
    """How many threads (None: at most 4) and who is told of the progress: (stage, done, total)."""

    workers: int | None = None
    progress: Progress | None = None

    def map(self, stage: str, work: Callable[[_In], _Out], inputs: Sequence[_In]) -> list[_Out]:
        """Apply `work` to every input; the first failure stops what has not begun."""
        results: list[_Out] = []
        workers = self.workers or min(4, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:
            for result in _in_order(pool, work, inputs, ahead=4 * workers):
                results.append(result)
                if self.progress:
                    self.progress(stage, len(results), len(inputs))
        return results


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[_In], _Out], inputs: Sequence[_In], ahead: int
) -> Iterator[_Out]:
    """Yield results in order; only a few inputs are submitted ahead, so that an interrupt does not wait for all."""
    left = iter(inputs)
    waiting: deque[Future[_Out]] = deque(pool.submit(work, each) for each in islice(left, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, each) for each in islice(left, 1))
