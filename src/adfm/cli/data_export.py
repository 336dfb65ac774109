"""`adfm data export`: a manifest in, the folder that verl, EasyR1, ms-swift, COCO tools, FiftyOne or lmms-eval reads out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import add_command, add_protocol, folded, frame_rule, print_json, progress_bar, protocol_flags
from adfm.errors import ConfigError

TOOLS = ("verl", "easyr1", "ms-swift", "coco", "fiftyone", "lmms-eval")
EXAMPLE = """
adfm data export data/parts --to verl --model models/mine --out exports/verl
adfm data export data/parts --to ms-swift --frame 0-1000 --split train --out exports/swift
adfm data export data/parts --to coco --out exports/coco
"""
ASKING = {
    "--frame": "frame",
    "--model": "model",
    "--stages": "stages",
    "--no-category": "name_category",
    "--max-new-tokens": "max_new_tokens",
}
UNPLACED = {"coco": "COCO cannot say so and they are left out", "fiftyone": "their `defects` is null"}


def add_export(commands: Any) -> None:
    """Add `data export`."""
    summary = "write a manifest in the format of another tool; images stay where they are"
    parser = add_command(commands, "export", run_export, summary, EXAMPLE)
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest.jsonl or its folder")
    parser.add_argument("--to", choices=TOOLS, required=True, help="the tool that will read it")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="this split only (all)")
    asked = parser.add_argument_group("prompts and answers")
    asked.add_argument("--model", help="whose box units and protocol: a model folder, hub id, or nano")
    asked.add_argument("--frame", metavar="F", help="the box units themselves: original, 0-1000, resized:WxH")
    add_protocol(asked)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run_export(args: argparse.Namespace) -> int:
    """Export, then print what was written and how the tool loads it.

    Raises:
        UserError: an option, a file or an image that breaks a rule.
    """
    from adfm.bridges import BRIDGES
    from adfm.bridges.export import export
    from adfm.data.manifest import read_manifest
    from adfm.models.card import protocol_of
    from adfm.reasoning import DEFAULT

    bridge = BRIDGES[args.to]
    given = [option for option, name in ASKING.items() if getattr(args, name) is not None]
    if given and not bridge.ASKS:
        raise ConfigError(
            f"{given[0]}: {args.to} holds no prompts, its boxes are in the image's own pixels; leave it out"
        )
    if bridge.ASKS and (args.frame is None) == (args.model is None):
        raise ConfigError(f"--to {args.to}: give either --model (whose box units are asked for) or --frame")
    manifest = read_manifest(args.manifest)
    manifest = manifest.only(args.split) if args.split else manifest
    own = DEFAULT if args.model is None else protocol_of(args.model)
    protocol, frame_of = own.with_flags(protocol_flags(args)), frame_rule(args.frame, args.model)
    with progress_bar() as progress:
        files = export(manifest, bridge, args.out, frame_of, protocol, progress)
    load = bridge.LOAD.format(out=args.out, split=manifest.samples[0].split)
    count = len(manifest.samples)
    if args.json:
        print_json({"out": str(args.out), "to": args.to, "samples": count, "files": files, "load": load})
        return 0
    print(f"{count} samples -> {args.out}: {', '.join(files)}")
    if unplaced := sum(sample.boxes is None for sample in manifest.samples):
        print(f"note: {unplaced} anomalous samples have no boxes; {UNPLACED.get(args.to, 'grounding does not apply')}")
    print(f"next: {folded(load)}")
    return 0
