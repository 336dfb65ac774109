"""What a hostile data set may cost: time and memory of `adfm data check` and `build`, measured in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.data.manifest import MAX_LINE
from adfm.storage import sha256_file

HANG = 120  # seconds, with room for a slow machine: each takes a few
MIB = 120  # of memory, above that of the imports

CHILD = r"""
import re, sys
from adfm.cli.main import main
from adfm.data import manifest
manifest.MAX_LINE = int(sys.argv[1])
import adfm.data.check, adfm.data.build, cv2, scipy.ndimage
def peak():  # ru_maxrss would begin at that of the parent
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
code = main(sys.argv[2:])
print("taken", peak() - before, file=sys.stderr)
raise SystemExit(code)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")

ROW = {
    "id": "a",
    "image": "a.png",
    "width": 48,
    "height": 32,
    "label": "anomalous",
    "category": "part",
    "defect": "dent",
    "mask": None,
    "boxes": [[0, 0, 4, 4]],
    "split": "train",
}


def run(*arguments: str, line: int = MAX_LINE) -> tuple[int, list[str], int]:
    """Return exit code, lines of output and MiB that were taken; a hang fails."""
    command = [sys.executable, "-c", CHILD, str(line), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert "Traceback" not in ran.stderr, ran.stderr
    *errors, taken = ran.stderr.splitlines()
    return ran.returncode, [*ran.stdout.splitlines(), *errors], int(taken.split()[1])


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Write a manifest of such rows, beside the image that they name."""
    Image.effect_noise((48, 32), 60).save(tmp_path / "a.png")
    sha256 = sha256_file(tmp_path / "a.png")

    def write(changes: list[dict[str, Any]]) -> Path:
        lines = (json.dumps(ROW | {"sha256": sha256, "id": str(n)} | change) for n, change in enumerate(changes))
        (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


MANY = [[0, 0, 4, 4]] * 1_000_000
HOSTILE: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a million boxes": ([{"boxes": MANY}], "line-long"),
    "as many boxes as fit a line": ([{"boxes": MANY[:60_000]}], "field-long"),
    "as many masks as fit a line": ([{"mask": ["m.png"] * 60_000}], "field-long"),
    "a text of 50 MB": ([{"id": "a" * 50_000_000}], "line-long"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_one_line_is_told_in_one_line(case: str, rows: Callable[..., Path]) -> None:
    changes, code = HOSTILE[case]
    exit_code, told, taken = run("data", "check", str(rows(changes)))
    assert exit_code == 2
    assert [f"[{code}]" in line for line in told if "warning" not in line and "[" in line] == [True]
    assert taken < MIB


def test_without_the_bounds_a_long_line_takes_more(rows: Callable[..., Path]) -> None:
    *_, taken = run("data", "check", str(rows([{"id": "a" * 50_000_000, "width": 0}])), line=1 << 40)
    assert taken > MIB


def test_many_lines_are_read_in_linear_time(rows: Callable[..., Path]) -> None:
    """5,000 lines that each have their own fault: a line for each, and nothing but them."""
    exit_code, told, taken = run("data", "check", str(rows([{"image": f"{n}.png"} for n in range(5_000)])), "--json")
    assert exit_code == 2
    assert sum("image-missing" in line for line in told) == 5_000
    assert taken < MIB


@pytest.mark.parametrize("name", ["manifest.jsonl", "a.png", "m.png"])
def test_pipes_are_never_opened(name: str, rows: Callable[..., Path]) -> None:
    folder = rows([{"mask": "m.png"}])
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    exit_code, told, _ = run("data", "check", str(folder))
    assert exit_code == 2
    assert any("not a file" in line or "not a regular file" in line for line in told)


def test_a_mask_of_dots_is_refused_by_build(tmp_path: Path) -> None:
    dots = np.zeros((2000, 2000), np.uint8)
    dots[::2, ::2] = 255
    for name in ("OK/a", "OK/b", "NG/n"):
        path = tmp_path / "set" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2000, 2000), len(name) + ord(name[-1])).save(path)
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(dots).save(tmp_path / "set" / "masks" / "n.png")
    exit_code, told, taken = run("data", "build", str(tmp_path / "set"), "--out", str(tmp_path / "out"))
    assert exit_code == 2
    assert [line for line in told if "[mask-marks]" in line] and len(told) <= 2
    assert taken < MIB
    assert not (tmp_path / "out").exists()
