"""Manifests in the formats of other tools: one file per tool, pure functions from samples to the bytes of its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adfm.bridges import coco, easyr1, fiftyone, lmms_eval, ms_swift, verl
from adfm.bridges.exported import Exported

__all__ = ["BRIDGES", "Bridge", "Exported"]


class Bridge(Protocol):
    """What a bridge module offers.

    `ASKS` says whether its files hold prompts, which need the model's frame. `ANSWERS` says whether they hold canonical
    answers. `LOAD` is how the tool loads the folder `{out}`, shown for one `{split}`.
    """

    NAME: str
    ASKS: bool
    ANSWERS: bool
    LOAD: str

    def files(self, items: Sequence[Exported]) -> dict[str, bytes]:
        """Return the content of each file by its name. Nothing is written."""


_ALL: tuple[Bridge, ...] = (verl, easyr1, ms_swift, coco, fiftyone, lmms_eval)
BRIDGES: dict[str, Bridge] = {bridge.NAME: bridge for bridge in _ALL}
