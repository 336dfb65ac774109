"""The whole chain on a laptop: parts of a product that nano has not seen, GRPO, both evaluations, inspection, report.

The product carries drilled holes with a bright core, which nano's training left out, and nano takes them for defects.
GRPO learns that they belong to the part. With `ablate` a second arm is trained on format and verdict alone, to show what
happens to its boxes.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adfm.data.build import build
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.data.synthetic import make
from adfm.errors import ConfigError
from adfm.inspection import Inspector, inspect_folder
from adfm.models.device import one_thread_on_cpu
from adfm.progress import Progress, quiet
from adfm.storage import write_json
from adfm.workflows.arms import Arm, difference, origin_of, report_arms, run_arms, table, workflow_folder

RECIPE = "demo-grpo"
FEWEST_IMAGES = 40
ADDITIONS = ("ablate", "inspected")
"""Settings that may differ when the demo is called again: they add to its results and change none."""


@dataclass(frozen=True)
class DemoSettings:
    """How large the demo is. The defaults take about ten minutes on two cores."""

    seed: int = 0
    images: int = 1000
    products: int = 2
    materials: tuple[str, ...] = ("brushed_metal", "cast")
    difficulty: float = 0.1
    size: int = 140
    labelled_fraction: float = 0.35
    steps: int | None = None
    ablate: bool = False
    inspected: int = 8


def run_demo(out: Path, settings: DemoSettings, progress: Progress) -> dict[str, Any]:
    """Run the chain in `out`, continuing where an earlier run was stopped, and return what `summary.json` holds.

    Raises:
        UserError: too few images, no nano, or `out` holds something else, or a demo with other settings.
    """
    if settings.images < FEWEST_IMAGES:
        raise ConfigError(f"images {settings.images}: the demo needs at least {FEWEST_IMAGES} to train and to test on")
    started = time.monotonic()
    one_thread_on_cpu()
    decisive = {name: value for name, value in asdict(settings).items() if name not in ADDITIONS}
    with workflow_folder(out, "a demo", decisive | {"revision": origin_of("nano")}):
        data = make_data(out, settings, progress)
        steps = () if settings.steps is None else (f"steps={settings.steps}",)
        arms = [Arm("base", "base"), Arm("grpo", "trained", "nano", "grpo", RECIPE, steps)]
        if settings.ablate:
            blind = (*steps, "rewards.weights.grounding=0")
            arms.append(Arm("grpo-verdict-only", "verdict only", "nano", "grpo", RECIPE, blind))
        results = run_arms(arms, data, out, seed=settings.seed, progress=progress)
        base, *trained = [result.evaluation for result in results]
        differences = [difference([run], [base], seed=settings.seed) for run in trained]
        inspect_some(results[1].model, data, out, settings, progress)
        title = "AD-FM demo: a product that the model had not seen"
        report_arms(out, title, results, differences, "adfm demo", settings.seed)
        summary: dict[str, Any] = {
            "base": base.metrics,
            "trained": trained[0].metrics,
            "difference": differences[0].metrics,
            "seconds": round(time.monotonic() - started, 1),
            "seed": settings.seed,
            "report": str(out / "report.html"),
            "arms": [result.to_json() for result in results],
        }
        if settings.ablate:
            summary |= {"verdict_only": trained[1].metrics, "verdict_only_difference": differences[1].metrics}
        write_json(out / "summary.json", summary)
        return summary | {"table": table([base, *trained])}


def make_data(out: Path, settings: DemoSettings, progress: Progress) -> Path:
    """Draw the parts and build their manifest, whichever is not there."""
    data = out / "data"
    if (data / "manifest.jsonl").is_file():
        return data
    if not (out / "parts").is_dir():
        make(
            out / "parts",
            seed=settings.seed,
            images=settings.images,
            size=(settings.size, settings.size),
            products=settings.products,
            difficulty=settings.difficulty,
            materials=settings.materials,
            benign=("drilled_hole",),
            train_good_fraction=0.1,
            progress=progress,
        )
    split = BuildSettings(split="labelled", labelled_fraction=settings.labelled_fraction, seed=settings.seed)
    build(out / "parts", data, split, quiet)
    return data


def inspect_some(model: str, data: Path, out: Path, settings: DemoSettings, progress: Progress) -> None:
    """Inspect a few unseen parts, half of them anomalous, as a user would."""
    manifest = read_manifest(data).only("test")
    by_label = [[sample for sample in manifest.samples if sample.anomalous is label] for label in (True, False)]
    chosen = [sample for part in by_label for sample in part[: settings.inspected // 2]]
    folder = out / "new-parts"
    folder.mkdir(exist_ok=True)
    for number, sample in enumerate(chosen):
        shutil.copyfile(manifest.image_path(sample), folder / f"part-{number}.png")
    inspect_folder(Inspector.open(model), folder, out / "inspected", progress=progress)
