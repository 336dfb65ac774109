"""The same adaptation on several seeded splits: metrics averaged, differences paired by picture over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from adfm.evaluation import repeated_difference, repeated_metrics
from adfm.numbers import three_digits
from adfm.report import RunResult
from adfm.storage import write_json, write_text
from adfm.workflows.adapt import SUMMARY, TABLE, Adapted, AdaptSettings, markdown, run_adaptation
from adfm.workflows.arms import Clock, Say, claim_folder
from adfm.workflows.provenance import provenance

ARMS = ("base", "sft", "grpo")
TOLD = ("balanced_accuracy", "box_f1@0.3")


def run_repeats(source: Path, out: Path, settings: AdaptSettings, repeats: int, say: Say) -> Adapted:
    """Adapt on `repeats` splits, seeds `settings.seed` and up, each in `out/seed-K`; goes on where it was stopped.

    Raises:
        UserError: as `run_adaptation`.

    Writes `summary.json` (as for one split, each metric with its value on `each` of them) and `table.md`.
    """
    clock = Clock()
    held = {
        "source": str(source),
        "repeats": repeats,
        **asdict(settings),
        "build": settings.build.model_dump(mode="json"),
    }
    claim_folder(out, held)
    seeds = range(settings.seed, settings.seed + repeats)
    runs = [run_adaptation(source, out / f"seed-{seed}", _seeded(settings, seed), _named(seed, say)) for seed in seeds]
    base, tuned, trained = ([run.arms[place] for run in runs] for place in range(len(ARMS)))
    arms = (_mean(base), _mean(tuned), _mean(trained))
    summary: dict[str, Any] = {
        **{name: arm.metrics for name, arm in zip(ARMS, arms, strict=True)},
        "difference_to_base": _difference(base, trained, settings.seed),
        "difference_to_sft": _difference(tuned, trained, settings.seed),
        "decisions": [run.summary["decisions"] for run in runs],
        "seeds": list(seeds),
        "seconds": clock.seconds(),
        "provenance": provenance("adfm adapt", settings.seed),
    }
    write_json(out / SUMMARY, summary)
    write_text(out / TABLE, f"{markdown(arms, summary)}\n{_note(summary)}\n")
    return Adapted(summary, arms)


def _seeded(settings: AdaptSettings, seed: int) -> AdaptSettings:
    """The split and both trainings drawn anew."""
    return replace(settings, build=settings.build.model_copy(update={"seed": seed}), seed=seed)


def _named(seed: int, say: Say) -> Say:
    return lambda stage, done, total: say(f"seed {seed}: {stage}", done, total)


def _mean(runs: Sequence[RunResult]) -> RunResult:
    """One arm over all splits: means, and how many parts were judged in all."""
    sizes = {name: sum(run.metrics[name] for run in runs) for name in ("n", "n_normal", "n_anomalous")}
    pictures = len({prediction.id for run in runs for prediction in run.predictions})
    metrics = repeated_metrics([run.predictions for run in runs])
    return RunResult(runs[0].name, {**sizes, "different": pictures, "metrics": metrics})


def _difference(a: Sequence[RunResult], b: Sequence[RunResult], seed: int) -> dict[str, list[float]]:
    return repeated_difference([run.predictions for run in a], [run.predictions for run in b], seed=seed)


def _note(summary: Mapping[str, Any]) -> str:
    """What was judged, and each split's values, so that nobody mistakes the mean for one training's."""
    held, seeds = summary["base"], summary["seeds"]
    labels = f"{held['n_normal']} normal and {held['n_anomalous']} anomalous"
    lines = [
        f"Means over {len(seeds)} splits (seeds {seeds[0]} to {seeds[-1]}), {held['n']} held-out pictures in all, {labels}, "
        f"{held['different']} of them different; {summary['seconds']:.0f} s. Split by split, SFT then SFT + GRPO:",
        "",
    ]
    for metric in TOLD:
        pairs = zip(*(summary[arm]["metrics"][metric]["each"] for arm in ("sft", "grpo")), strict=True)
        lines.append(f"- {metric}: " + ", ".join(f"{three_digits(a)} and {three_digits(b)}" for a, b in pairs))
    return "\n".join(lines)
