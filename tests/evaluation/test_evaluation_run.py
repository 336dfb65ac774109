"""An evaluation that was stopped goes on and writes the same file; one of something else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image
from PIL.Image import open as open_image

from adfm.data.manifest import Manifest, read_manifest
from adfm.errors import UserError
from adfm.evaluation.run import batches, run_evaluation
from adfm.geometry import Box, Frame
from adfm.models.base import Answer
from adfm.models.local import LocalModel
from adfm.predictions import read_predictions
from adfm.reasoning import Protocol, canonical
from adfm.records import Sample
from adfm.storage import sha256_file
from scripted import ScriptedModel

ANOMALOUS = replace(
    Sample("", "", 64, 64, "anomalous", "", "scratch", None, (Box(4, 4, 20, 20),), "test", ""),
)


def mean(picture: Image) -> float:
    return float(np.asarray(picture.convert("L")).mean())


def by_brightness(picture: Image, prompt: str) -> Answer:
    """An answer that depends on the picture alone: the verdict on every second grey level, a score beside it."""
    assert "Inspect the part" in prompt
    level = mean(picture)
    if int(level * 10) % 3 == 0:
        return Answer("I cannot say.", None)
    return Answer(canonical(ANOMALOUS, Frame.original(64, 64)), level % 1)


class BrokenError(Exception):
    """Raised by a model in the middle."""


def breaks_after(count: int) -> Callable[[Image, str], Answer]:
    asked: list[int] = []

    def script(picture: Image, prompt: str) -> Answer:
        asked.append(1)
        if len(asked) > count:
            raise BrokenError
        return by_brightness(picture, prompt)

    return script


@pytest.fixture
def manifest(parts_data: Path) -> Manifest:
    return read_manifest(parts_data).only("train")


def test_every_sample_once_in_order(manifest: Manifest, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    result = run_evaluation(
        ScriptedModel(by_brightness), manifest, tmp_path, batch=4, progress=lambda _, *done: told.append(done)
    )
    predictions = read_predictions(tmp_path)
    assert [prediction.id for prediction in predictions] == [sample.id for sample in manifest.samples]
    assert told[-1] == (len(predictions), len(predictions))
    assert result == json.loads((tmp_path / "metrics.json").read_text())
    unread = [prediction for prediction in predictions if prediction.verdict is None]
    assert unread and all(prediction.response == "I cannot say." for prediction in unread)
    assert result["metrics"]["unread_rate"]["value"] == pytest.approx(len(unread) / len(predictions))


@pytest.mark.parametrize("torn", [b"", b'{"id": "half'])
def test_a_stopped_evaluation_goes_on(torn: bytes, manifest: Manifest, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_evaluation(ScriptedModel(by_brightness), manifest, whole, batch=2)
    with pytest.raises(BrokenError):
        run_evaluation(ScriptedModel(breaks_after(6)), manifest, cut, batch=2)
    with (cut / "predictions.jsonl").open("ab") as file:
        file.write(torn)
    asked: list[str] = []

    def counting(picture: Image, prompt: str) -> Answer:
        asked.append(prompt)
        return by_brightness(picture, prompt)

    run_evaluation(ScriptedModel(counting), manifest, cut, batch=2)
    assert (cut / "predictions.jsonl").read_bytes() == (whole / "predictions.jsonl").read_bytes()
    assert len(asked) == len(manifest.samples) - 6


def test_a_finished_evaluation_asks_nothing_again(manifest: Manifest, tmp_path: Path) -> None:
    first = run_evaluation(ScriptedModel(by_brightness), manifest, tmp_path)
    again = run_evaluation(ScriptedModel(breaks_after(0)), manifest, tmp_path)
    assert {name: again[name] for name in ("metrics", "n")} == {name: first[name] for name in ("metrics", "n")}


def other_boxes(manifest: Manifest) -> Manifest:
    changed = [replace(s, boxes=(Box(0, 0, 5, 5),)) if s.anomalous else s for s in manifest.samples]
    return manifest._replace(samples=tuple(changed))


def test_the_folder_of_something_else_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    model = ScriptedModel(by_brightness)
    run_evaluation(model, manifest, tmp_path)
    written = (tmp_path / "predictions.jsonl").read_bytes()
    for refused in (
        lambda: run_evaluation(ScriptedModel(by_brightness, name="other"), manifest, tmp_path),
        lambda: run_evaluation(model, manifest._replace(samples=manifest.samples[:-1]), tmp_path),
        lambda: run_evaluation(model, other_boxes(manifest), tmp_path),
        lambda: run_evaluation(model, manifest, tmp_path, protocol=Protocol(stages="verdict")),
        lambda: run_evaluation(model, manifest, tmp_path, protocol=Protocol(name_category=False)),
    ):
        with pytest.raises(UserError, match="evaluation of another model, protocol or data set"):
            refused()
    assert (tmp_path / "predictions.jsonl").read_bytes() == written


def test_predictions_without_their_origin_are_refused(manifest: Manifest, tmp_path: Path) -> None:
    run_evaluation(ScriptedModel(by_brightness), manifest, tmp_path)
    (tmp_path / "provenance.json").unlink()
    with pytest.raises(UserError, match="another model"):
        run_evaluation(ScriptedModel(by_brightness), manifest, tmp_path)


def test_a_model_gives_the_same_predictions_twice(
    tiny_folders: dict[str, Path], manifest: Manifest, tmp_path: Path
) -> None:
    def predicted(name: str, family: str) -> str:
        model = LocalModel.load(str(tiny_folders[family]))
        few, short = manifest._replace(samples=manifest.samples[:4]), Protocol(max_new_tokens=8)
        run_evaluation(model, few, tmp_path / name, protocol=short, batch=2)
        return (tmp_path / name / "predictions.jsonl").read_text()

    for family in tiny_folders:
        assert predicted(f"{family}-a", family) == predicted(f"{family}-b", family)
    assert len({predicted(f"{family}-a", family) for family in tiny_folders}) == 2


@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (3, 3), (7, 3), (5, 1)])
def test_batches(count: int, size: int, manifest: Manifest) -> None:
    samples = manifest.samples[:count]
    parts = list(batches(samples, size))
    assert [sample for part in parts for sample in part] == list(samples)
    assert all(0 < len(part) <= size for part in parts)


@pytest.fixture
def replaced(parts_folder: Path, tmp_path: Path) -> Manifest:
    """A manifest of one sample whose image file was saved again after the build, with one pixel changed."""
    path = tmp_path / "part.png"
    source = next(parts_folder.rglob("good/*.png"))
    path.write_bytes(source.read_bytes())
    sample = Sample("a", path.name, 64, 64, "normal", "part", None, None, (), "test", sha256_file(path))
    with open_image(path) as image:
        image.putpixel((0, 0), tuple(255 - value for value in image.getpixel((0, 0))))
        image.save(path)
    return Manifest(tmp_path, (sample,))


def test_an_image_replaced_after_the_build_is_refused(replaced: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\[sha256-differs\] .*part\.png: has changed .*; build the manifest again$"):
        run_evaluation(ScriptedModel(by_brightness), replaced, tmp_path / "out")


def test_it_would_be_judged_without_its_hash(replaced: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    rebuilt = Manifest(tmp_path, tuple(replace(sample, sha256=sha256_file(path)) for sample in replaced.samples))
    run_evaluation(ScriptedModel(by_brightness), rebuilt, tmp_path / "out")
    assert len(read_predictions(tmp_path / "out")) == 1
