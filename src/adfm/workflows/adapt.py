"""A labelled folder in, an adapted model and its evidence out: any list of arms on the same held-out images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from adfm.calibration.calibrate import Wanted, require_valid
from adfm.data.build import build
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError, nearest
from adfm.evaluation import HEADLINE
from adfm.extensions import extended
from adfm.models.device import one_thread_on_cpu
from adfm.numbers import with_interval
from adfm.progress import Progress
from adfm.report import Difference, RunResult
from adfm.storage import write_json, write_text
from adfm.workflows.arms import (
    Arm,
    claim_folder,
    compare_arms,
    difference_json,
    last_against_each,
    report_arms,
    run_arms,
    table,
)
from adfm.workflows.decisions import calibrated_decisions
from adfm.workflows.provenance import provenance

SUMMARY = "summary.json"
TABLE = "table.md"
DEFAULT_ARMS = ("base", "sft", "grpo")


@dataclass(frozen=True)
class AdaptSettings:
    """Which model is adapted by which arms, with which recipes and overrides (`name=value`), on which split.

    `alpha` is the rate of false rejects that the last arm's threshold promises, where the validation split holds enough
    normal parts.
    """

    build: BuildSettings
    model: str = "nano"
    arms: tuple[str, ...] = DEFAULT_ARMS
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

    Raises:
        ConfigError: an unknown name, or an arm that starts from one that is not chosen before it.
    """
    own = (
        Arm("base", "base", settings.model),
        Arm("sft", "SFT", settings.model, "sft", settings.sft, settings.sft_overrides),
        Arm("grpo", "SFT + GRPO", "sft", "grpo", settings.grpo, settings.grpo_overrides),
        Arm(
            "verdict-only",
            "SFT + GRPO, verdict only",
            "sft",
            "grpo",
            settings.grpo,
            (*settings.grpo_overrides, "rewards.weights.grounding=0"),
        ),
    )
    known: Mapping[str, Arm] = extended("adfm.arms", {arm.key: arm for arm in own})
    arms: list[Arm] = []
    for name in settings.arms:
        if name not in known:
            raise ConfigError(f"arm '{name}': is not known{nearest(name, known)}; arms: {', '.join(known)}")
        arm = known[name]
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
    data = out / "data"
    if not (data / "manifest.jsonl").is_file():
        build(source, data, settings.build, progress=progress)
    claim_folder(out, claim(source, settings, arms))
    results = run_arms(arms, data, out, seed=settings.seed, progress=progress)
    differences = compare_arms(results, last_against_each(arms), seed=settings.seed)
    last = results[-1]
    decisions = calibrated_decisions(last, data, out / "eval-validation", settings.alpha, progress)
    summary = {
        "arms": [result.to_json() for result in results],
        "differences": [difference_json(difference) for difference in differences],
        "recommended": {"name": last.arm.name, "why": "the last arm; arms are not compared on a validation split"},
        "decisions": decisions,
        "seconds": round(time.monotonic() - started, 1),
        "provenance": provenance("adfm adapt", settings.seed),
    }
    runs = [result.evaluation for result in results]
    write_json(out / SUMMARY, summary)
    write_text(out / TABLE, f"{markdown(runs, differences)}\n{note(summary)}\n")
    title = "Adaptation to a labelled set"
    report_arms(out, title, results, differences, data=data, command="adfm adapt", seed=settings.seed)
    return Adapted(summary, runs, differences)


def claim(source: Path, settings: AdaptSettings, arms: Sequence[Arm]) -> dict[str, Any]:
    """Return everything that decides an adaptation's result."""
    build = settings.build.model_dump(mode="json")
    return {"source": str(source), **asdict(settings), "build": build, "arms": [arm.to_json() for arm in arms]}


def markdown(runs: Sequence[RunResult], differences: Sequence[Difference]) -> str:
    """Return the arms and their differences as a Markdown table."""
    rows = table(runs, HEADLINE, differences)
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body, ""])


def note(summary: Mapping[str, Any]) -> str:
    """Return what was held out and what the calibrated model decides, for below the table."""
    held = summary["arms"][0]["metrics"]
    labels = f"{held['n_normal']} normal and {held['n_anomalous']} anomalous"
    decisions = describe_decisions(summary["decisions"])
    return f"{held['n']} held-out images, {labels}; {summary['seconds']:.0f} s.\n\n{decisions}"


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
