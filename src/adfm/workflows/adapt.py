"""A labelled folder in, an adapted model and its evidence out: any list of arms on one split or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from adfm.calibration.calibrate import Wanted, calibrate, require_valid
from adfm.calibration.conformal import require_enough
from adfm.calibration.decision import Threshold, operating_point
from adfm.calibration.record import CALIBRATION, write_calibration
from adfm.data.build import build
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError, DataError, UserError, nearest
from adfm.evaluation import repeated_metrics
from adfm.evaluation.run import PROVENANCE
from adfm.extensions import extended
from adfm.models.device import one_thread_on_cpu
from adfm.numbers import three_digits, with_interval
from adfm.progress import Progress
from adfm.report import Difference, RunResult
from adfm.storage import read_json, sha256_tree, write_json, write_text
from adfm.workflows.arms import (
    Arm,
    ArmResult,
    arm_settings,
    difference,
    evaluate_arm,
    origin_of,
    report_arms,
    run_arms,
    table,
    workflow_folder,
)
from adfm.workflows.provenance import provenance

TABLE = "table.md"
ADAPTATION = "an adaptation"
SHOWN = ("balanced_accuracy", "box_f1@0.3")
"""What the note of several splits shows split by split."""


@dataclass(frozen=True)
class AdaptSettings:
    """Which model is adapted by which arms, with which recipes and overrides (`name=value`), on which split.

    `alpha` is the rate of false rejects that the last arm's threshold promises, where the validation split holds enough
    normal parts.
    """

    build: BuildSettings
    model: str = "nano"
    arms: tuple[str, ...] = ("base", "sft", "grpo")
    sft: str = "nano-sft"
    grpo: str = "nano-grpo"
    sft_overrides: tuple[str, ...] = ()
    grpo_overrides: tuple[str, ...] = ()
    alpha: float = 0.1
    seed: int = 0


class Adapted(NamedTuple):
    """What is in `summary.json`, and every arm's evaluation with the differences of the last to the others."""

    summary: dict[str, Any]
    runs: list[RunResult]
    differences: list[Difference]


def chosen_arms(settings: AdaptSettings) -> list[Arm]:
    """Return the arms that the settings name: our own, or those of installed packages (group `adfm.arms`).

    An entry point names an `Arm`, or a function from the settings to one, which then follows the user's model and recipes.

    Raises:
        ConfigError: an unknown name, or an arm that starts from one that is not chosen before it.
    """
    blind = (*settings.grpo_overrides, "rewards.weights.grounding=0")
    own = (
        Arm("base", "base", settings.model),
        Arm("sft", "SFT", settings.model, "sft", settings.sft, settings.sft_overrides),
        Arm("grpo", "SFT + GRPO", "sft", "grpo", settings.grpo, settings.grpo_overrides),
        Arm("verdict-only", "SFT + GRPO, verdict only", "sft", "grpo", settings.grpo, blind),
    )
    known: Mapping[str, Arm | Callable[[AdaptSettings], Arm]] = extended("adfm.arms", {arm.key: arm for arm in own})
    arms: list[Arm] = []
    for name in settings.arms:
        if name not in known:
            raise ConfigError(f"arm '{name}': is not known{nearest(name, known)}; arms: {', '.join(known)}")
        entry = known[name]
        arm = entry if isinstance(entry, Arm) else entry(settings)
        if arm.start in known and arm.start not in [earlier.key for earlier in arms]:
            raise ConfigError(f"arm '{name}' starts from '{arm.start}': name that arm before it")
        arms.append(arm)
    return arms


def run_adaptation(source: Path, out: Path, settings: AdaptSettings, progress: Progress) -> Adapted:
    """Build the data, train and evaluate the arms. Continue where an earlier run in `out` was stopped.

    Writes `summary.json` (`arms`, `differences`, `recommended`, and the calibrated `decisions` of the last arm),
    `table.md` and `report.html`.

    Raises:
        UserError: a fault of the data, the recipes or the model, or `out` holds an adaptation with other settings.
    """
    started = time.monotonic()
    require_valid(Wanted(settings.alpha))
    arms = chosen_arms(settings)
    one_thread_on_cpu()
    with workflow_folder(out, ADAPTATION, claim(source, out, settings, arms)):
        data = out / "data"
        if not (data / "manifest.jsonl").is_file():
            build(source, data, settings.build, progress=progress)
        results = run_arms(arms, data, out, seed=settings.seed, progress=progress)
        runs = [result.evaluation for result in results]
        differences = [difference(runs[-1:], [run], seed=settings.seed) for run in runs[:-1]]
        last = results[-1]
        summary = {
            "arms": [result.to_json() for result in results],
            "differences": [{"of": one.of, "to": one.to, **one.metrics} for one in differences],
            "recommended": {"name": last.arm.name, "why": "the last arm; arms are not compared on a validation split"},
            "decisions": calibrated_decisions(last, out, settings.alpha, progress),
            "seconds": round(time.monotonic() - started, 1),
            "provenance": provenance("adfm adapt", settings.seed),
        }
        written = adapted(out, summary, runs, differences)
        report_arms(out, "Adaptation to a labelled set", results, differences, "adfm adapt", settings.seed)
        return written


def run_repeats(source: Path, out: Path, settings: AdaptSettings, repeats: int, progress: Progress) -> Adapted:
    """Adapt on `repeats` splits, seeds `settings.seed` and up, each in `out/seed-K`. Continue where it was stopped.

    Writes `summary.json` (as for one split, each metric with its value on `each` of them) and `table.md`.

    Raises:
        UserError: as `run_adaptation`.
    """
    started = time.monotonic()
    wanted = {"repeats": repeats, **claim(source, out, settings, chosen_arms(settings))}
    with workflow_folder(out, ADAPTATION, wanted):
        seeds = range(settings.seed, settings.seed + repeats)
        splits: list[Adapted] = []
        for seed in seeds:
            seeded = replace(settings, build=settings.build.model_copy(update={"seed": seed}), seed=seed)

            def named(stage: str, done: int, total: int, seed: int = seed) -> None:
                progress(f"seed {seed}: {stage}", done, total)

            splits.append(run_adaptation(source, out / f"seed-{seed}", seeded, named))
        by_arm = list(zip(*(split.runs for split in splits), strict=True))
        runs = [mean_run(arm) for arm in by_arm]
        differences = [difference(by_arm[-1], arm, seed=settings.seed) for arm in by_arm[:-1]]
        first = splits[0].summary
        summary: dict[str, Any] = {
            "arms": [arm | {"metrics": run.metrics} for arm, run in zip(first["arms"], runs, strict=True)],
            "differences": [{"of": one.of, "to": one.to, **one.metrics} for one in differences],
            "recommended": first["recommended"],
            "decisions": [split.summary["decisions"] for split in splits],
            "seeds": list(seeds),
            "seconds": round(time.monotonic() - started, 1),
            "provenance": provenance("adfm adapt", settings.seed),
        }
        return adapted(out, summary, runs, differences)


def mean_run(runs: Sequence[RunResult]) -> RunResult:
    """Return one arm over all splits: mean metrics, and how many parts were judged in all."""
    sizes = {name: sum(run.metrics[name] for run in runs) for name in ("n", "n_normal", "n_anomalous")}
    different = len({prediction.id for run in runs for prediction in run.predictions})
    metrics = repeated_metrics([run.predictions for run in runs])
    return RunResult(runs[0].name, {**sizes, "different": different, "metrics": metrics})


def adapted(out: Path, summary: dict[str, Any], runs: list[RunResult], differences: list[Difference]) -> Adapted:
    """Write the summary, and the table of the arms with a note, to `out`."""
    write_json(out / "summary.json", summary)
    head, *body = ["| " + " | ".join(row) + " |" for row in table(runs, differences)]
    line = "|" + "---|" * (1 + len(runs) + len(differences))
    write_text(out / TABLE, "\n".join([head, line, *body, "", note(summary), ""]))
    return Adapted(summary, runs, differences)


def calibrated_decisions(arm: ArmResult, out: Path, alpha: float, progress: Progress) -> dict[str, Any]:
    """Return the shares of escapes, false rejects and review on the held-out images, ready for JSON.

    The threshold promises that at most `alpha` of normal parts are NG. It is written beside a trained model, where
    `adfm inspect` finds it. A validation split that cannot promise that gives `{"refused": why}` instead.
    """
    data, judged = out / "data", out / "eval-validation"
    try:
        validation = read_manifest(data).only("validation")
        require_enough(sum(not sample.anomalous for sample in validation.samples), alpha, "normal validation samples")
        run = evaluate_arm("threshold", arm.model, arm.protocol, data, judged, progress, split="validation")
        calibration = calibrate(run.predictions, read_json(judged / PROVENANCE), Wanted(alpha)).calibration
    except DataError as error:
        return {"refused": str(error)}
    if arm.settings:
        write_calibration(Path(arm.model) / CALIBRATION, calibration)
    point = operating_point(arm.evaluation.predictions, Threshold.of(calibration))
    return {"alpha": alpha, "normal": calibration.normal, "log_odds": calibration.ng.log_odds, **point}


def claim(source: Path, out: Path, settings: AdaptSettings, arms: Sequence[Arm]) -> dict[str, Any]:
    """Return everything that decides an adaptation's result: options, the bytes of the source, recipes and models.

    Raises:
        UserError: `out` is inside the source, a recipe is broken or a model is not there.
    """
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out}: is inside the source {source}; give an --out folder beside it")
    starts = {arm.start for arm in arms} - {arm.key for arm in arms}
    recipes = {
        f"recipe of {arm.key}": arm_settings(arm, arm.start, Path(), Path(), settings.seed).model_dump(mode="json")
        for arm in arms
        if arm.stage
    }
    return {
        "source": str(source),
        "source_sha256": sha256_tree(source),
        **asdict(settings),
        "build": settings.build.model_dump(mode="json"),
        "arms": [arm.to_json() for arm in arms],
        **recipes,
        **{f"model {start}": origin_of(start) for start in sorted(starts)},
    }


def note(summary: Mapping[str, Any]) -> str:
    """Return what was held out, for below the table, and what the calibrated model decides.

    For several splits each one's values come instead, so that nobody mistakes the mean for one training's.
    """
    arms, seeds, seconds = summary["arms"], summary.get("seeds"), f"{summary['seconds']:.0f} s"
    held = arms[0]["metrics"]
    labels = f"{held['n_normal']} normal and {held['n_anomalous']} anomalous"
    if seeds is None:
        return f"{held['n']} held-out images, {labels}; {seconds}.\n\n{describe_decisions(summary['decisions'])}"
    lines = [
        f"Means over {len(seeds)} splits (seeds {seeds[0]} to {seeds[-1]}), {held['n']} held-out images in all, {labels}, "
        f"{held['different']} of them different; {seconds}. Split by split ({', '.join(arm['name'] for arm in arms)}):",
        "",
    ]
    for metric in SHOWN:
        splits = zip(*(arm["metrics"]["metrics"][metric]["each"] for arm in arms), strict=True)
        lines.append(f"- {metric}: " + "; ".join(", ".join(map(three_digits, values)) for values in splits))
    return "\n".join(lines)


def describe_decisions(decisions: Mapping[str, Any]) -> str:
    """Return what the calibrated model decides on the held-out images, or why there is no threshold, in one line."""
    if "refused" in decisions:
        return f"No threshold was set: {decisions['refused']}."
    names = {"overkill": "false rejects", "miss": "escapes", "review": "review"}
    shares = ", ".join(f"{name} {with_interval(decisions[key])}" for key, name in names.items())
    return (
        f"Threshold from {decisions['normal']} normal validation images, at most {decisions['alpha']:g} of normal parts NG "
        f"(log-odds above {decisions['log_odds']:.2f}). Held-out: {shares}."
    )
