"""`adfm data export`: a manifest in, the folder that verl, EasyR1, ms-swift, COCO tools, FiftyOne or lmms-eval reads out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, folded, print_json, progress_bar
from adfm.errors import ConfigError

if TYPE_CHECKING:
    from adfm.bridges import Bridge
    from adfm.bridges.export import Asked
    from adfm.data.manifest import Manifest
    from adfm.rewards import FrameOf

TOOLS = ("verl", "easyr1", "ms-swift", "coco", "fiftyone", "lmms-eval")
EXAMPLE = """
adfm data export data/parts --to verl --model models/mine --out exports/verl
adfm data export data/parts --to ms-swift --frame 0-1000 --split train --out exports/swift
adfm data export data/parts --to coco --out exports/coco
"""
_ASKING = ("frame", "model", "stages", "no_category")


def add_export(commands: Any) -> None:
    """Add `data export`."""
    summary = "write a manifest in the format of another tool; pictures stay where they are"
    parser = add_command(commands, "export", run_export, summary, EXAMPLE)
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest.jsonl or its folder")
    parser.add_argument("--to", choices=TOOLS, required=True, help="the tool that will read it")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="this split alone (all)")
    asked = parser.add_argument_group("prompts and answers, in the unit that the model writes")
    asked.add_argument("--model", help="whose unit: a model folder, hub id, or nano")
    asked.add_argument("--frame", metavar="F", help="the unit itself: original, 0-1000, resized:WxH")
    asked.add_argument("--stages", choices=("full", "locate_answer", "verdict"), help="protocol asked for (full)")
    asked.add_argument("--no-category", action="store_true", default=None, help="do not name the part in the prompt")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run_export(args: argparse.Namespace) -> int:
    """Export, then print what was written and how the tool is told of it.

    Raises:
        UserError: an option, a file or a picture that breaks a rule.
    """
    from adfm.bridges import BRIDGES
    from adfm.bridges.export import export
    from adfm.data.manifest import read_manifest

    bridge = BRIDGES[args.to]
    _require_frame(args, bridge)
    manifest = read_manifest(args.manifest)
    chosen = manifest.only(args.split) if args.split else manifest
    asked = _asked(args)
    with progress_bar() as progress:
        files = export(chosen, bridge, args.out, asked, progress)
    told = {
        "out": str(args.out),
        "to": args.to,
        "samples": len(chosen.samples),
        "files": files,
        "load": bridge.LOAD.format(out=args.out, split=chosen.samples[0].split),
    }
    print_json(told) if args.json else _print_told(told, chosen)
    return 0


def _require_frame(args: argparse.Namespace, bridge: Bridge) -> None:
    """Refuse prompts without a unit, two units, and a unit where there are no prompts."""
    given = [name for name in _ASKING if getattr(args, name) is not None]
    if not bridge.ASKS and given:
        option = "--" + given[0].replace("_", "-")
        raise ConfigError(
            f"{option}: {args.to} holds no prompts, its boxes are in the picture's own pixels; leave it out"
        )
    if bridge.ASKS and (args.frame is None) == (args.model is None):
        raise ConfigError(f"--to {args.to}: give either --model (whose unit of coordinates is asked) or --frame")


def _asked(args: argparse.Namespace) -> Asked:
    from adfm.bridges.export import Asked
    from adfm.reasoning import STAGES

    return Asked(_frame_of(args), STAGES[args.stages or "full"], category=not args.no_category)


def _frame_of(args: argparse.Namespace) -> FrameOf:
    from adfm.geometry import Frame

    if args.model is not None:
        from adfm.models.frames import model_frame

        asked: FrameOf = model_frame(args.model)
        return asked
    name = args.frame or "original"
    Frame.parse(name, 1, 1)
    return lambda width, height: Frame.parse(name, width, height)


def _print_told(told: dict[str, Any], manifest: Manifest) -> None:
    unplaced = sum(sample.boxes is None for sample in manifest.samples)
    print(f"{told['samples']} samples -> {told['out']}: {', '.join(told['files'])}")
    if unplaced:
        print(
            f"note: {unplaced} anomalous samples have no boxes; {_UNPLACED.get(told['to'], 'grounding does not apply')}"
        )
    print(f"next: {folded(told['load'])}")


_UNPLACED = {"coco": "COCO cannot say so and they are left out", "fiftyone": "their `defects` is null"}
