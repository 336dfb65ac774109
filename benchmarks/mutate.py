"""Mutation testing: changes one thing in the code at a time and counts the changes that no test notices (mutmut).

    python benchmarks/mutate.py reasoning rewards geometry

Each area has a folder in runs/mutate that keeps its verdicts, so a run that was stopped goes on. A survivor is tried
again when tests were added. The exit status is 1 where an area's score is below its target.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KILLED = {
    1: "killed",
    3: "killed",
    -11: "crashed",
    -24: "timeout",
    24: "timeout",
    36: "timeout",
    152: "timeout",
    255: "timeout",
}
NOT_KILLED = {None: "not run", 0: "survived", 5: "no test", 33: "no test"}


@dataclass(frozen=True)
class Area:
    """What is mutated, the tests that must notice, and the least share of killed mutants."""

    source: str
    tests: tuple[str, ...]
    target: float


AREAS = {
    "reasoning": Area("reasoning", ("tests/reasoning",), 0.9),
    "rewards": Area("rewards", ("tests/rewards",), 0.9),
    "geometry": Area("geometry", ("tests/geometry", "tests/test_geometry.py"), 0.9),
    "layouts": Area("data/layouts", ("tests/data",), 0.8),
    "check": Area("data/check", ("tests/data",), 0.8),
}
SLOW = (
    "tests/reasoning/test_gold.py::test_it_is_strict_for_any_name_size_frame_and_protocol",
    "tests/rewards/test_hacking.py::test_no_hack_beats_the_canonical_answer_on_any_sample",
    "tests/rewards/test_other_trainers.py::test_the_rewards_need_no_torch",
    "tests/rewards/test_reward.py::test_gold_scores_full_marks_on_ten_thousand_truths",
    "tests/rewards/test_terms.py::test_agrees_with_every_assignment_on_0_to_6_boxes_a_side",
)
"""Left out: they take seconds for a mutant that quick tests notice as well, or start a Python without mutants."""
SETTINGS = """[mutmut]
source_paths=
    src
only_mutate=
    src/adfm/{source}/*
also_copy=
    benchmarks
    docs
pytest_add_cli_args=
    -p
    no:cacheprovider
    {slow}
pytest_add_cli_args_test_selection=
    {tests}
timeout_multiplier=4.0
process_isolation=forkserver
on_dependency_change=ignore
"""


def prepared(area: Area, folder: Path) -> Path:
    """Return the folder in which mutmut works: links to the checkout, the settings, and what it remembers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "tests", "benchmarks", "docs", "pyproject.toml"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    slow = [f"--deselect={test}" for test in SLOW]
    settings = SETTINGS.format(source=area.source, tests="\n    ".join(area.tests), slow="\n    ".join(slow))
    (folder / "setup.cfg").write_text(settings)
    return folder


def verdicts(folder: Path) -> dict[str, str]:
    """Return mutant -> `killed`, `timeout`, `survived`, `no test` or another end, as mutmut wrote them down."""
    found: dict[str, str] = {}
    for path in sorted((folder / "mutants").rglob("*.meta")):
        codes: Mapping[str, int | None] = json.loads(path.read_text())["exit_code_by_key"]
        found |= {name: (KILLED | NOT_KILLED).get(code, f"exit {code}") for name, code in codes.items()}
    return found


def score(found: Mapping[str, str], equivalent: Iterable[str] = ()) -> float:
    """Return the share of mutants that were noticed, killed or out of time. Equivalent ones cannot be and do not count."""
    judged = [verdict for name, verdict in found.items() if name not in set(equivalent)]
    return sum(verdict in KILLED.values() for verdict in judged) / len(judged) if judged else 0.0


def mutmut(folder: Path, names: Iterable[str] = ()) -> None:
    """Run what is open, or exactly the named mutants again."""
    # Tests that start another Python find adfm by PYTHONPATH, as it is; mutmut takes that path from its own.
    quick = {"ADFM_FUZZ": "500", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *names]
    subprocess.run(command, cwd=folder, env=os.environ | quick, check=True)  # noqa: S603


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="+", choices=sorted(AREAS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutate")
    parser.add_argument("--again", action="store_true", help="try the survivors again, after tests were added")
    arguments = parser.parse_args()
    low = 0
    for name in arguments.areas:
        area, folder = AREAS[name], prepared(AREAS[name], arguments.out / name)
        if arguments.again:
            mutmut(folder, [mutant for mutant, verdict in verdicts(folder).items() if verdict not in KILLED.values()])
        else:
            mutmut(folder)
        found = verdicts(folder)
        print(f"{name}: {score(found):.1%} of {len(found)} mutants noticed", dict(Counter(found.values())))
        low += score(found) < area.target
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
