"""What a report is made of: records only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adfm.predictions import Prediction

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """One evaluated model: its name on the page, the dictionary of `adfm.evaluation.evaluate`, and its predictions."""

    name: str
    metrics: Mapping[str, Any]
    predictions: tuple[Prediction, ...] = ()


@dataclass(frozen=True)
class ReportInputs:
    """Everything on the page; nothing else (no clock, no environment) enters it.

    `runs` in the order of the columns. `compared` are the places of the two runs that the page is about (by default the
    first two), and `difference` is the latter of them minus the former, metric -> (low, mid, high). `journals` is a
    training's name -> the rows of its `metrics.jsonl`. `settings` and `provenance` may nest. `images_root` is the
    folder of the manifest (None: no pictures).
    """

    title: str
    runs: tuple[RunResult, ...]
    difference: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    journals: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    settings: Row = field(default_factory=dict)
    provenance: Row = field(default_factory=dict)
    images_root: Path | None = None
    compared: tuple[int, int] = (0, 1)

    @property
    def pair(self) -> tuple[RunResult, RunResult] | None:
        """The two compared runs, or None where there are not both."""
        before, after = self.compared
        return (self.runs[before], self.runs[after]) if max(self.compared) < len(self.runs) else None

    @property
    def focus(self) -> int:
        """The place of the run whose parts are shown: the latter of the compared ones, else the last."""
        return self.compared[1] if self.pair else len(self.runs) - 1
