"""Folders of images through an inspection: one verdict each, whatever an image, its name or the model's words are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.calibration import Decision, Threshold
from adfm.errors import ConfigError, ImageError, UserError
from adfm.geometry import Box, Frame
from adfm.images import decoding, opening
from adfm.inspection import folder
from adfm.inspection.folder import exit_code, inspect_folder
from adfm.inspection.inspector import Inspector
from adfm.inspection.verdict import Verdict
from adfm.models.base import Answer
from adfm.ownership import MARKER
from adfm.progress import quiet
from adfm.reasoning import Protocol, canonical
from adfm.records import Sample
from adfm.storage import sha256_bytes, sha256_file
from scripted import ScriptedModel

DARK, BRIGHT, GREY = 20, 230, 128


def draw_image(path: Path, level: int = BRIGHT, size: tuple[int, int] = (40, 30)) -> Path:
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


def changed_model(field: str) -> ScriptedModel:
    """The same model with another revision or way of scoring."""
    model = ScriptedModel(by_level)
    setattr(model, field, "changed")
    return model


def rows(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({row["image"] for row in lines}) == len(lines), "one line per image"
    return {row["image"]: row for row in lines}


def run(model: ScriptedModel, source: Path, out: Path, **settings: Any) -> list[Verdict]:
    progress = settings.pop("progress", quiet)
    return inspect_folder(Inspector(model, **settings), source, out, progress=progress)


def decisions(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.image: verdict.decision for verdict in verdicts}


class Counting(ScriptedModel):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(self._counted)
        self.asked = 0

    def _counted(self, image: Image.Image, prompt: str) -> Answer:
        self.asked += 1
        return by_level(image, prompt)


def test_a_broken_image_costs_only_itself(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_image(source / "a.png")
    (source / "b.png").write_bytes(b"no image")
    whole = draw_image(source / "c.png").read_bytes()
    (source / "c.png").write_bytes(whole[: len(whole) // 2])
    draw_image(source / "d.png", DARK)
    draw_image(source / "e.png", GREY)
    verdicts = run(MODEL, source, out)
    assert decisions(verdicts) == {"a.png": "OK", "b.png": "ERROR", "c.png": "ERROR", "d.png": "NG", "e.png": "REVIEW"}
    assert exit_code(verdict.decision for verdict in verdicts) == 3
    fields = {frozenset(verdict.to_json()) for verdict in verdicts}
    assert len(fields) == 1, "an ERROR has every field of the schema too"
    assert rows(out) == {verdict.image: verdict.to_json() for verdict in verdicts}
    assert (out / "a.png.overlay.png").exists() and not (out / "b.png.overlay.png").exists()


def test_an_image_that_the_model_cannot_read_costs_only_itself(tmp_path: Path) -> None:
    class Narrow(ScriptedModel):
        def frame(self, width: int, height: int) -> Frame:
            if width > 200 * height:
                raise ImageError(f"{width} x {height} is longer than 200 : 1")
            return Frame.original(width, height)

    draw_image(tmp_path / "in" / "a.png", size=(900, 2))
    draw_image(tmp_path / "in" / "b.png")
    verdicts = run(Narrow(by_level), tmp_path / "in", tmp_path / "out")
    assert decisions(verdicts) == {"a.png": "ERROR", "b.png": "OK"}
    assert "200 : 1" in verdicts[0].warnings[0]


def test_an_image_that_vanishes_costs_only_itself(tmp_path: Path) -> None:
    draw_image(tmp_path / "in" / "a.png")
    gone = draw_image(tmp_path / "in" / "b.png")

    def removing(image: Image.Image, prompt: str) -> Answer:
        gone.unlink(missing_ok=True)
        return by_level(image, prompt)

    verdicts = run(ScriptedModel(removing), tmp_path / "in", tmp_path / "out")
    assert decisions(verdicts) == {"a.png": "OK", "b.png": "ERROR"}
    assert verdicts[1].sha256 is None


def test_a_bug_of_the_model_is_not_a_verdict(tmp_path: Path) -> None:
    def fails(*_: Any) -> Answer:
        raise RuntimeError("bug")

    draw_image(tmp_path / "in" / "a.png")
    with pytest.raises(RuntimeError, match="bug"):
        run(ScriptedModel(fails), tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "code"),
    [([], 0), (["OK"], 0), (["OK", "NG"], 1), (["NG", "REVIEW"], 3), (["OK", "ERROR"], 3), (["REVIEW"], 3)],
)
def test_exit_codes(given: list[Decision], code: int) -> None:
    assert exit_code(given) == code


def test_a_second_run_does_only_what_is_new(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png", "c.png"):
        draw_image(source / name)
    (source / "d.png").write_bytes(b"broken")
    first, model = run(Counting(), source, out), Counting()
    assert run(model, source, out) == first
    assert model.asked == 0
    draw_image(source / "b.png", DARK)  # changed
    draw_image(source / "d.png")  # repaired
    draw_image(source / "e.png", DARK)  # new
    second = run(model, source, out)
    assert model.asked == 3
    assert decisions(second) == {"a.png": "OK", "b.png": "NG", "c.png": "OK", "d.png": "OK", "e.png": "NG"}
    assert rows(out) == {verdict.image: verdict.to_json() for verdict in second}


def test_a_stopped_run_continues(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(4):
        draw_image(source / f"{number}.png")

    class StoppedError(Exception):
        pass

    def stop(_: str, done: int, __: int) -> None:
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(MODEL, source, out, progress=stop)
    with (out / "results.jsonl").open("a") as file:
        file.write('{"image": "2.p')
    model = Counting()
    assert len(run(model, source, out)) == 4
    assert model.asked == 2
    assert list(rows(out)) == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize(
    "changed",
    [
        lambda source, out: run(ScriptedModel(by_level, "other"), source, out),
        lambda source, out: run(MODEL, source, out, category="nut"),
        lambda source, out: run(MODEL, source, out, protocol=Protocol(stages="verdict")),
        lambda source, out: run(MODEL, source, out, threshold=Threshold(0.5, "test")),
        lambda source, out: run(MODEL, source, out, threshold=Threshold(None, "calibration 1")),
        lambda source, out: run(changed_model("revision"), source, out),
        lambda source, out: run(changed_model("scoring"), source, out),
    ],
    ids=["model", "category", "stages", "threshold", "calibration", "revision", "scoring"],
)
def test_results_of_other_settings_are_refused(changed: Callable[[Path, Path], Any], tmp_path: Path) -> None:
    draw_image(tmp_path / "in" / "a.png")
    run(MODEL, tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match="another model or other settings"):
        changed(tmp_path / "in", tmp_path / "out")


def test_control_without_the_comparison_a_verdict_of_another_revision_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_image(tmp_path / "in" / "a.png")
    run(MODEL, tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(Inspector, "would_ask", lambda *_: True)
    (verdict,) = run(changed_model("revision"), tmp_path / "in", tmp_path / "out")
    assert verdict.revision == MODEL.revision


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
        draw_image(tmp_path / "in" / name)
    verdicts = run(MODEL, tmp_path / "in", tmp_path / "out")
    assert {verdict.image for verdict in verdicts} == set(NAMES)
    for name in NAMES:
        assert (tmp_path / "out" / f"{name}.json").is_file()
        assert (tmp_path / "out" / f"{name}.overlay.png").is_file()


LONG = [f"{'x' * (length - 4)}.png" for length in range(229, 256)]
ODD = (
    *LONG,
    "ü" * 125 + ".png",
    "new\nline.png",
    "tab\tand\x1b[31m.png",
    "A.png",
    "a.png",
    "a.jpg",
    "a.png.json/b.png",
    "results.jsonl/a.png",
    "summary.json/index.html/a.png",
    "index.html.png",
    "/".join(["deep" * 10] * 30) + "/a.png",
    "/".join("d" * 200) + "/a.png",
)


def test_an_odd_name_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ODD:
        draw_image(tmp_path / "in" / name)
    for _ in range(2):  # a second run finds all of it
        verdicts = run(MODEL, tmp_path / "in", tmp_path / "out")
        assert decisions(verdicts) == dict.fromkeys(ODD, "OK")
    assert rows(tmp_path / "out").keys() == set(ODD)
    written = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("*.json")]
    assert {row["image"] for row in written} == set(ODD) and len(written) == len(ODD)
    assert len(list((tmp_path / "out").rglob("*.overlay.png"))) == len(ODD)
    monkeypatch.setattr(folder, "places", lambda names: {name: name for name in names})
    for name in (LONG[-1], "results.jsonl/a.png", "a.png.json/b.png"):  # control: each of these stops a run as it is
        draw_image(tmp_path / "control" / name)
        draw_image(tmp_path / "control" / "a.png")
        with pytest.raises((UserError, OSError)):
            run(MODEL, tmp_path / "control", tmp_path / f"out-{len(name)}")
        shutil.rmtree(tmp_path / "control")


def test_two_names_that_read_the_same_are_not_taken_for_one(tmp_path: Path) -> None:
    draw_image(tmp_path / "in" / "\\xff.png")
    other = draw_image(tmp_path / "in" / "a.png", DARK)
    other.rename(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff.png"))
    verdicts = run(MODEL, tmp_path / "in", tmp_path / "out")
    assert sorted(verdict.decision for verdict in verdicts) == ["ERROR", "OK"] or [
        verdict.left_out for verdict in verdicts
    ] == [False, True]
    assert exit_code(verdict.decision for verdict in verdicts) == 3


def test_a_name_that_is_no_text_costs_nothing(tmp_path: Path) -> None:
    draw_image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.png").rename(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff.png"))
    for _ in range(2):  # a resumed run reads it back
        (verdict,) = run(MODEL, tmp_path / "in", tmp_path / "out")
        assert (verdict.image, verdict.decision) == ("\\xff.png", "OK")
    assert list(rows(tmp_path / "out")) == ["\\xff.png"]


def test_one_image(tmp_path: Path) -> None:
    file = draw_image(tmp_path / "in" / "a b.png")
    assert decisions(run(MODEL, file, tmp_path / "out")) == {"a b.png": "OK"}


@pytest.mark.parametrize("out", [".", "out", "deep/er"])
def test_results_inside_the_inspected_folder_are_refused(out: str, tmp_path: Path) -> None:
    draw_image(tmp_path / "a.png")
    with pytest.raises(UserError, match="is inside the inspected folder"):
        run(MODEL, tmp_path, tmp_path / out)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("label", ["../../evil", "/etc/passwd", "a/b", "\x1b[2J", "x" * 500, "nul\x00"])
def test_the_models_words_choose_no_file(label: str, tmp_path: Path) -> None:
    def says(image: Image.Image, _: str) -> Answer:
        text = answer_of("anomalous", *image.size, defect="D").replace('"D"', json.dumps(label))
        return Answer(text, 0.9)

    draw_image(tmp_path / "in" / "a.png")
    run(ScriptedModel(says), tmp_path / "in", tmp_path / "out")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["in/a.png", "out/.adfm", "out/a.png.json", "out/a.png.overlay.png", "out/results.jsonl"]


class Thousand(ScriptedModel):
    """Writes thousandths of each side."""

    def frame(self, width: int, height: int) -> Frame:
        return Frame.thousand(width, height)


def test_the_verdict_names_the_prompt_that_was_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def note(image: Image.Image, prompt: str) -> Answer:
        asked.append(prompt)
        return Answer("", None)

    draw_image(tmp_path / "in" / "a.png", size=(1000, 1000))
    draw_image(tmp_path / "in" / "b.png")
    verdicts = run(Thousand(note), tmp_path / "in", tmp_path / "out")
    assert [verdict.prompt_sha256 for verdict in verdicts] == [sha256_bytes(text.encode()) for text in asked]


def test_results_of_another_prompt_are_refused(tmp_path: Path) -> None:
    """The prompt names the unit of coordinates, and nothing else here differs."""
    draw_image(tmp_path / "in" / "a.png")
    run(MODEL, tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match="another model or other settings"):
        run(Thousand(by_level), tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("content", ['{"image": "a.png"}', "[]", "7"])
def test_results_of_another_format_are_refused(content: str, tmp_path: Path) -> None:
    draw_image(tmp_path / "in" / "a.png")
    run(MODEL, tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "results.jsonl").write_text(f"{content}\n")
    with pytest.raises(UserError, match=r"results\.jsonl.*another --out") as caught:
        run(MODEL, tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every read and every decode of an image."""
    calls: list[str] = []

    def counted(what: str, of: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls.append(what)
            return of(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(decoding, "_to_rgb", counted("decode", decoding._to_rgb))
    monkeypatch.setattr(opening, "regular_file", counted("read", opening.regular_file))
    return calls


@pytest.mark.parametrize("alone", [True, False])
def test_an_image_is_read_and_decoded_once(alone: bool, tmp_path: Path, reads: list[str]) -> None:
    file = draw_image(tmp_path / "in" / "a.png")
    (verdict,) = run(MODEL, file if alone else file.parent, tmp_path / "out")
    assert reads == ["read", "decode"]
    assert verdict.sha256 == sha256_file(file)


@pytest.mark.parametrize("source", ["path", "str", "bytes", "image"])
def test_every_source_gives_the_same_answer(source: str, tmp_path: Path, reads: list[str]) -> None:
    file = draw_image(tmp_path / "a.png", DARK)
    content = file.read_bytes()
    reads.clear()
    given: dict[str, Any] = {"path": file, "str": str(file), "bytes": content, "image": Image.open(file)}
    verdict = Inspector(MODEL).inspect(given[source])
    assert (verdict.decision, verdict.width, verdict.height) == ("NG", 40, 30)
    assert verdict.sha256 == (None if source == "image" else sha256_bytes(content))
    assert verdict.image == ("a.png" if source in ("path", "str") else "image")
    assert reads.count("decode") == 1


def test_a_broken_image_alone_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    for source in (tmp_path / "a.png", b"broken"):
        with pytest.raises(ImageError, match="is not a PNG"):
            Inspector(MODEL).inspect(source)
    with pytest.raises(ImageError, match=r"a\.png: is not a PNG"):
        run(MODEL, tmp_path / "a.png", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir() if file.name != MARKER] == ["results.jsonl"]
    assert rows(tmp_path / "out") == {}


def test_only_one_thing_decides() -> None:
    for settings in ({"threshold": 0.5, "no_calibration": True}, {"threshold": 0.5, "calibration": "c.json"}):
        with pytest.raises(ConfigError, match="give one of them"):
            Inspector.open("no-such-model", **settings)  # type: ignore[arg-type]


def test_a_protocol_that_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ConfigError, match="shows 2 reference image"):
        Inspector(ScriptedModel(by_level, protocol=Protocol(shots=2)))
    with pytest.raises(ConfigError, match=r"part 'nut': .* leave it out"):
        Inspector(ScriptedModel(by_level, protocol=Protocol(name_category=False)), category="nut")


def test_the_models_own_protocol_is_asked() -> None:
    prompts: list[str] = []

    def note(image: Image.Image, prompt: str) -> Answer:
        prompts.append(prompt)
        return by_level(image, prompt)

    own = Protocol(stages="verdict")
    verdict = Inspector(ScriptedModel(note, protocol=own)).inspect(Image.new("RGB", (40, 30)))
    assert "<locate>" not in prompts[0] and verdict.protocol == own and verdict.protocol_overrides == {}


def overwritten_while_judged(tmp_path: Path) -> tuple[Path, Path, list[Verdict]]:
    """Inspect a good part whose file becomes that of a defective one after it was read, before it is judged."""
    file = draw_image(tmp_path / "in" / "a.png", BRIGHT)

    def overwriting(image: Image.Image, prompt: str) -> Answer:
        draw_image(file, DARK)
        return by_level(image, prompt)

    return file, tmp_path / "out", run(ScriptedModel(overwriting), file.parent, tmp_path / "out")


def test_a_verdict_carries_the_hash_of_the_bytes_that_were_judged(tmp_path: Path) -> None:
    good = sha256_file(draw_image(tmp_path / "in" / "a.png", BRIGHT))
    file, out, first = overwritten_while_judged(tmp_path)
    assert [(verdict.decision, verdict.sha256) for verdict in first] == [("OK", good)]
    (second,) = run(MODEL, file.parent, out)
    assert (second.decision, second.sha256) == ("NG", sha256_file(file))


def test_control_a_hash_of_the_file_after_judging_keeps_ok_for_a_defective_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Inspector.inspect

    def hashed_after(self: Inspector, part: Any, **_: Any) -> Verdict:
        return replace(honest(self, part), sha256=sha256_file(tmp_path / "in" / "a.png"))

    with monkeypatch.context() as patched:
        patched.setattr(Inspector, "inspect", hashed_after)
        file, out, _ = overwritten_while_judged(tmp_path)
    (second,) = run(MODEL, file.parent, out)
    assert second.decision == "OK"


def test_an_overlay_of_earlier_bytes_does_not_stay(tmp_path: Path) -> None:
    file, out = draw_image(tmp_path / "in" / "a.png"), tmp_path / "out"
    draw_image(tmp_path / "in" / "b.png")
    run(MODEL, file.parent, out)
    file.write_bytes(b"no longer an image")
    run(MODEL, file.parent, out)
    assert json.loads((out / "a.png.json").read_text())["decision"] == "ERROR"
    assert not (out / "a.png.overlay.png").exists() and (out / "b.png.overlay.png").exists()
    file.unlink()
    os.mkfifo(file)
    run(MODEL, file.parent, out)
    assert rows(out)["a.png"]["parse"] == ["left_out"] and not (out / "a.png.json").exists()


def test_what_is_left_out_is_in_the_results_and_decides_the_exit_code(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_image(source / "a.png")
    (source / "notes.txt").write_text("x")
    for _ in range(2):
        verdicts = run(MODEL, source, out)
        assert decisions(verdicts) == {"a.png": "OK", "notes.txt": "ERROR"}
        assert rows(out) == {verdict.image: verdict.to_json() for verdict in verdicts}
        left = rows(out)["notes.txt"]
        assert left["parse"] == ["left_out"] and left["warnings"] == ["is not a PNG, JPEG, BMP, TIFF or WebP image"]
        assert exit_code(verdict.decision for verdict in verdicts) == 3
    (source / "notes.txt").unlink()
    assert exit_code(verdict.decision for verdict in run(MODEL, source, out)) == 0
    assert list(rows(out)) == ["a.png"]
