"""The benchmark end to end: what is asked and shown, both scorings, going on after a stop, paths that lead out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.errors import DataError, ImageError, UserError
from adfm.evaluation.mmad import questions, run
from adfm.evaluation.mmad.questions import DETECTION, read_entries
from adfm.evaluation.mmad.run import MAX_PIXELS, MmadSettings, questions_of, run_mmad
from adfm.evaluation.mmad.scoring import AVERAGE
from adfm.models.base import Answer
from adfm.models.local import LocalModel
from adfm.reasoning import Protocol, Question
from scripted import ScriptedModel

SHOT = Protocol(shots=1)
BOTTLE = "DS-MVTec/bottle/image/broken_large/000.png"


def level(image: Image.Image) -> int:
    return int(np.asarray(image).mean())


def sees(image: Image.Image, prompt: str) -> Answer:
    """Right about anomalies by the image's brightness, and "A" to everything else."""
    if "any defect" in prompt:
        return Answer("A" if level(image) < 100 else "B. No.", None)
    return Answer("A", None)


class Recording(ScriptedModel):
    """Keeps every question that it was asked."""

    def __init__(self, script: Callable[[Image.Image, str], Answer] = sees) -> None:
        super().__init__(script)
        self.asked: list[Question] = []

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += questions
        return super().answer(questions)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_a_model_that_sees_defects(mini: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    result = run_mmad(ScriptedModel(sees), mini, out, batch=5, progress=lambda *done: told.append(done))
    assert result == json.loads((out / "metrics.json").read_text())
    assert (result["images"], result["questions"], told[-1]) == (8, 36, ("asking", 36, 36))
    rows = result["scores"]["strict"]["rows"]
    assert [rows[name][DETECTION] for name in ("DS-MVTec", "VisA", "GoodsAD")] == [100, 100, 100]
    assert rows["MVTec-LOCO"][DETECTION] is None  # its anomalous image has no such question
    assert result["scores"]["compat"]["rows"]["MVTec-LOCO"][DETECTION] == 50
    assert rows["VisA"]["Defect Classification"] == 100 and rows["VisA"]["Defect Analysis"] == 0
    assert rows["VisA"]["Object Classification"] == 0 and rows["VisA"]["Object Analysis"] == pytest.approx(100 / 3)
    assert rows[AVERAGE]["Coverage"] == 100
    assert "36 of MMAD's 39672 questions" in result["notes"][0]
    assert [row["id"] for row in lines(out)][:2] == [f"{BOTTLE}#1", f"{BOTTLE}#2"]
    assert not (out / "split.json").exists()


@pytest.mark.parametrize(("shots", "levels"), [(0, [40]), (1, [128, 40])])
def test_templates_come_before_the_query(shots: int, levels: list[int], mini: Path, tmp_path: Path) -> None:
    model = Recording()
    run_mmad(model, mini, tmp_path / "out", MmadSettings(shots=shots))
    assert len(model.asked) == 36
    images = model.asked[0].images
    assert [level(image) for image in images] == levels


def test_domain_knowledge_is_told(mini: Path, tmp_path: Path, content: dict[str, Any]) -> None:
    file = mini / "domain_knowledge.json"
    with pytest.raises(DataError, match="knows nothing of MVTec-LOCO breakfast_box"):
        run_mmad(Recording(), mini, tmp_path / "out", MmadSettings(knowledge=file))
    known = {image: row for image, row in content.items() if image.startswith(("DS-MVTec", "GoodsAD"))}
    (mini / "mmad.json").write_text(json.dumps(known))
    model = Recording()
    run_mmad(model, mini, tmp_path / "out", MmadSettings(knowledge=file))
    assert "A large break." in model.asked[0].text and "The flap stands open." in model.asked[-1].text


def test_unread_answers_are_values_and_the_fault_shows(mini: Path, tmp_path: Path) -> None:
    def silent_on_normal(image: Image.Image, prompt: str) -> Answer:
        return sees(image, prompt) if level(image) < 100 else Answer("I cannot tell", None)

    result = run_mmad(ScriptedModel(silent_on_normal), mini, tmp_path / "out")
    strict, compat = result["scores"]["strict"], result["scores"]["compat"]
    assert strict["unread"] == 17 and strict["rows"]["VisA"]["Overkill"] == 100
    assert compat["unread"] == 0  # the published reading makes a letter of everything
    row = next(row for row in lines(tmp_path / "out") if row["response"] == "I cannot tell")
    assert row["strict"] is None and row["compat"] in "ABCDE"


def breaks_after(count: int) -> Callable[[Image.Image, str], Answer]:
    asked: list[int] = []

    def script(image: Image.Image, prompt: str) -> Answer:
        asked.append(1)
        if len(asked) > count:
            raise KeyboardInterrupt
        return sees(image, prompt)

    return script


@pytest.mark.parametrize("torn", [b"", b'{"id": "half'])
def test_a_stopped_run_goes_on(torn: bytes, mini: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    first = run_mmad(ScriptedModel(sees), mini, whole, batch=4)
    with pytest.raises(KeyboardInterrupt):
        run_mmad(ScriptedModel(breaks_after(10)), mini, cut, batch=4)
    with (cut / "predictions.jsonl").open("ab") as file:
        file.write(torn)
    model = Recording()
    again = run_mmad(model, mini, cut, batch=4)
    assert len(model.asked) == 36 - 8  # whole batches were kept
    assert (cut / "predictions.jsonl").read_bytes() == (whole / "predictions.jsonl").read_bytes()
    assert again["scores"] == first["scores"]


def test_the_folder_of_something_else_is_refused(mini: Path, tmp_path: Path, content: dict[str, Any]) -> None:
    out = tmp_path / "out"
    run_mmad(ScriptedModel(sees), mini, out)
    for model, settings in (
        (ScriptedModel(sees, name="other"), MmadSettings()),
        (ScriptedModel(sees), MmadSettings(shots=0)),
        (ScriptedModel(sees), MmadSettings(limit=3)),
        (ScriptedModel(sees), MmadSettings(max_new_tokens=64)),
    ):
        with pytest.raises(UserError, match="evaluation of another model, protocol or data set"):
            run_mmad(model, mini, out, settings)
    content[BOTTLE]["conversation"][0]["Answer"] = "B"
    (mini / "mmad.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="another model, protocol or data set"):
        run_mmad(ScriptedModel(sees), mini, out)


def test_a_kept_line_that_was_changed_is_refused(mini: Path, tmp_path: Path) -> None:
    run_mmad(ScriptedModel(sees), mini, tmp_path / "out")
    file = tmp_path / "out" / "predictions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match=f"another line where '{BOTTLE}#1' should be"):
        run_mmad(ScriptedModel(sees), mini, tmp_path / "out")


def test_a_missing_picture_is_named_before_anything_is_asked(mini: Path, tmp_path: Path) -> None:
    (mini / "VisA/candle/test/bad/000.JPG").unlink()
    model = Recording()
    with pytest.raises(DataError, match=r"VisA/candle/test/bad/000\.JPG: no such file \(1 of 13 images"):
        run_mmad(model, mini, tmp_path / "out")
    assert model.asked == [] and not (tmp_path / "out").exists()


def test_a_broken_picture_is_named(mini: Path, tmp_path: Path) -> None:
    (mini / BOTTLE).write_bytes(b"no image")
    with pytest.raises(ImageError, match=BOTTLE):
        run_mmad(ScriptedModel(sees), mini, tmp_path / "out")


def secret_link(mini: Path, tmp_path: Path) -> Path:
    """A image outside the data folder, to which a image of the benchmark is a link."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (24, 24), (77, 77, 77)).save(secret)
    (mini / BOTTLE).unlink()
    (mini / BOTTLE).symlink_to(secret)
    return secret


def test_a_link_that_leads_out_is_refused(mini: Path, tmp_path: Path) -> None:
    secret_link(mini, tmp_path)
    with pytest.raises(DataError, match="leads outside"):
        run_mmad(ScriptedModel(sees), mini, tmp_path / "out")


def test_a_data_set_may_be_linked_into_the_folder(mini: Path, tmp_path: Path) -> None:
    (mini / "VisA").rename(tmp_path / "elsewhere")
    (mini / "VisA").symlink_to(tmp_path / "elsewhere")
    assert run_mmad(ScriptedModel(sees), mini, tmp_path / "out")["questions"] == 36


def test_without_the_checks_foreign_pictures_would_be_shown(
    mini: Path, tmp_path: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_link(mini, tmp_path)
    content[BOTTLE]["random_templates"] = ["DS-MVTec/../../secret.png"]
    (mini / "mmad.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="leaves the data folder"):
        run_mmad(ScriptedModel(sees), mini, tmp_path / "out")
    monkeypatch.setattr(questions, "_path", lambda where, path: path)
    with pytest.raises(DataError, match="leads outside"):  # the second check holds by itself
        run_mmad(ScriptedModel(sees), mini, tmp_path / "out")
    monkeypatch.setattr(run, "inside", lambda root, path: root / path)
    model = Recording()
    run_mmad(model, mini, tmp_path / "out")
    assert [level(part) for part in model.asked[0].images] == [77, 77]


def test_parts_and_limits(mini: Path, tmp_path: Path) -> None:
    entries = read_entries(mini)
    asked = questions_of(entries, MmadSettings(limit=4), SHOT)
    assert list(dict.fromkeys(each.item.image for each in asked)) == [entry.image for entry in entries[::2]]
    assert len(questions_of(entries, MmadSettings(limit=99), SHOT)) == 36
    with pytest.raises(DataError, match=r"part 'train' of mmad\.json has no question"):
        questions_of(entries, MmadSettings(part="train"), SHOT)
    run_mmad(ScriptedModel(sees), mini, tmp_path / "out", MmadSettings(part="test", seed=4))
    told = json.loads((tmp_path / "out" / "split.json").read_text())
    assert (told["seed"], told["images"], told["train"]) == (4, {"train": 0, "test": 8}, [])


def test_large_pictures_are_shrunk_and_small_ones_left(mini: Path, tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1000), (40, 40, 40)).save(mini / BOTTLE)
    model = Recording()
    run_mmad(model, mini, tmp_path / "out", MmadSettings(shots=1))
    template, query = model.asked[0].images
    assert template.size == (24, 24)
    assert 0.99 * MAX_PIXELS < query.width * query.height <= MAX_PIXELS
    assert query.width / query.height == pytest.approx(3, rel=0.01)


def test_a_real_model_answers_the_same_in_any_batch(either: Path, mini: Path, tmp_path: Path) -> None:
    def answered(batch: int, shots: int = 1) -> list[str]:
        model = LocalModel.load(str(either))
        out = tmp_path / f"{batch}-{shots}"
        result = run_mmad(model, mini, out, MmadSettings(limit=2, shots=shots, max_new_tokens=6), batch=batch)
        assert result["questions"] == 10 and result["provenance"]["revision"] == model.revision
        return [row["response"] for row in lines(out)]

    together, alone = answered(10), answered(1)
    assert together == alone
    assert len(set(together)) > 1  # or the comparison says nothing
    assert answered(10, shots=0) != together
