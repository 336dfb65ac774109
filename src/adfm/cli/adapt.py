"""`adfm adapt`: a labelled folder in, any arms compared on its held-out part out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import add_command, plain, print_json, print_table, progress_bar
from adfm.cli.data import add_build_options, build_settings
from adfm.errors import UserError

EXAMPLE = """
adfm adapt parts/ --out runs/parts --split labelled --labelled-fraction 0.2 --repeats 3
adfm adapt boards/ --out runs/boards --tile 160 --group-by '^(\\d{5})' --split fractions
"""
SHORT = "one command from a labelled folder to an adapted model and its evidence"


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "adapt", run, SHORT, EXAMPLE)
    parser.add_argument("source", type=Path, metavar="SRC", help="folder with the images, as for `adfm data build`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; given again, it continues")
    parser.add_argument("--model", default="nano", help="model to adapt (%(default)s)")
    parser.add_argument(
        "--arms",
        nargs="+",
        default=["base", "sft", "grpo"],
        metavar="ARM",
        help="what is compared, in order: base, sft, grpo, verdict-only, or an installed extension (base sft grpo)",
    )
    parser.add_argument("--sft-recipe", default="nano-sft", metavar="RECIPE", help="of sft (%(default)s)")
    parser.add_argument("--grpo-recipe", default="nano-grpo", metavar="RECIPE", help="of grpo (%(default)s)")
    for stage in ("sft", "grpo"):
        parser.add_argument(
            f"--{stage}",
            nargs="*",
            action="extend",
            default=[],
            metavar="key=value",
            help=f"settings that win over the {stage.upper()} recipe's",
        )
    parser.add_argument(
        "--alpha",
        type=float,
        default=0.1,
        help="rate of false rejects that the threshold promises, if the validation split can (%(default)s)",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=1,
        metavar="N",
        help="average over N splits, of seeds --seed and up (%(default)s)",
    )
    add_build_options(parser)


def run(args: argparse.Namespace) -> int:
    """Adapt and print the table.

    Raises:
        UserError: an option, the data, a recipe or a model that breaks a rule.
    """
    from adfm.workflows.adapt import TABLE, AdaptSettings, describe_decisions, run_adaptation, run_repeats
    from adfm.workflows.arms import table

    if args.repeats < 1:
        raise UserError(f"--repeats {args.repeats}: at least one split is needed; give 1 or more")
    settings = AdaptSettings(
        build=build_settings(args),
        model=args.model,
        arms=tuple(args.arms),
        sft=args.sft_recipe,
        grpo=args.grpo_recipe,
        sft_overrides=tuple(args.sft),
        grpo_overrides=tuple(args.grpo),
        alpha=args.alpha,
        seed=args.seed or 0,
    )
    with progress_bar(plain) as bar:
        if args.repeats == 1:
            adapted = run_adaptation(args.source, args.out, settings, bar)
        else:
            adapted = run_repeats(args.source, args.out, settings, args.repeats, bar)
    summary = adapted.summary
    if args.json:
        print_json(summary)
        return 0
    print_table(table(adapted.runs, adapted.differences))
    if args.repeats == 1:
        print(describe_decisions(summary["decisions"]))
    print(f"recommended: {summary['recommended']['name']} ({summary['recommended']['why']})")
    pages = args.out / ("report.html" if args.repeats == 1 else "seed-*/report.html")
    print(f"{summary['seconds']:.0f} s; table -> {args.out / TABLE}; report -> {pages}")
    return 0
