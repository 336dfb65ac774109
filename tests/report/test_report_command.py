"""`adfm report` finds runs, names them, compares them, and says what is wrong in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm.cli.main import main
from adfm.cli.report import _names
from adfm.predictions import prediction_json
from adfm.report import ReportInputs
from adfm.report.inputs import MAX_LINES
from adfm.storage import write_json, write_jsonl, write_text


@pytest.fixture
def runs(tmp_path: Path, make_inputs: Callable[..., ReportInputs]) -> Path:
    """Two evaluations and a training, as their commands leave them; the images are beside a manifest."""
    inputs = make_inputs(16)
    write_text(tmp_path / "manifest.jsonl", "{}\n")
    for run in inputs.runs:
        folder = tmp_path / f"eval-{run.name}"
        write_jsonl(folder / "predictions.jsonl", map(prediction_json, run.predictions))
        write_json(folder / "metrics.json", {**run.metrics, "provenance": {"data": str(tmp_path), "model": run.name}})
    write_jsonl(tmp_path / "grpo" / "metrics.jsonl", map(dict, inputs.journals["trained"]))
    write_text(tmp_path / "grpo" / "config.yaml", "model: nano\nreward: {preset: set_iou}\n")
    return tmp_path


def test_evaluations_and_a_training_make_a_report(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = runs / "report.html"
    folders = [str(runs / name) for name in ("eval-base", "eval-trained", "grpo")]
    assert main(["report", *folders, "--out", str(out), "--title", "Line 3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["evaluations"] == ["base", "trained"] and said["trainings"] == ["grpo"]
    assert said["bytes"] == out.stat().st_size and said["pictures"] == str(runs)
    text = out.read_text(encoding="utf-8")
    assert "<title>Line 3</title>" in text and "trained − base" in text and "grpo.reward.preset" in text
    assert "data:image/" in text and 'id="training"' in text


def test_metrics_are_computed_where_only_predictions_are(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "eval-base" / "metrics.json").unlink()
    assert main(["report", str(runs / "eval-base"), "--out", str(runs / "r.html")]) == 0
    assert "give --data" in capsys.readouterr().out
    text = (runs / "r.html").read_text(encoding="utf-8")
    assert "Balanced accuracy" in text and "image not found" in text
    assert main(["report", str(runs / "eval-base"), "--out", str(runs / "r.html"), "--data", str(runs)]) == 0
    assert "image not found" not in (runs / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["predictions.jsonl", "metrics.json"])
def test_a_file_too_large_to_show_is_refused(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = runs / "eval-base" / name
    with file.open("ab") as opened:
        opened.truncate(MAX_LINES + 1)  # no byte of it is written
    assert main(["report", str(runs / "eval-base"), "--out", str(runs / "r.html")]) == 2
    assert f"{file}: is larger than a report can show" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["predictions.jsonl", "metrics.json", "metrics.jsonl", "config.yaml"])
def test_a_pipe_is_never_waited_for(name: str, runs: Path) -> None:
    folder = runs / ("grpo" if name in ("metrics.jsonl", "config.yaml") else "eval-base")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert main(["report", str(folder), "--out", str(runs / "r.html")]) in (0, 2)


def test_settings_that_are_no_text_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "grpo" / "config.yaml").write_bytes(b"\xff\xfe")
    assert main(["report", str(runs / "grpo"), "--out", str(runs / "r.html")]) == 2
    assert "config.yaml: cannot be read" in capsys.readouterr().err


def test_other_parts_are_shown_but_not_compared(runs: Path) -> None:
    file = runs / "eval-base" / "predictions.jsonl"
    write_text(file, "".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]))
    both = [str(runs / "eval-base"), str(runs / "eval-trained")]
    assert main(["report", *both, "--out", str(runs / "r.html")]) == 0
    assert "trained − base" not in (runs / "r.html").read_text(encoding="utf-8")


def _line(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert not shown.out and shown.err.count("\n") == 1
    return shown.err


def test_mistakes_are_one_line_and_exit_2(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, out = str(runs / "eval-base"), ["--out", str(runs / "r.html")]
    assert main(["report", str(runs), *out]) == 2
    assert "holds neither predictions.jsonl nor metrics.jsonl" in _line(capsys)
    assert main(["report", str(runs / "absent"), *out]) == 2
    assert "is not a folder" in _line(capsys)
    assert main(["report", base, base, *out]) == 2
    assert "second run named" in _line(capsys)
    assert main(["report", base, "--name", "a", "--name", "b", *out]) == 2
    assert "given 2 times for 1 runs" in _line(capsys)
    assert main(["report", base, "--data", str(runs / "grpo"), *out]) == 2
    assert "is no manifest" in _line(capsys)
    write_text(runs / "eval-base" / "metrics.json", "[]")
    assert main(["report", base, *out]) == 2
    assert "must hold the object 'metrics'" in _line(capsys)
    write_text(runs / "eval-base" / "predictions.jsonl", '{"id": 1}\n')
    assert main(["report", base, *out]) == 2
    assert "predictions.jsonl:1: 'id': Input should be a valid string" in _line(capsys)
    assert not (runs / "r.html").exists()


def test_names_are_short_but_different() -> None:
    assert _names([Path("/x/eval-base"), Path("/x/eval-trained"), Path("/y/trained")]) == ["base", "trained", "trained"]
    assert _names([Path("/x/one/eval"), Path("/x/two/eval")]) == ["one/eval", "two/eval"]
