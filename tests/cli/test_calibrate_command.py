"""`adfm calibrate` and what `inspect` and `eval` make of its file, on a scripted model in a real model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.cli.main import main
from adfm.geometry import Box, Frame
from adfm.inspection import inspector
from adfm.models.base import Answer
from adfm.models.files import revision_of
from adfm.models.local import LocalModel
from adfm.reasoning import canonical
from adfm.records import Sample
from adfm.storage import sha256_file
from scripted import ScriptedModel

SIDE = 16


def by_level(image: Image.Image, _: str) -> Answer:
    """Dark is anomalous; the score follows the grey level."""
    level = int(np.asarray(image).mean())
    bad = level < 128
    boxes = (Box(1, 1, 9, 9),) if bad else ()
    sample = Sample("", "", SIDE, SIDE, "anomalous" if bad else "normal", "", "x", None, boxes, "test", "")
    return Answer(canonical(sample, Frame.original(SIDE, SIDE)), 1 - level / 255)


def draw_image(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, SIDE), (level,) * 3).save(path)
    return path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder whose weights are a hash and nothing more; answers are scripted."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")

    def load(name: str, **_: Any) -> ScriptedModel:
        scripted = ScriptedModel(by_level, name)
        scripted.revision = revision_of(name, None)
        return scripted

    monkeypatch.setattr(LocalModel, "load", load)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Normal parts are bright and anomalous ones dark, with some overlap; 40 and 30 in either split."""
    random = np.random.default_rng(0)
    rows = []
    for split in ("validation", "test"):
        for number in range(70):
            label = "normal" if number < 40 else "anomalous"
            level = int(np.clip(random.normal(180 if label == "normal" else 70, 35), 0, 255))
            name = f"{split}-{number}.png"
            digest = sha256_file(draw_image(tmp_path / "data" / name, level))
            row = {"id": name, "image": name, "width": SIDE, "height": SIDE, "label": label, "category": "nut"}
            row |= {"defect": None, "mask": None, "boxes": None, "split": split, "sha256": digest}
            rows.append(json.dumps(row))
    (tmp_path / "data" / "manifest.jsonl").write_text("\n".join(rows))
    return tmp_path / "data"


def message(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def test_calibrate_writes_beside_the_model_and_inspect_uses_it(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "40 normal and 30 anomalous",
        "NG above",
        "OK below",
        "false rejects",
        "escapes",
        "review, normal",
        "ECE",
    ):
        assert words in printed
    with Image.open(model / "reliability.png") as image:
        assert image.size == (560, 640) and len(image.convert("RGB").getcolors(1 << 24) or []) > 50

    draw_image(tmp_path / "new" / "bright.png", 250)
    draw_image(tmp_path / "new" / "dark.png", 10)
    common = ["inspect", str(tmp_path / "new"), "--model", str(model), "--json"]
    assert main([*common, "--part", "nut", "--out", str(tmp_path / "out")]) == 1
    verdicts = {row["image"]: row for row in json.loads(capsys.readouterr().out)}
    dark = verdicts["dark.png"]
    assert (verdicts["bright.png"]["decision"], dark["decision"]) == ("OK", "NG")
    assert dark["raw_score"] == pytest.approx(1 - 10 / 255) and dark["score"] != dark["raw_score"]
    assert dark["threshold_origin"].startswith("calibration ") and 0 < dark["threshold"] < dark["score"]
    assert dark["review_from"] is not None

    assert main([*common, "--out", str(tmp_path / "other")]) == 2, "another prompt"
    assert "--part with 'nut'" in message(capsys)
    assert main([*common, "--no-calibration", "--out", str(tmp_path / "plain")]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert {row["threshold"] for row in plain} == {None} and all(row["score"] == row["raw_score"] for row in plain)


def test_the_band_goes_to_a_person(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data), "--miss", "0.04"]) == 0
    found = json.loads((model / "calibration.json").read_text())
    assert found["ok"]["log_odds"] < found["ng"]["log_odds"], "the labels overlap"
    middle = 1 / (1 + np.exp(-(found["ok"]["log_odds"] + found["ng"]["log_odds"]) / 2))
    file = draw_image(tmp_path / "new" / "grey.png", round(255 * (1 - middle)))
    arguments = ["inspect", str(file), "--model", str(model), "--part", "nut"]
    assert main([*arguments, "--out", str(tmp_path / "a")]) == 3
    assert "REVIEW" in capsys.readouterr().out
    assert main([*arguments, "--no-calibration", "--out", str(tmp_path / "b")]) in (0, 1)  # control


@pytest.mark.parametrize("content", ["{", '{"schema": "adfm.calibration/1"}', ""])
def test_a_broken_file_stops_inspect(
    content: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "calibration.json").write_text(content)
    file = draw_image(tmp_path / "new" / "a.png", 250)
    arguments = ["inspect", str(file), "--model", str(model), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "calibration.json" in message(capsys) and not (tmp_path / "out").exists()
    assert main([*arguments, "--no-calibration"]) == 0  # control


def test_other_weights_are_refused(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data)]) == 0
    (model / "model.safetensors").write_bytes(b"trained on")
    file = draw_image(tmp_path / "new" / "a.png", 250)
    arguments = ["inspect", str(file), "--model", str(model), "--part", "nut", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "was made for" in message(capsys)


def test_a_calibration_of_another_protocol_is_refused(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data), "--no-category"]) == 0
    assert json.loads((model / "calibration.json").read_text())["protocol"]["name_category"] is False
    file = draw_image(tmp_path / "new" / "a.png", 250)
    arguments = ["inspect", str(file), "--model", str(model), "--out", str(tmp_path / "out")]
    for other, field in ((["--stages", "verdict"], "stages=full"), (["--part", "nut"], "name_category=False")):
        assert main([*arguments, *other]) == 2
        said = message(capsys)
        assert field in said and "run `adfm calibrate` again" in said and "\n" not in said
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(inspector, "require_made_for", lambda *_, **__: None)  # control: nothing else refuses it
    main([*arguments, "--stages", "verdict"])
    assert json.loads((tmp_path / "out" / "a.png.json").read_text())["threshold_origin"].startswith("calibration ")


def test_a_wrong_path_costs_no_loading_time(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(LocalModel, "load", load)
    assert main(["inspect", str(tmp_path / "nothing"), "--model", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "no such image or folder" in message(capsys)


def test_a_broken_image_alone_is_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"broken")
    assert main(["inspect", str(file), "--model", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "a.png: is not a PNG" in (said := message(capsys)) and "\n" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threshold", "1.5"], "--threshold 1.5: must be from 0 to 1"),
        (["--score", "votes", "--calibration", "MODEL"], "is made for odds; add --no-calibration"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_model_loads(
    options: list[str], said: str, model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data)]) == 0
    file = draw_image(tmp_path / "new" / "a.png", 250)
    names = {"MODEL": str(model)}
    arguments = ["inspect", str(file), "--model", "no-such-model", "--out", str(tmp_path / "out")]
    assert main([*arguments, *(names.get(word, word) for word in options)]) == 2
    assert said in message(capsys)


def test_predictions_of_an_evaluation_give_the_same_file(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, read, ev = tmp_path / "asked", tmp_path / "read", tmp_path / "eval"
    assert main(["calibrate", "--model", str(model), "--data", str(data), "--out", str(asked)]) == 0
    assert main(["eval", "--model", str(model), "--data", str(data), "--split", "validation", "--out", str(ev)]) == 0
    assert main(["calibrate", "--predictions", str(ev), "--out", str(read)]) == 0
    for name in ("calibration.json", "reliability.png"):
        assert (asked / name).read_bytes() == (read / name).read_bytes()
    capsys.readouterr()
    assert main(["calibrate", "--predictions", str(ev), "--split", "test", "--out", str(read)]) == 2
    assert "are of the validation split" in message(capsys)
    other = shutil.copytree(model, tmp_path / "other")
    (other / "model.safetensors").write_bytes(b"other")
    assert main(["calibrate", "--predictions", str(ev), "--model", str(other)]) == 2
    assert "not of the model" in message(capsys) and not (other / "calibration.json").exists()


def test_eval_prints_the_operating_point(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data)]) == 0
    arguments = ["eval", "--model", str(model), "--data", str(data), "--out", str(tmp_path / "eval")]
    assert main([*arguments, "--calibration", str(model)]) == 0
    point = json.loads((tmp_path / "eval" / "metrics.json").read_text())["operating_point"]
    assert sum(point["counts"]["normal"].values()) == 40
    assert point["overkill"]["value"] == point["counts"]["normal"]["NG"] / 40
    assert "false rejects" in capsys.readouterr().out
    assert main([*arguments, "--calibration", str(model), "--no-category"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nano", "--data", "DATA"], "give --out"),
        (["--model", "MODEL", "--data", "DATA", "--alpha", "0.01"], "add 59 more"),
        (["--model", "MODEL", "--data", "DATA", "--alpha", "1.5"], "--alpha 1.5"),
        (["--model", "MODEL", "--data", "DATA", "--miss", "0.01"], "add 69 more"),
        (["--model", "MODEL"], "one of the arguments --data --predictions is required"),
        (["--predictions", "DATA", "--out", "OUT"], "provenance.json"),
    ],
)
def test_refusals(
    arguments: list[str], words: str, model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"MODEL": str(model), "DATA": str(data), "OUT": str(tmp_path / "out")}
    assert main(["calibrate", *(names.get(word, word) for word in arguments)]) == 2
    assert words in message(capsys)
    assert not (model / "calibration.json").exists() and not (tmp_path / "out").exists()


def test_a_plain_threshold_stands_alone(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--model", str(model), "--data", str(data)]) == 0
    file = draw_image(tmp_path / "new" / "a.png", 10)
    arguments = ["inspect", str(file), "--model", str(model), "--out", str(tmp_path / "out"), "--threshold", "0.5"]
    assert main(arguments) == 1
    assert json.loads((tmp_path / "out" / "a.png.json").read_text())["threshold_origin"] == "--threshold"
    assert main([*arguments, "--calibration", str(model)]) == 2
    assert "not allowed with" in message(capsys)
