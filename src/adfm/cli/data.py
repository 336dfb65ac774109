"""`adfm data build | make | check | export`: folders -> manifest, synthetic parts, faults, other tools' formats."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import Parser, add_command, folded, print_json, progress_bar
from adfm.cli.data_export import add_export

if TYPE_CHECKING:
    from adfm.data.build import BuildReport
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
MAKE_EXAMPLE = """
adfm data make --out parts --images 400 --seed 7
adfm data make --out drilled --benign drilled_hole --difficulty 0.3
"""
CHECK_EXAMPLE = """
adfm data check data/parts
adfm data check data/parts/manifest.jsonl --json
adfm data check --list
"""


def add(subparsers: Any) -> None:
    """Add `data` and its four commands."""
    parser = add_command(subparsers, "data", run, SUMMARY, EXAMPLE)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    _add_build(commands)
    _add_make(commands)
    _add_check(commands)
    add_export(commands)


def run(args: argparse.Namespace) -> int:
    """Not reached: a command below `data` is required and brings its own function."""
    raise AssertionError(args)


def _add_build(commands: Any) -> None:
    parser = add_command(
        commands, "build", run_build, "turn a folder of pictures and masks into a manifest", BUILD_EXAMPLE
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="folder with the pictures")
    parser.add_argument("--out", type=Path, required=True, help="new folder for manifest.jsonl and manifest.meta.json")
    add_build_options(parser)


def add_build_options(parser: Parser) -> None:
    """Add the options that decide a manifest, which `adfm adapt` takes too."""
    layout = parser.add_argument("--layout", metavar="NAME")
    parser.explained_later[layout] = _layouts
    boxes = parser.add_argument_group("masks to boxes")
    boxes.add_argument(
        "--dilate", type=float, metavar="R", help="merge fragments closer than this share of the short side (0.01)"
    )
    boxes.add_argument("--min-area", type=int, metavar="N", help="drop specks of fewer pixels (5)")
    boxes.add_argument("--max-boxes", type=int, metavar="N", help="more boxes: dilation is raised until they fit (16)")
    tiles = parser.add_argument_group("tiles")
    tiles.add_argument("--tile", type=int, metavar="PX", help="cut pictures into tiles of this side")
    tiles.add_argument("--tile-overlap", type=float, metavar="SHARE", help="overlap of neighbouring tiles (0.25)")
    tiles.add_argument("--tile-normals", type=int, metavar="N", help="keep at most N normal tiles per picture")
    _add_split(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="threads (at most 4 by default)")
    parser.add_argument("--json", action="store_true", help="print the meta file instead of a table")


def _layouts() -> str:
    from adfm.data.layouts import LAYOUTS

    return f"auto (default: the one that fits), {', '.join(layout.NAME for layout in LAYOUTS)}"


def _add_split(parser: argparse.ArgumentParser) -> None:
    split = parser.add_argument_group("split")
    split.add_argument(
        "--split", metavar="RULE", help="official (the layout's own), fractions, or labelled (part of test trains)"
    )
    split.add_argument(
        "--shares", type=float, nargs=3, metavar=("TRAIN", "VALIDATION", "TEST"), help="for fractions (0.7 0.1 0.2)"
    )
    split.add_argument(
        "--labelled-fraction", type=float, metavar="F", help="share of the official test split that trains (0.2)"
    )
    split.add_argument("--validation", type=float, metavar="F", help="share of train that becomes validation (0)")
    split.add_argument(
        "--validation-normals",
        type=float,
        metavar="F",
        help="share of train's normal parts that becomes validation (0)",
    )
    split.add_argument(
        "--group-by", metavar="REGEX", help="first capture group in a file's stem: never split (a board, a video)"
    )
    split.add_argument("--seed", type=int, metavar="N", help="which pictures go where (0)")


def _add_make(commands: Any) -> None:
    parser = add_command(
        commands, "make", run_make, "make synthetic parts with masks, in the MVTec layout", MAKE_EXAMPLE
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the pictures")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which parts are drawn (%(default)s)")
    parser.add_argument("--images", type=int, default=200, metavar="N", help="how many pictures in all (%(default)s)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of a picture (%(default)s)")
    parser.add_argument(
        "--products", type=int, default=4, metavar="N", help="how many products share them (%(default)s)"
    )
    parser.add_argument("--difficulty", type=float, default=0.5, metavar="D", help="0 easy to 1 hard (%(default)s)")
    parser.add_argument("--materials", nargs="+", metavar="KIND", help="families of products (all)")
    parser.add_argument("--benign", nargs="*", metavar="KIND", help="marks that are no defects (drawn per product)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def _add_check(commands: Any) -> None:
    summary = "list every fault of a manifest, its pictures and its masks; exit 2 if there is one"
    parser = add_command(commands, "check", run_check, summary, CHECK_EXAMPLE)
    parser.add_argument("path", type=Path, nargs="?", metavar="DIR", help="manifest.jsonl or the folder that holds it")
    parser.add_argument("--known-bad", type=Path, metavar="FILE", help="`sha256sum` lines of pictures known to be bad")
    parser.add_argument("--list", action="store_true", help="print every kind of fault that is looked for")
    parser.add_argument("--json", action="store_true", help="print the faults, or with --list the kinds, as JSON")


def run_make(args: argparse.Namespace) -> int:
    """Draw the parts and say how many of which kind there are."""
    from adfm.data.synthetic import make
    from adfm.errors import UserError

    names = ("seed", "images", "products", "difficulty", "materials", "benign")
    try:
        with progress_bar() as bar:
            update = partial(bar, "parts") if bar else None
            chosen = {name: getattr(args, name) for name in names}
            counts = make(args.out, size=(args.size, args.size), progress=update, **chosen)
    except ValueError as error:
        raise UserError(f"adfm data make: {error}") from error
    if args.json:
        print_json({"out": str(args.out), "counts": counts})
        return 0
    for category, kinds in counts.items():
        print(f"{category}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    print(f"next: adfm data build {args.out} --out DIR --split labelled")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Print every fault on a line of its own, or the table of all kinds."""
    from adfm.data.check import broken, check, read_known
    from adfm.errors import UserError
    from adfm.geometry import Frame
    from adfm.rewards import gold_fault

    if args.list:
        return _list_kinds(as_json=args.json)
    if args.path is None:
        raise UserError("adfm data check: needs the manifest or its folder; --list prints what is checked")

    def gold(sample: Sample) -> list[Broken]:
        fault = gold_fault(sample, Frame.original(sample.width, sample.height))
        return [broken("gold-marks", why=fault)] if fault else []

    known = read_known(args.known_bad) if args.known_bad else {}
    with progress_bar() as bar:
        found = check(args.path, extra=gold, known=known, progress=bar)
    faults = [each for each in found if each.level == "fault"]
    if args.json:
        levels = {level: [_fault_json(each) for each in found if each.level == level] for level in ("fault", "warning")}
        print_json({"ok": not faults, "faults": levels["fault"], "warnings": levels["warning"]})
    else:
        for each in found:
            print(folded(str(each)))
        print(f"{len(faults)} faults, {len(found) - len(faults)} warnings")
    return 2 if faults else 0


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "code": fault.code,
        "level": fault.level,
        "file": folded(fault.file),
        "line": fault.line,
        "rule": folded(fault.rule),
        "fix": fault.fix,
    }


def _list_kinds(*, as_json: bool) -> int:
    from dataclasses import asdict

    from adfm.data.check import KINDS

    if as_json:
        print_json([asdict(kind) for kind in KINDS.values()])
        return 0
    for kind in KINDS.values():
        print(f"{kind.code:20} {kind.level:8} {kind.rule}; {kind.fix}")
    return 0


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
    except DataFaultsError as faults:
        for line in faults.lines:
            print(f"adfm: {folded(line)}", file=sys.stderr)
        return 2
    print_json({"manifest": str(report.manifest), **report.meta}) if args.json else _print_report(report)
    return 0


def _print_report(report: BuildReport) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    console.print(_count_table(report.meta["counts"]))
    boxes = report.meta["boxes"]
    if boxes:
        per, area = boxes["per_sample"], boxes["relative_area"]
        several = f"{boxes['share_of_several']:.0%} with several"
        console.print(
            f"boxes per anomalous sample: mean {per['mean']:.2f}, median {per['p50']:g}, max {per['max']}; {several}"
        )
        console.print(f"box area / picture area: p5 {area['p5']:.3%}, median {area['p50']:.3%}, p95 {area['p95']:.3%}")
    for warning in report.meta["warnings"]:
        console.print(f"note: {escape(folded(warning))}")
    console.print(f"{report.samples} samples in {escape(str(report.manifest))}")
    console.print(f"next: adfm data check {escape(str(report.manifest.parent))}")


def _count_table(counts: dict[str, dict[str, dict[str, int]]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("category", "split", "normal", "anomalous", box=None)
    for category, splits in counts.items():
        for split in (name for name in ("train", "validation", "test") if name in splits):
            numbers = (str(splits[split].get(label, 0)) for label in ("normal", "anomalous"))
            table.add_row(escape(category), split, *numbers)
    return table
