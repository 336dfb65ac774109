"""Every type of fault that `build` finds in a source folder: a folder that has it, and no other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfm.data.build import build
from adfm.data.faults import KINDS, DataFaultsError
from adfm.data.settings import BuildSettings

Write = Callable[..., Path]
Change = Callable[["Source"], object]


class Source:
    """A sound folder in the MVTec layout that a case changes; `settings` are those of the build."""

    def __init__(self, root: Path, draw_image: Write, mask: Write) -> None:
        self.root, self.draw_image, self.mask = root, draw_image, mask
        self.settings: dict[str, Any] = {}

    def listed(self, *images: dict[str, Any], annotations: object = (), **more: Any) -> None:
        """Let a COCO list take the place of the folders, with `a.png` as its only image."""
        shutil.rmtree(self.root)
        self.draw_image(self.root / "a.png")
        value = {"images": images or [{"id": 1, "file_name": "a.png"}], "annotations": annotations, "categories": []}
        (self.root / "instances.json").write_text(json.dumps(value | more))

    def listed_name(self, name: str) -> None:
        """Let the list name another image."""
        file = self.root / "instances.json"
        file.write_text(file.read_text().replace("a.png", name))

    def table(self, *lines: str) -> None:
        """Let a table of metadata take the place of the folders, with `a.png` and `b.png`."""
        self.folders("a.png", "b.png")
        (self.root / "metadata.csv").write_text("\n".join(lines))

    def answered(self, *results: list[dict[str, Any]]) -> None:
        """Let a task with these answers take the place of the folders."""
        self.folders("a.png")
        answers = [{"result": result} for result in results]
        (self.root / "export.json").write_text(
            json.dumps([{"id": 1, "annotations": answers, "data": {"image": "a.png"}}])
        )

    def folders(self, *places: str) -> None:
        """Let these images take the place of the folders."""
        shutil.rmtree(self.root)
        for place in places:
            self.draw_image(self.root / place)


def emptied(source: Source) -> None:
    for path in source.root.rglob("*.png"):
        path.unlink()


def annotated(box: list[float], size: dict[str, int] | None = None) -> Change:
    """A list with one box on its image."""
    image = {"id": 1, "file_name": "a.png"} | (size or {})
    marks = [{"image_id": 1, "category_id": 1, "bbox": box}]
    return lambda source: source.listed(image, annotations=marks, categories=[{"id": 1, "name": "dent"}])


def two_flat_masks(source: Source) -> None:
    source.folders("ok/a.png", "ng/crack/a.png", "ng/dent/a.png")
    source.mask(source.root / "masks" / "a.png")


def unpaired(source: Source) -> None:
    source.mask(source.root / "ground_truth" / "dent" / "009_mask.png")


def two_of_one_name(source: Source) -> None:
    source.mask(source.root / "ground_truth" / "scratch" / "001.bmp")


def one_mask_of_two(source: Source) -> None:
    source.folders("a.png", "b.png")
    source.mask(source.root / "m.png")
    item = {"mask_path": "m.png", "cls_name": "nut", "specie_name": "bent", "anomaly": 1}
    rows = [item | {"img_path": name} for name in ("a.png", "b.png")]
    (source.root / "meta.json").write_text(json.dumps({"test": {"nut": rows}}))


def undecided(source: Source) -> None:
    source.folders("kos01/Part0.jpg", "kos01/Part1.jpg")
    source.mask(source.root / "kos01" / "Part0_label.bmp")


def linked(source: Source) -> None:
    outside = source.draw_image(source.root.parent / "outside.png")
    (source.root / "train" / "good" / "link.png").symlink_to(outside)


def rewritten(place: str, content: bytes) -> Change:
    return lambda source: (source.root / place).write_bytes(content)


CHOICE = {"id": "x", "type": "choices", "value": {"choices": ["NG"]}}
GOOD, MASK = "train/good/003.png", "ground_truth/scratch/001_mask.png"
CASES: dict[str, Change] = {
    "source-missing": lambda source: shutil.rmtree(source.root),
    "source-empty": emptied,
    "layout-unknown": lambda source: source.folders("a.png"),
    "layout-ambiguous": lambda source: [source.draw_image(source.root / name / "a.png") for name in ("ok", "ng")],
    "layout-differs": lambda source: source.settings.update(layout="folder"),
    "split-none": lambda source: [source.folders("ok/a.png", "ng/a.png"), source.settings.update(split="labelled")],
    "group-none": lambda source: source.settings.update(group_by="^(tray)"),
    "image-twice": lambda source: source.listed(*({"id": n, "file_name": "a.png"} for n in (1, 2))),
    "label-undecided": undecided,
    "folder-unread": lambda source: source.draw_image(source.root / "spare" / "a.png"),
    "folder-link": lambda source: (source.root / "test" / "linked").symlink_to(source.root / "train"),
    "file-unread": rewritten("test/dent/a.gif", b"GIF89a"),
    "class-empty": lambda source: [(source.root / "test/dust").mkdir(), rewritten("test/dust/a.npy", b"x")(source)],
    "category-mixed": lambda source: [
        source.folders("ok/a.png", "ng/b.png"),
        source.draw_image(source.root / "truth/ng/c.png"),
    ],
    "split-partial": lambda source: source.draw_image(source.root / "good" / "a.png"),
    "name-twice": lambda source: source.draw_image(source.root / "test" / "dent" / "001.jpg"),
    "mask-ambiguous": two_flat_masks,
    "mask-unpaired": unpaired,
    "mask-twice": two_of_one_name,
    "mask-of-two": one_mask_of_two,
    "list-unreadable": lambda source: [source.listed(), rewritten("instances.json", b'{"images": [')(source)],
    "list-shape": lambda source: source.listed(annotations={}),
    "list-field": lambda source: source.listed({"id": 1}),
    "list-entry": annotated([1, 2, 3, -4]),
    "list-id-twice": lambda source: source.listed(*({"id": 1, "file_name": f"{name}.png"} for name in "ab")),
    "list-path-ambiguous": lambda source: [
        source.listed(),
        source.draw_image(source.root / "images" / "b.png"),
        source.draw_image(source.root / "data" / "b.png"),
        source.listed_name("b.png"),
    ],
    "list-no-normal": lambda source: source.table("file_name,label", "a.png,flawless", "b.png,bent"),
    "list-annotators": lambda source: source.answered([], [CHOICE]),
    "list-column": lambda source: source.table("file_name,label,quality", "a.png,0,bad"),
    "boxes-corners": annotated([10, 5, 45, 20]),
    "list-image-unknown": lambda source: source.listed(annotations=[{"image_id": 5}]),
    "path-outside": lambda source: source.listed({"id": 1, "file_name": "../a.png"}),
    "path-text": lambda source: source.listed({"id": 1, "file_name": "a\0.png"}),
    "link-outside": linked,
    "image-missing": lambda source: source.listed({"id": 1, "file_name": "b.png"}),
    "image-empty": rewritten(GOOD, b""),
    "image-format": rewritten(GOOD, b"no image"),
    "image-size": annotated([1, 2, 3, 4], {"width": 96, "height": 64}),
    "box-outside": annotated([50, 5, 4, 4]),
    "mask-unreadable": rewritten(MASK, b"no image"),
    "mask-size": lambda source: source.mask(source.root / MASK, size=(47, 32)),
    "mask-on-normal": lambda source: source.mask(source.root / "ground_truth" / "good" / "002_mask.png"),
    "same-picture-labels": lambda source: shutil.copy(
        source.root / "test/good/000.png", source.root / "test/dent/copy.png"
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_a_folder_with_one_fault_has_this_fault_and_no_other(
    code: str, mvtec_set: Path, tmp_path: Path, draw_image: Write, mask: Write
) -> None:
    source = Source(mvtec_set, draw_image, mask)
    CASES[code](source)
    with pytest.raises(DataFaultsError) as error:
        build(mvtec_set, tmp_path / "out", BuildSettings(**source.settings))
    assert [fault.code for fault in error.value.faults] == [code]
    assert str(error.value).startswith(f"{error.value.faults[0].file}: [{code}] ")
    assert str(error.value).endswith(f"; {KINDS[code].fix}")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_control_the_folder_is_sound_without_a_change(mvtec_set: Path, tmp_path: Path) -> None:
    assert build(mvtec_set, tmp_path / "out", BuildSettings()).samples == 23


def test_every_type_of_fault_of_a_source_has_its_case() -> None:
    of_build = {
        code for code, kind in KINDS.items() if kind.part in ("The source folder", "Lists of images in the source")
    }
    assert len(of_build) == 32
    assert of_build - {"folder-unreadable"} <= set(CASES) <= set(KINDS)


def test_a_folder_that_cannot_be_listed_is_one_fault(
    mvtec_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refused(path: Any) -> Any:
        if str(path).endswith("test/dent"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataFaultsError, match=r"test/dent: \[folder-unreadable\] cannot be read") as error:
        build(mvtec_set, tmp_path / "out", BuildSettings())
    assert len(error.value.faults) == 1


def test_a_pipe_is_no_image(mvtec_set: Path, tmp_path: Path) -> None:
    os.mkfifo(mvtec_set / "train" / "good" / "pipe.png")
    with pytest.raises(DataFaultsError, match=r"\[image-unreadable\] train/good/pipe.png"):
        build(mvtec_set, tmp_path / "out", BuildSettings())
