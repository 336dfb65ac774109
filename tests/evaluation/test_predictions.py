"""`predictions.jsonl` is read back as written, and every broken field is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfm.errors import DataError
from adfm.predictions import Prediction, prediction_from_json, prediction_json, read_predictions
from adfm.records import Votes
from adfm.storage import encode_line, write_jsonl

Make = Callable[..., Prediction]


def test_round_trip(many: Callable[..., list[Prediction]]) -> None:
    for made in many(50):
        assert prediction_from_json(json.loads(json.dumps(prediction_json(made)))) == made


LINE = """\
{"id": "a", "label": "anomalous", "category": "nut", "defect": "scratch", "image": "a.png", "width": 100, "height": 100, \
"boxes": [[10, 10, 30, 30]], "verdict": "anomalous", "score": 0.9, \
"regions": [{"bbox_2d": [10.0, 10.0, 30.0, 30.0], "label": "scratch"}], \
"located": [{"bbox_2d": [10.0, 10.0, 30.0, 30.0], "label": "scratch"}], "examination": "a scratch", \
"response": "<locate>...", "frame": "original", "strict": true, "problems": [], \
"reward": {"format": 1.0, "verdict": 1.0, "grounding": 1.5, "total": 3.5}"""


def test_a_line_is_the_same_byte_for_byte(one: Make) -> None:
    optional = one(log_odds=-7.25, votes=Votes(5, 2, 1), group="board 3", question_sha256="ab12")
    assert encode_line(prediction_json(one())) == LINE + "}\n"
    assert encode_line(prediction_json(optional)) == (
        f'{LINE}, "log_odds": -7.25, "votes": {{"anomalous": 5, "normal": 2, "unread": 1}}, "group": "board 3", '
        '"question_sha256": "ab12"}\n'
    )


def test_fields_may_be_missing_where_null_is_allowed(one: Make) -> None:
    row = prediction_json(one())
    for name in ("defect", "boxes", "verdict", "score", "located"):
        without = {key: value for key, value in row.items() if key != name}
        assert prediction_from_json(without) == prediction_from_json(row | {name: None})
    with pytest.raises(DataError, match="'frame': Field required"):
        prediction_from_json({key: value for key, value in row.items() if key != "frame"})


def test_null_boxes_mean_unknown_only_for_anomalous(one: Make) -> None:
    row = prediction_json(one(label="normal", boxes=()))
    assert prediction_from_json(row | {"boxes": None}).boxes == ()
    assert prediction_from_json(row | {"boxes": None, "label": "anomalous"}).boxes is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 3),
        ("label", "good"),
        ("width", 0),
        ("width", True),
        ("boxes", [[1, 2, 3]]),
        ("boxes", [[5, 5, 5, 9]]),
        ("boxes", [[float("nan"), 0, 1, 1]]),
        ("boxes", "none"),
        ("boxes", [["1", 2, 3, 4]]),
        ("boxes", [[True, 2, 3, 4]]),
        ("boxes", [{"x1": 1, "y1": 2, "x2": 3, "y2": 4}]),
        ("verdict", "maybe"),
        ("score", 1.5),
        ("score", True),
        ("regions", None),
        ("regions", [{"bbox_2d": [0, 0, 1, 1]}]),
        ("regions", [3]),
        ("located", {}),
        ("strict", 1),
        ("problems", "x"),
        ("problems", [3]),
        ("reward", None),
        ("reward", {"format": 1, "verdict": 1, "total": float("inf")}),
        ("reward", {"format": 1, "verdict": 1, "total": 2, "grounding": "x"}),
    ],
)
def test_broken_fields_are_named(one: Make, field: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"'{field}"):
        prediction_from_json(prediction_json(one()) | {field: value})


def test_reading_names_the_line(one: Make, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    write_jsonl(path, [prediction_json(one()), prediction_json(one(id="b")) | {"label": "x"}])
    with pytest.raises(DataError, match=r"predictions\.jsonl:2: 'label': Input should be 'normal' or 'anomalous'"):
        read_predictions(tmp_path)


def test_repeated_and_absent_predictions_are_refused(one: Make, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    write_jsonl(path, [prediction_json(one()), prediction_json(one())])
    with pytest.raises(DataError, match="used twice"):
        read_predictions(path)
    write_jsonl(path, [])
    with pytest.raises(DataError, match="no prediction"):
        read_predictions(path)
    write_jsonl(path, [prediction_json(one()), prediction_json(one(id="b"))])
    assert [p.id for p in read_predictions(path)] == ["a", "b"]


def test_optional_fields_come_back_and_are_left_out_where_they_say_nothing(one: Make) -> None:
    full = one(log_odds=-7.25, votes=Votes(5, 2, 1), group="board 3", question_sha256="ab12")
    assert prediction_from_json(json.loads(json.dumps(prediction_json(full)))) == full
    assert not {"log_odds", "votes", "group", "question_sha256"} & prediction_json(one()).keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_odds", "3"),
        ("log_odds", float("inf")),
        ("votes", [1, 2, 3]),
        ("votes", {"anomalous": 1}),
        ("group", 4),
        ("question_sha256", 4),
    ],
)
def test_optional_fields_are_checked(name: str, value: object, one: Make) -> None:
    with pytest.raises(DataError, match=name):
        prediction_from_json(prediction_json(one()) | {name: value})
