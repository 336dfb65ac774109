"""`adfm eval --benchmark mmad` at the terminal: tables, files, and every mistake in one line with exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL.Image import Image

from adfm.cli.main import main
from adfm.evaluation.mmad.scoring import COLUMNS
from adfm.models.base import Answer
from adfm.models.local import LocalModel
from scripted import ScriptedModel


def says_a(image: Image, prompt: str) -> Answer:
    return Answer("A" if "any defect" in prompt else "no letter", None)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Scripted answers in place of a model's. Returns the names of the models that were loaded."""
    loads: list[str] = []

    def load(name: str) -> ScriptedModel:
        loads.append(name)
        return ScriptedModel(says_a, name)

    monkeypatch.setattr(LocalModel, "load", load)
    return loads


def evaluate(mini: Path, out: Path, *options: str) -> int:
    words = ["eval", "--benchmark", "mmad", "--data", str(mini), "--model", "m", "--out", str(out), *options]
    return main(words)


def test_both_tables_are_printed(
    scripted: list[str], mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(mini, tmp_path / "out") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("36 questions about 8 images")
    assert lines[1].startswith("warning: ") and "39636 are missing" in lines[1]
    assert [line.split(":")[0] for line in lines if "skipped" in line] == ["compat", "strict"]
    heads = [line.split() for line in lines if "D-Cls" in line]
    assert len(heads) == 2 and len(heads[0]) == len(COLUMNS)
    rows = [line.split() for line in lines if line.startswith(("VisA", "Average"))]
    assert [row[0] for row in rows] == ["VisA", "Average"] * 2
    assert rows[0][1] == "50.00" and rows[2][-1] == "20.00"  # 2 of 10 of VisA's answers can be read
    assert printed.err == ""
    protocol = json.loads((tmp_path / "out" / "metrics.json").read_text())["provenance"]["protocol"]
    assert (protocol["shots"], protocol["max_new_tokens"]) == (1, 128)
    assert scripted == ["m"]


def test_json_and_options(scripted: list[str], mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--json", "--shots", "0", "--part", "test", "--seed", "3", "--limit", "2", "--max-new-tokens", "9"]
    assert evaluate(mini, tmp_path / "out", *options) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "out" / "metrics.json").read_text())
    chosen = {name: result["provenance"][name] for name in ("shots", "part", "seed", "limit", "knowledge")}
    assert chosen == {"shots": 0, "part": "test", "seed": 3, "limit": 2, "knowledge": None}
    assert json.loads((tmp_path / "out" / "split.json").read_text())["seed"] == 3
    assert result["provenance"]["protocol"]["max_new_tokens"] == 9


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--split", "train"], "--split: does not go with --benchmark"),
        (["--score", "votes"], "--score: does not go with --benchmark"),
        (["--threshold", "0.5"], "--threshold: does not go with --benchmark"),
        (["--compare", "a", "b"], "--compare: does not go with --benchmark"),
        (["--no-category"], "--no-category: does not go with --benchmark"),
        (["--limit", "0"], "--limit 0: must be at least 1"),
        (["--max-new-tokens", "0"], "--max-new-tokens 0: must be at least 1"),
        (["--batch", "0"], "--batch 0: must be at least 1"),
        (["--shots", "2"], "invalid choice: 2"),
        (["--part", "tset"], "did you mean 'test'"),
        (["--domain-knowledge", "none.json"], "none.json: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str],
    told: str,
    scripted: list[str],
    mini: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(mini, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err.strip()
    assert told in error and "\n" not in error and error.startswith("adfm: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--shots", "0"], ["--part", "all"], ["--limit", "3"]])
def test_the_benchmarks_options_need_it(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *option]) == 2
    assert f"{option[0]}: needs --benchmark mmad" in capsys.readouterr().err


def test_missing_files_are_named(
    scripted: list[str], mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mini / "GoodsAD/food_box/train/good/000003.jpg").unlink()
    assert evaluate(mini, tmp_path / "out") == 2
    assert "GoodsAD/food_box/train/good/000003.jpg: no such file" in capsys.readouterr().err
    assert evaluate(mini, tmp_path / "out", "--shots", "0") == 0  # without templates that image is not needed
    assert evaluate(tmp_path, tmp_path / "out") == 2
    assert "--data must be the folder that holds MMAD's mmad.json" in capsys.readouterr().err


def test_names_from_the_file_cannot_move_the_cursor(
    scripted: list[str], mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((mini / "mmad.json").read_text())
    image, row = next(iter(content.items()))
    evil = "\x1b[2J" + image
    (mini / evil).parent.mkdir(parents=True)
    (mini / evil).write_bytes((mini / image).read_bytes())
    (mini / "mmad.json").write_text(json.dumps({evil: row | {"image_path": evil}}))
    assert evaluate(mini, tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told and "[2JDS-MVTec" in told


def test_a_real_model_at_the_terminal(
    tiny: Path, mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--limit", "2", "--max-new-tokens", "4", "--threads", "1", "--batch", "5"]
    words = ["eval", "--benchmark", "mmad", "--data", str(mini), "--model", str(tiny), "--out", str(tmp_path / "out")]
    assert main([*words, *options]) == 0
    assert "10 questions about 2 images" in capsys.readouterr().out
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 10
