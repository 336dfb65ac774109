"""`adfm eval --benchmark mmad`: its options, the run, and the table of both scorings. The command itself is `evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from adfm.cli.common import folded, print_json, print_table, progress_bar, require_positive
from adfm.errors import ConfigError

ELSEWHERE = ("split", "stages", "name_category", "score", "votes", "threshold", "calibration", "compare", "common")
"""Options of `adfm eval` that mean nothing to the benchmark."""
OWN = ("shots", "domain_knowledge", "part", "limit")
"""Options that only the benchmark has. They are None where they are not given."""
TASKS = ("AD", "D-Cls", "D-Loc", "D-Desc", "D-Ana", "O-Cls", "O-Ana")
SHORT = (*TASKS, "Average", "Recall", "Precis.", "F1", "Overkill", "Miss", "Coverage")
"""The columns of the scores, as they are headed on a terminal."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's options. Call it after all others, whose defaults it notes."""
    group = parser.add_argument_group("benchmark")
    group.add_argument("--benchmark", choices=("mmad",), help="ask a benchmark's questions instead; see docs/mmad.md")
    group.add_argument("--shots", type=int, choices=(0, 1), help="normal images shown before the query (1)")
    group.add_argument("--domain-knowledge", type=Path, metavar="FILE", help="domain_knowledge.json, for the prompt")
    group.add_argument("--part", choices=("all", "train", "test"), help="of the 20/80 split that --seed draws (all)")
    group.add_argument("--limit", type=int, metavar="N", help="only N images, evenly spaced")
    parser.set_defaults(elsewhere={name: parser.get_default(name) for name in ELSEWHERE})


def require_fitting(args: argparse.Namespace) -> None:
    """Refuse options of the benchmark without it, and others with it. None is ignored silently.

    Raises:
        ConfigError: names the first such option, or a number below 1.
    """
    if args.benchmark:
        foreign = [name for name, default in args.elsewhere.items() if getattr(args, name) != default]
    else:
        foreign = [name for name in OWN if getattr(args, name) is not None]
    if foreign:
        rule = "does not go with --benchmark" if args.benchmark else "needs --benchmark mmad"
        option = "no_category" if foreign[0] == "name_category" else foreign[0]
        raise ConfigError(f"--{option.replace('_', '-')}: {rule}")
    require_positive(args, "limit", "max_new_tokens")


def run(args: argparse.Namespace) -> int:
    """Ask the benchmark's questions and print what was asked, the warnings and a table for each scoring."""
    from adfm.evaluation.mmad.run import MAX_NEW_TOKENS, MmadSettings, run_mmad
    from adfm.models.device import use_threads
    from adfm.models.local import LocalModel

    settings = MmadSettings(
        shots=1 if args.shots is None else args.shots,
        knowledge=args.domain_knowledge,
        part=args.part or "all",
        seed=args.seed,
        limit=args.limit,
        max_new_tokens=args.max_new_tokens or MAX_NEW_TOKENS,
    )
    use_threads(args.threads)
    model = LocalModel.load(args.model)
    with progress_bar() as bar:
        result = run_mmad(model, args.data, args.out, settings, batch=args.batch, progress=bar)
    if args.json:
        print_json(result)
        return 0
    print(f"{result['questions']} questions about {result['images']} images -> {args.out}")
    for note in result["notes"]:
        print(f"warning: {folded(note)}")
    for scoring, scores in result["scores"].items():
        print(f"\n{scoring}: {scores['unread']} answers unread, {scores['skipped']} skipped")
        table = [["", *(f"{name:>6}" for name in SHORT)]]
        for name, row in scores["rows"].items():
            shares = ("-" if share is None else f"{share:.2f}" for share in row.values())
            table.append([folded(name), *(f"{share:>6}" for share in shares)])
        print_table(table)
    return 0
