"""What `adfm bench` measures: each module times one thing against a reference in turn, in one process."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the least and the greatest of the values, at least one, in their own unit."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
