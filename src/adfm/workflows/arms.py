"""Arms of an experiment: named recipes that are trained, evaluated and compared on the same held-out samples.

Every step is skipped where its result is there, so a stopped experiment continues where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from adfm.data.manifest import read_manifest
from adfm.errors import ConfigError, UserError
from adfm.evaluation import HEADLINE, repeated_difference
from adfm.evaluation.run import METRICS_FILE, run_evaluation
from adfm.models.card import protocol_of
from adfm.models.files import load_config, resolve, revision_of
from adfm.models.local import LocalModel
from adfm.numbers import metric_row
from adfm.ownership import MARKER, owned_folder
from adfm.progress import Progress
from adfm.reasoning import Protocol, ProtocolFlags
from adfm.records import Split
from adfm.report import Difference, ReportInputs, RunResult, read_run, source_of, write_report
from adfm.storage import read_json, read_jsonl, write_json
from adfm.training.settings import GrpoSettings, SftSettings, TrainSettings, filled_recipe
from adfm.workflows.provenance import provenance

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Arm:
    """One arm: a model, or a recipe that trains one.

    Attributes:
        key: names its folders, `KEY/` of the training and `eval-KEY/` of the evaluation.
        name: what tables and reports call it.
        start: a model folder, hub id or `nano`, or the key of another arm whose final model it starts from.
        stage: which training; None evaluates the start itself.
        recipe: a recipe's file or packaged name.
        overrides: `name=value` settings that win over the recipe's.
        protocol: what differs from the start's protocol.
    """

    key: str
    name: str
    start: str = "nano"
    stage: Literal["sft", "grpo"] | None = None
    recipe: str = ""
    overrides: tuple[str, ...] = ()
    protocol: ProtocolFlags = field(default_factory=ProtocolFlags)

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides the arm's result."""
        return asdict(self) | {"protocol": self.protocol.given()}


@dataclass(frozen=True)
class ArmResult:
    """What became of an arm: its model, the protocol it was evaluated under, metrics and predictions, its training."""

    arm: Arm
    model: str
    protocol: Protocol
    evaluation: RunResult
    settings: TrainSettings | None = None
    journal: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the arm as it is written to `summary.json`."""
        return {
            "name": self.arm.name,
            "key": self.arm.key,
            "protocol": self.protocol.model_dump(),
            "metrics": self.evaluation.metrics,
        }


def run_arms(arms: Sequence[Arm], data: Path, out: Path, *, seed: int, progress: Progress) -> list[ArmResult]:
    """Train and evaluate every arm in turn, each in folders of its own below `out`.

    Args:
        arms: an arm that starts from another comes after it.
        data: the manifest or its folder. Trainings see its train split, evaluations its test split.
        out: holds `KEY/` and `eval-KEY/` of each arm.
        seed: of every training.
        progress: called with the name of each stage.

    Raises:
        UserError: two arms share a key, an arm's start is missing, or a fault of recipe, data or model.
    """
    keys = [arm.key for arm in arms]
    if len({*keys}) < len(keys):
        raise ConfigError(f"arms {', '.join(keys)}: two have the same key")
    results: dict[str, ArmResult] = {}
    for arm in arms:
        model = results[arm.start].model if arm.start in results else arm.start
        settings: SftSettings | GrpoSettings | None = None
        journal: tuple[dict[str, Any], ...] = ()
        if arm.stage:
            settings = arm_settings(arm, model, data, out / arm.key, seed)
            model = train_arm(arm, settings, progress)
            seconds = {row["step"]: row["seconds"] for row in read_jsonl(out / arm.key / "timings.jsonl")}
            rows = read_jsonl(out / arm.key / "metrics.jsonl")
            journal = tuple(row | {"seconds": seconds.get(row["step"])} for row in rows)
        protocol = protocol_of(model).with_flags(arm.protocol)
        evaluation = evaluate_arm(arm.name, model, protocol, data, out / f"eval-{arm.key}", progress)
        results[arm.key] = ArmResult(arm, model, protocol, evaluation, settings, journal)
    return list(results.values())


def arm_settings(arm: Arm, start: str, data: Path, out: Path, seed: int) -> SftSettings | GrpoSettings:
    """Return an arm's recipe with its overrides, protocol, data and folders filled in."""
    kind: type[SftSettings] | type[GrpoSettings] = SftSettings if arm.stage == "sft" else GrpoSettings
    filled: SftSettings | GrpoSettings = filled_recipe(
        kind, arm.recipe, arm.overrides, manifest=data, model=start, out=str(out), seed=seed
    )
    protocol = filled.protocol.model_copy(update=arm.protocol.given())
    return filled.model_copy(update={"protocol": protocol})


def train_arm(arm: Arm, settings: SftSettings | GrpoSettings, progress: Progress) -> str:
    """Train, continue a stopped training, or skip a finished one. Return the model's folder."""
    run = Path(settings.out)
    if (run / "summary.json").is_file():
        return str(run / "final")
    resume = (run / MARKER).is_file()

    def step(number: int, steps: int, row: dict[str, float]) -> None:
        progress(f"training {arm.name}  {row.get('reward/total', row.get('loss', 0.0)):.2f}", number, steps)

    if isinstance(settings, GrpoSettings):
        from adfm.training.grpo import train_grpo

        return str(train_grpo(settings, resume=resume, progress=step))
    from adfm.training.sft import train_sft

    return str(train_sft(settings, resume=resume, progress=step))


def evaluate_arm(
    name: str, model: str, protocol: Protocol, data: Path, out: Path, progress: Progress, *, split: Split = "test"
) -> RunResult:
    """Evaluate a model on a split of a manifest, or read what an earlier run of the same wrote."""
    if not (out / METRICS_FILE).is_file():
        local = LocalModel.load(model)
        samples = read_manifest(data).only(split)
        stage = f"evaluating {name}"
        run_evaluation(local, samples, out, protocol=protocol, batch=32, progress=progress, stage=stage)
    return read_run(name, out)


def difference(of: Sequence[RunResult], to: Sequence[RunResult], *, seed: int) -> Difference:
    """Return one arm minus another on the same images, each given by its evaluation on every split."""
    metrics = repeated_difference([run.predictions for run in to], [run.predictions for run in of], seed=seed)
    bounds = {metric: (low, middle, high) for metric, (low, middle, high) in metrics.items()}
    return Difference(of[0].name, to[0].name, bounds)


@contextmanager
def workflow_folder(out: Path, holds: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Own `out` for one workflow, whose settings it notes in `out/settings.json`, or check that they are the same.

    They may differ as long as there is no result: a fault in the data may need other options.

    Raises:
        UserError: it holds something else, or results of other settings, which would be taken for those of these.
    """
    with owned_folder(out, holds):
        file = out / SETTINGS
        wanted = json.loads(json.dumps(settings))
        if file.is_file() and any(path.is_file() for path in out.rglob("*") if path.name not in (MARKER, SETTINGS)):
            held = read_json(file)
            changed = sorted(name for name in {*held, *wanted} if held.get(name) != wanted.get(name))
            if changed:
                raise UserError(
                    f"{out}: holds results of other settings ({', '.join(changed)}); give another --out folder"
                )
        write_json(file, wanted)
        yield


def origin_of(model: str) -> str:
    """Return the revision of a model that an arm starts from: it changes whenever its answers could.

    Raises:
        ModelError: there is no such model.
    """
    folder = resolve(model)
    return revision_of(folder, None if Path(folder).is_dir() else load_config(folder))


def table(runs: Sequence[RunResult], differences: Sequence[Difference] = ()) -> list[list[str]]:
    """Return the headline metrics as rows `metric, arm, ..., difference, ...` with intervals as text, headed by the names."""
    rows = [["", *(run.name for run in runs), *(f"{change.of} - {change.to}" for change in differences)]]
    for metric in HEADLINE:
        bounds = [change.metrics.get(metric, (None, None, None)) for change in differences]
        rows.append(metric_row(metric, [run.metrics["metrics"].get(metric) for run in runs], bounds))
    return rows


def report_arms(
    out: Path, title: str, results: Sequence[ArmResult], differences: Sequence[Difference], command: str, seed: int
) -> None:
    """Write `report.html` beside `data/`: every arm, the differences, the trainings' journals, the last one's settings."""
    trained = [result for result in results if result.settings]
    inputs = ReportInputs(
        title=title,
        settings=trained[-1].settings.model_dump(mode="json") if trained and trained[-1].settings else {},
        provenance=provenance(command, seed),
        runs=tuple(result.evaluation for result in results),
        differences=tuple(differences),
        journals={result.arm.name: result.journal for result in trained},
        images_root=out / "data",
        sources=source_of(out / "data"),
    )
    write_report(out / "report.html", inputs)
