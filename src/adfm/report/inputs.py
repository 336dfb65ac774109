"""What a report is made of: records only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adfm.evaluation import Prediction

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

    `runs` in the order of the columns, the first is what the others are held against. `difference` is the second run
    minus the first, metric -> (low, mid, high). `journals` is a training's name -> the rows of its `metrics.jsonl`.
    `settings` and `provenance` may nest. `images_root` is the folder of the manifest (None: no pictures).
    """

    title: str
    runs: tuple[RunResult, ...]
    difference: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    journals: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    settings: Row = field(default_factory=dict)
    provenance: Row = field(default_factory=dict)
    images_root: Path | None = None
