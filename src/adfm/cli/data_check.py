"""`adfm data check`: every fault of a manifest, its images and its masks on a line of its own."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, folded, print_json, progress_bar

if TYPE_CHECKING:
    from adfm.data.check import Broken, Fault
    from adfm.records import Sample

SUMMARY = "list every fault of a manifest, its images and its masks; exit 2 if there is one"
EXAMPLE = """
adfm data check data/parts
adfm data check data/parts/manifest.jsonl --json
adfm data check --list
"""


def add_check(commands: Any) -> None:
    """Add `check` to the commands of `adfm data`."""
    parser = add_command(commands, "check", run_check, SUMMARY, EXAMPLE)
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
