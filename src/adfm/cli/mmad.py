"""`adfm eval --benchmark mmad`: its options, the run, and the table of both scorings; the command itself is `evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from adfm.cli.common import folded, print_json, progress_bar

ELSEWHERE = ("split", "stages", "name_category", "score", "votes", "threshold", "calibration", "compare", "common")
"""Options of `adfm eval` that mean nothing to the benchmark."""
OWN = ("shots", "domain_knowledge", "part", "limit")
"""Options that only the benchmark has; None where they are not given."""
TASKS = ("AD", "D-Cls", "D-Loc", "D-Desc", "D-Ana", "O-Cls", "O-Ana")
SHORT = (*TASKS, "Average", "Recall", "Precis.", "F1", "Overkill", "Miss", "Coverage")
"""The columns of the scores, as they are headed on a terminal."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's options; call it after all others, whose defaults it notes."""
    group = parser.add_argument_group("benchmark")
    group.add_argument("--benchmark", choices=("mmad",), help="ask a benchmark's questions instead; see docs/mmad.md")
    group.add_argument("--shots", type=int, choices=(0, 1), help="normal pictures shown before the query (1)")
    group.add_argument(
        "--domain-knowledge", type=Path, metavar="FILE", help="domain_knowledge.json, told in the prompt"
    )
    group.add_argument("--part", choices=("all", "train", "test"), help="of the 20/80 split that --seed draws (all)")
    group.add_argument("--limit", type=int, metavar="N", help="only N pictures, evenly spaced")
    parser.set_defaults(elsewhere={name: parser.get_default(name) for name in ELSEWHERE})


def require_fitting(args: argparse.Namespace) -> None:
    """Refuse options of the benchmark without it, and others with it: none is ignored silently.

    Raises:
        ConfigError: names the first such option, or a number below 1.
    """
    from adfm.errors import ConfigError

    if args.benchmark:
        foreign = [name for name, default in args.elsewhere.items() if getattr(args, name) != default]
    else:
        foreign = [name for name in OWN if getattr(args, name) is not None]
    if foreign:
        rule = "does not go with --benchmark" if args.benchmark else "needs --benchmark mmad"
        raise ConfigError(f"{_option(foreign[0])}: {rule}")
    for name in ("limit", "max_new_tokens"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"{_option(name)} {getattr(args, name)}: must be at least 1")


def run(args: argparse.Namespace) -> int:
    """Ask the benchmark's questions and print both tables."""
    from adfm.evaluation.mmad.run import MAX_NEW_TOKENS, MmadSettings, run_mmad
    from adfm.models.local import LocalModel
    from adfm.training.run import use_threads

    settings = MmadSettings(
        shots=1 if args.shots is None else args.shots,
        knowledge=args.domain_knowledge,
        part=args.part or "all",
        seed=args.seed,
        limit=args.limit,
    )
    use_threads(args.threads)
    model = LocalModel.load(args.model, max_new_tokens=args.max_new_tokens or MAX_NEW_TOKENS)
    with progress_bar() as bar:
        result = run_mmad(
            model,
            args.data,
            args.out,
            settings,
            batch=args.batch,
            progress=bar and (lambda done, total: bar("asking", done, total)),
        )
    if args.json:
        print_json(result)
    else:
        print("\n".join(told(result, str(args.out))))
    return 0


def told(result: dict[str, Any], out: str) -> list[str]:
    """Return the lines of a result as they are shown on a terminal: what was asked, warnings, a table per scoring."""
    lines = [f"{result['questions']} questions about {result['images']} pictures -> {out}"]
    lines += [f"warning: {folded(note)}" for note in result["notes"]]
    for name, scores in result["scores"].items():
        lines += [
            "",
            f"{name}: {scores['unread']} answers unread, {scores['skipped']} skipped",
            *_table(scores["rows"]),
        ]
    return lines


def _table(rows: dict[str, dict[str, float | None]]) -> list[str]:
    names = [folded(name) for name in rows]
    width = max(map(len, names))
    head = " ".join([" " * width, *(f"{name:>8}" for name in SHORT)])
    cells = [[f"{name:<{width}}", *map(_cell, row.values())] for name, row in zip(names, rows.values(), strict=True)]
    return [head, *map(" ".join, cells)]


def _cell(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:>8.2f}"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
