"""Trees as real tools export them: each kind of folder, file and name is read rightly or refused in one line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import SourceImage, choose, listed_images, names, pairing, walk
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.records import Sample

Write = Callable[..., Path]
Truth = tuple[str, str | None, str | None, str | None, tuple[str, ...]]


def lay(root: Path, *places: str) -> Path:
    """Empty files: a layout finds images and opens none."""
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    return root


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def read(root: Path) -> list[SourceImage]:
    return listed_images(root, choose(root))


def summary(root: Path) -> list[str]:
    """One line an image: its path, category, split, label or type of defect, and masks."""
    return [
        f"{each.image.as_posix()} {each.category} {each.split or '-'} {each.defect or each.label} "
        f"{' '.join(mask.as_posix() for mask in each.masks)}".strip()
        for each in read(root)
    ]


READ = {
    "masks below a class": (
        "train/normal/images/0.png test/normal/images/1.png test/anomalous/images/0.png test/anomalous/masks/0.png",
        "test/anomalous/images/0.png set test anomalous test/anomalous/masks/0.png",
        "test/normal/images/1.png set test normal",
        "train/normal/images/0.png set train normal",
    ),
    "levels of several sensors": (
        "bag/train/good/rgb/0.png bag/train/good/xyz/0.tiff bag/test/good/rgb/0.png bag/test/good/gt/0.png "
        "bag/test/hole/rgb/0.png bag/test/hole/gt/0.png bag/test/hole/xyz/0.tiff",
        "bag/test/good/rgb/0.png bag test normal bag/test/good/gt/0.png",
        "bag/test/hole/rgb/0.png bag test hole bag/test/hole/gt/0.png",
        "bag/train/good/rgb/0.png bag train normal",
    ),
    "a validation folder": (
        "train/good/0.png val/good/1.png val/bad/2.png test/bad/3.png",
        "test/bad/3.png set test anomalous",
        "train/good/0.png set train normal",
        "val/bad/2.png set validation anomalous",
        "val/good/1.png set validation normal",
    ),
    "masks beside OK and NG": (
        "OK/images/0.png OK/masks/0.png NG/images/1.png NG/masks/1.png",
        "NG/images/1.png set - anomalous NG/masks/1.png",
        "OK/images/0.png set - normal OK/masks/0.png",
    ),
    "names in any case": (
        "Train/GOOD/0.PNG TEST/Good/1.JPG Test/crack/2.png Ground_Truth/Crack/2_MASK.PNG",
        "TEST/Good/1.JPG set test normal",
        "Test/crack/2.png set test crack Ground_Truth/Crack/2_MASK.PNG",
        "Train/GOOD/0.PNG set train normal",
    ),
    "a suffix twice": (
        "OK/0.jpg NG/1.jpg masks/1.jpg.png",
        "NG/1.jpg set - anomalous masks/1.jpg.png",
        "OK/0.jpg set - normal",
    ),
    "a product of OK parts alone": (
        "A/OK/0.png A/NG/1.png B/OK/2.png",
        "A/NG/1.png A - anomalous",
        "A/OK/0.png A - normal",
        "B/OK/2.png B - normal",
    ),
    "normal and abnormal": (
        "normal/0.png abnormal/1.png mask/1.png",
        "abnormal/1.png set - anomalous mask/1.png",
        "normal/0.png set - normal",
    ),
    "product, split, class": (
        "A/train/ok/0.png A/test/ng/1.png B/train/ok/2.png",
        "A/test/ng/1.png A test anomalous",
        "A/train/ok/0.png A train normal",
        "B/train/ok/2.png B train normal",
    ),
    "split, product, class": (
        "train/A/ok/0.png test/A/ng/1.png train/B/ok/2.png",
        "test/A/ng/1.png A test anomalous",
        "train/A/ok/0.png A train normal",
        "train/B/ok/2.png B train normal",
    ),
    "class, split": (
        "ok/train/0.png ng/test/scratch/1.png",
        "ng/test/scratch/1.png set test scratch",
        "ok/train/0.png set train normal",
    ),
    "the last split decides": (
        "test/train/ok/0.png test/val/ng/1.png",
        "test/train/ok/0.png set train normal",
        "test/val/ng/1.png set validation anomalous",
    ),
    "an extra level of images": (
        "train/images/good/0.png train/images/crack/1.png train/masks/crack/1.png",
        "train/images/crack/1.png set train crack train/masks/crack/1.png",
        "train/images/good/0.png set train normal",
    ),
    "images and masks side by side": (
        "images/good/0.png images/bad/1.png masks/bad/1.png",
        "images/bad/1.png set - anomalous masks/bad/1.png",
        "images/good/0.png set - normal",
    ),
    "mask folders that name a class": (
        "OK/1.png NG/1.png NG_masks/1.png OK_masks/1.png",
        "NG/1.png set - anomalous NG_masks/1.png",
        "OK/1.png set - normal OK_masks/1.png",
    ),
    "a mask folder beside its type of defect": (
        "train/good/0.png test/crack/2.png test/crack_gt/2.bmp",
        "test/crack/2.png set test crack test/crack_gt/2.bmp",
        "train/good/0.png set train normal",
    ),
    "masks of good parts": (
        "train/good/0.png test/good/0.png test/crack/0.png ground_truth/good/0_mask.png ground_truth/crack/0_mask.png",
        "test/crack/0.png set test crack ground_truth/crack/0_mask.png",
        "test/good/0.png set test normal ground_truth/good/0_mask.png",
        "train/good/0.png set train normal",
    ),
    "what systems leave": (
        "ok/0.png ok/._0.png ok/.DS_Store ng/1.png ng/Thumbs.db __MACOSX/ok/0.png",
        "ng/1.png set - anomalous",
        "ok/0.png set - normal",
    ),
    "composed and decomposed names": (
        f"ok/0.png ng/{nfd('für')}/{nfd('ä1')}.png masks/für/ä1.png",
        f"ng/{nfd('für')}/{nfd('ä1')}.png set - für masks/für/ä1.png",
        "ok/0.png set - normal",
    ),
    "points and spaces in class names": (
        "i.O./0.png n.i.O./1.png",
        "i.O./0.png set - normal",
        "n.i.O./1.png set - anomalous",
    ),
    **{
        f"mask named {mask}": (
            f"ok/0.png ng/1.png {mask}",
            f"ng/1.png set - anomalous {mask}",
            "ok/0.png set - normal",
        )
        for mask in (
            *("ng/1_mask.png", "ng/1_GT.png", "ng/1_label.bmp", "ng/1-mask.png", "ng/1.mask.png", "ng/1_gt.tif"),
            *("ng/1_seg.png", "ng/1_mask.jpg.png", "ng/mask_1.png", "masks/mask_1.png", "masks/ng/1.png"),
            *("Masks/NG/1.png", "labels/1.bmp", "annotations/1.png", "SegmentationClass/1.png", "GroundTruth/1.png"),
            *("defect_masks/1.png", "binary masks/1.png", "masks_png/1.png", "ng/masks/1.png", "masks/1/0.png"),
        )
    },
}


@pytest.mark.parametrize("name", READ)
def test_a_tree_is_read_rightly(name: str, tmp_path: Path) -> None:
    places, *expected = READ[name]
    root = lay(tmp_path / "set", *_split(places))
    assert summary(root) == expected


def _split(places: str) -> list[str]:
    """Places are written with spaces between them; a folder's own name may hold one."""
    found: list[str] = []
    for word in places.split():
        joined = bool(found) and "." not in found[-1].rsplit("/", 1)[-1]
        found[-1:] = [f"{found[-1]} {word}"] if joined else [*found[-1:], word]
    return found


REFUSED = {
    "one name, two suffixes": ("ok/0.png ng/1.jpg ng/1.png masks/1.png", "ng/1.png", "name-twice"),
    "one name in two levels": ("ok/0.png ng/rgb/1.png ng/img/1.png", "ng/rgb/1.png", "name-twice"),
    "one name in the folder above": ("ok/0.png ng/1.png ng/truth/1.png", "ng/truth/1.png", "name-twice"),
    "one name in another case": ("ok/0.png ng/a.png ng/A.png", "ng/a.png", "name-twice"),
    "one name, composed and not": (f"ok/0.png ng/ä.png ng/{nfd('ä')}.png", "ng/ä.png", "name-twice"),
    "a mask of two": ("ok/0.png ng/crack/1.png ng/dent/1.png masks/1.png", "masks/1.png", "mask-ambiguous"),
    "a mask of two splits": (
        "train/good/0.png train/bad/1.png test/bad/1.png ground_truth/bad/1.png",
        "ground_truth/bad/1.png",
        "mask-ambiguous",
    ),
    "a mask of none": ("ok/0.png ng/1.png masks/2.png", "masks/2.png", "mask-unpaired"),
    "a mask of none, by its suffix": ("ok/0.png ng/1.png ok/2_gt.png", "ok/2_gt.png", "mask-unpaired"),
    "a mask in another product": ("A/ok/0.png A/ng/1.png B/ok/0.png B/masks/1.png", "B/masks/1.png", "mask-unpaired"),
    "two masks of one": ("ok/0.png ng/1.png masks/1.png masks/1_mask.png", "masks/1_mask.png", "mask-twice"),
    "two masks, two suffixes": ("ok/0.png ng/1.png masks/1.png masks/1.bmp", "masks/1.png", "mask-twice"),
    "two mask folders": ("ok/0.png ng/1.png masks/1.png gt/1.png", "masks/1.png", "mask-twice"),
    "OK and NG at once": ("good/0.png bad/1.png bad/good/2.png", "bad/good", "folder-unread"),
    "perhaps OK": ("train/good/0.png test/ok parts/1.png", "test/ok parts", "folder-unread"),
    "perhaps OK, with a number": ("train/good/0.png test/good2/1.png", "test/good2", "folder-unread"),
    "perhaps OK, misspelt": ("train/good/0.png test/goood/1.png", "test/goood", "folder-unread"),
    "perhaps OK, by a negation": ("train/good/0.png test/no_scratch/1.png", "test/no_scratch", "folder-unread"),
    "perhaps masks": ("train/good/0.png test/other_gt/1.png", "test/other_gt", "folder-unread"),
    "perhaps masks of a product": ("A/ok/0.png A/ng/1.png old_masks/ng/1.png", "old_masks/ng", "folder-unread"),
    "perhaps a split": ("A/ok/0.png A/ng/1.png train_set/ok/0.png", "train_set/ok", "folder-unread"),
    "of unknown truth": ("train/good/0.png test/unlabelled/1.png", "test/unlabelled", "folder-unread"),
    "a folder of no class": ("ok/0.png ng/1.png more/2.png", "more", "folder-unread"),
    "images beside the classes": ("train/good/0.png test/good/1.png test/2.png", "test", "folder-unread"),
    "a product without OK parts": ("A/train/good/0.png B/test/dent/1.png", "B/test/dent", "folder-unread"),
    "parts without a split": ("train/good/0.png good/1.png", "", "split-partial"),
    "a folder of masks of an unknown name": ("ok/0.png ng/1.png truth/ng/1.png", "", "category-mixed"),
    "a mask beside a folder of masks": ("ok/0.png ng/1.png gt/1.png gt/1/0.png", "gt/1/0.png", "mask-twice"),
    "perhaps masks of a class": ("ok/0.png ng/1.png ng/gt_2/2.png", "ng/gt_2", "folder-unread"),
    "an image outside 1cls": (
        "1cls/candle/train/good/0.png 1cls/pcb1/test/bad/1.png 2.png",
        "",
        "folder-unread",
    ),
    "a picture of another format": ("ok/0.png ng/1.png ng/2.gif", "", "file-unread"),
    "a picture that is not complete": ("ok/0.png ng/1.png ng/2.png.part", "", "file-unread"),
    "a class of other files": ("A/ok/0.png A/ng/1.png B/ok/2.png B/ng/3.npy", "B/ng", "class-empty"),
    "a misplaced part of BTAD": ("p/train/ok/0.bmp p/test/ko/1.bmp p/extra/2.bmp", "p/extra", "folder-unread"),
    "a photograph beside KolektorSDD": ("kos01/Part0.jpg kos01/Part0_label.bmp 1.jpg", "", "folder-unread"),
    "a label of no photograph": (
        "kos01/Part0.jpg kos01/Part0_label.bmp kos01/Part1_label.bmp",
        "kos01/Part1_label.bmp",
        "mask-unpaired",
    ),
    "a tile outside Imgs": ("MT_Free/Imgs/0.jpg MT_Crack/Imgs/1.jpg MT_Crack/2.jpg", "MT_Crack", "folder-unread"),
    "a label of no image of DAGM": (
        "Class1/Train/1.PNG Class1/Train/Label/2_label.PNG",
        "Class1/Train/Label/2_label.PNG",
        "mask-unpaired",
    ),
    "an image of no part of DAGM": (
        "Class1/Train/1.PNG Class1/Train/Label/1_label.PNG Class1/2.PNG",
        "Class1",
        "folder-unread",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_tree_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    places, place, code = REFUSED[name]
    root = lay(tmp_path / "set", *_split(places))
    with pytest.raises(DataFaultsError) as error:
        read(root)
    assert [(fault.code, fault.file) for fault in error.value.faults] == [(code, str(root / place))]
    assert "\n" not in str(error.value)


def test_a_label_that_a_list_names_is_missed(tmp_path: Path) -> None:
    root = lay(tmp_path / "set", "Class1/Train/1.PNG", "Class1/Train/2.PNG", "Class1/Train/Label/1_label.PNG")
    listing = root / "Class1" / "Train" / "Label" / "Labels.txt"
    listing.write_text("1\n1 1 1.PNG 0 1_label.PNG\n2 0 2.PNG 0 0\n")
    assert [each.label for each in read(root)] == ["anomalous", "normal"]  # control
    listing.write_text("1\n1 1 1.PNG 0 1_label.PNG\n2 1 2.PNG 0 2_label.PNG\n")
    with pytest.raises(DataFaultsError, match=r"\[mask-missing\] Class1/Train/Label/2_label.PNG"):
        read(root)


def test_control_without_the_rule_masks_become_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay(tmp_path / "set", "ok/images/0.png", "ng/images/1.png", "ng/masks/1.png")
    assert len(read(root)) == 2
    monkeypatch.setattr(names, "qualifier", lambda name, beside: None)
    monkeypatch.setattr(names, "MASKS", frozenset())
    with pytest.raises(DataFaultsError, match="may hold masks"):  # the second guard
        read(root)
    monkeypatch.setattr(names, "doubt", lambda name: None)
    with pytest.raises(DataFaultsError, match="name-twice"):  # the third
        read(root)
    monkeypatch.setattr(pairing.Index, "twice", lambda self, root: [])
    assert len(read(root)) == 3


def test_control_without_composed_names_a_mask_is_not_paired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay(tmp_path / "set", "ok/0.png", f"ng/{nfd('ä')}.png", "masks/ä.png")
    assert len(read(root)) == 2
    monkeypatch.setattr(names, "folded", str.casefold)
    with pytest.raises(DataFaultsError, match="mask-unpaired"):
        read(root)


def test_a_chain_of_folders_is_found_in_any_case(tmp_path: Path) -> None:
    lay(tmp_path, "Data/Images/0.png")
    assert walk.below(tmp_path, "data", "images")
    assert not walk.below(tmp_path, "images")


def samples(root: Path, out: Path, **settings: object) -> tuple[Sample, ...]:
    return read_manifest(build(root, out, BuildSettings.model_validate(settings)).manifest).samples


def divided(found: tuple[Sample, ...], length: int) -> set[str]:
    """The parts (the beginning of a file's name) that are in several splits."""
    sides: dict[str, set[str]] = {}
    for sample in found:
        path = Path(sample.image)
        sides.setdefault(f"{path.parent}/{path.name[:length]}", set()).add(sample.split)
    return {name for name, splits in sides.items() if len(splits) > 1}


@pytest.mark.parametrize("seed", range(3))
def test_the_lights_of_a_part_stay_together(tmp_path: Path, draw_image: Write, seed: int) -> None:
    root = tmp_path / "can"
    for number in range(6):
        for light in ("regular", "overexposed", "shift_1"):
            draw_image(root / "train" / "good" / f"{number:03d}_{light}.png")
            draw_image(root / "test_public" / "good" / f"{number:03d}_{light}.png")
            draw_image(root / "test_public" / "bad" / f"{number:03d}_{light}.png")
    settings = {"split": "labelled", "labelled_fraction": 0.3, "seed": seed}
    found = samples(root, tmp_path / "out", **settings)
    assert len(found) == 54
    assert divided(found, 3) == set()
    assert {s.split for s in found if s.anomalous} == {"train", "test"}
    plain = tmp_path / "plain"  # control: another layout does not know them
    (root / "test_public").rename(root / "test")
    root.rename(plain)
    assert divided(samples(plain, tmp_path / "again", **settings), 3)


def test_copies_of_one_source_stay_together_in_every_layout(tmp_path: Path, draw_image: Write) -> None:
    root = tmp_path / "set"
    for label in ("ok", "ng"):
        for number in range(8):
            for copy in ("0a1b", "2c3d", "4e5f"):
                draw_image(root / label / f"p{label}{number}_jpg.rf.{copy}.jpg")
    found = samples(root, tmp_path / "out")
    assert divided(found, 4) == set()
    assert {sample.group for sample in found} == {f"set/p{label}{n}" for label in ("ok", "ng") for n in range(8)}
    for path in list(root.rglob("*.jpg")):  # control: other names are no copies
        path.rename(path.with_name(path.name.replace(".rf.", "_")))
    assert divided(samples(root, tmp_path / "again"), 4)


def test_a_mask_of_an_ok_part_that_marks_something_is_refused(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    root = tmp_path / "set"
    for place in ("OK/1.png", "NG/2.png"):
        draw_image(root / place)
    mask(root / "masks" / "2.png")
    mask(root / "masks" / "1.png", [])
    assert len(samples(root, tmp_path / "control")) == 2
    mask(root / "masks" / "1.png")
    with pytest.raises(DataFaultsError, match=r"OK/1.png: \[mask-on-normal\]"):
        samples(root, tmp_path / "out")
