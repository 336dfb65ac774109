"""Every kind of fault: a set that has this fault, exactly once, and no other."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.cli.main import main
from adfm.data.build import build
from adfm.data.check import KINDS, Broken, broken, check
from adfm.data.check.rows import MAX_ASPECT
from adfm.data.contract import MAX_ENTRIES, LineError, sample_from_json
from adfm.data.manifest import MAX_LINE
from adfm.data.meta import counts
from adfm.data.settings import BuildSettings
from adfm.geometry import Frame, masks
from adfm.models.families import FAMILIES
from adfm.records import Sample
from adfm.rewards import gold_fault

GOOD = "valve/train/good/002"
SCRATCH = "valve/test/scratch/002"
OTHER_SCRATCH = "valve/test/scratch/003"
BOX = (4, 5, 20, 17)  # what the mask of SCRATCH marks


class Built:
    """A sound built set whose rows, files and meta a case changes; `save` writes what was changed."""

    def __init__(self, out: Path, root: Path) -> None:
        self.out, self.root = out, root
        self.manifest, self.meta_file = out / "manifest.jsonl", out / "manifest.meta.json"
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in self.manifest.read_text().splitlines()]
        self.meta: dict[str, Any] = json.loads(self.meta_file.read_text())
        self.known: dict[str, str] = {}

    def row(self, id_: str) -> dict[str, Any]:
        return next(row for row in self.rows if row["id"] == id_)

    @property
    def dent(self) -> dict[str, Any]:
        """An anomalous sample without mask and boxes."""
        return next(row for row in self.rows if row["defect"] == "dent")

    def place(self, row: dict[str, Any]) -> Path:
        return self.out / row["image"]

    def file(self, content: bytes, name: str) -> str:
        """Write a file into the source; return its path as it stands in a manifest."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return f"../{self.root.name}/{name}"

    def draw_image(self, row: dict[str, Any], content: bytes, name: str) -> dict[str, Any]:
        """Give a row another image file; its recorded size stays."""
        row |= {"image": self.file(content, name), "sha256": hashlib.sha256(content).hexdigest()}
        return row

    def save(self) -> None:
        readable = []
        for row in self.rows:
            with suppress(LineError):
                readable.append(sample_from_json(row))
        self.meta["counts"] = counts(readable)
        self.meta_file.write_text(json.dumps(self.meta))
        self.manifest.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def appended(self, line: str) -> None:
        self.save()
        self.manifest.write_text(self.manifest.read_text() + line + "\n")


@pytest.fixture
def built(mvtec_set: Path, tmp_path: Path) -> Built:
    build(mvtec_set, tmp_path / "out", BuildSettings(split="labelled"))
    return Built(tmp_path / "out", mvtec_set)


def noise(seed: int = 0, size: tuple[int, int] = (48, 32), depth: Any = np.uint8, channels: int = 3) -> Image.Image:
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    top = np.iinfo(depth).max
    return Image.fromarray(np.random.default_rng(seed).integers(0, top, shape, dtype=depth))


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, "JPEG", quality=95, exif=exif)


def marked(box: tuple[int, int, int, int] = BOX, value: Any = 255, size: tuple[int, int] = (48, 32)) -> Image.Image:
    codes = np.zeros((size[1], size[0]), np.uint8)
    codes[box[1] : box[3], box[0] : box[2]] = value
    return Image.fromarray(codes)


def speckled() -> Image.Image:
    """A mask of single pixels, on an image that is too small for as many as are refused."""
    codes = np.zeros((32, 48), np.uint8)
    codes[::2, ::2] = 255
    return Image.fromarray(codes)


def bomb_header() -> bytes:
    """A PNG whose header says 20,000 x 20,000."""
    content = saved(noise())
    header = content[12:16] + struct.pack(">II", 20_000, 20_000) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def dots(count: int) -> list[list[int]]:
    """That many boxes of one pixel, two pixels apart, sorted."""
    return [[x, y, x + 1, y + 1] for y in range(0, 32, 2) for x in range(0, 48, 2)][:count]


Case = Callable[[Built], None]
CASES: dict[str, Case] = {}


def case(code: str) -> Callable[[Case], Case]:
    def register(change: Case) -> Case:
        assert code not in CASES
        CASES[code] = change
        return change

    return register


def changed(code: str, id_: str, **values: Any) -> None:
    """A case where a row is changed and saved, and nothing else."""

    def change(built: Built) -> None:
        built.row(id_).update(values)
        built.save()

    case(code)(change)


def with_image(code: str, content: Callable[[], bytes], name: str = "new.png", **values: Any) -> None:
    """A case where a normal sample has another image file."""

    def change(built: Built) -> None:
        built.draw_image(built.row(GOOD), content(), name).update(values)
        built.save()

    case(code)(change)


def masked(code: str, content: Callable[[], bytes], name: str = "new_mask.png", **values: Any) -> None:
    """A case where an anomalous sample has another mask file."""

    def change(built: Built) -> None:
        built.row(SCRATCH).update({"mask": built.file(content(), name), **values})
        built.save()

    case(code)(change)


def boxed(code: str, boxes: Any) -> None:
    """A case where an anomalous sample without a mask has these boxes."""

    def change(built: Built) -> None:
        built.dent["boxes"] = boxes
        built.save()

    case(code)(change)


def written(code: str, content: bytes) -> None:
    """A case where the manifest holds these bytes."""
    case(code)(lambda built: built.manifest.write_bytes(content) and None)


# The manifest and its lines

case("manifest-unreadable")(lambda built: built.manifest.unlink())
written("manifest-encoding", b"\xff\xfe{\x00}\x00")
written("manifest-empty", b"\n \n")


@case("manifest-bom")
def _(built: Built) -> None:
    built.manifest.write_bytes(b"\xef\xbb\xbf" + built.manifest.read_bytes())


case("line-json")(lambda built: built.appended('{"id": "a",}'))
case("line-long")(lambda built: built.appended('{"id": "' + "a" * MAX_LINE + '"}'))
case("line-object")(lambda built: built.appended("[1]"))


@case("key-twice")
def _(built: Built) -> None:
    text = built.manifest.read_text()
    built.manifest.write_text(text.replace('"split": "test"', '"split": "train", "split": "test"', 1))


changed("field-unknown", GOOD, colour="red")


@case("field-missing")
def _(built: Built) -> None:
    del built.row(GOOD)["split"]
    built.save()


changed("field-type", GOOD, width=True)
changed("text-control", GOOD, id="two\nlines")
changed("label-unknown", GOOD, label="fine")
changed("split-unknown", GOOD, split="dev")
changed("size-limit", GOOD, width=1_000_000, height=1_000_000)
with_image("size-aspect", lambda: saved(noise(size=(402, 2))), width=402, height=2)
changed("sha256-malformed", GOOD, sha256="F" * 64)
changed("defect-on-normal", GOOD, defect="dent")


@case("gold-marks")
def _(built: Built) -> None:
    built.meta["settings"]["max_boxes"] = 100
    built.dent["boxes"] = dots(65)  # an answer may hold 64 regions
    built.save()


# Paths

changed("path-absolute", GOOD, image="C:\\parts\\a.png")
changed("path-text", GOOD, image="a\0b.png")
with_image("path-backslash", lambda: saved(noise()), name="parts\\a.png")
changed("path-outside", GOOD, image="../../../none.png")


@case("link-outside")
def _(built: Built) -> None:
    elsewhere = built.root.parent / "elsewhere.png"
    built.place(built.row(GOOD)).rename(elsewhere)
    built.place(built.row(GOOD)).symlink_to(elsewhere)


# Images

case("image-missing")(lambda built: built.place(built.row(GOOD)).unlink())
changed("image-unreadable", GOOD, image="../valve/train")
with_image("image-empty", lambda: b"")
with_image("image-format", lambda: b"GIF89a, or not even that")
with_image("image-damaged", lambda: saved(noise())[:900])
with_image("image-limit", bomb_header)
with_image("image-suffix", lambda: saved(noise(), "JPEG", quality=95))
with_image("image-frames", lambda: saved(noise(), "TIFF", save_all=True, append_images=[noise(1)]), name="new.tif")
with_image("image-values", lambda: saved(noise(depth=np.uint16, channels=1)))
with_image("image-depth", lambda: saved(noise(depth=np.uint16, channels=1)), white=65535)
with_image(
    "image-previews",
    lambda: saved(noise(), "MPO", save_all=True, append_images=[noise(1)]) + b"hdrgm:Version",
    name="new.jpg",
)
with_image("image-colours", lambda: saved(noise().convert("CMYK"), "TIFF"), name="new.tif")
with_image("image-alpha", lambda: saved(noise(channels=4)))
with_image("image-uniform", lambda: saved(Image.new("RGB", (48, 32), "black")))
changed("image-size", GOOD, width=49)
with_image("image-rotated", lambda: turned(noise(), 6), name="new.jpg")


@case("sha256-differs")
def _(built: Built) -> None:
    built.place(built.row(GOOD)).write_bytes(saved(noise()))


@case("known-bad")
def _(built: Built) -> None:
    built.known[built.row(GOOD)["sha256"]] = "camera was out of focus"


@case("known-bad-name")
def _(built: Built) -> None:
    built.draw_image(built.row(GOOD), saved(noise()), "DS-MVTec/pill/image/good/021.png")
    for row in built.rows:
        row["category"] = "pill"
    built.save()


# Masks

changed("mask-missing", SCRATCH, mask="../valve/none.png")
masked("mask-unreadable", lambda: b"no picture")
masked("mask-unclear", lambda: saved(Image.fromarray(np.where(np.asarray(marked()), 60, 120).astype(np.uint8))))
masked("mask-marks", lambda: saved(speckled()))
masked("mask-size", lambda: saved(marked(size=(49, 32))))


@case("mask-is-image")
def _(built: Built) -> None:
    built.row(SCRATCH)["mask"] = built.row(SCRATCH)["image"]
    built.save()


@case("mask-on-normal")
def _(built: Built) -> None:
    built.row(GOOD)["mask"] = built.file(saved(marked()), "new_mask.png")
    built.save()


masked("mask-empty", lambda: saved(marked(value=0)), boxes=None)
masked("mask-inverted", lambda: saved(marked((0, 0, 48, 31))), boxes=[[0, 0, 48, 31]])
masked("mask-lossy", lambda: saved(marked((8, 8, 24, 24)), "JPEG", quality=100), "new.jpg", boxes=[[8, 8, 24, 24]])
masked("mask-colour", lambda: saved(Image.merge("RGB", (marked(), marked(), marked(value=0)))))
masked("mask-soft", lambda: saved(marked(value=np.arange(10, 202).reshape(12, 16))))


@case("mask-orientation")
def _(built: Built) -> None:
    built.draw_image(built.row(SCRATCH), turned(noise(), 3), "new.jpg")
    built.save()


@case("mask-shared")
def _(built: Built) -> None:
    first, later = built.row(SCRATCH), built.row(OTHER_SCRATCH)
    later |= {"mask": first["mask"], "boxes": first["boxes"]}
    built.save()


# Boxes

boxed("boxes-type", {"x1": 0})
boxed("field-long", [[0, 0, 1, 1]] * (MAX_ENTRIES + 1))
boxed("box-malformed", [[0, 0, 4]])
boxed("box-empty", [[30, 20, 10, 5]])
boxed("box-outside", [[0, 0, 49, 4]])
boxed("boxes-empty", [])
boxed("box-twice", [[0, 0, 4, 4], [0, 0, 4, 4]])
boxed("boxes-unsorted", [[0, 9, 4, 12], [0, 0, 4, 4]])
boxed("boxes-many", dots(17))
changed("boxes-on-normal", GOOD, boxes=[[0, 0, 4, 4]])
changed("boxes-null", SCRATCH, boxes=None)
changed("boxes-differ", SCRATCH, boxes=[[4, 5, 20, 16]])


# Between samples


def copied(code: str, **values: Any) -> None:
    """A case where a normal training sample stands twice, the second time with these values."""

    def change(built: Built) -> None:
        built.rows.append(built.row(GOOD) | {"id": "copy", **values})
        built.save()

    case(code)(change)


def added(code: str, **values: Any) -> None:
    """A case where a sample with an image of its own stands beside the others."""

    def change(built: Built) -> None:
        built.rows.append(built.draw_image(built.row(GOOD) | {"id": "new"}, saved(noise()), "new.png") | values)
        built.save()

    case(code)(change)


added("id-twice", id=GOOD)
added("id-case", id=GOOD.upper())
copied("same-picture")
copied("same-picture-splits", split="test")
copied("same-picture-labels", label="anomalous", defect="dent", boxes=None)


@case("same-pixels-splits")
def _(built: Built) -> None:
    """A mirrored copy without losses."""
    image = Image.open(built.place(built.row(GOOD))).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    built.rows.append(built.draw_image(built.row(GOOD) | {"id": "new", "split": "test"}, saved(image), "new.png"))
    built.save()


@case("near-duplicate")
def _(built: Built) -> None:
    """A copy one grey level darker, in another format."""
    image = Image.open(built.place(built.row(GOOD))).point(lambda value: max(value - 1, 0))
    built.rows.append(
        built.draw_image(built.row(GOOD) | {"id": "new", "split": "test"}, saved(image, "BMP"), "new.bmp")
    )
    built.save()


@case("group-splits")
def _(built: Built) -> None:
    for row in {row["split"]: row for row in built.rows}.values():
        row["group"] = "board 7"
    built.save()


changed("name-variants", SCRATCH, defect="Scratch")


# The set as a whole


def kept(code: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """A case where only some samples are left."""

    def change(built: Built) -> None:
        built.rows = [row for row in built.rows if wanted(row)]
        built.save()

    case(code)(change)


kept("split-empty", lambda row: row["split"] == "train")
kept("split-one-label", lambda row: row["split"] == "train" or row["label"] == "anomalous")
changed("category-untested", GOOD, category="bolt")


@case("category-untrained")
def _(built: Built) -> None:
    next(row for row in built.rows if row["split"] == "test")["category"] = "bolt"
    built.save()


@case("defect-unnamed")
def _(built: Built) -> None:
    for row in built.rows:
        row["defect"] = None if row["defect"] == "dent" else row["defect"]
    built.save()


# The meta file

case("meta-missing")(lambda built: built.meta_file.unlink())
case("meta-unreadable")(lambda built: built.meta_file.write_text("{") and None)


def meta(code: str, **values: Any) -> None:
    def change(built: Built) -> None:
        built.meta_file.write_text(json.dumps(built.meta | values))

    case(code)(change)


meta("meta-source", source="../none")
meta("meta-settings", settings={"dilat": 0.1})
meta("meta-counts", counts={"valve": {"train": {"normal": 1}}})


def gold(sample: Sample) -> list[Broken]:
    fault = gold_fault(sample, Frame.original(sample.width, sample.height))
    return [broken("gold-marks", why=fault)] if fault else []


def found(built: Built) -> list[str]:
    return [fault.code for fault in check(built.out, extra=gold, known=built.known)]


@pytest.mark.parametrize("code", CASES)
def test_a_set_with_one_fault_is_told_this_fault_in_one_line_and_no_other(
    code: str, built: Built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(masks, "MAX_MARKS", 300)
    CASES[code](built)
    known = built.out / "known.txt"
    known.write_text("".join(f"{sha256} {why}\n" for sha256, why in built.known.items()))
    fault = KINDS[code].level == "fault"
    assert main(["data", "check", str(built.out), "--known-bad", str(known)]) == (2 if fault else 0)
    told = capsys.readouterr()
    line, summary = told.out.splitlines()
    assert line.startswith(str(built.out)) and f"[{code}] " in line
    assert line.endswith(f"; {KINDS[code].fix}")
    assert summary == ("1 faults, 0 warnings" if fault else "0 faults, 1 warnings")
    assert told.err == ""


NORMALS = (
    {"width": True},
    {"label": "fine"},
    {"split": "dev"},
    {"image": "/a"},
    {"boxes": [[0, 0, 4, 4]]},
    {"defect": "dent"},
)
ANOMALOUS = ({"boxes": []}, {"boxes": [[4, 4, 0, 0]]}, {"boxes": {}}, {"mask": "none.png"}, {"image": "none.png"})


def test_the_faults_of_many_lines_are_told_in_one_pass(built: Built) -> None:
    for label, changes in (("normal", NORMALS), ("anomalous", ANOMALOUS)):
        for row, change in zip([row for row in built.rows if row["label"] == label], changes, strict=False):
            row.update(change)
    built.appended("[")
    expected = ["field-type", "label-unknown", "split-unknown", "path-absolute", "boxes-on-normal", "defect-on-normal"]
    expected += ["boxes-empty", "box-empty", "boxes-type", "mask-missing", "image-missing", "line-json"]
    assert sorted(found(built)) == sorted(expected)


def test_a_sound_set_is_told_nothing(built: Built) -> None:
    assert found(built) == []
    built.save()
    assert found(built) == []


def test_every_kind_has_its_case() -> None:
    of_build = {
        code for code, kind in KINDS.items() if kind.part in ("The source folder", "Lists of images in the source")
    }
    assert set(CASES) == set(KINDS) - of_build  # `test_build_faults.py` has the others
    assert sum(KINDS[code].level == "fault" for code in CASES) >= 40


# What is right and looks odd


HARMLESS: dict[str, Case] = {}


def harmless(change: Case) -> Case:
    HARMLESS[change.__name__] = change
    return change


@harmless
def a_normal_part_with_an_empty_mask(built: Built) -> None:
    built.row(GOOD)["mask"] = built.file(saved(marked(value=0)), "new_mask.png")
    built.save()


@harmless
def class_numbers_that_look_black(built: Built) -> None:
    built.row(SCRATCH)["mask"] = built.file(saved(marked(value=3)), "new_mask.png")
    built.save()


@harmless
def a_grey_mask_saved_in_colour(built: Built) -> None:
    built.row(SCRATCH)["mask"] = built.file(saved(marked().convert("RGB")), "new_mask.png")
    built.save()


@harmless
def a_mask_in_two_files(built: Built) -> None:
    halves = marked((4, 5, 12, 17)), marked((12, 5, 20, 17))
    built.row(SCRATCH)["mask"] = [built.file(saved(half), f"{n}.png") for n, half in enumerate(halves)]
    built.save()


@harmless
def a_image_turned_by_exif_with_its_size_as_shown(built: Built) -> None:
    row = built.draw_image(built.row(SCRATCH), turned(noise(size=(32, 48)), 6), "new.jpg")
    assert (row["width"], row["height"]) == (48, 32)
    built.save()


@harmless
def a_palette_and_a_grey_image(built: Built) -> None:
    built.draw_image(built.row(GOOD), saved(noise().convert("P")), "palette.png")
    built.draw_image(built.row(SCRATCH), saved(noise(1, channels=1)), "grey.png")
    built.save()


@harmless
def a_suffix_in_capitals_or_unknown(built: Built) -> None:
    built.draw_image(built.row(GOOD), saved(noise(), "JPEG", quality=95), "new.JPG")
    built.draw_image(built.row(SCRATCH), saved(noise(1), "JPEG", quality=95), "new.jfif")
    built.save()


@harmless
def a_link_that_stays_inside(built: Built) -> None:
    place = built.place(built.row(GOOD))
    place.rename(place.with_name("moved.png"))
    place.symlink_to("moved.png")


@harmless
def names_in_any_script(built: Built) -> None:
    for row in built.rows:
        row |= {"category": "Gehäuse 外壳", "id": f"é {row['id']}", "group": row["id"]}
    built.save()


@harmless
def a_pill_of_another_number_and_a_metal_nut_of_the_same(built: Built) -> None:
    built.draw_image(built.row(GOOD), saved(noise()), "pill/image/good/022.png")
    built.draw_image(built.rows[-1], saved(noise(1)), "metal_nut/image/good/021.png")
    for row in built.rows:
        row["category"] = "pill"
    built.save()


@harmless
def places_unknown_without_a_mask(built: Built) -> None:
    built.row(SCRATCH).update(mask=None, boxes=None)
    built.save()


@harmless
def a_validation_split_of_normal_parts_alone(built: Built) -> None:
    built.row(GOOD)["split"] = "validation"
    built.save()


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_only_looks_odd_is_told_nothing(change: Case, built: Built) -> None:
    change(built)
    assert found(built) == []


def test_a_tile_may_lie_wholly_inside_a_defect(mvtec_set: Path, mask: Callable[..., Path], tmp_path: Path) -> None:
    mask(mvtec_set / "ground_truth" / "scratch" / "002_mask.png", [(0, 0, 48, 32)])
    build(mvtec_set, tmp_path / "whole", BuildSettings(split="labelled"))
    build(mvtec_set, tmp_path / "tiles", BuildSettings(split="labelled", tile=16))
    assert [fault.code for fault in check(tmp_path / "whole")] == ["mask-inverted"]
    assert "mask-inverted" not in [fault.code for fault in check(tmp_path / "tiles")]


def test_what_follows_from_a_fault_is_not_told_again(built: Built) -> None:
    """The only anomalous training samples cannot be read: that is told, and not that there are none."""
    for row in built.rows:
        if row["split"] == "train" and row["label"] == "anomalous":
            row["width"] = 0
    built.save()
    assert set(found(built)) == {"field-type"}


def test_several_faults_of_one_line_are_all_told(built: Built) -> None:
    built.row(GOOD).update(width=49, defect="dent", colour="red", sha256="")
    built.row(SCRATCH).update(height=33, sha256="0" * 64, boxes=[[0, 0, 1, 1], [0, 0, 1, 1]])
    built.save()
    told = sorted(found(built))
    assert told == sorted(
        ["field-type", "defect-on-normal", "field-unknown", "image-size", "mask-size", "sha256-differs", "box-twice"]
    )


def test_the_longest_side_that_a_model_reads() -> None:
    assert {family.max_aspect for family in FAMILIES.values()} == {MAX_ASPECT}


def test_kinds_are_told_alike() -> None:
    for code, kind in KINDS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code)
        assert kind.level in ("fault", "warning")
        assert kind.rule and kind.fix
        assert not kind.fix.endswith(".")
        assert "\n" not in kind.rule + kind.fix
