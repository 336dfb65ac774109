"""Folders of pictures through an inspection: one verdict each, whatever a picture, its name or the model's words are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.errors import DataError, ImageError, UserError
from adfm.geometry import Box, Frame
from adfm.inspection.run import InspectionSettings, exit_code, find_pictures, inspect_all
from adfm.inspection.verdict import Threshold
from adfm.models.base import Answer
from adfm.models.scripted import ScriptedModel
from adfm.reasoning import VERDICT, canonical
from adfm.records import Sample

SETTINGS = InspectionSettings()
DARK, BRIGHT, GREY = 20, 230, 128


def picture(path: Path, level: int = BRIGHT, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def answer_of(label: Any, width: int, height: int, defect: str = "scratch") -> str:
    boxes = (Box(1, 2, 20, 21),) if label == "anomalous" else ()
    sample = Sample("", "", width, height, label, "", defect if boxes else None, None, boxes, "test", "")
    return canonical(sample, Frame.original(width, height))


def by_level(image: Image.Image, _: str) -> Answer:
    """Bright is normal, dark is anomalous, grey is unreadable."""
    level = int(np.asarray(image).mean())
    if abs(level - GREY) < 5:
        return Answer("??", None)
    label = "normal" if level > GREY else "anomalous"
    return Answer(answer_of(label, *image.size), 1 - level / 255)


MODEL = ScriptedModel(by_level)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({row["image"] for row in found}) == len(found), "one line per picture"
    return {row["image"]: row for row in found}


def decisions(verdicts: list[dict[str, Any]]) -> dict[str, str]:
    return {verdict["image"]: verdict["decision"] for verdict in verdicts}


class Counting(ScriptedModel):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(self._counted)
        self.asked = 0

    def _counted(self, image: Image.Image, prompt: str) -> Answer:
        self.asked += 1
        return by_level(image, prompt)


def test_a_broken_picture_costs_only_itself(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    picture(source / "a.png")
    (source / "b.png").write_bytes(b"no picture")
    whole = picture(source / "c.png").read_bytes()
    (source / "c.png").write_bytes(whole[: len(whole) // 2])
    picture(source / "d.png", DARK)
    picture(source / "e.png", GREY)
    verdicts = inspect_all(MODEL, source, out, SETTINGS)
    assert decisions(verdicts) == {"a.png": "OK", "b.png": "ERROR", "c.png": "ERROR", "d.png": "NG", "e.png": "REVIEW"}
    assert exit_code(verdicts) == 3
    fields = {frozenset(verdict) for verdict in verdicts}
    assert len(fields) == 1, "an ERROR has every field of the schema too"
    assert rows(out) == {verdict["image"]: verdict for verdict in verdicts}
    assert (out / "a.png.overlay.png").exists() and not (out / "b.png.overlay.png").exists()


def test_a_picture_that_the_model_cannot_read_costs_only_itself(tmp_path: Path) -> None:
    class Narrow(ScriptedModel):
        def frame(self, width: int, height: int) -> Frame:
            if width > 200 * height:
                raise ImageError(f"{width} x {height} is longer than 200 : 1")
            return Frame.original(width, height)

    picture(tmp_path / "in" / "a.png", size=(900, 2))
    picture(tmp_path / "in" / "b.png")
    verdicts = inspect_all(Narrow(by_level), tmp_path / "in", tmp_path / "out", SETTINGS)
    assert decisions(verdicts) == {"a.png": "ERROR", "b.png": "OK"}
    assert "200 : 1" in verdicts[0]["warnings"][0]


def test_a_picture_that_vanishes_costs_only_itself(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    gone = picture(tmp_path / "in" / "b.png")

    def removing(image: Image.Image, prompt: str) -> Answer:
        gone.unlink(missing_ok=True)
        return by_level(image, prompt)

    verdicts = inspect_all(ScriptedModel(removing), tmp_path / "in", tmp_path / "out", SETTINGS)
    assert decisions(verdicts) == {"a.png": "OK", "b.png": "ERROR"}
    assert verdicts[1]["sha256"] is None


def test_a_bug_of_the_model_is_not_a_verdict(tmp_path: Path) -> None:
    def fails(*_: Any) -> Answer:
        raise RuntimeError("bug")

    picture(tmp_path / "in" / "a.png")
    with pytest.raises(RuntimeError, match="bug"):
        inspect_all(ScriptedModel(fails), tmp_path / "in", tmp_path / "out", SETTINGS)


@pytest.mark.parametrize(
    ("found", "code"),
    [([], 0), (["OK"], 0), (["OK", "NG"], 1), (["NG", "REVIEW"], 3), (["OK", "ERROR"], 3), (["REVIEW"], 3)],
)
def test_exit_codes(found: list[str], code: int) -> None:
    assert exit_code({"decision": decision} for decision in found) == code


def test_a_second_run_does_only_what_is_new(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png", "c.png"):
        picture(source / name)
    (source / "d.png").write_bytes(b"broken")
    first, model = inspect_all(Counting(), source, out, SETTINGS), Counting()
    assert inspect_all(model, source, out, SETTINGS) == first
    assert model.asked == 0
    picture(source / "b.png", DARK)  # changed
    picture(source / "d.png")  # mended
    picture(source / "e.png", DARK)  # new
    second = inspect_all(model, source, out, SETTINGS)
    assert model.asked == 3
    assert decisions(second) == {"a.png": "OK", "b.png": "NG", "c.png": "OK", "d.png": "OK", "e.png": "NG"}
    assert rows(out) == {verdict["image"]: verdict for verdict in second}


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(4):
        picture(source / f"{number}.png")

    class StoppedError(Exception):
        pass

    def stop(done: int, _: int, __: str) -> None:
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        inspect_all(MODEL, source, out, SETTINGS, progress=stop)
    with (out / "results.jsonl").open("a") as file:
        file.write('{"image": "2.p')
    model = Counting()
    assert len(inspect_all(model, source, out, SETTINGS)) == 4
    assert model.asked == 2
    assert list(rows(out)) == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize(
    "changed",
    [
        lambda source, out: inspect_all(ScriptedModel(by_level, "other"), source, out, SETTINGS),
        lambda source, out: inspect_all(MODEL, source, out, InspectionSettings(category="nut")),
        lambda source, out: inspect_all(MODEL, source, out, InspectionSettings(VERDICT)),
        lambda source, out: inspect_all(MODEL, source, out, InspectionSettings(threshold=Threshold(0.5, "test"))),
    ],
    ids=["model", "category", "stages", "threshold"],
)
def test_results_of_other_settings_are_refused(changed: Callable[[Path, Path], Any], tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    inspect_all(MODEL, tmp_path / "in", tmp_path / "out", SETTINGS)
    with pytest.raises(UserError, match="another model or other settings"):
        changed(tmp_path / "in", tmp_path / "out")


NAMES = (
    "with space.png",
    "ünï çødé 部品.png",
    "a;rm -rf.png",
    "%s.png",
    "-x.png",
    "sub/deep er/y.JPG",
    "a.png.overlay.png",
)


def test_any_name_is_kept(tmp_path: Path) -> None:
    for name in NAMES:
        picture(tmp_path / "in" / name)
    verdicts = inspect_all(MODEL, tmp_path / "in", tmp_path / "out", SETTINGS)
    assert {verdict["image"] for verdict in verdicts} == set(NAMES)
    for name in NAMES:
        assert (tmp_path / "out" / f"{name}.json").is_file()
        assert (tmp_path / "out" / f"{name}.overlay.png").is_file()


def test_one_picture(tmp_path: Path) -> None:
    file = picture(tmp_path / "in" / "a b.png")
    assert decisions(inspect_all(MODEL, file, tmp_path / "out", SETTINGS)) == {"a b.png": "OK"}


def test_links_out_of_the_folder_and_hidden_files_are_ignored(tmp_path: Path) -> None:
    source = tmp_path / "in"
    picture(source / "a.png")
    secret = picture(tmp_path / "secret" / "s.png")
    (source / "link.png").symlink_to(secret)
    (source / "folder").symlink_to(secret.parent)
    (source / "dead.png").symlink_to(tmp_path / "nothing.png")
    (source / "inside.png").symlink_to(source / "a.png")
    picture(source / ".hidden.png")
    picture(source / ".cache" / "b.png")
    assert [file.name for file in find_pictures(source)] == ["a.png", "inside.png"]


def test_a_hidden_folder_may_itself_be_inspected(tmp_path: Path) -> None:
    picture(tmp_path / ".in" / "a.png")
    assert len(find_pictures(tmp_path / ".in")) == 1


@pytest.mark.parametrize("out", [".", "out", "deep/er"])
def test_results_inside_the_inspected_folder_are_refused(out: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(UserError, match="lies inside the inspected folder"):
        inspect_all(MODEL, tmp_path, tmp_path / out, SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_nothing_to_inspect(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DataError, match="holds no PNG"):
        find_pictures(tmp_path)
    with pytest.raises(DataError, match="no such picture or folder"):
        find_pictures(tmp_path / "nothing")


@pytest.mark.parametrize("label", ["../../evil", "/etc/passwd", "a/b", "\x1b[2J", "x" * 500, "nul\x00"])
def test_the_models_words_choose_no_file(label: str, tmp_path: Path) -> None:
    def says(image: Image.Image, _: str) -> Answer:
        text = answer_of("anomalous", *image.size, defect="D").replace('"D"', json.dumps(label))
        return Answer(text, 0.9)

    picture(tmp_path / "in" / "a.png")
    inspect_all(ScriptedModel(says), tmp_path / "in", tmp_path / "out", SETTINGS)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["in/a.png", "out/a.png.json", "out/a.png.overlay.png", "out/results.jsonl"]


def test_the_verdict_names_the_prompt_that_was_asked(tmp_path: Path) -> None:
    from adfm.reasoning import prompt_sha256

    asked: list[str] = []

    class Thousand(ScriptedModel):
        def frame(self, width: int, height: int) -> Frame:
            return Frame.thousand(width, height)

    def note(image: Image.Image, prompt: str) -> Answer:
        asked.append(prompt)
        return Answer("", None)

    picture(tmp_path / "in" / "a.png", size=(1000, 1000))
    picture(tmp_path / "in" / "b.png")
    verdicts = inspect_all(Thousand(note), tmp_path / "in", tmp_path / "out", SETTINGS)
    assert [verdict["prompt_sha256"] for verdict in verdicts] == [prompt_sha256(text) for text in asked]
