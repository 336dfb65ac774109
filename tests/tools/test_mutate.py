"""The mutation score counts what mutmut found, and the mutants that change nothing are still what the list says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mutate
import pytest

SOURCE = """\
def x_double__mutmut_orig(a):
    return a * 2
def x_double__mutmut_1(a):
    return a / 2
def x_double__mutmut_2(a):
    return a * 3
"""
SPANS = {"x_double__mutmut_orig": [1, 2], "x_double__mutmut_1": [3, 4], "x_double__mutmut_2": [5, 6]}


def judged(folder: Path, *codes: int | None) -> list[mutate.Mutant]:
    """What is read of a run in which the two mutants ended with these codes."""
    module = folder / "mutants" / "src" / "adfm" / "geometry" / "x.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(SOURCE)
    module.with_suffix(".py.spans").write_text(json.dumps({"version": 1, "spans": SPANS}))
    ends = {f"adfm.geometry.x.x_double__mutmut_{number}": code for number, code in enumerate(codes, 1)}
    module.with_suffix(".py.meta").write_text(json.dumps({"exit_code_by_key": ends}))
    return mutate.mutants(folder)


@pytest.mark.parametrize(
    ("codes", "score"),
    [((1, 1), 1.0), ((1, 0), 0.5), ((0, 0), 0.0), ((-24, 33), 0.5), ((-11, None), 0.5), ((2, 1), 0.5), ((), 0.0)],
)
def test_only_what_a_test_noticed_counts(codes: tuple[int | None, ...], score: float, tmp_path: Path) -> None:
    assert mutate.score(judged(tmp_path, *codes)) == score


def test_a_survivor_is_shown_with_its_change(tmp_path: Path) -> None:
    found = judged(tmp_path, 1, 0)
    assert "x_double__mutmut_2: survived\n- return a * 2\n+ return a * 3\n" in mutate.reported("geometry", found, set())
    assert "geometry: 50.0% of 2 mutants noticed" in mutate.reported("geometry", found, set())


def test_only_the_very_change_on_the_list_is_left_out(tmp_path: Path) -> None:
    found = judged(tmp_path, 1, 0)
    assert mutate.score(found, {"geometry/x.py + return a * 3"}) == 1.0
    for other in ("geometry/x.py + return a * 4", "rewards/x.py + return a * 3", "geometry/x.py + return a / 2"):
        assert mutate.score(found, {other}) == 0.5
    assert mutate.score([replace(found[0], change="+ return a * 3")], {"geometry/x.py + return a * 3"}) == 1.0


def stale(lines: list[str], root: Path) -> list[str]:
    """Entries of the list whose file is gone, and reasons without an entry."""
    faults = [line for line in lines if not line.startswith("#") and not (root / line.partition(" + ")[0]).is_file()]
    return faults + [a for a, b in zip(lines, [*lines[1:], "#"]) if a.startswith("#") and b.startswith("#")]


def test_every_entry_of_the_list_has_a_file_and_a_reason() -> None:
    root = mutate.ROOT / "src" / "adfm"
    lines = [line for line in mutate.EQUIVALENT.read_text().split("\n")[1:] if line]
    assert lines[0].startswith("#")
    assert stale(lines, root) == []
    assert stale(["# why", "geometry/gone.py + x", "# nothing"], root) == ["geometry/gone.py + x", "# nothing"]


def test_every_slow_test_that_is_left_out_exists() -> None:
    for test in mutate.SLOW:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (mutate.ROOT / file).read_text()
