"""`adfm doctor` is right about what is installed and whether the bundled model loads."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from adfm.cli import doctor
from adfm.cli.main import main
from adfm.errors import ModelError
from adfm.models.local import LocalModel


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str, *, device: str) -> None:
        raise ModelError("x")

    monkeypatch.setattr(LocalModel, "load", refuse)


def test_the_facts_are_those_of_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalModel, "load", lambda _, *, device: SimpleNamespace(revision="weights-1", device=device))
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["python"] == platform.python_version()
    assert facts["packages"]["numpy"] == version("numpy")
    assert facts["packages"]["torch"] == version("torch")
    assert facts["memory_gib"] > 0
    assert facts["model"] == "nano loads (revision weights-1)"
    assert facts["problems"] == []
    assert main(["doctor"]) == 0
    assert "problems     none" in capsys.readouterr().out


@pytest.mark.usefixtures("no_model")
def test_a_model_that_does_not_load_is_a_problem_and_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["problems"] == ["the bundled model does not load: x"]


def test_what_is_not_installed_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "numpy", "no-such-package-here"))
    assert main(["doctor"]) == 2
    printed = capsys.readouterr().out
    assert "no-such-package-here is not installed" in printed
    assert "not tried" in printed


@pytest.mark.slow
def test_the_bundled_model_loads() -> None:
    facts = doctor.examine()
    assert facts["problems"] == []
    assert facts["model"].startswith("nano loads")
