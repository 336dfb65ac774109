"""nano adapted to every real set at hand, side by side, and one table of them all.

    python benchmarks/results.py ../shared/data --out runs/results
    python benchmarks/results.py ../shared/data --out runs/results --sets deeppcb cookie

Each set is one `adfm adapt` (its options are below and in its log), two at a time with one torch thread each; what is
finished is not run again. A third of the training's normal images are held back for the threshold, if they are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from adfm.numbers import with_interval

FIFTH = ("--split", "labelled", "--labelled-fraction", "0.2")
LABELLED = (*FIFTH, "--validation-normals", "0.3")
SETS: dict[str, tuple[str, ...]] = {
    # Boards are cut into tiles and no board is on two sides; hundreds of defects need no random crops.
    "deeppcb": (
        *("--tile", "96", "--tile-overlap", "0", "--tile-normals", "2", "--group-by", r"^(\d{5})"),
        *("--split", "fractions", "--shares", "0.6", "0.1", "0.3", "--sft", "data.crops=0", "--grpo", "data.crops=0"),
    ),
    # A handful of images with boxes: one split would say little.
    "cookie": (*LABELLED, "--repeats", "3"),
    "hazelnut": LABELLED,
    # A commutator's eight sides stay together; nearly each has a crack, so there are no normal ones alone to hold back.
    "kolektor_sdd": (*FIFTH, "--validation", "0.3", "--tile", "256", "--tile-normals", "1", "--group-by", r"^(kos\d+)"),
    "alien": LABELLED,
}
COLUMNS = ("balanced_accuracy", "auroc", "box_f1@0.3")
HEAD = ("set", "held-out", "arm", *COLUMNS, "threshold", "false rejects", "escapes", "coverage")


def main() -> int:
    """Adapt, then print the table and write it to OUT/table.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the sets, each in a layout that `adfm data build` reads")
    parser.add_argument("--out", type=Path, default=Path("runs/results"), help="folder of the runs (%(default)s)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="only these (all)")
    parser.add_argument("--jobs", type=int, default=2, help="sets at a time (%(default)s)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = [name for name in pool.map(lambda name: adapt(name, args.data, args.out), args.sets) if name]
    found = {name: args.out / name / "summary.json" for name in args.sets if name not in failed}
    text = table({name: json.loads(file.read_text(encoding="utf-8")) for name, file in found.items()})
    (args.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    for name in failed:
        print(f"{name}: stopped; see {args.out / name}.log", file=sys.stderr)
    return 2 if failed else 0


def adapt(name: str, data: Path, out: Path) -> str | None:
    """Run one adaptation with its output in a log; return its name if it failed."""
    command = [sys.executable, "-m", "adfm", "adapt", str(data / name), "--out", str(out / name), *SETS[name]]
    with (out / f"{name}.log").open("a", encoding="utf-8") as log:
        print(" ".join(command), file=log, flush=True)
        print(f"{name} ...", file=sys.stderr, flush=True)
        # Side by side one torch thread each: two collapse as soon as anything else runs.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(  # noqa: S603 - our own command line
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        )
    print(f"{name}: {'done' if done.returncode == 0 else 'stopped'}", file=sys.stderr, flush=True)
    return name if done.returncode else None


def table(summaries: dict[str, dict[str, Any]]) -> str:
    """Return one Markdown table: the arms of each set, the decisions beside the last."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for name, summary in summaries.items():
        held = summary["arms"][0]["metrics"]
        first = [name, f"{held['n_normal']} + {held['n_anomalous']}"]
        for arm in summary["arms"]:
            cells = [with_interval(arm["metrics"]["metrics"][metric]) for metric in COLUMNS]
            decided = _decisions(summary) if arm is summary["arms"][-1] else [""] * 4
            lines.append("| " + " | ".join([*first, arm["name"], *cells, *decided]) + " |")
            first = ["", ""]
    return "\n".join(lines) + "\n"


def _decisions(summary: dict[str, Any]) -> list[str]:
    """Threshold, false rejects, escapes and coverage. Of repeated splits each one's threshold, and shares over all."""
    each = summary["decisions"] if isinstance(summary["decisions"], list) else [summary["decisions"]]
    if any("refused" in one for one in each):
        return ["too few normal images", "-", "-", "-"]
    levels = ", ".join(f"{one['log_odds']:.2f}" for one in each)
    counts = {
        label: {decision: sum(one["counts"][label][decision] for one in each) for decision in ("OK", "NG", "REVIEW")}
        for label in ("normal", "anomalous")
    }
    normal, anomalous = counts["normal"], counts["anomalous"]
    total = sum(normal.values()) + sum(anomalous.values())
    decided = total - normal["REVIEW"] - anomalous["REVIEW"]
    return [
        levels,
        _of(normal["NG"], sum(normal.values())),
        _of(anomalous["OK"], sum(anomalous.values())),
        _of(decided, total),
    ]


def _of(hits: int, parts: int) -> str:
    return f"{hits} of {parts}"


if __name__ == "__main__":
    raise SystemExit(main())
