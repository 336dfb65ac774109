"""`adfm score`: responses and a manifest in, scores and a summary out. The arithmetic is in `adfm.rewards`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adfm.cli.common import STAGE_NAMES, add_command, frame_rule, print_json
from adfm.errors import ConfigError, DataError, UserError

EXAMPLE = """
adfm score --data data/manifest.jsonl --responses responses.jsonl --out scores.jsonl --preset set_iou --frame original

a line of responses.jsonl: {"id": "...", "response": "<locate>...", "frame": "original"}; `frame` is optional
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    summary = "score written answers against a manifest: format, verdict and grounding"
    parser = add_command(subparsers, "score", run, summary, EXAMPLE)
    parser.add_argument("--data", type=Path, required=True, metavar="MANIFEST", help="manifest.jsonl or its folder")
    parser.add_argument("--responses", type=Path, required=True, metavar="R", help="responses.jsonl: id, response")
    parser.add_argument("--out", type=Path, required=True, metavar="S", help="scores.jsonl to write")
    preset = parser.add_argument("--preset", default="paper", metavar="P")
    parser.explained_later[preset] = explained_presets
    parser.add_argument("--frame", metavar="F", help="units of the boxes: original, 0-1000, resized:WxH (the model's)")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the count term of `paper` (%(default)s)")
    parser.add_argument(
        "--weights", default="1,1,1", metavar="F,V,G", help="of format, verdict, grounding (%(default)s)"
    )
    parser.add_argument("--stages", choices=STAGE_NAMES, default="full", help="blocks asked for (%(default)s)")
    parser.add_argument("--model", default="nano", help="whose box units hold where none are given (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def explained_presets() -> str:
    """Return the help of `--preset`, which names the presets of installed extensions too."""
    from adfm.extensions import extended
    from adfm.rewards.presets import GROUP, PRESETS

    return f"grounding reward: {', '.join(extended(GROUP, PRESETS))} (%(default)s)"


def run(args: argparse.Namespace) -> int:
    """Score, write the scores, print the summary.

    Raises:
        UserError: a file, a setting or a row that breaks a rule.
    """
    from adfm.data.manifest import manifest_path, read_manifest
    from adfm.ownership import require_replaceable
    from adfm.reasoning import Protocol
    from adfm.rewards import score_rows, summarise
    from adfm.rewards.truth import flat_settings
    from adfm.storage import read_jsonl, write_jsonl

    for source in (manifest_path(args.data), args.responses):
        if args.out.exists() and source.exists() and args.out.samefile(source):
            raise UserError(f"{args.out}: is an input of the command; give another --out file")
    require_replaceable(args.out, b'"parsed": ')
    samples, rows = read_manifest(args.data).samples, read_jsonl(args.responses)
    try:
        weights = dict(zip(("format", "verdict", "grounding"), map(float, args.weights.split(",")), strict=True))
    except ValueError as error:
        raise ConfigError(
            f"--weights '{args.weights:.40}': must be three numbers, format,verdict,grounding, as in 1,1,1"
        ) from error
    settings = flat_settings({"preset": args.preset, "alpha": args.alpha, **weights}, "adfm score")
    # A model is opened only where a row needs its frame.
    frame_of = frame_rule(args.frame, args.model if any(row.get("frame") is None for row in rows) else None)
    try:
        scores = score_rows(samples, rows, frame_of, settings, protocol=Protocol(stages=args.stages))
    except DataError as error:
        raise DataError(f"{args.responses}: {error}") from error
    write_jsonl(args.out, scores)
    summary = summarise(scores, len(samples))
    print_json(summary) if args.json else _print_summary(summary, args.out)
    return 0


def _print_summary(summary: Mapping[str, Any], out: Path) -> None:
    print(f"{summary['responses']} responses scored, {summary['unanswered']} samples without a response -> {out}")
    for name, mean in summary["mean"].items():
        print(f"  {name:<10} {'-' if mean is None else format(mean, '.4f')}")
    if summary["unread"] is not None:
        print(f"  unread     {summary['unread']:.1%}")
    if top := list(summary["problems"].items())[:5]:
        print("  problems   " + ", ".join(f"{name} {count}" for name, count in top))
