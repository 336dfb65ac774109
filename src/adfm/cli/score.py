"""`adfm score`: responses and a manifest in, scores and a summary out; the arithmetic is in `adfm.rewards`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.errors import ConfigError, DataError, UserError

if TYPE_CHECKING:
    from adfm.rewards import FrameOf, RewardSettings

_EXAMPLE = """\
example:
  adfm score --data data/manifest.jsonl --responses responses.jsonl --out scores.jsonl --preset set_iou --frame original

A line of responses.jsonl: {"id": "...", "response": "<locate>...", "frame": "original"}; `frame` is optional.
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "score",
        help="score written answers against a manifest",
        description="Score written answers against a manifest: format, verdict and grounding, and what was read.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="MANIFEST", help="manifest.jsonl or its folder")
    parser.add_argument("--responses", type=Path, required=True, metavar="R", help="responses.jsonl: id, response")
    parser.add_argument("--out", type=Path, required=True, metavar="S", help="scores.jsonl to write")
    parser.add_argument(
        "--preset", choices=("paper", "set_iou"), default="paper", help="grounding reward (%(default)s)"
    )
    parser.add_argument("--frame", metavar="F", help="unit of the boxes: original, 0-1000, resized:WxH (the model's)")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the count term of `paper` (%(default)s)")
    parser.add_argument(
        "--weights", default="1,1,1", metavar="F,V,G", help="of format, verdict, grounding (%(default)s)"
    )
    parser.add_argument(
        "--stages", choices=("full", "locate_answer", "verdict"), default="full", help="protocol asked for"
    )
    parser.add_argument("--model", default="nano", help="whose frame holds where none is given (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score, write the scores, print the summary.

    Raises:
        UserError: a file, a setting or a row that breaks a rule.
    """
    from adfm.data.manifest import manifest_path, read_manifest
    from adfm.reasoning import STAGES
    from adfm.rewards import score_rows, summarise
    from adfm.storage import read_jsonl, write_jsonl

    _refuse_overwriting(args.out, (manifest_path(args.data), args.responses))
    samples = read_manifest(args.data).samples
    rows = read_jsonl(args.responses)
    frame_of = _frame_of(args, rows)
    try:
        scores = score_rows(samples, rows, frame_of, _settings(args), stages=STAGES[args.stages])
    except DataError as error:
        raise DataError(f"{args.responses}: {error}") from error
    write_jsonl(args.out, scores)
    summary = summarise(scores, len(samples))
    print(json.dumps(summary, indent=2) if args.json else _told(summary, args.out))
    return 0


def _refuse_overwriting(out: Path, inputs: tuple[Path, ...]) -> None:
    for source in inputs:
        if out.exists() and source.exists() and out.samefile(source):
            raise UserError(f"{out}: is an input of the command; give another --out file")


def _settings(args: argparse.Namespace) -> RewardSettings:
    from adfm.config import make_settings
    from adfm.rewards import RewardSettings

    names = ("format", "verdict", "grounding")
    try:
        weights = [float(part) for part in args.weights.split(",")]
    except ValueError:
        weights = []
    if len(weights) != len(names):
        raise ConfigError(
            f"--weights '{args.weights:.40}': must be three numbers, format,verdict,grounding, as in 1,1,1"
        )
    values = {"preset": args.preset, "alpha": args.alpha, "weights": dict(zip(names, weights, strict=True))}
    return make_settings(RewardSettings, values, "adfm score")


def _frame_of(args: argparse.Namespace, rows: list[dict[str, Any]]) -> FrameOf:
    """The frame of rows that name none: the flag's, else the model's, which is only asked for where a row needs it."""
    from adfm.geometry import Frame

    if args.frame is not None:
        Frame.parse(args.frame, 1, 1)
        return lambda width, height: Frame.parse(args.frame, width, height)
    if all(row.get("frame") is not None for row in rows):
        return Frame.original
    from adfm.models.frames import model_frame

    asked: FrameOf = model_frame(args.model)
    return asked


def _told(summary: Mapping[str, Any], out: Path) -> str:
    """The summary for a person."""
    lines = [f"{summary['responses']} responses scored, {summary['unanswered']} samples without a response -> {out}"]
    for name, mean in summary["mean"].items():
        lines.append(f"  {name:<10} {'-' if mean is None else format(mean, '.4f')}")
    if summary["unread"] is not None:
        lines.append(f"  unread     {summary['unread']:.1%}")
    top = list(summary["problems"].items())[:5]
    lines += ["  problems   " + ", ".join(f"{name} {count}" for name, count in top)] if top else []
    return "\n".join(lines)
