"""Sets that share the `mvtec` folders: told apart by the names of their categories, and never by one name alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import choose
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.storage import read_json

Write = Callable[..., Path]
SETS = [
    ("mpdd", ("bracket_black", "tubes"), "anomalous", "_mask", "png", "MPDD: CC BY-NC-SA"),
    ("dtd-synthetic", ("Woven_001", "Mesh_114"), "bad", "", "png", "see its publisher"),
    ("goodsad", ("cigarette_box", "food_box"), "opened", "", "jpg", "GPL-3.0"),
    ("visa-1cls", ("candle", "pcb1"), "bad", "", "JPG", "CC BY 4.0"),
]


def lay(root: Path, draw_image: Write, mask: Write, kind: str, ending: str, suffix: str) -> None:
    """Two training, one good and three bad images; the second mask is missing, an order would pair the third with it."""
    for number in range(2):
        draw_image(root / "train" / "good" / f"00{number}.{suffix}")
    draw_image(root / "test" / "good" / f"000.{suffix}")
    for number in range(3):
        draw_image(root / "test" / kind / f"00{number}.{suffix}")
    for number in (0, 2):
        mask(root / "ground_truth" / kind / f"00{number}{ending}.png", [(number, 0, 10, 10)])
    (root / "test" / kind / "Thumbs.db").write_bytes(b"x")
    (root / "test" / kind / f"._000.{suffix}").write_bytes(b"x")
    draw_image(root / "template" / f"000.{suffix}")


@pytest.fixture(params=SETS, ids=lambda each: each[0])
def case(request: pytest.FixtureRequest, tmp_path: Path, draw_image: Write, mask: Write) -> tuple[Path, str, str]:
    name, categories, kind, ending, suffix, terms = request.param
    below = tmp_path / "set" / "1cls" if name == "visa-1cls" else tmp_path / "set"
    for category in categories:
        lay(below / category, draw_image, mask, kind, ending, suffix)
    return tmp_path / "set", name, terms


def test_labels_splits_and_boxes(case: tuple[Path, str, str], tmp_path: Path) -> None:
    root, name, terms = case
    report = build(root, tmp_path / "out", BuildSettings())
    samples = read_manifest(report.manifest).samples
    assert report.meta["layout"] == name
    assert Counter((s.split, s.label) for s in samples) == {
        ("train", "normal"): 4,
        ("test", "normal"): 2,
        ("test", "anomalous"): 6,
    }
    boxes = {s.id[-3:]: s.boxes for s in samples if s.anomalous}
    assert boxes == {"000": ((0, 0, 10, 10),), "001": None, "002": ((2, 0, 10, 10),)}
    assert all(s.tight for s in samples)
    assert terms in read_json(tmp_path / "out" / "manifest.meta.json")["licence"]["as published"]


def test_every_damaged_file_is_one_line(case: tuple[Path, str, str], tmp_path: Path, mask: Write) -> None:
    root, _, _ = case
    damaged = sorted(path for path in root.rglob("test/good/000.*"))
    wrong = sorted(path for path in root.rglob("ground_truth/*/002*.png"))
    for path in damaged:
        path.write_bytes(b"no picture")
    for path in wrong:
        mask(path, size=(20, 20))
    with pytest.raises(DataFaultsError) as error:
        build(root, tmp_path / "out", BuildSettings())
    lines = [str(fault) for fault in error.value.faults]
    assert len(lines) == len(damaged) + len(wrong) == 4
    for path in (*damaged, *wrong):
        assert sum(str(path.relative_to(root)) in line for line in lines) == 1
    assert not any("\n" in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_a_category_of_another_name_or_alone_is_no_published_set(
    case: tuple[Path, str, str], draw_image: Write, mask: Write
) -> None:
    root, name, _ = case
    base = root / "1cls" if name == "visa-1cls" else root
    one = next(path for path in sorted(base.iterdir()) if path.is_dir())
    assert name == choose(root).NAME
    assert choose(one).NAME == "mvtec"
    lay(base / "our_valve", draw_image, mask, "bad", "", "png")
    assert choose(base).NAME == "mvtec"


def test_a_normal_part_may_have_an_empty_mask_but_no_other(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    for category in ("tubes", "connector"):
        lay(tmp_path / "set" / category, draw_image, mask, "anomalous", "_mask", "png")
    truth = mask(tmp_path / "set" / "tubes" / "ground_truth" / "good" / "000_mask.png", [])
    assert len(read_manifest(build(tmp_path / "set", tmp_path / "out", BuildSettings()).manifest).samples) == 12
    mask(truth)
    with pytest.raises(DataFaultsError, match="is normal but its mask marks"):
        build(tmp_path / "set", tmp_path / "again", BuildSettings())
