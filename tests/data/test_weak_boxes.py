"""Boxes that mark more than the defect: which layouts say so, and that the flag survives every stage of the data."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.data.build import build
from adfm.data.check import check
from adfm.data.contract import LineError, sample_from_json, sample_json
from adfm.data.layouts import choose
from adfm.data.layouts.walk import Saturation, SourceImage
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import DataError
from adfm.evaluation.run import prediction_of
from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.reasoning import Protocol, ask, canonical, read
from adfm.records import Sample
from adfm.rewards import reward
from adfm.storage import read_json, read_jsonl

Write = Callable[..., Path]
LOGICAL = "logical_anomalies"


def region(path: Path, code: int, box: tuple[int, int, int, int] = (2, 2, 12, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((32, 48), np.uint8)
    values[box[1] : box[3], box[0] : box[2]] = code
    Image.fromarray(values).save(path)


def rule(code: int, threshold: Any, relative: bool) -> dict[str, Any]:
    return {"defect_name": f"d{code}", "pixel_value": code, "saturation_threshold": threshold} | {
        "relative_saturation": relative
    }


@pytest.fixture
def loco(tmp_path: Path, draw_image: Write) -> Path:
    """Two good parts, four logical regions of 100 px with the codes 200 to 203 and one structural of code 255."""
    box = tmp_path / "set" / "juice_bottle"
    for place in ("train/good/000.png", "validation/good/000.png", "test/good/000.png"):
        draw_image(box / place)
    for number in range(4):
        draw_image(box / "test" / LOGICAL / f"00{number}.png")
        region(box / "ground_truth" / LOGICAL / f"00{number}" / "000.png", 200 + number)
    draw_image(box / "test" / "structural_anomalies" / "000.png")
    for number, corners in enumerate([(1, 1, 4, 4), (40, 20, 46, 30)]):
        region(box / "ground_truth" / "structural_anomalies" / "000" / f"00{number}.png", 255, corners)
    (box / "Thumbs.db").write_bytes(b"x")
    (box / "test" / LOGICAL / "._000.png").write_bytes(b"x")
    return tmp_path / "set"


def built(root: Path, out: Path, **settings: Any) -> dict[str, Sample]:
    report = build(root, out, BuildSettings(**settings))
    return {sample.id: sample for sample in read_manifest(report.manifest).samples}


def configure(root: Path) -> None:
    rules = [rule(200, 1.0, True), rule(201, 0.5, True), rule(202, 99, False), rule(255, 1.0, True)]
    (root / "juice_bottle" / "defects_config.json").write_text(json.dumps(rules))


def test_locos_configuration_says_which_boxes_are_tight(loco: Path, tmp_path: Path) -> None:
    configure(loco)
    samples = built(loco, tmp_path / "out")
    tight = {name.split("/test/")[1]: each.tight for name, each in samples.items() if each.anomalous}
    assert tight == {
        f"{LOGICAL}/000": True,
        f"{LOGICAL}/001": False,
        f"{LOGICAL}/002": False,
        f"{LOGICAL}/003": False,  # a code that is not listed is not known to be tight
        "structural_anomalies/000": True,
    }
    structural = samples["juice_bottle/test/structural_anomalies/000"]
    assert [tuple(box) for box in structural.boxes or ()] == [(1, 1, 4, 4), (40, 20, 46, 30)]
    meta = read_json(tmp_path / "out" / "manifest.meta.json")
    assert (meta["layout"], meta["boxes"]["not_tight"]) == ("mvtec-loco", 3)
    assert any("boxes not tight): 3 (" in warning for warning in meta["warnings"])
    assert "CC BY-NC-SA 4.0" in meta["licence"]["as published"]
    rows = {row["id"]: row for row in read_jsonl(tmp_path / "out" / "manifest.jsonl")}
    assert [row["tight"] for row in rows.values() if "tight" in row] == [False] * 3
    assert {name: sample_json(sample) for name, sample in samples.items()} == rows
    assert [fault for fault in check(tmp_path / "out") if fault.level == "fault"] == []


def test_without_a_configuration_logical_boxes_are_not_tight(loco: Path, tmp_path: Path) -> None:
    samples = built(loco, tmp_path / "out").values()
    assert {(each.defect, each.tight) for each in samples if each.anomalous} == {
        (LOGICAL, False),
        ("structural_anomalies", True),
    }


@pytest.mark.parametrize(
    "content", ["{", "3", "[3]", '[{"pixel_value": 1}]', json.dumps([rule(1, float("nan"), True)])]
)
def test_a_broken_configuration_is_one_line(loco: Path, content: str) -> None:
    file = loco / "juice_bottle" / "defects_config.json"
    configure(loco)
    assert len(list(choose(loco).read(loco))) == 8
    file.write_text(content)
    with pytest.raises(DataError, match=r"defects_config\.json") as error:
        list(choose(loco).read(loco))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("saturation", "loose"),
    [
        (Saturation(1, 1.0, True), False),
        (Saturation(1, 0.99, True), True),
        (Saturation(1, 100, False), False),
        (Saturation(1, 99, False), True),
    ],
)
def test_a_region_is_loose_where_less_than_all_of_it_is_enough(saturation: Saturation, loose: bool) -> None:
    image = SourceImage(Path("a.png"), "anomalous", "box", saturations=(saturation, Saturation(7, 1.0, True)))
    assert image.loose(1, 100) is loose
    assert image.loose(2, 100)  # a code that is not listed


def dagm(root: Path, draw_image: Write, mask: Write) -> Path:
    for number in (1, 2, 10):
        draw_image(root / "Class1" / "Test" / f"{number:04d}.PNG")
    mask(root / "Class1" / "Test" / "Label" / "0010_label.PNG", [(0, 0, 24, 30)])
    return root


def test_dagms_ellipses_are_not_tight_in_tiles_either(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    root = dagm(tmp_path / "set", draw_image, mask)
    whole = built(root, tmp_path / "whole").values()
    assert [(s.label, s.tight) for s in whole] == [("normal", True), ("normal", True), ("anomalous", False)]
    tiles = built(root, tmp_path / "tiles", tile=16, tile_overlap=0.0).values()
    assert {(s.label, s.tight) for s in tiles} == {("normal", True), ("anomalous", False)}
    assert [fault for fault in check(tmp_path / "tiles") if fault.level == "fault"] == []


@pytest.mark.parametrize(("value", "faulty"), [(False, False), (True, False), (None, True), (0, True), ("no", True)])
def test_tight_is_true_false_or_absent(
    tmp_path: Path, draw_image: Write, mask: Write, value: Any, faulty: bool
) -> None:
    row = sample_json(next(iter(built(dagm(tmp_path / "set", draw_image, mask), tmp_path / "out").values())))
    sample_from_json(row)
    with pytest.raises(LineError, match="'tight' must be") if faulty else nullcontext():
        sample_from_json(row | {"tight": value})


def test_rewards_and_predictions_take_weak_boxes_as_they_are(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    weak = next(s for s in built(dagm(tmp_path / "set", draw_image, mask), tmp_path / "out").values() if not s.tight)
    frame = Frame.original(weak.width, weak.height)
    answer = Answer(canonical(weak, frame), None)
    assert reward(read(answer.text, frame), weak) == reward(read(answer.text, frame), replace(weak, tight=True))
    prediction = prediction_of(weak, ask(Path(weak.image), frame, Protocol(), category=None), answer)
    assert prediction.boxes == weak.boxes
