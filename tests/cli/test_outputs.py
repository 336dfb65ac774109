"""What a command writes to: nothing of the user's is replaced, one process at a time, and a full disk is one line."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm import ownership
from adfm.cli.main import main
from adfm.data.manifest import read_manifest
from adfm.evaluation.run import run_evaluation
from adfm.models.base import Answer
from adfm.ownership import owned_folder
from scripted import ScriptedModel

Tree = dict[str, bytes]


def tree(folder: Path) -> Tree:
    """Every file below a folder but our markers, with its bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ownership.MARKER]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def places(tmp_path: Path, parts_folder: Path, parts_data: Path, tiny: Path) -> dict[str, str]:
    """What the commands below are filled with."""
    runs = [str(tmp_path / name) for name in "ab"]
    for run in runs:
        run_evaluation(
            ScriptedModel(lambda *_: Answer("no answer", None)), read_manifest(parts_data).only("test"), Path(run)
        )
    sample = read_manifest(parts_data).samples[0]
    (tmp_path / "responses.jsonl").write_text(json.dumps({"id": sample.id, "response": "no answer"}) + "\n")
    named = {"parts": parts_folder, "data": parts_data, "tiny": tiny, "responses": tmp_path / "responses.jsonl"}
    return {name: str(path) for name, path in named.items()} | {"a": runs[0], "b": runs[1]}


FOLDERS = {
    "make": "data make --out {out} --images 4 --products 1 --size 64",
    "build": "data build {parts} --out {out}",
    "export": "data export {data} --to coco --out {out}",
    "eval": "eval --model {tiny} --data {data} --out {out} --max-new-tokens 4",
    "inspect": "inspect {parts} --model {tiny} --out {out}",
    "compare": "eval --compare {a} {b} --out {out}",
    "adapt": "adapt {parts} --out {out} --model {tiny}",
    "demo": "demo --out {out} --images 40 --steps 1",
    "bench": "bench reward --answers 1 --out {out}",
    "nano": "nano build --out {out}",
}
FILES = {
    "report": "report {a} --out {out}",
    "score": "score --data {data} --responses {responses} --out {out} --frame original",
}


def call(command: str, places: dict[str, str], out: Path) -> int:
    return main([word.format(**places, out=out) for word in command.split()])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_the_user_is_refused_and_kept(
    name: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    for file in ("parts/good/1.png", "data/manifest.jsonl", "final/model.safetensors", "summary.json"):
        (mine / file).parent.mkdir(parents=True, exist_ok=True)
        (mine / file).write_text("precious")
    before = tree(mine)
    assert call(FOLDERS[name], places, mine) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(mine) in said
    assert tree(mine) == before


def test_without_the_claim_a_folder_of_the_user_is_written_into(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "table.md").write_text("precious")
    monkeypatch.setattr(ownership, "require_claimable", lambda _: None)
    assert call(FOLDERS["compare"], places, mine) == 0
    assert (mine / "table.md").read_text() != "precious"


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_user_is_refused_and_one_of_ours_replaced(
    name: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes"
    file.write_text("precious")
    assert call(FILES[name], places, file) == 2
    assert "was not written by this command" in capsys.readouterr().err
    assert file.read_text() == "precious"
    file.unlink()
    assert [call(FILES[name], places, file) for _ in range(2)] == [0, 0]  # control: ours is written again


@pytest.mark.parametrize("name", ["eval", "compare", "bench", "adapt", "demo"])
def test_a_folder_in_use_is_refused(
    name: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with owned_folder(out, "anything"):
        assert call(FOLDERS[name], places, out) == 2
    assert "another adfm process works in it" in capsys.readouterr().err


def limited(command: str, places: dict[str, str], out: Path, limit: int | None) -> subprocess.CompletedProcess[str]:
    """Run a command that cannot write a file of more than `limit` bytes."""

    def before() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = [word.format(**places, out=out) for word in command.split()]
    return subprocess.run(
        [sys.executable, "-m", "adfm", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=before,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit"),
    [("make", 300), ("build", 40), ("export", 40), ("eval", 300), ("compare", 40), ("report", 40), ("adapt", 300)],
)
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    name: str, limit: int, places: dict[str, str], tmp_path: Path
) -> None:
    command, out = (FOLDERS | FILES)[name], tmp_path / "out"
    stopped = limited(command, places, out, limit)
    assert (stopped.returncode, stopped.stderr.count("\n")) == (2, 1), stopped.stderr
    assert "File too large" in stopped.stderr and str(tmp_path) in stopped.stderr
    if name != "adapt":  # which then trains
        whole = tmp_path / "whole"
        assert [limited(command, places, folder, None).returncode for folder in (out, whole)] == [0, 0]
        assert {*tree(out)} == {*tree(whole)} if out.is_dir() else out.read_bytes() == whole.read_bytes()


REFUSALS: list[tuple[Callable[[], OSError], str]] = [
    (lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/a"), "adfm: /out/a: No space left on device;"),
    (lambda: OSError(errno.EROFS, os.strerror(errno.EROFS)), "adfm: the system: Read-only file system;"),
    (
        lambda: FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
        "adfm: the system: No",
    ),
    (lambda: PermissionError(errno.EACCES, os.strerror(errno.EACCES), b"/out/\xff"), "adfm: /out/"),
]


@pytest.mark.parametrize(("error", "start"), REFUSALS)
def test_what_the_system_refuses_is_for_the_user_to_change(
    error: Callable[[], OSError], start: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> int:
        raise error()

    monkeypatch.setattr("adfm.cli.data.run_check", refuse)
    assert main(["data", "check", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(start) and said.count("\n") == 1


def test_a_fault_of_ours_is_101_also_without_a_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("ours")

    def nowhere(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("adfm.cli.data.run_check", broken)
    monkeypatch.setattr("adfm.cli.main.NamedTemporaryFile", nowhere)
    assert main(["data", "check", "x"]) == 101
    assert "could not be kept" in capsys.readouterr().err
