"""Train, evaluate, compare: what the demo and the adaptation share; a step is skipped where its result is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adfm.data.manifest import read_manifest
from adfm.errors import UserError
from adfm.evaluation import paired_difference
from adfm.evaluation.run import METRICS_FILE, run_evaluation
from adfm.models.files import best_device
from adfm.models.local import LocalModel
from adfm.numbers import with_interval
from adfm.predictions import read_predictions
from adfm.records import Split
from adfm.report import RunResult
from adfm.storage import read_json, read_jsonl, write_json
from adfm.training.run import open_run, use_threads
from adfm.training.settings import GrpoSettings, SftSettings

Say = Callable[[str, int, int], None]
"""(stage, done, total) while work goes on."""


def one_thread_on_cpu() -> None:
    """Keep torch to one thread where it computes on a CPU: two collapse as soon as anything else runs on a small machine."""
    if best_device() == "cpu":
        use_threads(1)


def evaluate_arm(
    name: str, model: str, data: Path, out: Path, say: Say, *, batch: int = 32, split: Split = "test"
) -> RunResult:
    """Evaluate a model on a split of a manifest, or read what an earlier run of the same wrote."""
    if not (out / METRICS_FILE).is_file():
        manifest = read_manifest(data).only(split)
        local = LocalModel.load(model, max_new_tokens=256)
        run_evaluation(
            local, manifest, out, batch=batch, progress=lambda done, total: say(f"evaluating {name}", done, total)
        )
    return RunResult(name, read_json(out / METRICS_FILE), tuple(read_predictions(out)))


def train_arm(name: str, settings: SftSettings | GrpoSettings, say: Say) -> str:
    """Train, go on with a training that was stopped, or skip one that is finished; return the model's folder."""
    run = Path(settings.out)
    if (run / "summary.json").is_file():
        open_run(settings, resume=True)  # refuses a result of other settings
        return str(run / "final")
    resume = any((run / "checkpoints").glob("step-*"))
    if not resume and (run / "config.yaml").is_file():
        (run / "config.yaml").unlink()  # stopped before its first checkpoint: begin again

    def progress(step: int, steps: int, row: dict[str, float]) -> None:
        told = row.get("reward/total", row.get("loss", 0.0))
        say(f"training {name}  {told:.2f}", step, steps)

    if isinstance(settings, GrpoSettings):
        from adfm.training.grpo import train_grpo

        return str(train_grpo(settings, resume=resume, progress=progress))
    from adfm.training.sft import train_sft

    return str(train_sft(settings, resume=resume, progress=progress))


def journal_of(run: Path) -> tuple[dict[str, Any], ...]:
    """Return the metrics journal of a training, with the seconds from its timings."""
    seconds = {row["step"]: row["seconds"] for row in read_jsonl(run / "timings.jsonl")}
    return tuple(row | {"seconds": seconds.get(row["step"])} for row in read_jsonl(run / "metrics.jsonl"))


def difference(before: RunResult, after: RunResult, *, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return metric -> [low, mid, high] of after minus before, by the paired bootstrap."""
    found = paired_difference(before.predictions, after.predictions, seed=seed)
    return {metric: (low, mid, high) for metric, (low, mid, high) in found.items()}


def claim_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Note in `out/settings.json` what the folder is for, or check that it is for the same.

    Raises:
        UserError: it holds results of other settings, which would be taken for those of these.
    """
    file = out / "settings.json"
    wanted = json.loads(json.dumps(settings))
    if file.is_file():
        held = read_json(file)
        changed = sorted(name for name in {*held, *wanted} if held.get(name) != wanted.get(name))
        if changed:
            raise UserError(f"{out}: holds results of other settings ({', '.join(changed)}); give another --out folder")
    write_json(file, wanted)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds so far, rounded to a tenth."""
        return round(time.monotonic() - self._started, 1)


def table(arms: Sequence[RunResult], metrics: Sequence[str]) -> list[list[str]]:
    """Return rows `metric, arm, arm, ...` with intervals as text, headed by the arms' names."""
    head = ["", *(arm.name for arm in arms)]
    return [
        head,
        *([metric, *(with_interval(arm.metrics["metrics"].get(metric)) for arm in arms)] for metric in metrics),
    ]
