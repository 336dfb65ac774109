"""`adfm nano build`: the bundled model's recipe, from nothing to weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import Parser, add_command, plain, progress_bar

EXAMPLE = """
adfm nano build --out runs/nano
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(
        subparsers, "nano", run, "build the bundled model from nothing (hours on a CPU; resumable)", EXAMPLE
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    build = add_command(
        actions, "build", run, "tokenizer, dense vision warm-up, fine-tuning on synthetic parts", EXAMPLE
    )
    build.add_argument(
        "--out", type=Path, required=True, help="folder for the stages; given again, the build continues"
    )
    build.add_argument("--config", type=Path, help="YAML file of settings (default: those of the shipped weights)")
    build.add_argument("--workers", type=int, default=1, help="processes that draw parts (%(default)s)")
    build.takes_overrides = True


def run(args: argparse.Namespace) -> int:
    """Build, with the progress of each stage."""
    from adfm.config import apply_overrides, load_settings, make_settings
    from adfm.models.device import use_threads
    from adfm.training.nano import NanoSettings, build_nano

    use_threads(1)
    if args.config:
        settings = load_settings(NanoSettings, args.config, args.overrides)
    else:
        settings = make_settings(NanoSettings, apply_overrides({}, args.overrides), "adfm nano build")
    with progress_bar(plain) as bar:
        final = build_nano(args.out, settings, bar, workers=args.workers)
    print(f"model -> {final}\nnext: adfm eval --model {final} --data MANIFEST --out {args.out / 'eval'}")
    return 0
