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

_COUNT, _SHARE = {"type": int, "metavar": "N"}, {"type": float, "metavar": "F"}
# The options of `BuildSettings` by the title of their group; {} in a help becomes the default.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "layout": {"layout": {"metavar": "NAME", "help": "auto (default: the one that fits), {}"}},
    "masks to boxes": {
        "dilate": _SHARE | {"help": "merge fragments closer than this share of the short side ({})", "metavar": "R"},
        "min_area": _COUNT | {"help": "drop specks of fewer pixels ({})"},
        "max_boxes": _COUNT | {"help": "more boxes: dilation is raised until they fit ({})"},
    },
    "tiles": {
        "tile": _COUNT | {"help": "cut images into tiles of this side", "metavar": "PX"},
        "tile_overlap": _SHARE | {"help": "overlap of neighbouring tiles ({})", "metavar": "SHARE"},
        "tile_normals": _COUNT | {"help": "keep at most N normal tiles per image"},
    },
    "split": {
        "split": {
            "metavar": "RULE",
            "help": "official (the layout's own), fractions, or labelled (part of test trains)",
        },
        "shares": _SHARE | {"help": "for fractions ({})", "nargs": 3, "metavar": ("TRAIN", "VALIDATION", "TEST")},
        "labelled_fraction": _SHARE | {"help": "share of the official test split that trains ({})"},
        "validation": _SHARE | {"help": "share of train that becomes validation ({})"},
        "validation_normals": _SHARE | {"help": "share of train's normal parts that becomes validation ({})"},
        "group_by": {
            "metavar": "REGEX",
            "help": "first capture group in a file's stem: never split (a board, a video)",
        },
        "seed": _COUNT | {"help": "which images go where ({})"},
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
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for name, option in options.items():
            action = group.add_argument(f"--{name.replace('_', '-')}", **option)
            parser.explained_later[action] = partial(_explained, name, option["help"])
    parser.add_argument("--workers", type=int, metavar="N", help="threads (at most 4 by default)")
    parser.add_argument("--json", action="store_true", help="print the meta file instead of a table")


def _explained(name: str, text: str) -> str:
    """Fill the default of a setting, or the names of the layouts, into the help of its option."""
    from adfm.data.layouts import known_layouts
    from adfm.data.settings import BuildSettings

    if "{}" not in text:
        return text
    if name == "layout":
        return text.format(", ".join(known_layouts()))
    default = BuildSettings.model_fields[name].default
    return text.format(" ".join(f"{number:g}" for number in (default if isinstance(default, tuple) else (default,))))


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
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from adfm.data.build import build
    from adfm.data.faults import DataFaultsError
    from adfm.records import LABELS, SPLITS

    try:
        with progress_bar() as progress:
            report = build(args.source, args.out, build_settings(args), progress)
    except DataFaultsError as error:
        for fault in error.faults:
            print(f"adfm: {folded(str(fault))}", file=sys.stderr)
        return 2
    if args.json:
        print_json({"manifest": str(report.manifest), **report.meta})
        return 0
    table = Table("category", "split", *LABELS, box=None)
    for category, splits in report.meta["counts"].items():
        for split in (split for split in SPLITS if split in splits):
            table.add_row(escape(category), split, *(str(splits[split].get(label, 0)) for label in LABELS))
    Console(soft_wrap=True, highlight=False).print(table)
    if boxes := report.meta["boxes"]:
        per, area, several = (
            boxes["per_sample"],
            boxes["relative_area"],
            f"{boxes['share_of_several']:.0%} with several",
        )
        print(f"boxes per anomalous sample: mean {per['mean']:.2f}, median {per['p50']:g}, max {per['max']}; {several}")
        print(f"box area / image area: p5 {area['p5']:.3%}, median {area['p50']:.3%}, p95 {area['p95']:.3%}")
    for warning in report.meta["warnings"]:
        print(f"note: {folded(warning)}")
    print(f"{report.samples} samples in {folded(str(report.manifest))}")
    print(f"next: adfm data check {folded(str(report.manifest.parent))}")
    return 0
