"""What a report is made of: records, and the reading of one from an evaluation's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adfm.errors import DataError
from adfm.evaluation import evaluate
from adfm.predictions import PREDICTIONS, Prediction, read_predictions
from adfm.storage import read_json

Row = Mapping[str, Any]
MAX_LINES, MAX_OBJECT = 256 << 20, 16 << 20
"""Bytes of `predictions.jsonl` or of a journal, and of `metrics.json`: a hundred thousand parts take about 100 MiB."""


@dataclass(frozen=True)
class RunResult:
    """One evaluated model: its name on the page, the dictionary of `adfm.evaluation.evaluate`, and its predictions."""

    name: str
    metrics: Mapping[str, Any]
    predictions: tuple[Prediction, ...] = ()


def read_run(name: str, folder: Path) -> RunResult:
    """Read an evaluation's folder. Without `metrics.json` its metrics are computed from the predictions.

    Raises:
        DataError: a file is missing, too large or broken.
    """
    require_small(folder / PREDICTIONS, MAX_LINES)
    predictions = tuple(read_predictions(folder))
    file = folder / "metrics.json"
    if file.is_file():
        require_small(file, MAX_OBJECT)
    metrics = read_json(file) if file.is_file() else evaluate(predictions)
    if not isinstance(metrics, dict) or not isinstance(metrics.get("metrics"), dict):
        raise DataError(f"{file}: must hold the object 'metrics'; write it again with `adfm eval`")
    return RunResult(name, metrics, predictions)


def require_small(file: Path, limit: int) -> None:
    """Refuse a file of over `limit` bytes before it is read into memory.

    Raises:
        DataError: names the file.
    """
    if file.stat().st_size > limit:
        raise DataError(f"{file}: is larger than a report can show ({limit >> 20} MiB)")


@dataclass(frozen=True)
class Difference:
    """The run named `of` minus the run named `to` on the same parts: metric -> (low, middle, high)."""

    of: str
    to: str
    metrics: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class ReportInputs:
    """Everything on the page; nothing else (no clock, no environment) enters it.

    `runs` and `differences` are shown in their order, and each run has a name of its own. The first difference is what
    the page is about. `journals` is a training's name -> the rows of its `metrics.jsonl`. `settings` and `provenance`
    may nest. `images_root` is the folder of the manifest (None: no images).

    Raises:
        ValueError: two runs share a name, or a difference names no run.
    """

    title: str
    runs: tuple[RunResult, ...]
    differences: tuple[Difference, ...] = ()
    journals: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    settings: Row = field(default_factory=dict)
    provenance: Row = field(default_factory=dict)
    images_root: Path | None = None

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        if len({*names}) < len(names):
            raise ValueError("each run needs a name of its own")
        unknown = {name for difference in self.differences for name in (difference.of, difference.to)} - {*names}
        if unknown:
            raise ValueError(f"a difference names '{min(unknown)}', which is no run")

    def run(self, name: str) -> RunResult:
        """Return the run of that name."""
        return next(run for run in self.runs if run.name == name)

    @property
    def focus(self) -> int:
        """The place of the run whose parts are shown: the later one of the first difference, else the last run."""
        names = [run.name for run in self.runs]
        return names.index(self.differences[0].of) if self.differences else len(names) - 1
