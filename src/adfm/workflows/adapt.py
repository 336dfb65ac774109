"""A labelled folder in, an adapted model and its evidence out: base, SFT, SFT + GRPO on the same held-out pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from adfm.calibration.calibrate import Wanted, require_valid
from adfm.data.build import build
from adfm.data.settings import BuildSettings
from adfm.evaluation import HEADLINE
from adfm.numbers import difference_with_interval, with_interval
from adfm.report import Difference, ReportInputs, RunResult, write_report
from adfm.storage import write_json, write_text
from adfm.training.recipes import filled_recipe
from adfm.training.settings import GrpoSettings, SftSettings
from adfm.workflows.arms import (
    Clock,
    Say,
    claim_folder,
    difference,
    evaluate_arm,
    journal_of,
    one_thread_on_cpu,
    table,
    train_arm,
)
from adfm.workflows.decisions import calibrated_decisions
from adfm.workflows.provenance import provenance

SUMMARY = "summary.json"
TABLE = "table.md"


@dataclass(frozen=True)
class AdaptSettings:
    """Which model is adapted, with which recipes and overrides (`name=value`), on which split.

    `alpha` is the rate of false rejects that its threshold promises, where the validation split holds enough normal parts.
    """

    build: BuildSettings
    model: str = "nano"
    sft: str = "nano-sft"
    grpo: str = "nano-grpo"
    sft_overrides: tuple[str, ...] = ()
    grpo_overrides: tuple[str, ...] = ()
    alpha: float = 0.1
    seed: int = 0


class Adapted(NamedTuple):
    """What is in `summary.json`, and the three arms: base, SFT, SFT + GRPO."""

    summary: dict[str, Any]
    arms: tuple[RunResult, RunResult, RunResult]


def run_adaptation(source: Path, out: Path, settings: AdaptSettings, say: Say) -> Adapted:
    """Build, fine-tune, train, evaluate; goes on where an earlier run in `out` was stopped.

    Raises:
        UserError: a fault of the data, the recipes or the model, or `out` holds an adaptation with other settings.

    Writes `summary.json` (`base`, `sft`, `grpo`, both differences of `grpo`, and its calibrated `decisions`), `table.md` and
    `report.html`.
    """
    clock = Clock()
    require_valid(Wanted(settings.alpha))
    one_thread_on_cpu()
    data = out / "data"
    if not (data / "manifest.jsonl").is_file():
        build(source, data, settings.build, progress=say)
    claim_folder(out, {"source": str(source), **asdict(settings), "build": settings.build.model_dump(mode="json")})
    sft, grpo = recipes(out, data, settings)
    base = evaluate_arm("base", settings.model, data, out / "eval-base", say)
    tuned_model = train_arm("SFT", sft, say)
    tuned = evaluate_arm("SFT", tuned_model, data, out / "eval-sft", say)
    final = train_arm("GRPO", grpo, say)
    trained = evaluate_arm("SFT + GRPO", final, data, out / "eval-grpo", say)
    decisions = calibrated_decisions(
        Path(final), data, out / "eval-validation", trained.predictions, settings.alpha, say
    )
    arms = [base, tuned, trained]
    summary = {
        "base": base.metrics,
        "sft": tuned.metrics,
        "grpo": trained.metrics,
        "difference_to_base": difference(base, trained, seed=settings.seed),
        "difference_to_sft": difference(tuned, trained, seed=settings.seed),
        "decisions": decisions,
        "seconds": clock.seconds(),
        "provenance": provenance("adfm adapt", settings.seed),
    }
    write_json(out / SUMMARY, summary)
    write_text(out / TABLE, f"{markdown(arms, summary)}\n{_note(summary)}\n")
    _report(out, data, arms, summary, grpo, {"SFT": out / "sft", "GRPO": out / "grpo"})
    return Adapted(summary, (base, tuned, trained))


def recipes(out: Path, data: Path, settings: AdaptSettings) -> tuple[SftSettings, GrpoSettings]:
    """Return both trainings' settings; the second one starts where the first one ends."""
    sft = filled_recipe(
        SftSettings,
        settings.sft,
        settings.sft_overrides,
        manifest=data,
        model=settings.model,
        out=str(out / "sft"),
        seed=settings.seed,
    )
    grpo = filled_recipe(
        GrpoSettings,
        settings.grpo,
        settings.grpo_overrides,
        manifest=data,
        model=str(out / "sft" / "final"),
        out=str(out / "grpo"),
        seed=settings.seed,
    )
    return sft, grpo


def markdown(arms: Sequence[RunResult], summary: Mapping[str, Any]) -> str:
    """Return the arms and both differences as a Markdown table."""
    rows = table(arms, HEADLINE)
    rows[0] += ["GRPO - base", "GRPO - SFT"]
    for row in rows[1:]:
        row += [
            difference_with_interval(*summary[name].get(row[0], (None, None, None)))
            for name in ("difference_to_base", "difference_to_sft")
        ]
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body, ""])


def _note(summary: Mapping[str, Any]) -> str:
    held = summary["base"]
    labels = f"{held['n_normal']} normal and {held['n_anomalous']} anomalous"
    return f"{held['n']} held-out pictures, {labels}; {summary['seconds']:.0f} s.\n\n{told_decisions(summary['decisions'])}"


def told_decisions(decisions: Mapping[str, Any]) -> str:
    """Return what the calibrated model decides on the held-out pictures, or why there is no threshold, in one line."""
    if "refused" in decisions:
        return f"No threshold was set: {decisions['refused']}."
    shares = ", ".join(f"{name} {with_interval(decisions[name])}" for name in ("overkill", "miss", "review"))
    return (
        f"Threshold from {decisions['normal']} normal validation pictures, at most {decisions['alpha']:g} of normal parts NG "
        f"(log-odds above {decisions['log_odds']:.2f}). Held-out: {shares}."
    )


def _report(
    out: Path, data: Path, arms: list[RunResult], summary: dict[str, Any], grpo: GrpoSettings, runs: dict[str, Path]
) -> None:
    inputs = ReportInputs(
        title="Adaptation to a labelled set",
        settings=grpo.model_dump(mode="json"),
        provenance=summary["provenance"],
        runs=tuple(arms),
        differences=(
            Difference("SFT + GRPO", "base", summary["difference_to_base"]),
            Difference("SFT + GRPO", "SFT", summary["difference_to_sft"]),
        ),
        journals={name: journal_of(run) for name, run in runs.items()},
        images_root=data,
    )
    write_report(out / "report.html", inputs)
