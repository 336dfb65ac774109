"""`adfm data build | make | check | export`: the commands about data sets; `build` is here, the others beside it."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import Parser, add_command, folded, print_json, progress_bar
from adfm.cli.data_check import add_check
from adfm.cli.data_export import add_export
from adfm.cli.data_make import add_make

if TYPE_CHECKING:
    from adfm.data.settings import BuildSettings

SUMMARY = "build, make, check or export a data set"
EXAMPLE = """
adfm data make --out parts --seed 7
adfm data build parts --out data/parts
adfm data check data/parts
adfm data export data/parts --to coco --out exports/coco
"""
BUILD_EXAMPLE = """
adfm data build mvtec/hazelnut --out data/hazelnut --split labelled
adfm data build boards --out data/boards --tile 160 --group-by '^([0-9]{5})' --split fractions
"""

# The options of `BuildSettings` by the title of their group; {} becomes the default of the setting.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "masks to boxes": {
        "dilate": {
            "type": float,
            "metavar": "R",
            "help": "merge fragments closer than this share of the short side ({})",
        },
        "min_area": {"type": int, "metavar": "N", "help": "drop specks of fewer pixels ({})"},
        "max_boxes": {"type": int, "metavar": "N", "help": "more boxes: dilation is raised until they fit ({})"},
    },
    "tiles": {
        "tile": {"type": int, "metavar": "PX", "help": "cut images into tiles of this side"},
        "tile_overlap": {"type": float, "metavar": "SHARE", "help": "overlap of neighbouring tiles ({})"},
        "tile_normals": {"type": int, "metavar": "N", "help": "keep at most N normal tiles per image"},
    },
    "split": {
        "split": {
            "metavar": "RULE",
            "help": "official (the layout's own), fractions, or labelled (part of test trains)",
        },
        "shares": {
            "type": float,
            "nargs": 3,
            "metavar": ("TRAIN", "VALIDATION", "TEST"),
            "help": "for fractions ({})",
        },
        "labelled_fraction": {
            "type": float,
            "metavar": "F",
            "help": "share of the official test split that trains ({})",
        },
        "validation": {"type": float, "metavar": "F", "help": "share of train that becomes validation ({})"},
        "validation_normals": {
            "type": float,
            "metavar": "F",
            "help": "share of train's normal parts that becomes validation ({})",
        },
        "group_by": {
            "metavar": "REGEX",
            "help": "first capture group in a file's stem: never split (a board, a video)",
        },
        "seed": {"type": int, "metavar": "N", "help": "which images go where ({})"},
    },
}


def add(subparsers: Any) -> None:
    """Add `data` and its four commands."""
    parser = add_command(subparsers, "data", run, SUMMARY, EXAMPLE)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    build = add_command(
        commands, "build", run_build, "turn a folder of images and masks into a manifest", BUILD_EXAMPLE
    )
    build.add_argument("source", type=Path, metavar="SRC", help="folder with the images")
    build.add_argument("--out", type=Path, required=True, help="new folder for manifest.jsonl and manifest.meta.json")
    add_build_options(build)
    add_make(commands)
    add_check(commands)
    add_export(commands)


def run(args: argparse.Namespace) -> int:
    """Not reached: a command below `data` is required and brings its own function."""
    raise AssertionError(args)


def add_build_options(parser: Parser) -> None:
    """Add the options that decide a manifest, which `adfm adapt` takes too."""
    layout = parser.add_argument("--layout", metavar="NAME")
    parser.explained_later[layout] = _explained_layouts
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for name, option in options.items():
            action = group.add_argument(f"--{name.replace('_', '-')}", **option)
            parser.explained_later[action] = partial(_with_default, name, option["help"])
    parser.add_argument("--workers", type=int, metavar="N", help="threads (at most 4 by default)")
    parser.add_argument("--json", action="store_true", help="print the meta file instead of a table")


def _explained_layouts() -> str:
    from adfm.data.layouts import known_layouts

    return f"auto (default: the one that fits), {', '.join(known_layouts())}"


def _with_default(name: str, text: str) -> str:
    from adfm.data.settings import BuildSettings

    default = BuildSettings.model_fields[name].default
    numbers = default if isinstance(default, tuple) else (default,)
    return text.format(" ".join(f"{number:g}" for number in numbers)) if "{}" in text else text


def build_settings(args: argparse.Namespace) -> BuildSettings:
    """Return the settings that the options of `add_build_options` give.

    Raises:
        ConfigError: one of them is out of range.
    """
    from adfm.config import make_settings
    from adfm.data.settings import BuildSettings

    given = {name: getattr(args, name, None) for name in BuildSettings.model_fields}
    values = {name: value for name, value in given.items() if value is not None}
    return make_settings(BuildSettings, values, "adfm data build")


def run_build(args: argparse.Namespace) -> int:
    """Build, then print what was built, its warnings and what to run next."""
    from adfm.data.build import build
    from adfm.data.faults import DataFaultsError

    try:
        with progress_bar() as progress:
            report = build(args.source, args.out, build_settings(args), progress)
    except DataFaultsError as error:
        for fault in error.faults:
            print(f"adfm: {folded(str(fault))}", file=sys.stderr)
        return 2
    if args.json:
        print_json({"manifest": str(report.manifest), **report.meta})
    else:
        _print_meta(report.meta)
        print(f"{report.samples} samples in {folded(str(report.manifest))}")
        print(f"next: adfm data check {folded(str(report.manifest.parent))}")
    return 0


def _print_meta(meta: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from adfm.records import LABELS, SPLITS

    console = Console(soft_wrap=True, highlight=False)
    table = Table("category", "split", *LABELS, box=None)
    for category, splits in meta["counts"].items():
        for split in (split for split in SPLITS if split in splits):
            table.add_row(escape(category), split, *(str(splits[split].get(label, 0)) for label in LABELS))
    console.print(table)
    if boxes := meta["boxes"]:
        per, area = boxes["per_sample"], boxes["relative_area"]
        several = f"{boxes['share_of_several']:.0%} with several"
        print(f"boxes per anomalous sample: mean {per['mean']:.2f}, median {per['p50']:g}, max {per['max']}; {several}")
        print(f"box area / image area: p5 {area['p5']:.3%}, median {area['p50']:.3%}, p95 {area['p95']:.3%}")
    for warning in meta["warnings"]:
        print(f"note: {folded(warning)}")
