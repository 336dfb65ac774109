"""The same adaptation on several seeded splits: metrics averaged, differences paired by image over all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adfm.evaluation import repeated_difference, repeated_metrics
from adfm.numbers import three_digits
from adfm.progress import Progress
from adfm.report import Difference, RunResult
from adfm.storage import write_json, write_text
from adfm.workflows.adapt import SUMMARY, TABLE, Adapted, AdaptSettings, chosen_arms, claim, markdown, run_adaptation
from adfm.workflows.arms import claim_folder, difference_json
from adfm.workflows.provenance import provenance

SHOWN = ("balanced_accuracy", "box_f1@0.3")


def run_repeats(source: Path, out: Path, settings: AdaptSettings, repeats: int, progress: Progress) -> Adapted:
    """Adapt on `repeats` splits, seeds `settings.seed` and up, each in `out/seed-K`. Continue where it was stopped.

    Writes `summary.json` (as for one split, each metric with its value on `each` of them) and `table.md`.

    Raises:
        UserError: as `run_adaptation`.
    """
    started = time.monotonic()
    claim_folder(out, {"repeats": repeats, **claim(source, settings, chosen_arms(settings))})
    seeds = range(settings.seed, settings.seed + repeats)
    splits: list[Adapted] = []
    for seed in seeds:
        seeded = replace(settings, build=settings.build.model_copy(update={"seed": seed}), seed=seed)

        def named(stage: str, done: int, total: int, seed: int = seed) -> None:
            progress(f"seed {seed}: {stage}", done, total)

        splits.append(run_adaptation(source, out / f"seed-{seed}", seeded, named))
    by_arm = list(zip(*(split.runs for split in splits), strict=True))
    runs = [_mean(each) for each in by_arm]
    last = [run.predictions for run in by_arm[-1]]
    differences = []
    for each in by_arm[:-1]:
        found = repeated_difference([run.predictions for run in each], last, seed=settings.seed)
        bounds = {metric: (low, middle, high) for metric, (low, middle, high) in found.items()}
        differences.append(Difference(runs[-1].name, each[0].name, bounds))
    first = splits[0].summary
    summary: dict[str, Any] = {
        "arms": [arm | {"metrics": run.metrics} for arm, run in zip(first["arms"], runs, strict=True)],
        "differences": [difference_json(difference) for difference in differences],
        "recommended": first["recommended"],
        "decisions": [split.summary["decisions"] for split in splits],
        "seeds": list(seeds),
        "seconds": round(time.monotonic() - started, 1),
        "provenance": provenance("adfm adapt", settings.seed),
    }
    write_json(out / SUMMARY, summary)
    write_text(out / TABLE, f"{markdown(runs, differences)}\n{_note(summary)}\n")
    return Adapted(summary, runs, differences)


def _mean(runs: Sequence[RunResult]) -> RunResult:
    """Return one arm over all splits: mean metrics, and how many parts were judged in all."""
    sizes = {name: sum(run.metrics[name] for run in runs) for name in ("n", "n_normal", "n_anomalous")}
    different = len({prediction.id for run in runs for prediction in run.predictions})
    metrics = repeated_metrics([run.predictions for run in runs])
    return RunResult(runs[0].name, {**sizes, "different": different, "metrics": metrics})


def _note(summary: Mapping[str, Any]) -> str:
    """Return what was judged, and each split's values, so that nobody mistakes the mean for one training's."""
    arms, seeds = summary["arms"], summary["seeds"]
    held, names = arms[0]["metrics"], ", ".join(arm["name"] for arm in arms)
    labels = f"{held['n_normal']} normal and {held['n_anomalous']} anomalous"
    lines = [
        f"Means over {len(seeds)} splits (seeds {seeds[0]} to {seeds[-1]}), {held['n']} held-out images in all, {labels}, "
        f"{held['different']} of them different; {summary['seconds']:.0f} s. Split by split ({names}):",
        "",
    ]
    for metric in SHOWN:
        splits = zip(*(arm["metrics"]["metrics"][metric]["each"] for arm in arms), strict=True)
        lines.append(f"- {metric}: " + "; ".join(", ".join(map(three_digits, values)) for values in splits))
    return "\n".join(lines)
