"""`check`: one rule broken at a time, each found and told with its line; a sound set has no fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adfm.data.build import build
from adfm.data.check import Broken, Fault, broken, check
from adfm.data.settings import BuildSettings
from adfm.records import Sample

Write = Callable[..., Path]
Change = Callable[[list[dict[str, Any]]], object]


@pytest.fixture
def sound(mvtec_set: Path, tmp_path: Path) -> Path:
    build(mvtec_set, tmp_path / "out", BuildSettings(split="labelled"))
    return tmp_path / "out"


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def rewrite(out: Path, changed: list[dict[str, Any]]) -> None:
    (out / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))


def told(found: list[Fault], level: str = "fault") -> list[str]:
    return [str(fault) for fault in found if fault.level == level]


def at(found: list[dict[str, Any]], id_: str) -> int:
    return next(number for number, row in enumerate(found) if row["id"] == id_)


SCRATCH = "valve/test/scratch/002"
GOOD = "valve/train/good/002"


def test_a_sound_set_has_no_fault_and_no_warning(sound: Path) -> None:
    assert [str(fault) for fault in check(sound)] == []
    assert [str(fault) for fault in check(sound / "manifest.jsonl")] == []


@pytest.mark.parametrize(
    ("id_", "change", "rule"),
    [
        (GOOD, {"sha256": "0" * 64}, "has changed"),
        (GOOD, {"width": 49}, "is 48 x 32, the manifest says 49 x 32"),
        (GOOD, {"image": "../valve/none.png"}, "no such file"),
        (GOOD, {"image": "/etc/passwd"}, "must be relative"),
        (GOOD, {"image": "C:\\x.png"}, "must be relative"),
        (GOOD, {"image": "../../../x.png"}, "leads outside"),
        (GOOD, {"image": "a\0b.png"}, "cannot be the name of a file"),
        (GOOD, {"label": "anomalous"}, "must have boxes, or null"),
        (GOOD, {"defect": "dent"}, "must have no defect"),
        (GOOD, {"label": "fine"}, "'label' must be one of"),
        (GOOD, {"split": "dev"}, "'split' must be one of"),
        (GOOD, {"boxes": [[0, 0, 4, 4]]}, "must have no boxes"),
        (GOOD, {"colour": "red"}, "unknown field 'colour'"),
        (GOOD, {"labl": "x"}, "did you mean 'label'"),
        (GOOD, {"id": ""}, "'id' must be"),
        (GOOD, {"box_ratio": -1}, "'box_ratio' must be"),
        (SCRATCH, {"boxes": [[0, 0, 49, 4]]}, "inside 48 x 32"),
        (SCRATCH, {"boxes": [[9, 9, 4, 12]]}, "needs x1 < x2"),
        (SCRATCH, {"boxes": [[0.5, 0, 4, 4]]}, "must be four whole numbers"),
        (SCRATCH, {"boxes": []}, "must have boxes, or null"),
        (SCRATCH, {"mask": "../valve/none.png"}, "no such file"),
        (SCRATCH, {"mask": []}, "'mask' must be"),
        (SCRATCH, {"mask": "../../none.png"}, "leads outside"),
        (SCRATCH, {"label": "normal", "boxes": [], "defect": None}, "is normal but its mask marks a defect"),
    ],
)
def test_each_broken_rule_is_told_once_with_its_line(sound: Path, id_: str, change: dict[str, Any], rule: str) -> None:
    found = rows(sound)
    number = at(found, id_)
    found[number] |= change
    rewrite(sound, found)
    lines = told(check(sound))
    assert sum(rule in line for line in lines) == 1, lines
    assert all(f"manifest.jsonl:{number + 1}: " in line for line in lines)
    assert all("\n" not in line for line in lines)


def swap_split(found: list[dict[str, Any]]) -> None:
    row = found[at(found, GOOD)]
    found.append(row | {"id": "copy", "split": "test"})


def opposite(found: list[dict[str, Any]]) -> None:
    row = found[at(found, GOOD)]
    found.append(row | {"id": "copy", "label": "anomalous", "boxes": None})


def torn_group(found: list[dict[str, Any]]) -> None:
    by_split = {row["split"]: row for row in found}
    for row in by_split.values():
        row["group"] = "board 7"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda found: found.append(found[at(found, GOOD)]), "ids must be unique"),
        (swap_split, "same image as line"),
        (opposite, "opposite label"),
        (torn_group, "group 'board 7' is in another split"),
    ],
)
def test_rules_between_samples(sound: Path, change: Change, rule: str) -> None:
    found = rows(sound)
    change(found)
    rewrite(sound, found)
    lines = told(check(sound))
    assert len(lines) == 1
    assert rule in lines[0]


def test_all_faults_come_in_one_pass_in_the_order_of_the_lines(sound: Path, mvtec_set: Path, mask: Write) -> None:
    (mvtec_set / "train" / "good" / "000.png").write_text("gone")
    mask(mvtec_set / "ground_truth" / "scratch" / "003_mask.png", size=(10, 10))
    text = (sound / "manifest.jsonl").read_text()
    (sound / "manifest.jsonl").write_text("nonsense\n\n" + text + "[1]\n")
    found = check(sound)
    numbers = [fault.line or 0 for fault in found if fault.level == "fault"]
    assert len(numbers) == 4
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (1, 2 + text.count("\n") + 1)


def test_boxes_that_are_not_the_masks_are_a_warning(sound: Path) -> None:
    found = rows(sound)
    found[at(found, SCRATCH)]["boxes"] = [[0, 0, 10, 10]]
    rewrite(sound, found)
    assert told(check(sound)) == []
    assert "boxes are not what the mask gives" in told(check(sound), "warning")[0]


def test_a_lossy_mask_is_a_warning(mvtec_set: Path, tmp_path: Path) -> None:
    mask = mvtec_set / "ground_truth" / "scratch" / "002_mask.png"
    Image.open(mask).save(mask.with_suffix(".jpg"))
    mask.unlink()
    build(mvtec_set, tmp_path / "out", BuildSettings(split="labelled"))
    assert any("JPEG" in line for line in told(check(tmp_path / "out"), "warning"))


def test_a_split_without_a_label_is_a_warning(mvtec_set: Path, tmp_path: Path) -> None:
    build(mvtec_set, tmp_path / "out", BuildSettings())
    assert "the train split holds no anomalous sample" in told(check(tmp_path / "out"), "warning")[0]


def test_without_the_meta_file_less_can_be_judged_and_that_is_said(sound: Path) -> None:
    found = rows(sound)
    found[at(found, SCRATCH)]["boxes"] = [[0, 0, 10, 10]]
    rewrite(sound, found)
    (sound / "manifest.meta.json").unlink()
    lines = told(check(sound), "warning")
    assert len(lines) == 1
    assert "less can be checked" in lines[0]


def test_counts_that_differ_are_a_warning(sound: Path) -> None:
    rewrite(sound, rows(sound)[1:])
    assert "counts are not the manifest's" in " ".join(told(check(sound), "warning"))


def test_more_rules_can_be_put_in(sound: Path) -> None:
    def more(sample: Sample) -> list[Broken]:
        return [broken("gold-marks", why="is not to my liking")] if sample.id == SCRATCH else []

    lines = told(check(sound, extra=more))
    assert len(lines) == 1
    assert "[gold-marks] cannot earn full marks: is not to my liking; " in lines[0]


def test_a_set_can_be_moved_with_its_images(sound: Path, mvtec_set: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    shutil.move(sound, tmp_path / "new" / "out")
    shutil.move(mvtec_set, tmp_path / "new" / "valve")
    assert check(tmp_path / "new" / "out") == []


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_what_is_no_manifest_is_one_fault(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "manifest.jsonl").write_bytes(content)
    assert len(told(check(tmp_path))) == 1
