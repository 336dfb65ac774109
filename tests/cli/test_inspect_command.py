"""`adfm inspect` as a process: exit codes, what is printed, one owner of a folder, and an end from outside."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.cli.main import main
from adfm.inspection import folder
from adfm.inspection.inspector import Inspector
from adfm.models.base import Answer
from scripted import ScriptedModel

NORMAL = '<locate>[]</locate><examine>-</examine><answer>{"verdict": "normal", "regions": []}</answer>'
ANOMALOUS = NORMAL.replace("normal", "anomalous")
ANSWERS = {250: NORMAL, 10: ANOMALOUS, 128: "?"}
"""The answer by the level of grey: OK, NG, REVIEW."""


def scripted(image: Image.Image, _: str) -> Answer:
    return Answer(ANSWERS[int(np.asarray(image).mean())], None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command gets a scripted model instead of a loaded one."""
    monkeypatch.setattr(Inspector, "open", lambda *_, **__: Inspector(ScriptedModel(scripted)))


def draw(path: Path, level: int = 250) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 12), (level, level, level)).save(path, "PNG")


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]


OK, NG, REVIEW, ERROR, LEFT_OUT = ("ok.png", 250), ("ng.png", 10), ("review.png", 128), ("error.png", -1), ("a.txt", -1)


@pytest.mark.parametrize(
    ("files", "code", "counts"),
    [
        ([OK], 0, "1 OK"),
        ([OK, NG], 1, "1 OK, 1 NG"),
        ([NG], 1, "1 NG"),
        ([OK, REVIEW], 3, "1 OK, 1 REVIEW"),
        ([NG, REVIEW], 3, "1 NG, 1 REVIEW"),
        ([OK, ERROR], 3, "1 OK, 1 ERROR"),
        ([NG, ERROR], 3, "1 NG, 1 ERROR"),
        ([OK, LEFT_OUT], 3, "1 OK, 1 left out"),
        ([NG, LEFT_OUT], 3, "1 NG, 1 left out"),
        ([OK, NG, REVIEW, ERROR, LEFT_OUT], 3, "1 OK, 1 NG, 1 REVIEW, 1 ERROR, 1 left out"),
        ([LEFT_OUT], 2, None),
    ],
)
def test_exit_codes(
    files: list[tuple[str, int]],
    code: int,
    counts: str | None,
    opened: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, level in files:
        draw(tmp_path / "in" / name, level) if level >= 0 else (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        if level < 0:
            (tmp_path / "in" / name).write_text("x")
    arguments = ["inspect", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(arguments) == code
    printed = capsys.readouterr()
    if counts is None:
        assert "left out: 'a.txt'" in printed.err and not (tmp_path / "out").exists()
        return
    assert f"\n{counts} -> {tmp_path / 'out'}\n" in printed.out
    assert {row["image"] for row in results(tmp_path / "out")} == {name for name, _ in files}
    assert ("LEFT OUT        a.txt  is not a PNG" in printed.out) == (LEFT_OUT in files)
    assert main([*arguments, "--json"]) == code
    assert json.loads(capsys.readouterr().out) == results(tmp_path / "out")


def test_unknown_suffixes_are_judged_by_their_content_or_listed(
    opened: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, kind in {"a.png": "PNG", "b.jfif": "JPEG", "c.jpe": "JPEG", "d.gif": "GIF"}.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (16, 12), (250, 250, 250)).save(tmp_path / "in" / name, kind)
    assert main(["inspect", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 3
    assert "3 OK, 1 left out" in capsys.readouterr().out
    found = {row["image"]: (row["decision"], row["parse"]) for row in results(tmp_path / "out")}
    assert found == dict.fromkeys(["a.png", "b.jfif", "c.jpe"], ("OK", "ok")) | {"d.gif": ("ERROR", ["left_out"])}


def test_names_cannot_break_what_is_printed(opened: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (b"a\xff.png", b"b\n\x1b[31m.png"):
        draw(tmp_path / "in" / "x.png")
        (tmp_path / "in" / "x.png").rename(tmp_path / "in" / name.decode("utf-8", "surrogateescape"))
    (tmp_path / "in" / b"broken\xfe.png".decode("utf-8", "surrogateescape")).write_text("x")
    out = tmp_path / b"out\xff".decode("utf-8", "surrogateescape")
    for more in ([], ["--json"]):
        assert main(["inspect", str(tmp_path / "in"), "--out", str(out), *more]) == 3
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out and printed.err == ""
    assert [row["image"] for row in json.loads(printed.out)] == ["a\\xff.png", "b\n\x1b[31m.png", "broken\\xfe.png"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-0.1", "1.1"])
def test_a_threshold_that_is_none_is_refused(value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "in" / "a.png")
    assert main(["inspect", str(tmp_path / "in"), "--out", str(tmp_path / "out"), f"--threshold={value}"]) == 2
    assert "must be from 0 to 1" in capsys.readouterr().err and not (tmp_path / "out").exists()


# --- processes --------------------------------------------------------------------------------------------------------

COMMAND = f"""
import sys, time
from adfm.cli.main import main
from adfm.inspection.inspector import Inspector
from adfm.models import device
from adfm.models.base import Answer
from scripted import ScriptedModel

device.use_threads = lambda _: None  # it would load torch, which takes longer than all else here
asked = []

def answer(*_):
    asked.append(1)
    print("asked", flush=True)
    if len(asked) == 3:
        time.sleep(float(sys.argv[3]))
    return Answer({NORMAL!r}, None)

Inspector.open = lambda *_, **__: Inspector(ScriptedModel(answer))
raise SystemExit(main(["inspect", sys.argv[1], "--out", sys.argv[2]]))
"""
TESTS = Path(__file__).parents[1]
IMAGES = 6


@contextmanager
def inspecting(source: Path, out: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Start an inspection whose third image takes so long. Yield its process while it is there."""
    command = [sys.executable, "-c", COMMAND, str(source), str(out), str(seconds)]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TESTS)
    try:
        assert made.stdout is not None
        for _ in range(3):
            assert made.stdout.readline() == "asked\n"
        yield made
    finally:
        made.kill()
        made.communicate()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(IMAGES):
        draw(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def test_one_process_works_in_a_folder(
    source: Path, opened: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with inspecting(source, out, 600):
        assert main(["inspect", str(source), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "another adfm process works in it" in error
        assert len(results(out)) == 2, "nothing of the other's is lost"
    # It was killed. The lock is gone and its two verdicts are kept.
    kept = results(out)
    assert main(["inspect", str(source), "--out", str(out)]) == 0
    assert len(results(out)) == IMAGES and results(out)[:2] == kept


def test_control_without_the_lock_both_run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "owned_folder", lambda *_: nullcontext())
    with inspecting(source, tmp_path / "out", 600):
        verdicts = folder.inspect_folder(Inspector(ScriptedModel(scripted)), source, tmp_path / "out")
        assert len(verdicts) == IMAGES


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_an_end_from_outside_keeps_what_is_done(sent: signal.Signals, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with inspecting(source, out, 600) as made:
        made.send_signal(sent)
        _, error = made.communicate(timeout=60)
    assert made.returncode == 130
    assert error == f"adfm: interrupted; finished verdicts are in {out}, and the same command continues\n"
    assert [row["image"] for row in results(out)] == ["0.png", "1.png"]
    with inspecting(source, out, 0) as made:
        printed, error = made.communicate(timeout=60)
    assert (made.returncode, error) == (0, "")
    assert f"{IMAGES} OK -> {out}" in printed and len(results(out)) == IMAGES
    assert printed.count("asked") == IMAGES - 2 - 3  # two were kept, three lines were read before


def test_a_full_disk_keeps_what_is_done(source: Path, opened: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", COMMAND, str(source), str(out), "0"]

    def no_file_over_4_kib() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    stopped = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=TESTS, preexec_fn=no_file_over_4_kib
    )
    assert (stopped.returncode, stopped.stderr.count("\n")) == (2, 1)
    assert f"adfm: {out}" in stopped.stderr and "File too large" in stopped.stderr
    kept = [json.loads(line) for line in (out / "results.jsonl").read_text().split("\n")[:-1]]  # the last one is cut
    assert 0 < len(kept) < IMAGES
    assert main(["inspect", str(source), "--out", str(out)]) == 0
    assert results(out)[: len(kept)] == kept and len(results(out)) == IMAGES


def test_the_command_also_runs_outside_the_main_thread(source: Path, opened: None, tmp_path: Path) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["inspect", str(source), "--out", str(tmp_path / "o")])))
    thread.start()
    thread.join()
    assert codes == [0]
