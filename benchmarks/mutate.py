"""Mutation testing: changes one thing in the code at a time and counts the changes that no test notices (mutmut).

    python benchmarks/mutate.py reasoning rewards geometry

Each area has a folder in runs/mutate that keeps its verdicts, so a run that was stopped goes on. `--again` tries the
survivors again, after tests were added. The exit status is 1 where an area's score is below its target.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
NOTICED = {1: "killed", 3: "killed", -11: "crashed", **dict.fromkeys((-24, 24, 36, 152, 255), "out of time")}
UNNOTICED = {None: "not run", 0: "survived", 5: "no test", 33: "no test"}


@dataclass(frozen=True)
class Area:
    """What is mutated, the tests that must notice (as patterns), and the least share of mutants that they notice."""

    source: str
    tests: tuple[str, ...]
    target: float


AREAS = {
    "reasoning": Area("reasoning", ("tests/reasoning",), 0.9),
    "rewards": Area("rewards", ("tests/rewards",), 0.9),
    "geometry": Area("geometry", ("tests/geometry", "tests/test_geometry.py"), 0.9),
    "layouts": Area("data/layouts", ("tests/data",), 0.8),
    "check": Area("data/check", ("tests/data/test_check*.py",), 0.8),
}
SLOW = (
    "tests/reasoning/test_gold.py::test_it_is_strict_for_any_name_size_frame_and_protocol",
    "tests/rewards/test_hacking.py::test_no_hack_beats_the_canonical_answer_on_any_sample",
    "tests/rewards/test_hacking.py::test_set_iou_no_hack_beats_any_honest_answer",
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
    {arguments}
pytest_add_cli_args_test_selection=
    {tests}
timeout_constant=10.0
timeout_multiplier=4.0
process_isolation=forkserver
on_dependency_change=ignore
"""


@dataclass(frozen=True)
class Mutant:
    """One change: mutmut's name for it, the file, the changed lines (new ones begin with +), and what became of it."""

    name: str
    file: str
    change: str
    verdict: str

    @property
    def noticed(self) -> bool:
        """Whether a test failed, crashed or never ended."""
        return self.verdict in NOTICED.values()

    @property
    def key(self) -> str:
        """How the list of equivalent mutants names it: by what the change is, since numbers move with the code."""
        return f"{self.file} {self.change.split(chr(10))[-1]}"


def prepared(area: Area, folder: Path) -> Path:
    """Return the folder in which mutmut works: links to the checkout, the settings, and what it remembers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "tests", "benchmarks", "docs", "pyproject.toml"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    arguments = ["-p", "no:cacheprovider", *(f"--deselect={test}" for test in SLOW if test.startswith(area.tests))]
    tests = [str(path.relative_to(ROOT)) for pattern in area.tests for path in sorted(ROOT.glob(pattern))]
    lists = {"tests": "\n    ".join(tests), "arguments": "\n    ".join(arguments)}
    (folder / "setup.cfg").write_text(SETTINGS.format(source=area.source, **lists))
    return folder


def mutants(folder: Path) -> list[Mutant]:
    """Return every mutant with its verdict, from the files that mutmut keeps beside each mutated module."""
    found = []
    for meta in sorted((folder / "mutants" / "src").rglob("*.py.meta")):
        source = meta.with_suffix("")
        codes: Mapping[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
        for name, code in codes.items():
            verdict = (NOTICED | UNNOTICED).get(code, f"exit {code}")
            file = source.relative_to(folder / "mutants" / "src" / "adfm").as_posix()
            found.append(Mutant(name, file, change(source, name) if code in UNNOTICED else "", verdict))
    return found


def change(source: Path, name: str) -> str:
    """Return the lines in which a mutated function differs from the original."""
    spans: Mapping[str, tuple[int, int]] = json.loads(source.with_suffix(".py.spans").read_text())["spans"]
    lines = source.read_text().split("\n")
    mutant = name.rpartition(".")[2]
    before, after = (
        [line.strip() for line in lines[first - 1 : last] if "__mutmut_" not in line]
        for first, last in (spans[mutant.rpartition("__mutmut_")[0] + "__mutmut_orig"], spans[mutant])
    )
    return "\n".join(line for line in difflib.ndiff(before, after) if line[0] in "+-")


def score(found: Iterable[Mutant], equivalent: Iterable[str] = ()) -> float:
    """Return the share of mutants that tests noticed. `equivalent` are keys of those that no test can notice."""
    judged = [mutant.noticed for mutant in found if mutant.noticed or mutant.key not in set(equivalent)]
    return sum(judged) / len(judged) if judged else 0.0


def mutmut(folder: Path, names: Iterable[str] = ()) -> None:
    """Run what is open, or exactly the named mutants again."""
    # Tests that start another Python find adfm by PYTHONPATH, as it is; mutmut takes that path from its own.
    quick = {"ADFM_FUZZ": "500", "HYPOTHESIS_PROFILE": "first", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *names]
    subprocess.run(command, cwd=folder, env=os.environ | quick, check=True)  # noqa: S603


def reported(name: str, found: list[Mutant], equivalent: set[str]) -> str:
    """Return the survivors that are not known to be equivalent, and the score."""
    open_ones = [mutant for mutant in found if not mutant.noticed and mutant.key not in equivalent]
    lines = [f"{mutant.name}: {mutant.verdict}\n{mutant.change}" for mutant in open_ones]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in Counter(each.verdict for each in found).items())
    known = sum(not mutant.noticed and mutant.key in equivalent for mutant in found)
    lines.append(
        f"{name}: {score(found):.1%} of {len(found)} mutants noticed ({counts}); "
        f"{score(found, equivalent):.1%} without the {known} that change nothing"
    )
    return "\n".join(lines)


def main() -> int:
    """Run the areas one after another; 1 if a score is below its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="+", choices=sorted(AREAS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutate")
    parser.add_argument("--again", action="store_true", help="try the survivors again, after tests were added")
    parser.add_argument("--report", action="store_true", help="run nothing, only report")
    arguments = parser.parse_args()
    equivalent = {line for line in EQUIVALENT.read_text().split("\n") if line and not line.startswith("#")}
    low = 0
    for name in arguments.areas:
        folder = prepared(AREAS[name], arguments.out / name)
        again = [mutant.name for mutant in mutants(folder) if not mutant.noticed] if arguments.again else []
        if not arguments.report:
            mutmut(folder, again)
        found = mutants(folder)
        print(reported(name, found, equivalent))
        low += score(found, equivalent) < AREAS[name].target
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
