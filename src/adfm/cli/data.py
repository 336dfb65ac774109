"""`adfm data build | make | check | export`: the commands about data sets; `export` has a file of its own."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import Parser, add_command, folded, print_json, progress_bar
from adfm.cli.data_export import add_export

if TYPE_CHECKING:
    from adfm.data.check import Broken, Fault
    from adfm.data.settings import BuildSettings
    from adfm.records import Sample

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
MAKE_SUMMARY = "make synthetic parts with masks, in the MVTec layout"
MAKE_EXAMPLE = """
adfm data make --out parts --images 400 --seed 7
adfm data make --out drilled --benign drilled_hole --difficulty 0.3
"""
CHECK_SUMMARY = "list every fault of a manifest, its images and its masks; exit 2 if there is one"
CHECK_EXAMPLE = """
adfm data check data/parts
adfm data check data/parts/manifest.jsonl --json
adfm data check --list
"""

_COUNT, _SHARE = {"type": int, "metavar": "N"}, {"type": float, "metavar": "F"}
# The options of `BuildSettings` by the title of their group; {} in a help becomes the default.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "layout": {
        "layout": {"metavar": "NAME", "help": "auto (default: the one that fits), {}"},
        "annotators": {
            "metavar": "RULE",
            "help": "where several disagree, a part is defective if any or all say so, or the first (else refused)",
        },
    },
    "images": {
        "white": {
            "type": float,
            "metavar": "N",
            "help": "value shown as white in images of over 8 bits (default: the end of the bits that the set uses)",
        },
    },
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


def add_make(commands: Any) -> None:
    """Add `make` to the commands of `adfm data`."""
    parser = add_command(commands, "make", run_make, MAKE_SUMMARY, MAKE_EXAMPLE)
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


def add_check(commands: Any) -> None:
    """Add `check` to the commands of `adfm data`."""
    parser = add_command(commands, "check", run_check, CHECK_SUMMARY, CHECK_EXAMPLE)
    parser.add_argument("path", type=Path, nargs="?", metavar="DIR", help="manifest.jsonl or the folder that holds it")
    parser.add_argument("--known-bad", type=Path, metavar="FILE", help="`sha256sum` lines of images known to be bad")
    parser.add_argument(
        "--list", action="store_true", help="print every type of fault, also those of `adfm data build`"
    )
    parser.add_argument("--json", action="store_true", help="print the faults, or with --list the types, as JSON")


def run_check(args: argparse.Namespace) -> int:
    """Print every fault on a line of its own, or the table of all types."""
    from adfm.data.check import KINDS, check, read_known
    from adfm.errors import UserError

    if args.list and args.json:
        print_json([asdict(kind) for kind in KINDS.values()])
        return 0
    if args.list:
        for kind in KINDS.values():
            print(f"{kind.code:20} {kind.level:8} {kind.rule}; {kind.fix}")
        return 0
    if args.path is None:
        raise UserError("adfm data check: needs the manifest or its folder; --list prints what is checked")
    known = read_known(args.known_bad) if args.known_bad else {}
    with progress_bar() as bar:
        found = check(args.path, extra=_gold_faults, known=known, progress=bar)
    faults, warnings = ([one for one in found if one.level == level] for level in ("fault", "warning"))
    if args.json:
        print_json({"ok": not faults, "faults": [*map(_json, faults)], "warnings": [*map(_json, warnings)]})
    else:
        for one in found:
            print(folded(str(one)))
        print(f"{len(faults)} faults, {len(warnings)} warnings")
    return 2 if faults else 0


def _json(fault: Fault) -> dict[str, Any]:
    file, rule = folded(fault.file), folded(fault.rule)
    return {"code": fault.code, "level": fault.level, "file": file, "line": fault.line, "rule": rule, "fix": fault.fix}


def _gold_faults(sample: Sample) -> list[Broken]:
    from adfm.data.check import broken
    from adfm.geometry import Frame
    from adfm.rewards import gold_fault

    fault = gold_fault(sample, Frame.original(sample.width, sample.height))
    return [broken("gold-marks", why=fault)] if fault else []
