"""How long work reports its progress: one callable, from the lowest module up to the bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""(stage, done, total), called after every item. What follows two spaces in the stage is a note that may change."""


def quiet(stage: str, done: int, total: int) -> None:
    """Show nothing."""
