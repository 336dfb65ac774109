"""`adfm eval`: a model and a manifest in, predictions and metrics with intervals out; or a benchmark, or a comparison."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli import mmad
from adfm.cli.common import (
    add_command,
    add_protocol,
    add_score,
    folded,
    print_json,
    print_table,
    progress_bar,
    protocol_flags,
    require_positive,
    require_votes,
)
from adfm.errors import ConfigError

if TYPE_CHECKING:
    from adfm.calibration.decision import Threshold

EXAMPLE = """
adfm eval --model runs/mine/final --data data/parts --out runs/mine/eval
adfm eval --compare runs/base/eval runs/mine/eval --out runs/mine/compared
adfm eval --benchmark mmad --model runs/mine/final --data MMAD --part test --out runs/mine/mmad
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "eval", run, "greedy evaluation: predictions.jsonl and metrics.json", EXAMPLE)
    parser.add_argument("--model", default="nano", help="model folder, hub id or nano (%(default)s)")
    parser.add_argument(
        "--data", type=Path, metavar="MANIFEST", help="manifest.jsonl or its folder; or a benchmark's folder"
    )
    parser.add_argument("--out", type=Path, help="folder for predictions and metrics, or for the comparison")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="which split (%(default)s)"
    )
    add_protocol(parser)
    add_score(parser)
    decides = parser.add_mutually_exclusive_group()
    decides.add_argument(
        "--threshold", type=float, help="deployed threshold on the score, 0 to 1 (default: the read verdict decides)"
    )
    decides.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="of `adfm calibrate`: the deployed decision is the calibrated one",
    )
    parser.add_argument("--batch", type=int, default=16, help="images decoded together (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the bootstrap, of --score votes and of --part (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("RUN_A", "RUN_B"),
        help="compare two evaluations of the same parts instead; --out writes compare.json and table.md",
    )
    parser.add_argument("--common", action="store_true", help="compare on the parts that both evaluations hold")
    mmad.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate a model on a manifest or a benchmark, or compare two evaluations."""
    mmad.require_fitting(args)
    if args.compare:
        return _compare(args)
    if args.data is None or args.out is None:
        raise ConfigError("--data and --out are required, unless two evaluations are compared by --compare")
    if args.common:
        raise ConfigError("--common: belongs to --compare RUN_A RUN_B")
    require_positive(args, "batch")
    return mmad.run(args) if args.benchmark else _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    """Evaluate and print the headline metrics with their intervals."""
    from adfm.calibration.record import require_made_for
    from adfm.data.manifest import read_manifest
    from adfm.evaluation import HEADLINE
    from adfm.evaluation.run import run_evaluation
    from adfm.models.device import use_threads
    from adfm.models.local import LocalModel
    from adfm.models.votes import scored
    from adfm.numbers import with_interval

    require_votes(args)
    manifest = read_manifest(args.data).only(args.split)
    threshold, flags = _threshold(args), protocol_flags(args)
    use_threads(args.threads)
    model = scored(LocalModel.load(args.model), args.score, votes=args.votes, seed=args.seed)
    protocol = model.protocol.with_flags(flags)
    if threshold.calibration:
        parts = sorted({sample.category for sample in manifest.samples}) if protocol.name_category else [None]
        require_made_for(
            threshold.calibration,
            args.calibration,
            model=model.name,
            revision=model.revision,
            protocol=protocol,
            parts=parts,
        )
    with progress_bar() as bar:
        result = run_evaluation(
            model,
            manifest,
            args.out,
            protocol=protocol,
            batch=args.batch,
            seed=args.seed,
            threshold=threshold,
            progress=bar,
        )
    if args.json:
        print_json(result)
        return 0
    print(f"{result['n']} parts, {result['n_normal']} normal and {result['n_anomalous']} anomalous -> {args.out}")
    for name in HEADLINE:
        if name in result["metrics"]:
            print(f"  {name:<22}{with_interval(result['metrics'][name])}")
    point = result["operating_point"]
    if point:
        print(f"decisions under {point['threshold_origin']}")
        for name, title in (("miss", "escapes"), ("overkill", "false rejects"), ("review", "review")):
            print(f"  {title:<22}{with_interval(point[name])}")
    return 0


def _threshold(args: argparse.Namespace) -> Threshold:
    """Return the deployed threshold that the command line names."""
    from adfm.calibration.decision import READ_VERDICT, Threshold
    from adfm.calibration.record import read_calibration

    if args.calibration:
        if args.compare:
            raise ConfigError("--calibration: is of one model; compare two evaluations by --threshold or without")
        return Threshold.of(read_calibration(args.calibration))
    if args.threshold is None:
        return READ_VERDICT
    if not 0 <= args.threshold <= 1:
        raise ConfigError(f"--threshold {args.threshold}: must be from 0 to 1")
    return Threshold(args.threshold, "--threshold")


def _compare(args: argparse.Namespace) -> int:
    """Compare and print the table of all metrics."""
    from adfm.evaluation.compare import (
        compare,
        find_predictions,
        in_common,
        summary_lines,
        table_rows,
        write_comparison,
    )
    from adfm.predictions import read_predictions

    first, second = (read_predictions(find_predictions(path)) for path in args.compare)
    sizes = [len(first), len(second)]
    if args.common:
        first, second = in_common(first, second)
    result: dict[str, Any] = {"a": str(args.compare[0]), "b": str(args.compare[1]), "evaluated": sizes}
    result |= compare(first, second, seed=args.seed, threshold=_threshold(args))
    if args.out is not None:
        write_comparison(result, args.out)
    if args.json:
        print_json(result)
        return 0
    print(f"a: {folded(result['a'])}")
    print(f"b: {folded(result['b'])}")
    print_table([["", "a", "b", "b - a [95 %]", "b is"], *map(list, table_rows(result))])
    print("\n".join(summary_lines(result)))
    return 0
