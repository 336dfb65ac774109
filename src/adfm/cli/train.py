"""`adfm train sft|grpo`: a recipe and overrides in, a run folder with a final model out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import add_command, progress_bar

EXAMPLE = """
adfm train sft --config nano-sft data.manifest=data/parts out=runs/sft
adfm train grpo --config nano-grpo model=runs/sft/final data.manifest=data/parts out=runs/grpo
adfm train grpo --config nano-grpo model=runs/sft/final data.manifest=data/parts out=runs/grpo --resume
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(
        subparsers, "train", run, "supervised fine-tuning, or GRPO; `name=value` words override the recipe", EXAMPLE
    )
    parser.add_argument("stage", choices=("sft", "grpo"), help="which training")
    parser.add_argument(
        "--config", required=True, metavar="RECIPE", help="a YAML file, or the name of a packaged recipe"
    )
    parser.takes_overrides = True
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of the run")


def run(args: argparse.Namespace) -> int:
    """Train and say where the model is."""
    from adfm.config import load_settings
    from adfm.training.recipes import find_recipe
    from adfm.training.settings import GrpoSettings, SftSettings

    recipe = find_recipe(args.config)
    settings: Any = load_settings(SftSettings if args.stage == "sft" else GrpoSettings, recipe, args.overrides)
    with progress_bar() as bar:
        final = _train(args.stage, settings, args.resume, _shown(args.stage, bar))
    print(f"model -> {final}")
    print(f"next: adfm eval --model {final} --data {settings.data.manifest} --out {Path(settings.out) / 'eval'}")
    return 0


def _train(stage: str, settings: Any, resume: bool, progress: Any) -> Path:
    if stage == "sft":
        from adfm.training.sft import train_sft

        return train_sft(settings, resume=resume, progress=progress)
    from adfm.training.grpo import train_grpo

    return train_grpo(settings, resume=resume, progress=progress)


def _shown(stage: str, bar: Any) -> Any:
    """Show the reward or the loss in the bar; where there is no terminal, print a line now and then."""
    name = "loss" if stage == "sft" else "reward/total"

    def show(step: int, steps: int, row: dict[str, float]) -> None:
        if bar:
            bar(f"{stage}  {name} {row.get(name, 0):.3f}", step, steps)
        elif step % max(1, steps // 20) == 0 or step == steps:
            told = "  ".join(f"{key} {row[key]:.3f}" for key in SHOWN if key in row)
            print(f"step {step}/{steps}  {told}", flush=True)

    return show


SHOWN = (
    "loss",
    "reward/total",
    "reward/verdict",
    "reward/grounding",
    "zero_advantage_share",
    "false_positive_rate",
    "unread_rate",
)
