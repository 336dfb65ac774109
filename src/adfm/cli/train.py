"""`adfm train sft|grpo`: a recipe and overrides in, a run folder with a final model out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adfm.cli.common import add_command, print_json, progress_bar
from adfm.errors import ConfigError

EXAMPLE = """
adfm train sft --config nano-sft data.manifest=data/parts out=runs/sft
adfm train grpo --config nano-grpo model=runs/sft/final data.manifest=data/parts out=runs/grpo
adfm train grpo --config nano-grpo model=runs/sft/final data.manifest=data/parts out=runs/grpo --resume
adfm train grpo --settings
"""
SHOWN = (
    "loss",
    "reward/total",
    "reward/verdict",
    "reward/grounding",
    "zero_advantage_share",
    "false_positive_rate",
    "unread_rate",
)
"""What a line of progress shows where there is no terminal."""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(
        subparsers, "train", run, "supervised fine-tuning, or GRPO; `name=value` words override the recipe", EXAMPLE
    )
    parser.add_argument("stage", choices=("sft", "grpo"), help="which training")
    parser.add_argument("--config", metavar="RECIPE", help="a YAML file, or the name of a packaged recipe")
    parser.takes_overrides = True
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint of the run")
    parser.add_argument("--settings", action="store_true", help="list every setting with its meaning, and do nothing")
    parser.add_argument("--json", action="store_true", help="with --settings: print them as JSON")


def run(args: argparse.Namespace) -> int:
    """Train and say where the model is, or list the settings.

    Raises:
        UserError: no recipe, or a fault of the settings, the data, the model or the run folder.
    """
    from adfm.config import describe, load_settings
    from adfm.training.settings import GrpoSettings, SftSettings, find_recipe

    kind: type[Any] = SftSettings if args.stage == "sft" else GrpoSettings
    if args.settings:
        settings = describe(kind)
        if args.json:
            print_json([setting._asdict() for setting in settings])
            return 0
        for setting in settings:
            print(f"{setting.name} ({setting.values}, default {setting.default})\n    {setting.description}")
        return 0
    if args.config is None:
        raise ConfigError(f"adfm train {args.stage}: needs --config RECIPE; --settings lists what it may say")
    recipe: Any = load_settings(kind, find_recipe(args.config), args.overrides)
    with progress_bar() as bar:
        show = step_progress(args.stage, bar)
        if args.stage == "sft":
            from adfm.training.sft import train_sft

            final = train_sft(recipe, resume=args.resume, progress=show)
        else:
            from adfm.training.grpo import train_grpo

            final = train_grpo(recipe, resume=args.resume, progress=show)
    print(f"model -> {final}")
    print(f"next: adfm eval --model {final} --data {recipe.data.manifest} --out {Path(recipe.out) / 'eval'}")
    return 0


def step_progress(stage: str, bar: Any) -> Callable[[int, int, dict[str, float]], None]:
    """Return what shows the reward or the loss in the bar, or a line now and then where there is no terminal."""
    from adfm.progress import quiet

    name = "loss" if stage == "sft" else "reward/total"

    def show(step: int, steps: int, row: dict[str, float]) -> None:
        if bar is not quiet:
            bar(f"{stage}  {name} {row.get(name, 0):.3f}", step, steps)
        elif step % max(1, steps // 20) == 0 or step == steps:
            values = "  ".join(f"{key} {row[key]:.3f}" for key in SHOWN if key in row)
            print(f"step {step}/{steps}  {values}", flush=True)

    return show
