"""`adfm data export`: a manifest in, the folder that verl, EasyR1, ms-swift, COCO tools, FiftyOne or lmms-eval reads out."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, folded, print_json, progress_bar
from adfm.errors import ConfigError

if TYPE_CHECKING:
    from adfm.geometry import FrameOf
    from adfm.reasoning import Protocol

TOOLS = ("verl", "easyr1", "ms-swift", "coco", "fiftyone", "lmms-eval")
EXAMPLE = """
adfm data export data/parts --to verl --model models/mine --out exports/verl
adfm data export data/parts --to ms-swift --frame 0-1000 --split train --out exports/swift
adfm data export data/parts --to coco --out exports/coco
"""
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
    asked.add_argument(
        "--stages", choices=("full", "locate_answer", "verdict"), help="blocks of an answer (the model's, or full)"
    )
    asked.add_argument("--no-category", action="store_true", default=None, help="do not name the part in the prompt")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run_export(args: argparse.Namespace) -> int:
    """Export, then print what was written and how the tool loads it.

    Raises:
        UserError: an option, a file or an image that breaks a rule.
    """
    from adfm.bridges import BRIDGES
    from adfm.bridges.export import export
    from adfm.data.manifest import read_manifest

    bridge = BRIDGES[args.to]
    given = [name for name in ("frame", "model", "stages", "no_category") if getattr(args, name) is not None]
    if given and not bridge.ASKS:
        option = "--" + given[0].replace("_", "-")
        raise ConfigError(
            f"{option}: {args.to} holds no prompts, its boxes are in the image's own pixels; leave it out"
        )
    if bridge.ASKS and (args.frame is None) == (args.model is None):
        raise ConfigError(f"--to {args.to}: give either --model (whose box units are asked for) or --frame")
    manifest = read_manifest(args.manifest)
    manifest = manifest.only(args.split) if args.split else manifest
    frame_of, protocol = _asked(args)
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


def _asked(args: argparse.Namespace) -> tuple[FrameOf, Protocol]:
    """Return the frame and the protocol: the model's or the defaults, with what the options change."""
    from adfm.geometry import Frame
    from adfm.reasoning import DEFAULT, ProtocolFlags

    flags = ProtocolFlags(stages=args.stages, name_category=False if args.no_category else None)
    if args.model is not None:
        from adfm.models.card import protocol_of
        from adfm.models.families import frame_of_model

        return frame_of_model(args.model), protocol_of(args.model).with_flags(flags)
    name = args.frame or "original"
    Frame.parse(name, 1, 1)
    return partial(Frame.parse, name), DEFAULT.with_flags(flags)
