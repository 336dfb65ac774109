"""`adfm score` end to end on files, through the command's own functions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adfm.cli import score
from adfm.cli.common import Parser
from adfm.cli.main import main
from adfm.data.manifest import write_manifest
from adfm.errors import UserError
from adfm.geometry import Box, Frame
from adfm.reasoning import canonical
from adfm.records import Sample
from adfm.rewards import summarise
from adfm.storage import read_jsonl, write_jsonl

BAD = Sample("bad", "bad.png", 100, 80, "anomalous", "cap", "scratch", None, (Box(10, 20, 30, 40),), "test", "0")
GOOD = replace(BAD, id="good", image="good.png", label="normal", defect=None, boxes=())
UNPLACED = replace(BAD, id="unplaced", image="unplaced.png", boxes=None)
SAMPLES = (BAD, GOOD, UNPLACED)
OWN = Frame.original(100, 80)


def command(folder: Path, rows: list[dict[str, Any]], *flags: str) -> list[dict[str, Any]]:
    """Run the command on a manifest of the three samples and return the scores."""
    write_manifest(folder / "manifest.jsonl", SAMPLES)
    write_jsonl(folder / "responses.jsonl", rows)
    paths = [
        "--data",
        str(folder),
        "--responses",
        str(folder / "responses.jsonl"),
        "--out",
        str(folder / "scores.jsonl"),
    ]
    parser = Parser()
    score.add(parser.add_subparsers())
    args = parser.parse_args(["score", *paths, *flags])
    assert args.run(args) == 0
    return read_jsonl(folder / "scores.jsonl")


def test_scores_of_the_contract(tmp_path: Path) -> None:
    rows = [{"id": sample.id, "response": canonical(sample, OWN)} for sample in (GOOD, BAD)]
    scores = command(tmp_path, [*rows, {"id": "unplaced", "response": "It is anomalous."}], "--frame", "original")
    place = {"bbox_2d": [10.0, 20.0, 30.0, 40.0], "label": "scratch"}
    looked = {"bbox_2d": [25.0, 20.0, 75.0, 60.0], "label": "suspicious"}
    blocks = ("locate", "examine", "answer")
    assert scores == [
        {
            "id": "good",
            **{"format": 1.0, "verdict": 1.0, "grounding": 0.5, "total": 2.5},
            "parsed": {"verdict": "normal", "regions": [], "located": [looked]},
            "problems": [],
        },
        {
            "id": "bad",
            **{"format": 1.0, "verdict": 1.0, "grounding": 1.5, "total": 3.5},
            "parsed": {"verdict": "anomalous", "regions": [place], "located": [place]},
            "problems": [],
        },
        {
            "id": "unplaced",
            **{"format": 0.0, "verdict": 0.0, "grounding": None, "total": 0.0},
            "parsed": {"verdict": None, "regions": [], "located": None},
            "problems": [f"missing_{block}" for block in blocks],
        },
    ]


def test_settings_reach_the_rewards(tmp_path: Path) -> None:
    row = [{"id": "bad", "response": canonical(BAD, OWN)}]
    totals = {
        flags: command(tmp_path, row, "--frame", "original", *flags)[0]["total"]
        for flags in [(), ("--preset", "set_iou"), ("--alpha", "2"), ("--weights", "0,0,1"), ("--stages", "verdict")]
    }
    assert list(totals.values()) == [3.5, 3.0, 5.0, 1.5, 2.5]


def test_a_row_s_frame_wins_over_the_flag(tmp_path: Path) -> None:
    thousand = canonical(BAD, Frame.thousand(100, 80))
    rows = [{"id": "bad", "response": thousand, "frame": "0-1000"}, {"id": "good", "response": canonical(GOOD, OWN)}]
    assert [row["format"] for row in command(tmp_path, rows, "--frame", "original")] == [1, 1]
    del rows[0]["frame"]
    assert [row["format"] for row in command(tmp_path, rows, "--frame", "original")] == [0, 1]


def test_the_model_s_frame_holds_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import adfm.models.families as families

    asked: list[str] = []
    monkeypatch.setattr(families, "frame_of_model", lambda model: asked.append(model) or Frame.thousand)
    rows = [{"id": "bad", "response": canonical(BAD, Frame.thousand(100, 80))}]
    assert command(tmp_path, rows, "--model", "some/model")[0]["total"] == 3.5
    assert asked == ["some/model"]
    command(tmp_path, [rows[0] | {"frame": "0-1000"}])
    assert asked == ["some/model"]  # every row names its frame: no model is opened


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        ([{"id": "other", "response": ""}], (), "responses.jsonl: row 1: id 'other' is not in the manifest"),
        ([{"response": ""}], (), "row 1: id None is not in the manifest"),
        ([{"id": ["bad"], "response": ""}], (), "is not in the manifest"),
        ([{"id": "bad", "response": ""}] * 2, (), "row 2: id 'bad' has a second response"),
        ([{"id": "bad", "response": None}], (), "'response' of id 'bad' must be a text, is NoneType"),
        ([{"id": "bad", "response": 5}], (), "must be a text, is int"),
        ([{"id": "bad"}, {"id": "good"}, {"id": "x"}], (), "(and 2 more faults)"),
        ([{"id": "bad"}, {"id": "good"}], (), "(and 1 more faults)"),
        ([{"id": "bad", "response": "", "frame": "pixels"}], (), "id 'bad': frame 'pixels': must be 'original'"),
        ([{"id": "bad", "response": "", "frame": 1000}], (), "frame '1000'"),
        ([{"id": "bad", "response": "", "frame": "a\nb"}], (), "frame 'a b'"),
        ([{"id": "bad", "response": "", "frame": f"resized:{'9' * 5000}x1"}], (), "frame 'resized:999"),
        ([], ("--frame", "resized:0x0"), "frame 'resized:0x0'"),
        ([], ("--weights", "1,2"), "must be three numbers"),
        ([], ("--weights", "a,b,c"), "must be three numbers"),
        ([], ("--weights", "0,0,0"), "at least one weight must be above 0"),
        ([], ("--alpha", "nan"), "alpha"),
        ([], ("--preset", "papper"), "did you mean 'paper'?); presets: paper, set_iou"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, rows: list[dict[str, Any]], flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        command(tmp_path, rows, *(flags if "--frame" in flags else ("--frame", "original", *flags)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "scores.jsonl").exists()


def test_one_fault_has_no_more(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is NoneType$"):
        command(tmp_path, [{"id": "bad"}], "--frame", "original")


def test_the_summary_counts_the_unread_and_names_the_commonest_problem_first() -> None:
    def row(verdict: str | None, *problems: str) -> dict[str, Any]:
        rewards = {"format": 0.0, "verdict": 0.0, "grounding": None, "total": 0.0}
        return {**rewards, "parsed": {"verdict": verdict}, "problems": list(problems)}

    found = summarise([row(None, "b"), row("normal", "b", "c"), row("normal", "c", "b", "a"), row("normal", "a")], 5)
    assert (found["responses"], found["unanswered"], found["unread"]) == (4, 1, 0.25)
    assert list(found["problems"].items()) == [("b", 3), ("a", 2), ("c", 2)]
    assert found["mean"]["grounding"] is None
    assert summarise([], 2)["unread"] is None


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    rows = [{"id": "bad", "response": "x"}]
    for name in ("responses.jsonl", "manifest.jsonl"):
        with pytest.raises(UserError, match="is an input"):
            command(tmp_path, rows, "--frame", "original", "--out", str(tmp_path / name))
    assert read_jsonl(tmp_path / "responses.jsonl") == rows


def test_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": "bad", "response": canonical(BAD, OWN)}, {"id": "unplaced", "response": "no"}]
    command(tmp_path, rows, "--frame", "original", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "responses": 2,
        "unanswered": 1,
        "mean": {"format": 0.5, "verdict": 0.5, "grounding": 1.5, "total": 1.75},
        "unread": 0.5,
        "problems": {"missing_answer": 1, "missing_examine": 1, "missing_locate": 1},
    }
    command(tmp_path, rows, "--frame", "original")
    printed = capsys.readouterr().out
    assert "2 responses scored, 1 samples without a response" in printed
    assert "unread     50.0%" in printed and "missing_answer 1" in printed


def test_the_help_names_the_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--help"]) == 0
    assert "grounding reward: paper, set_iou (paper)" in capsys.readouterr().out


def test_nothing_to_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, [], "--frame", "original") == []
    assert "0 responses scored, 3 samples" in capsys.readouterr().out


def test_broken_text_goes_through_the_files(tmp_path: Path) -> None:
    rows = [{"id": "bad", "response": "\x00<answer>" + canonical(BAD, OWN)}, {"id": "good", "response": "a" * 70_000}]
    path = tmp_path / "responses.jsonl"
    scores = command(tmp_path, rows, "--frame", "original")
    assert [row["problems"] for row in scores] == [["duplicate_answer"], ["too_long"]]
    escaped = canonical(BAD, OWN).replace("scratch", "\\ud800")
    path.write_text(json.dumps({"id": "bad", "response": escaped}) + "\n")
    assert command(tmp_path, read_jsonl(path), "--frame", "original")[0]["format"] == 1


def test_the_command_s_module_is_light() -> None:
    code = (
        "import sys, adfm.cli.score; print(sorted({'torch', 'cv2', 'scipy', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
