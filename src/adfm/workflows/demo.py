"""The whole chain on a laptop: parts of a product that nano has not seen, GRPO, both evaluations, inspection, report.

The product carries drilled holes with a bright core, which nano's training left out: it takes them for defects. GRPO
learns that they belong to the part. With `ablate` a second arm is trained on format and verdict alone, to show what
happens to its boxes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adfm.data.build import build
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.data.synthetic import make
from adfm.errors import ConfigError
from adfm.evaluation import HEADLINE
from adfm.inspection.run import InspectionSettings, inspect_all
from adfm.models.local import LocalModel
from adfm.report import Difference, ReportInputs, RunResult, write_report
from adfm.rewards import Weights
from adfm.storage import write_json
from adfm.training.recipes import filled_recipe
from adfm.training.settings import GrpoSettings
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
from adfm.workflows.provenance import provenance

RECIPE = "demo-grpo"
FEWEST_IMAGES = 40
ADDITIONS = ("ablate", "inspected")
"""Settings that may differ when the demo is called again: they add to its results and change none."""


@dataclass(frozen=True)
class DemoSettings:
    """How large the demo is; the defaults take about ten minutes on two cores."""

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


def run_demo(out: Path, settings: DemoSettings, say: Say) -> dict[str, Any]:
    """Run the chain in `out`, going on where an earlier run was stopped, and return what `summary.json` holds.

    Raises:
        UserError: too few pictures, no nano, or `out` holds a demo with other settings.
    """
    if settings.images < FEWEST_IMAGES:
        raise ConfigError(f"images {settings.images}: the demo needs at least {FEWEST_IMAGES} to train and to test on")
    clock = Clock()
    one_thread_on_cpu()
    data = make_data(out, settings, say)
    claim_folder(out, {name: value for name, value in asdict(settings).items() if name not in ADDITIONS})
    base = evaluate_arm("base", "nano", data, out / "eval-base", say)
    recipe = grpo_settings(out, data, settings)
    trained_model = train_arm("GRPO", recipe, say)
    trained = evaluate_arm("trained", trained_model, data, out / "eval-trained", say)
    change = difference(base, trained, seed=settings.seed)
    arms, journals = [base, trained], {"trained": journal_of(Path(recipe.out))}
    if settings.ablate:
        blind = verdict_only(recipe, out)
        arms.append(
            evaluate_arm("verdict only", train_arm("verdict only", blind, say), data, out / "eval-verdict-only", say)
        )
        journals["verdict only"] = journal_of(Path(blind.out))
    inspect_some(trained_model, data, out, settings, say)
    summary: dict[str, Any] = {
        "base": base.metrics,
        "trained": trained.metrics,
        "difference": change,
        "seconds": clock.seconds(),
        "seed": settings.seed,
        "report": str(out / "report.html"),
    }
    differences = [Difference("trained", "base", change)]
    if settings.ablate:
        blind_change = difference(base, arms[2], seed=settings.seed)
        summary |= {"verdict_only": arms[2].metrics, "verdict_only_difference": blind_change}
        differences.append(Difference("verdict only", "base", blind_change))
    report(out, data, arms, differences, journals, recipe)
    write_json(out / "summary.json", summary)
    return summary | {"table": table(arms, HEADLINE)}


def make_data(out: Path, settings: DemoSettings, say: Say) -> Path:
    """Draw the parts and build their manifest, unless both are there; a half-drawn folder is drawn again."""
    data = out / "data"
    if (data / "manifest.jsonl").is_file():
        return data
    shutil.rmtree(out / "parts", ignore_errors=True)
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
        progress=lambda _, done, total: say("drawing parts", done, total),
    )
    build(
        out / "parts",
        data,
        BuildSettings(split="labelled", labelled_fraction=settings.labelled_fraction, seed=settings.seed),
    )
    return data


def grpo_settings(out: Path, data: Path, settings: DemoSettings) -> GrpoSettings:
    """The demo's recipe, in this folder and with this seed."""
    steps = {} if settings.steps is None else {"steps": settings.steps}
    return filled_recipe(GrpoSettings, RECIPE, [], manifest=data, out=str(out / "grpo"), seed=settings.seed, **steps)


def verdict_only(recipe: GrpoSettings, out: Path) -> GrpoSettings:
    """The same recipe without the grounding reward."""
    rewards = recipe.rewards.model_copy(update={"weights": Weights(grounding=0.0)})
    return recipe.model_copy(update={"out": str(out / "grpo-verdict-only"), "rewards": rewards})


def inspect_some(model: str, data: Path, out: Path, settings: DemoSettings, say: Say) -> None:
    """Inspect a few unseen parts, half of them anomalous, as a user would."""
    manifest = read_manifest(data).only("test")
    by_label = [[sample for sample in manifest.samples if sample.anomalous is label] for label in (True, False)]
    chosen = [sample for part in by_label for sample in part[: settings.inspected // 2]]
    folder = out / "new-parts"
    folder.mkdir(exist_ok=True)
    for number, sample in enumerate(chosen):
        shutil.copyfile(manifest.image_path(sample), folder / f"part-{number}.png")
    local = LocalModel.load(model, max_new_tokens=256)
    inspect_all(
        local, folder, out / "inspected", InspectionSettings(), progress=lambda d, t, _: say("inspecting", d, t)
    )


def report(
    out: Path,
    data: Path,
    arms: Sequence[RunResult],
    differences: Sequence[Difference],
    journals: dict[str, tuple[dict[str, Any], ...]],
    recipe: GrpoSettings,
) -> None:
    """Write `report.html`."""
    inputs = ReportInputs(
        title="AD-FM demo: a product that the model had not seen",
        settings=recipe.model_dump(mode="json"),
        provenance=provenance("adfm demo", recipe.seed),
        runs=tuple(arms),
        differences=tuple(differences),
        journals=journals,
        images_root=data,
    )
    write_report(out / "report.html", inputs)
