"""The command line itself: quick help, one line per failure, the exit codes of the contract."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import adfm
from adfm.cli import main as cli
from adfm.cli.common import add_command
from adfm.cli.main import COMMANDS, build_parser, main
from adfm.errors import DataError

HEAVY = ("torch", "transformers", "scipy", "cv2", "numpy", "pydantic", "rich")


def adfm_process(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", code] if code else [sys.executable, "-m", "adfm"]
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def loaded_after(statement: str) -> list[str]:
    code = f"import sys\n{statement}\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    run = adfm_process(code=code)
    assert run.returncode == 0, run.stderr
    found: list[str] = json.loads(run.stderr.strip().splitlines()[-1].replace("'", '"'))
    return found


def test_help_loads_nothing_heavy() -> None:
    assert loaded_after("from adfm.cli.main import main\nmain(['--help'])") == []
    assert loaded_after("import numpy") == ["numpy"]  # control: what is loaded is seen


def test_help_is_quick() -> None:
    timings = []
    for _ in range(3):
        before = os.times()
        assert adfm_process("--help").returncode == 0
        after = os.times()  # processor time, which a busy machine does not stretch
        timings.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(timings) < 0.5


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_every_command_shows_an_example() -> None:
    found = list(parsers(build_parser()))
    names = {parser.prog for parser in found}
    assert {"adfm", "adfm data", "adfm data build", "adfm data make", "adfm data check", "adfm doctor"} <= names
    for parser in found:
        assert "example" in parser.format_help(), parser.prog
        assert "adfm" in (parser.epilog or ""), parser.prog


def test_every_module_in_the_table_is_registered_in_its_order() -> None:
    root = build_parser()
    (commands,) = (action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    assert list(commands.choices) == ["eval" if name == "evaluate" else name for name in COMMANDS]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dta"], "'dta' is not known (did you mean 'data'?)"),
        (["data", "biuld"], "'biuld' is not known (did you mean 'build'?)"),
        (["data", "build", "x", "--out", "y", "--tiel", "9"], "'--tiel' (did you mean '--tile'?)"),
        (["data", "build", "x", "--oot", "y"], "'--oot' (did you mean '--out'?)"),
        (["data", "build", "x", "--ou", "y"], "did you mean '--out'"),  # no silent abbreviations
        (["data", "build", "x"], "required: --out"),
        (["data", "build", "x", "--out", "y", "--tile", "big"], "invalid int value: 'big'"),
        (["data", "build", "x", "--out", "y", "--dilate", "-1"], "setting 'dilate'"),
        (["data", "build", "no such folder", "--out", "y"], "is not a folder"),
        (["data"], "required: COMMAND"),
        ([], "required: COMMAND"),
    ],
)
def test_wrong_use_is_one_line_and_two(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("adfm: ")
    assert err.count("\n") == 1
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"adfm {adfm.__version__}\n"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a command `probe` in the place of all others; it raises what it is given, or returns it."""

    def put(outcome: BaseException | int) -> None:
        def run(_: argparse.Namespace) -> int:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = SimpleNamespace(add=lambda sub: add_command(sub, "probe", run, "probe", "adfm probe"))
        monkeypatch.setattr(cli, "COMMANDS", ("probe",))
        monkeypatch.setattr(cli, "import_module", lambda _: module)

    return put


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_commands_own_code_is_passed_on(command: Any, code: int) -> None:
    command(code)
    assert main(["probe"]) == code


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (DataError("a.png: is damaged"), 2, "adfm: a.png: is damaged\n"),
        (DataError("two\nlines\x1b[2J"), 2, "adfm: two lines [2J\n"),
        (KeyboardInterrupt(), 130, "adfm: interrupted\n"),
    ],
)
def test_failures_are_one_line(
    command: Any, capsys: pytest.CaptureFixture[str], outcome: BaseException, code: int, told: str
) -> None:
    command(outcome)
    assert main(["probe"]) == code
    assert capsys.readouterr().err == told


def test_an_internal_error_says_where_its_traceback_is(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(ZeroDivisionError("by\nzero"))
    assert main(["probe"]) == 101
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ZeroDivisionError: by zero" in err
    path = Path(err.rpartition("traceback in ")[2].rstrip(")\n"))
    try:
        assert "Traceback (most recent call last)" in path.read_text()
    finally:
        path.unlink()


@pytest.mark.parametrize("arguments", [["--debug", "probe"], ["probe", "--debug"]])
@pytest.mark.parametrize("error", [DataError("x"), ZeroDivisionError("x")])
def test_debug_raises(command: Any, arguments: list[str], error: Exception) -> None:
    command(error)
    with pytest.raises(type(error)):
        main(arguments)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text(
        "import sys\nfrom types import SimpleNamespace\nfrom adfm.cli import main as cli\n"
        "from adfm.cli.common import add_command\n"
        "def run(args):\n    for _ in range(200000): print('line')\n    return 0\n"
        "cli.COMMANDS = ('probe',)\n"
        "cli.import_module = lambda _: SimpleNamespace(add=lambda s: add_command(s, 'probe', run, 'p', 'adfm probe'))\n"
        "sys.exit(cli.main(['probe']))\n"
    )
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, str(script)], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert os.read(read, 10)
    os.close(read)
    _, err = process.communicate(timeout=30)
    assert err == b""
    assert process.returncode == 0
