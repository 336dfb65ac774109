"""Many faults at once: what is wrong with a data set, one line each."""

from __future__ import annotations

from collections.abc import Sequence

from adfm.errors import DataError


class DataFaultsError(DataError):
    """Every fault that one pass over a data set found; `lines` holds one line per fault, never empty."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        more = f" (and {len(lines) - 1} more faults)" if len(lines) > 1 else ""
        super().__init__(f"{lines[0]}{more}")
