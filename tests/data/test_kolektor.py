"""KolektorSDD: its label images decide, and the photographs of one commutator stay on one side of every split."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.geometry import Box
from adfm.records import Sample

Write = Callable[..., Path]


@pytest.fixture
def kolektor(tmp_path: Path, draw_image: Write, mask: Write) -> Path:
    """Twelve commutators of four photographs; one of each third commutator's is defective."""
    root = tmp_path / "KolektorSDD"
    for item in range(1, 13):
        for part in range(4):
            draw_image(root / f"kos{item:02d}" / f"Part{part}.jpg")
            marked = [(4, 5, 20, 15)] if item % 3 == 0 and part == 2 else []
            mask(root / f"kos{item:02d}" / f"Part{part}_label.bmp", marked)
    (root / "kos01" / "Thumbs.db").write_bytes(b"x")
    return root


def built(root: Path, out: Path, **settings: object) -> list[Sample]:
    return list(read_manifest(build(root, out, BuildSettings.model_validate(settings)).manifest).samples)


def divided(samples: list[Sample]) -> set[str]:
    """The commutators that lie in several splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits[Path(sample.image).parent.name].add(sample.split)
    return {name for name, found in splits.items() if len(found) > 1}


def test_the_label_image_decides(kolektor: Path, tmp_path: Path) -> None:
    assert [layout.NAME for layout in LAYOUTS if layout.recognise(kolektor)] == ["kolektor-sdd"]
    samples = built(kolektor, tmp_path / "out")
    assert Counter(sample.label for sample in samples) == {"normal": 44, "anomalous": 4}
    assert {s.boxes for s in samples if s.anomalous} == {(Box(4, 5, 20, 15),)}
    assert all(not (s.mask or s.defect or s.boxes) for s in samples if not s.anomalous)
    meta = json.loads((tmp_path / "out" / "manifest.meta.json").read_text())
    assert meta["licence"]["as published"] == "KolektorSDD: CC BY-NC-SA 4.0"
    assert meta["warnings"] == ["files that are no images: 1"]


@pytest.mark.parametrize("seed", range(4))
def test_no_commutator_is_on_both_sides(kolektor: Path, tmp_path: Path, seed: int) -> None:
    samples = built(kolektor, tmp_path / "out", seed=seed, shares=(0.5, 0.2, 0.3))
    assert divided(samples) == set()
    assert {sample.split for sample in samples} == {"train", "validation", "test"}
    by_name = built(kolektor, tmp_path / "named", seed=seed, group_by=r"(\d)$")  # the layout's own group still holds
    assert divided(by_name) == set()


def test_without_its_groups_commutators_would_be_divided(kolektor: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for place, paths in {"ok": kolektor.glob("*/Part[013].jpg"), "ng": kolektor.glob("*/Part2.jpg")}.items():
        for path in sorted(paths):
            target = plain / place / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert divided(built(plain, tmp_path / "out", shares=(0.5, 0.2, 0.3)))


def test_damaged_input_is_one_line_a_file(kolektor: Path, tmp_path: Path, mask: Write) -> None:
    (kolektor / "kos01" / "Part1_label.bmp").unlink()
    (kolektor / "kos02" / "Part1_label.bmp").write_bytes(b"no picture")
    mask(kolektor / "kos03" / "Part1_label.bmp", size=(20, 20))
    (kolektor / "kos04" / "Part1.jpg").write_bytes(b"no picture")
    with pytest.raises(DataFaultsError) as error:
        build(kolektor, tmp_path / "out", BuildSettings())
    told = [
        "[label-undecided] kos01/Part1.jpg: has no mask",
        "kos02/Part1_label.bmp: cannot be read as a mask (is not a",
        "mask is 20 x 20",
        "[image-format] kos04/Part1.jpg: is",
    ]
    lines = [str(fault) for fault in error.value.faults]
    assert len(lines) == len(told)
    for line, part in zip(lines, told, strict=True):
        assert part in line
        assert "\n" not in line
    assert not (tmp_path / "out").exists()


def test_folders_of_other_names_are_no_kolektor(kolektor: Path) -> None:
    for label in kolektor.glob("*/*_label.bmp"):
        label.unlink()
    assert [layout.NAME for layout in LAYOUTS if layout.recognise(kolektor)] == []
