"""Layouts: what is recognised, which mask belongs to which image (by name), and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm.data.layouts import LAYOUTS, SourceImage, choose, folder, known_layouts, mvtec
from adfm.errors import ConfigError, DataError

Write = Callable[..., Path]


def by_name(found: list[SourceImage]) -> dict[str, SourceImage]:
    return {each.image.as_posix(): each for each in found}


def masks(found: SourceImage) -> list[str]:
    return [path.as_posix() for path in found.masks]


def test_mvtec_reads_labels_defects_and_its_own_split(mvtec_set: Path) -> None:
    found = by_name(list(mvtec.read(mvtec_set)))
    assert len(found) == 23
    scratch = found["test/scratch/004.png"]
    assert (scratch.label, scratch.defect, scratch.category, scratch.split) == ("anomalous", "scratch", "valve", "test")
    assert masks(scratch) == ["ground_truth/scratch/004_mask.png"]
    assert found["train/good/004.png"] == SourceImage(Path("train/good/004.png"), "normal", "valve", split="train")
    assert found["test/dent/001.png"].masks == ()


def test_masks_are_paired_by_name_never_by_order(mvtec_set: Path, mask: Write) -> None:
    (mvtec_set / "ground_truth" / "scratch" / "000_mask.png").unlink()
    other = mask(mvtec_set / "ground_truth" / "scratch" / "0000_mask.png")
    with pytest.raises(DataError, match=r"0000_mask.png: \[mask-unpaired\]"):
        list(mvtec.read(mvtec_set))
    other.unlink()
    found = by_name(list(mvtec.read(mvtec_set)))
    assert found["test/scratch/000.png"].masks == ()
    for number in range(1, 6):
        assert masks(found[f"test/scratch/00{number}.png"]) == [f"ground_truth/scratch/00{number}_mask.png"]


def test_one_image_may_have_several_masks(mvtec_set: Path, mask: Write) -> None:
    truth = mvtec_set / "ground_truth"
    for name in ("000_mask.png", "000_mask_2.png", "001.png"):
        mask(truth / "dent" / name)
    mask(truth / "dent" / "002" / "a.png")
    mask(truth / "dent" / "002" / "b.png")
    found = by_name(list(mvtec.read(mvtec_set)))
    assert masks(found["test/dent/000.png"]) == ["ground_truth/dent/000_mask.png", "ground_truth/dent/000_mask_2.png"]
    assert masks(found["test/dent/001.png"]) == ["ground_truth/dent/001.png"]
    assert masks(found["test/dent/002.png"]) == ["ground_truth/dent/002/a.png", "ground_truth/dent/002/b.png"]


def test_a_root_of_several_categories(tmp_path: Path, mvtec_set: Path, draw_image: Write) -> None:
    draw_image(tmp_path / "bolt" / "train" / "good" / "a.png")
    found = list(mvtec.read(tmp_path))
    assert {each.category for each in found} == {"valve", "bolt"}
    assert len(found) == 24
    assert choose(tmp_path).NAME == "mvtec"
    draw_image(tmp_path / "notes" / "a.png")
    with pytest.raises(DataError, match=r"notes: \[folder-unread\] holds 1 images"):
        list(mvtec.read(tmp_path))


@pytest.mark.parametrize(
    ("ok", "ng"), [("OK", "NG"), ("good", "Bad"), ("io", "nio"), ("Pass", "FAIL"), ("normal", "defects")]
)
def test_folder_knows_the_common_names(tmp_path: Path, draw_image: Write, ok: str, ng: str) -> None:
    draw_image(tmp_path / ok / "a.png")
    draw_image(tmp_path / ng / "b.png")
    draw_image(tmp_path / ng / "crack" / "c.png")
    assert choose(tmp_path).NAME == "folder"
    found = by_name(list(folder.read(tmp_path)))
    assert found[f"{ok}/a.png"].label == "normal"
    assert found[f"{ng}/b.png"].defect is None
    assert (found[f"{ng}/crack/c.png"].label, found[f"{ng}/crack/c.png"].defect) == ("anomalous", "crack")
    assert {each.split for each in found.values()} == {None}


@pytest.mark.parametrize(
    "place",
    [
        "masks/NG/crack/a.png",
        "masks/crack/a_mask.png",
        "Ground_Truth/a.png",
        "gt/a_mask.png",
        "label/ng/crack/a.bmp",
        "NG/mask/crack/a.png",
    ],
)
def test_folder_finds_masks_that_mirror_the_names(tmp_path: Path, draw_image: Write, mask: Write, place: str) -> None:
    draw_image(tmp_path / "ok" / "a.png")
    draw_image(tmp_path / "NG" / "crack" / "a.png")
    draw_image(tmp_path / "NG" / "crack" / "b.png")
    mask(tmp_path / place)
    found = by_name(list(folder.read(tmp_path)))
    assert len(found) == 3
    assert masks(found["NG/crack/a.png"]) == [place]
    assert found["NG/crack/b.png"].masks == ()
    assert found["ok/a.png"].masks == ()


def test_a_flat_mask_that_fits_two_images_is_refused(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    draw_image(tmp_path / "ok" / "a.png")
    draw_image(tmp_path / "ng" / "crack" / "a.png")
    mask(tmp_path / "masks" / "a.png")
    assert len(list(folder.read(tmp_path))) == 2  # control: one image of that name is no doubt
    draw_image(tmp_path / "ng" / "dent" / "a.png")
    with pytest.raises(DataError, match="fits several images"):
        list(folder.read(tmp_path))


def test_no_layout_is_one_line_that_lists_them(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError) as error:
        choose(tmp_path)
    assert all(layout.NAME in str(error.value) for layout in LAYOUTS)
    assert "\n" not in str(error.value)


def test_several_layouts_ask_for_one(mvtec_set: Path, draw_image: Write) -> None:
    assert choose(mvtec_set).NAME == "mvtec"
    draw_image(mvtec_set / "ok" / "a.png")
    draw_image(mvtec_set / "ng" / "a.png")
    with pytest.raises(DataError, match="--layout"):
        choose(mvtec_set)
    assert choose(mvtec_set, "folder").NAME == "folder"


def test_a_named_layout_must_fit_and_exist(mvtec_set: Path) -> None:
    with pytest.raises(DataError, match="does not have the layout 'folder'"):
        choose(mvtec_set, "folder")
    with pytest.raises(DataError, match="did you mean 'mvtec'"):
        choose(mvtec_set, "mvtek")
    with pytest.raises(DataError, match="is not a folder"):
        choose(mvtec_set / "none")


def test_the_test_folder_of_a_set_with_good_and_anomaly_is_no_category(tmp_path: Path, draw_image: Write) -> None:
    for place in ("train/good/a.png", "test/good/a.png", "test/anomaly/a.png"):
        draw_image(tmp_path / "toy" / place)
    assert choose(tmp_path / "toy").NAME == "mvtec"
    assert choose(tmp_path).NAME == "mvtec"
    assert choose(tmp_path / "toy" / "test").NAME == "folder"


PLUGIN = """
from pathlib import Path
from adfm.data.layouts import SourceImage

NAME, SHAPE, TERMS = "trays", "tray*/part.png", None

def recognise(root):
    return "trays" if any(root.glob("tray*")) else None

def read(root):
    for path in root.glob("tray*/*.png"):
        yield SourceImage(path.relative_to(root), "normal", "part", group=path.parent.name)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in the search path that adds the layout `trays`."""
    site = tmp_path / "site"
    (site / "trays-0.1.dist-info").mkdir(parents=True)
    (site / "trays-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: trays\nVersion: 0.1\n")
    (site / "trays-0.1.dist-info" / "entry_points.txt").write_text("[adfm.layouts]\ntrays = trays_layout\n")
    (site / "trays_layout.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "trays_layout", raising=False)


def test_an_installed_package_adds_a_layout(tmp_path: Path, draw_image: Write, request: pytest.FixtureRequest) -> None:
    for number in range(3):
        draw_image(tmp_path / "set" / f"tray{number}" / "part.png")
    with pytest.raises(DataError, match="has no known layout"):  # control
        choose(tmp_path / "set")
    request.getfixturevalue("installed")
    assert [*known_layouts()] == [*(layout.NAME for layout in LAYOUTS), "trays"]
    assert choose(tmp_path / "set").NAME == choose(tmp_path / "set", "trays").NAME == "trays"
    assert {image.group for image in choose(tmp_path / "set").read(tmp_path / "set")} == {"tray0", "tray1", "tray2"}


@pytest.mark.usefixtures("installed")
def test_an_installed_layout_counts_as_that_of_a_published_set(mvtec_set: Path, draw_image: Write) -> None:
    assert choose(mvtec_set).NAME == "mvtec"
    draw_image(mvtec_set / "tray0" / "part.png")
    assert choose(mvtec_set).NAME == "trays"


@pytest.mark.usefixtures("installed")
def test_an_installed_layout_that_is_broken_is_one_line(tmp_path: Path, mvtec_set: Path) -> None:
    (tmp_path / "site" / "trays_layout.py").write_text(PLUGIN.replace("SHAPE, ", "").replace('"tray*/part.png", ', ""))
    with pytest.raises(ConfigError, match=r"^extension trays of trays: lacks SHAPE"):
        choose(mvtec_set)
    assert choose(mvtec_set, "mvtec").NAME == "mvtec"  # what is not needed is not imported
