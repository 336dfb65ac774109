"""`adfm score`: responses and a manifest in, scores and a summary out. The arithmetic is in `adfm.rewards`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, print_json
from adfm.errors import ConfigError, DataError, UserError

if TYPE_CHECKING:
    from adfm.geometry import FrameOf
    from adfm.rewards import RewardSettings

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
    parser.add_argument(
        "--stages", choices=("full", "locate_answer", "verdict"), default="full", help="blocks asked for (%(default)s)"
    )
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
    from adfm.reasoning import Protocol
    from adfm.rewards import score_rows, summarise
    from adfm.storage import read_jsonl, write_jsonl

    for source in (manifest_path(args.data), args.responses):
        if args.out.exists() and source.exists() and args.out.samefile(source):
            raise UserError(f"{args.out}: is an input of the command; give another --out file")
    samples, rows = read_manifest(args.data).samples, read_jsonl(args.responses)
    frame_of, settings = _frame_of(args, rows), _settings(args)
    try:
        scores = score_rows(samples, rows, frame_of, settings, protocol=Protocol(stages=args.stages))
    except DataError as error:
        raise DataError(f"{args.responses}: {error}") from error
    write_jsonl(args.out, scores)
    summary = summarise(scores, len(samples))
    if args.json:
        print_json(summary)
        return 0
    print(f"{summary['responses']} responses scored, {summary['unanswered']} samples without a response -> {args.out}")
    for name, mean in summary["mean"].items():
        print(f"  {name:<10} {'-' if mean is None else format(mean, '.4f')}")
    if summary["unread"] is not None:
        print(f"  unread     {summary['unread']:.1%}")
    if top := list(summary["problems"].items())[:5]:
        print("  problems   " + ", ".join(f"{name} {count}" for name, count in top))
    return 0


def _frame_of(args: argparse.Namespace, rows: list[dict[str, Any]]) -> FrameOf:
    """Return the frame of rows that name none: the option's, else the model's. No model is opened without need."""
    from adfm.geometry import Frame

    if args.frame is not None:
        Frame.parse(args.frame, 1, 1)
        return partial(Frame.parse, args.frame)
    if all(row.get("frame") is not None for row in rows):
        return Frame.original
    from adfm.models.families import frame_of_model

    return frame_of_model(args.model)


def _settings(args: argparse.Namespace) -> RewardSettings:
    """Return the settings that `--preset`, `--alpha` and `--weights` give.

    Raises:
        ConfigError: one of them is no such value.
    """
    from adfm.rewards.truth import flat_settings

    names = ("format", "verdict", "grounding")
    try:
        weights = dict(zip(names, map(float, args.weights.split(",")), strict=True))
    except ValueError as error:
        raise ConfigError(
            f"--weights '{args.weights:.40}': must be three numbers, format,verdict,grounding, as in 1,1,1"
        ) from error
    return flat_settings({"preset": args.preset, "alpha": args.alpha, **weights}, "adfm score")
