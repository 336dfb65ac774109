"""`build`: a folder becomes a manifest that tells the truth, or nothing is written and every fault is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.data.build import build, sample_ids
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import SourceImage
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError, DataError, UserError
from adfm.geometry import Box
from adfm.records import Sample
from adfm.storage import sha256_file

Write = Callable[..., Path]


def built(source: Path, out: Path, **settings: Any) -> dict[str, Sample]:
    report = build(source, out, BuildSettings(**settings))
    return {sample.id: sample for sample in read_manifest(report.manifest).samples}


def meta(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.meta.json").read_text())
    return found


def faults(source: Path, out: Path, **settings: Any) -> tuple[str, ...]:
    with pytest.raises(DataFaultsError) as error:
        build(source, out, BuildSettings(**settings))
    assert not out.exists()
    assert not list(out.parent.glob(".*-part"))
    assert "\n" not in str(error.value)
    return tuple(map(str, error.value.faults))


def test_a_manifest_says_what_the_folder_holds(mvtec_set: Path, tmp_path: Path) -> None:
    samples = built(mvtec_set, tmp_path / "out" / "valve")
    assert len(samples) == 23
    scratch = samples["valve/test/scratch/002"]
    path = tmp_path / "out" / "valve" / scratch.image
    assert path.resolve() == (mvtec_set / "test" / "scratch" / "002.png").resolve()
    assert scratch == Sample(
        id="valve/test/scratch/002",
        image="../../valve/test/scratch/002.png",
        width=48,
        height=32,
        label="anomalous",
        category="valve",
        defect="scratch",
        mask="../../valve/ground_truth/scratch/002_mask.png",
        boxes=(Box(4, 5, 20, 17),),
        split="test",
        sha256=sha256_file(path),
    )
    assert samples["valve/test/good/002"].boxes == ()
    assert samples["valve/test/dent/002"].boxes is None
    assert samples["valve/test/dent/002"].mask is None


def test_the_meta_file_counts_and_warns(mvtec_set: Path, tmp_path: Path) -> None:
    (mvtec_set / "LICENSE.txt").write_text("CC BY 4.0")
    (mvtec_set / ".hidden.png").write_bytes(b"")
    (mvtec_set / "notes.pdf").write_bytes(b"")
    (mvtec_set / "test" / "good" / "xyz").mkdir()
    shutil.copy(mvtec_set / "train/good/000.png", mvtec_set / "test" / "good" / "xyz" / "000.png")
    built(mvtec_set, tmp_path / "out", seed=5)
    told = meta(tmp_path / "out")
    assert told["counts"]["valve"] == {"test": {"anomalous": 9, "normal": 6}, "train": {"normal": 8}}
    assert told["defects"]["valve"] == {"dent": 3, "scratch": 6}
    assert told["boxes"]["per_sample"] == {"mean": 1.0, "p50": 1.0, "p95": 1.0, "max": 1}
    assert told["boxes"]["samples_without_boxes"] == 3
    assert told["layout"] == "mvtec"
    assert told["seed"] == 5
    assert told["licence"] == {"LICENSE.txt": "CC BY 4.0"}
    warnings = " | ".join(told["warnings"])
    assert "without a mask (boxes null): 3" in warnings
    assert "masks without an image: 1 (test/good/xyz/000.png)" in warnings
    assert "hidden files and folders: 1" in warnings
    assert "no images: 2" in warnings


def test_the_same_input_gives_the_same_bytes(mvtec_set: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 4)):
        built(mvtec_set, tmp_path / name, workers=workers, split="labelled")
    for file in ("manifest.jsonl", "manifest.meta.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_all_faults_are_told_at_once_and_nothing_is_written(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    draw_image = mvtec_set / "train" / "good" / "003.png"
    draw_image.write_bytes(draw_image.read_bytes()[:-900])
    (mvtec_set / "test" / "good" / "001.png").write_text("no picture")
    mask(mvtec_set / "ground_truth" / "scratch" / "001_mask.png", size=(47, 32))
    mask(mvtec_set / "ground_truth" / "good" / "002_mask.png")
    lines = faults(mvtec_set, tmp_path / "out")
    assert len(lines) == 4
    for told in (
        "[image-damaged] train/good/003.png: is damaged",
        "[image-format] test/good/001.png: is not a PNG",
        "mask is 47 x 32, its image 48 x 32",
        "test/good/002.png: [mask-on-normal] is normal but its mask marks a defect",
    ):
        assert sum(told in line for line in lines) == 1, told


def test_an_empty_mask_is_an_unknown_place(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    mask(mvtec_set / "ground_truth" / "scratch" / "001_mask.png", [])
    samples = built(mvtec_set, tmp_path / "out")
    assert samples["valve/test/scratch/001"].boxes is None
    assert samples["valve/test/scratch/001"].mask is None
    assert any("empty mask" in warning for warning in meta(tmp_path / "out")["warnings"])


def test_an_empty_mask_of_a_normal_image_is_fine(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    mask(mvtec_set / "ground_truth" / "good" / "001_mask.png", [])
    assert built(mvtec_set, tmp_path / "out")["valve/test/good/001"].boxes == ()


def test_a_missing_mask_among_others_is_counted(mvtec_set: Path, tmp_path: Path) -> None:
    (mvtec_set / "ground_truth" / "scratch" / "001_mask.png").unlink()
    built(mvtec_set, tmp_path / "out")
    assert "test/scratch: 1 of 6 images have no mask, the others do" in meta(tmp_path / "out")["warnings"]


def test_several_masks_are_united(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    mask(mvtec_set / "ground_truth" / "dent" / "000_mask_1.png", [(0, 0, 4, 4)])
    mask(mvtec_set / "ground_truth" / "dent" / "000_mask_2.png", [(40, 20, 48, 32)])
    sample = built(mvtec_set, tmp_path / "out")["valve/test/dent/000"]
    assert sample.boxes == (Box(0, 0, 4, 4), Box(40, 20, 48, 32))
    assert isinstance(sample.mask, tuple)


def test_the_mask_settings_are_used(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    fragments = [(4, 4, 8, 8), (11, 4, 15, 8), (40, 20, 42, 22)]
    mask(mvtec_set / "ground_truth" / "scratch" / "001_mask.png", fragments)
    name = "valve/test/scratch/001"
    assert len(built(mvtec_set, tmp_path / "a", dilate=0, min_area=0)[name].boxes or ()) == 3
    assert len(built(mvtec_set, tmp_path / "b", dilate=0)[name].boxes or ()) == 2
    assert len(built(mvtec_set, tmp_path / "c", dilate=0.2)[name].boxes or ()) == 1
    raised = built(mvtec_set, tmp_path / "d", dilate=0, max_boxes=1)[name]
    assert len(raised.boxes or ()) == 1
    assert raised.box_ratio is not None
    assert built(mvtec_set, tmp_path / "e")[name].box_ratio is None


def test_doubtful_masks_are_named(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    mask(mvtec_set / "ground_truth" / "scratch" / "001_mask.png", [(0, 0, 48, 32)])
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(mvtec_set / "ground_truth" / "scratch" / "002_mask.jpg")
    (mvtec_set / "ground_truth" / "scratch" / "002_mask.png").unlink()
    built(mvtec_set, tmp_path / "out")
    warnings = " | ".join(meta(tmp_path / "out")["warnings"])
    assert "is it inverted?): 1" in warnings
    assert "lossy format (JPEG): 1" in warnings


def test_links_that_leave_the_source_are_refused(mvtec_set: Path, tmp_path: Path, draw_image: Write) -> None:
    secret = draw_image(tmp_path / "elsewhere" / "secret.png")
    inner = mvtec_set / "train" / "good" / "inner.png"
    inner.symlink_to(mvtec_set / "train" / "good" / "000.png")
    built(mvtec_set, tmp_path / "control")  # a link inside is a file like any other
    (mvtec_set / "train" / "good" / "link.png").symlink_to(secret)
    assert ["leads outside" in line for line in faults(mvtec_set, tmp_path / "out")] == [True]
    (mvtec_set / "test" / "linked").symlink_to(secret.parent)
    assert ["linked: [folder-link]" in line for line in faults(mvtec_set, tmp_path / "out")] == [True]


def test_an_output_folder_with_something_in_it_is_left_alone(mvtec_set: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        build(mvtec_set, tmp_path / "out", BuildSettings())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "part" / "train" / "good").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images"):
        build(tmp_path / "part", tmp_path / "out", BuildSettings())
    assert not (tmp_path / "out").exists()


def test_a_image_with_both_labels_is_a_fault(mvtec_set: Path, tmp_path: Path) -> None:
    shutil.copy(mvtec_set / "test/good/000.png", mvtec_set / "test/dent/copy.png")
    lines = faults(mvtec_set, tmp_path / "out")
    assert len(lines) == 1
    assert "test/good/000.png: [same-picture-labels] is the same image as test/dent/copy.png" in lines[0]


def test_copies_stay_on_one_side(mvtec_set: Path, tmp_path: Path) -> None:
    shutil.copy(mvtec_set / "test/good/000.png", mvtec_set / "train/good/copy.png")
    samples = built(mvtec_set, tmp_path / "out")
    assert samples["valve/train/good/copy"].split == "test"
    assert any("left the official split" in warning for warning in meta(tmp_path / "out")["warnings"])


def test_groups_are_read_from_names(tmp_path: Path, draw_image: Write) -> None:
    for board in range(6):
        for view in range(4):
            draw_image(tmp_path / "set" / ("ok" if view else "ng") / f"board{board}_{view}.png")
    samples = built(tmp_path / "set", tmp_path / "out", group_by=r"^(board\d)")
    assert len({sample.group for sample in samples.values()}) == 6
    for group in {sample.group for sample in samples.values()}:
        assert len({sample.split for sample in samples.values() if sample.group == group}) == 1
    with pytest.raises(DataError, match="fits no file name"):
        built(tmp_path / "set", tmp_path / "b", group_by=r"^(tray\d)")
    for broken in ("(", r"^board\d"):
        with pytest.raises(ConfigError, match="--group-by"):
            built(tmp_path / "set", tmp_path / "c", group_by=broken)


def test_a_split_that_cannot_be_is_told(tmp_path: Path, draw_image: Write) -> None:
    draw_image(tmp_path / "set" / "ok" / "a.png")
    draw_image(tmp_path / "set" / "ng" / "a.png")
    for rule in ("official", "labelled"):
        with pytest.raises(DataError, match="--split fractions"):
            built(tmp_path / "set", tmp_path / "out", split=rule)
    with pytest.raises(ConfigError, match="add up to 1"):
        built(tmp_path / "set", tmp_path / "out", shares=(0.5, 0.1, 0.1))


def test_ids_are_unique_safe_and_stable() -> None:
    names = ["test/a b/ä#1.png", "test/a_b/ä_1.png", "test/x.png", "test/x.jpg", "test/X.png", "plain.png"]
    found = [SourceImage(Path(name), "normal", "my part") for name in names]
    ids = sample_ids(found)
    assert len({each.casefold() for each in ids}) == len(names)
    assert all(" " not in each and "#" not in each for each in ids)
    assert ids[-1] == "my_part/plain"
    assert sample_ids(found[::-1])[::-1] == ids
    assert sample_ids([SourceImage(Path("valve/test/good/1.png"), "normal", "valve")]) == ["valve/test/good/1"]


def test_progress_is_told_to_the_end(mvtec_set: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    build(mvtec_set, tmp_path / "out", BuildSettings(), lambda *step: told.append(step))
    assert told == [("images", done, 23) for done in range(1, 24)]
