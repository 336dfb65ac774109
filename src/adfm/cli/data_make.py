"""`adfm data make`: synthetic parts with masks, in the MVTec layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import add_command, print_json, progress_bar

SUMMARY = "make synthetic parts with masks, in the MVTec layout"
EXAMPLE = """
adfm data make --out parts --images 400 --seed 7
adfm data make --out drilled --benign drilled_hole --difficulty 0.3
"""


def add_make(commands: Any) -> None:
    """Add `make` to the commands of `adfm data`."""
    parser = add_command(commands, "make", run_make, SUMMARY, EXAMPLE)
    parser.add_argument("--out", type=Path, required=True, help="new folder for the images")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which parts are drawn (%(default)s)")
    parser.add_argument("--images", type=int, default=200, metavar="N", help="how many images in all (%(default)s)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of an image (%(default)s)")
    parser.add_argument(
        "--products", type=int, default=4, metavar="N", help="how many products share them (%(default)s)"
    )
    parser.add_argument("--difficulty", type=float, default=0.5, metavar="D", help="0 easy to 1 hard (%(default)s)")
    parser.add_argument("--materials", nargs="+", metavar="KIND", help="families of products (all)")
    parser.add_argument("--benign", nargs="*", metavar="KIND", help="marks that are no defects (drawn per product)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run_make(args: argparse.Namespace) -> int:
    """Draw the parts and print how many there are of each defect type."""
    from adfm.data.synthetic import make
    from adfm.errors import UserError

    names = ("seed", "images", "products", "difficulty", "materials", "benign")
    try:
        with progress_bar() as bar:
            chosen = {name: getattr(args, name) for name in names}
            counts = make(args.out, size=(args.size, args.size), progress=bar, **chosen)
    except ValueError as error:
        raise UserError(f"adfm data make: {error}") from error
    if args.json:
        print_json({"out": str(args.out), "counts": counts})
        return 0
    for category, kinds in counts.items():
        print(f"{category}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    print(f"next: adfm data build {args.out} --out DIR --split labelled")
    return 0
