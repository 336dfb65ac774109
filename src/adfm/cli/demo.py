"""`adfm demo`: the whole chain on the bundled model, ending with a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import add_command, plain, print_json, print_table, progress_bar

EXAMPLE = """
adfm demo --out runs/demo
adfm demo --out runs/demo-ablation --ablate
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(
        subparsers, "demo", run, "the whole chain on the bundled model (ten minutes on two cores)", EXAMPLE
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder; given again, the demo continues (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of parts, training and bootstrap (%(default)s)")
    parser.add_argument("--images", type=int, default=1000, help="how many parts are drawn (%(default)s)")
    parser.add_argument("--steps", type=int, help="GRPO steps (default: the recipe's)")
    parser.add_argument("--ablate", action="store_true", help="also train without the grounding reward")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its table."""
    from adfm.numbers import difference_with_interval
    from adfm.workflows.demo import DemoSettings, run_demo

    settings = DemoSettings(seed=args.seed, images=args.images, steps=args.steps, ablate=args.ablate)
    with progress_bar(plain) as bar:
        summary = run_demo(args.out, settings, bar)
    rows = summary.pop("table")
    if args.json:
        print_json(summary)
        return 0
    print_table(rows)
    gain = difference_with_interval(*summary["difference"]["balanced_accuracy"])
    print(f"balanced accuracy {gain} in {summary['seconds']:.0f} s")
    print(f"report -> {summary['report']}")
    return 0
