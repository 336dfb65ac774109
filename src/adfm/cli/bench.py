"""`adfm bench`: how fast things are, against a reference where there is one, with what the numbers depend on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import Parser, add_command, plain, print_json, print_table, progress_bar, require_positive
from adfm.errors import ConfigError

EXAMPLE = """
adfm bench step --size cpu --out runs/bench
adfm bench reward
adfm bench data --count 2000
"""
STEP = """
adfm bench step --size tiny
adfm bench step --size cpu --generations 8 --pairs 5 --threads 1 --json
adfm bench step --size h100-3b --out runs/bench
"""
MEASUREMENTS = "measurements of `adfm bench`"


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(
        subparsers, "bench", run_step, "time steps, inspection and data against a reference, and rewards", EXAMPLE
    )
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True, parser_class=Parser)
    step = add_command(
        actions, "step", run_step, "a GRPO step: stock TRL and ours in turn, with an equality check", STEP
    )
    step.add_argument("--size", default="cpu", help="tiny, demo (nano), cpu (35 M parameters) or h100-3b (%(default)s)")
    step.add_argument("--generations", type=int, nargs="+", metavar="G", help="only the cases with G answers a prompt")
    step.add_argument("--pairs", type=int, metavar="N", help="timed pairs of steps (the size's own)")
    reward = add_command(actions, "reward", run_reward, "answers read and rewarded a second", "adfm bench reward")
    reward.add_argument("--answers", type=int, default=1000, metavar="N", help="answers a repeat (%(default)s)")
    inspect = add_command(
        actions, "inspect", run_inspect, "images a second, against a plain loop around generate", "adfm bench inspect"
    )
    inspect.add_argument("source", type=Path, nargs="?", metavar="FOLDER", help="images (default: synthetic parts)")
    inspect.add_argument("--model", default="nano", help="folder, hub id or nano (%(default)s)")
    inspect.add_argument("--images", type=int, default=16, metavar="N", help="synthetic parts to draw (%(default)s)")
    data = add_command(
        actions, "data", run_data, "masks a second of `adfm data build`, against decoding them alone", "adfm bench data"
    )
    data.add_argument("--count", type=int, default=10_000, metavar="N", help="parts to draw (%(default)s)")
    data.add_argument("--repeats", type=int, default=3, metavar="N", help="how often both run in turn (%(default)s)")
    for command in (step, reward, inspect, data):
        command.add_argument(
            "--seed", type=int, default=0, metavar="N", help="of model, data and samples (%(default)s)"
        )
        command.add_argument(
            "--threads", type=int, default=0, metavar="N", help="threads of torch or of the build (their choice)"
        )
        command.add_argument("--out", type=Path, metavar="DIR", help="also write the JSON to DIR/bench-WHAT.json")
        command.add_argument("--json", action="store_true", help="print the JSON instead of a table")


def run_step(args: argparse.Namespace) -> int:
    """Measure GRPO steps."""
    from adfm.models.device import use_threads
    from adfm.workflows.bench.sizes import size_named

    size = size_named(args.size)
    cases = [case for case in size.cases if not args.generations or case.generations in args.generations]
    if not cases:
        known = ", ".join(sorted({str(case.generations) for case in size.cases}, key=int))
        raise ConfigError(f"--generations {args.generations}: size '{args.size}' has {known}")
    require_positive(args, "pairs")
    pairs = size.pairs if args.pairs is None else args.pairs
    use_threads(args.threads)
    from adfm.workflows.bench.step import bench_steps

    with progress_bar(plain) as bar:
        rows = bench_steps(size, cases, pairs=pairs, seed=args.seed, progress=bar)
    _report(args, {"size": args.size, "rows": rows}, step_table(rows))
    return 0 if all(row["equal"] for row in rows) else 101


def step_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return the rows as a table of text."""
    table = [["prompts x G, prompt : answer", "step", "loss + backward", "bound", "generation", "memory", "equal"]]
    for row in rows:
        ratio, memory = row["ratio"], row["memory_ratio"]
        table.append(
            [
                f"{row['prompts']} x {row['num_generations']}, {row['prompt_tokens']} : {row['completion_tokens']}",
                f"{ratio['median']:.2f}x [{ratio['min']:.2f}, {ratio['max']:.2f}]",
                f"{row['loss_ratio']:.2f}x",
                f"{row['loss_bound']:.2f}x",
                f"{row['generate_ratio']:.2f}x",
                "-" if memory is None else f"{memory:.2f}x",
                f"{'yes' if row['equal'] else 'NO'} ({row['gradient_difference']:.0e})",
            ]
        )
    return table


def run_reward(args: argparse.Namespace) -> int:
    """Measure reading and rewarding."""
    from adfm.workflows.bench.reward import bench_reward

    measured = bench_reward(answers=max(1, args.answers), seed=args.seed)
    rows = [_quantile_row(name, rate, ",.0f") for name, rate in measured["presets"].items()]
    _report(args, measured, [["preset", "answers a second", "least", "most"], *rows])
    return 0


def run_inspect(args: argparse.Namespace) -> int:
    """Measure inspection."""
    from adfm.models.device import use_threads
    from adfm.workflows.bench.inspect import bench_inspect

    use_threads(args.threads)
    with progress_bar() as bar:
        measured = bench_inspect(args.model, args.source, images=args.images, seed=args.seed, progress=bar)
    rows = [_quantile_row(name, measured[name], ".2f") for name in ("ours", "plain", "ratio")]
    _report(args, measured, [["", "median", "least", "most"], *rows])
    return 0 if measured["equal"] else 101


def run_data(args: argparse.Namespace) -> int:
    """Measure building a manifest."""
    from adfm.workflows.bench.data import bench_data

    require_positive(args, "count", "repeats")
    with progress_bar(plain) as bar:
        measured = bench_data(
            count=args.count,
            repeats=args.repeats,
            seed=args.seed,
            workers=args.threads or None,
            progress=bar,
        )
    speeds = [_quantile_row(f"{name}, masks a second", measured[name], ".1f") for name in ("build", "decode")]
    ratios = [_quantile_row(name.replace("_", " "), measured[name], ".3f") for name in ("ratio", "processor_ratio")]
    _report(args, measured, [["", "median", "least", "most"], *speeds, *ratios])
    return 0


def _quantile_row(name: str, values: dict[str, float], digits: str) -> list[str]:
    return [name, *(format(values[which], digits) for which in ("median", "min", "max"))]


def _report(args: argparse.Namespace, measured: dict[str, Any], table: list[list[str]]) -> None:
    """Print the table or the JSON, and write the JSON where asked for."""
    from adfm.ownership import owned_folder
    from adfm.storage import write_json
    from adfm.workflows.provenance import provenance

    origin = provenance(f"adfm bench {args.action}", args.seed) | {"threads": args.threads or "default"}
    result = measured | {"provenance": origin}
    if args.out:
        with owned_folder(args.out, MEASUREMENTS):
            write_json(args.out / f"bench-{args.action}.json", result)
    if args.json:
        print_json(result)
    else:
        print_table(table)
