"""`adfm inspect`: an image or a folder in, a verdict and an overlay per image out."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import (
    add_command,
    add_protocol,
    add_score,
    fail,
    folded,
    print_json,
    progress_bar,
    protocol_flags,
    require_votes,
)

if TYPE_CHECKING:
    from adfm.inspection import Verdict

EXAMPLE = """
adfm inspect new_parts/ --model runs/mine/final --out verdicts
adfm inspect part.png --out verdicts --part "metal bracket" --json
"""
SHORT = "verdict JSON, overlay and results.jsonl for an image or a folder"


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "inspect", run, SHORT, EXAMPLE)
    parser.add_argument("path", type=Path, metavar="PATH", help="an image, or a folder that is searched below")
    parser.add_argument("--model", default="nano", help="model folder, hub id or nano (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for verdicts and overlays")
    parser.add_argument("--part", help="what the part is, for the prompt")
    add_protocol(parser)
    decides = parser.add_mutually_exclusive_group()
    decides.add_argument("--threshold", type=float, help="raw score from which a part is NG, 0 to 1; no calibration")
    decides.add_argument(
        "--calibration", type=Path, metavar="FILE", help="of `adfm calibrate` (default: the one in the model's folder)"
    )
    decides.add_argument("--no-calibration", action="store_true", help="let the read verdict alone decide")
    add_score(parser)
    parser.add_argument(
        "--white", type=float, metavar="N", help="value shown as white in images of over 8 bits (that of the training)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of --score votes (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")


def run(args: argparse.Namespace) -> int:
    """Inspect, print a line for each file, and return the exit code of the decisions."""
    from adfm.inspection.find import find
    from adfm.inspection.folder import exit_code, inspect_folder, require_outside
    from adfm.inspection.inspector import Inspector
    from adfm.models.device import use_threads
    from adfm.ownership import require_claimable

    require_votes(args)
    # A wrong path must not cost a model's loading time.
    find(args.path)
    require_outside(args.out, args.path)
    require_claimable(args.out)
    use_threads(args.threads)
    try:
        with terminated_as_interrupted(), progress_bar() as bar:
            inspector = Inspector.open(
                args.model,
                calibration=args.calibration,
                no_calibration=args.no_calibration,
                threshold=args.threshold,
                category=args.part,
                protocol=protocol_flags(args),
                score=args.score,
                votes=args.votes,
                seed=args.seed,
                white=args.white,
            )
            verdicts = inspect_folder(inspector, args.path, args.out, progress=bar)
    except KeyboardInterrupt:
        return fail(f"interrupted; finished verdicts are in {args.out}, and the same command continues", 130)
    if args.json:
        print_json([verdict.to_json() for verdict in verdicts])
    else:
        print_verdicts(verdicts)
        print(f"{counted(verdicts)} -> {folded(str(args.out))}")
        if inspector.threshold.value is not None:
            print(f"threshold {inspector.threshold.value:.4f} from {folded(inspector.threshold.origin)}")
    return exit_code(verdict.decision for verdict in verdicts)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, where this is the main thread, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a line for each file: decision, score, name, and what to know about it."""
    for verdict in verdicts:
        shown = "LEFT OUT" if verdict.left_out else verdict.decision
        score = "" if verdict.score is None else f"{verdict.score:.3f}"
        note = verdict.warnings[0] if verdict.warnings else f"{len(verdict.regions)} region(s)"
        print(f"{shown:<8} {score:<6} {folded(verdict.image)}  {folded(note)}")


def counted(verdicts: Sequence[Verdict]) -> str:
    """Return how many files got which decision, and how many were left out, in words."""
    from adfm.calibration import DECISIONS

    decisions = [verdict.decision for verdict in verdicts if not verdict.left_out]
    counts = [f"{decisions.count(name)} {name}" for name in DECISIONS if name in decisions]
    left_out = len(verdicts) - len(decisions)
    return ", ".join([*counts, f"{left_out} left out"] if left_out else counts)
