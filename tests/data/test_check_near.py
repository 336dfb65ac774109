"""Near duplicates: copies are found whatever was done to the file, different parts are not, and no pair is missed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from adfm.data.check import near
from adfm.data.check.images import THUMB, look
from adfm.data.check.near import Seen, Vectors, near_duplicates, nearest, turned
from adfm.data.check.rows import Line
from adfm.data.synthetic import make
from adfm.records import Sample, Split


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    """Normal parts of one product, which look alike."""
    out = tmp_path_factory.mktemp("near") / "parts"
    make(out, seed=5, images=24, size=(160, 160), products=1, difficulty=0.2, materials=("cast",))
    return [Image.open(path).convert("RGB") for path in sorted(out.rglob("good/*.png"))]


def seen(number: int, image: Image.Image, split: Split, folder: Path, group: str | None = None) -> Seen:
    path = folder / f"{number}.png"
    image.save(path)
    sample = Sample(str(number), path.name, *image.size, "normal", "part", None, None, (), split, str(number), group)
    looked = look(sample, path, {})
    assert looked.thumb is not None
    return Seen(Line(number, sample), looked.thumb, looked.colours)


def told(*images_files: Seen) -> list[int]:
    return [
        line for line, fault in near_duplicates(images_files) if fault.code in ("near-duplicate", "same-pixels-splits")
    ]


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        lambda image: image.resize((112, 112)),
        lambda image: recompressed(image.resize((112, 112))),
        lambda image: ImageEnhance.Brightness(image).enhance(1.005),
        lambda image: image.convert("L"),
    ],
)
def test_a_changed_copy_is_found(change: object, parts: list[Image.Image], tmp_path: Path) -> None:
    assert callable(change)
    assert told(seen(1, parts[0], "train", tmp_path), seen(2, change(parts[0]), "test", tmp_path)) == [2]


def test_other_parts_of_the_product_are_not(parts: list[Image.Image], tmp_path: Path) -> None:
    splits: tuple[Split, ...] = ("train", "validation", "test")
    images_files = [seen(n, part, splits[n % 3], tmp_path) for n, part in enumerate(parts)]
    assert len(images_files) >= 12
    assert told(*images_files) == []


def test_the_later_line_carries_it_and_every_pair_of_splits_counts(parts: list[Image.Image], tmp_path: Path) -> None:
    test = seen(3, parts[0], "test", tmp_path)
    train, validation = (seen(n, recompressed(parts[0]), s, tmp_path) for n, s in ((5, "train"), (9, "validation")))
    assert sorted(told(test, train, validation)) == [5, 9, 9]


def test_one_split_one_group_and_equal_files_are_told_elsewhere_or_not_at_all(
    parts: list[Image.Image], tmp_path: Path
) -> None:
    copy, image = recompressed(parts[0]), parts[0]
    assert told(seen(1, image, "train", tmp_path), seen(2, copy, "train", tmp_path)) == []
    assert told(seen(1, image, "train", tmp_path, "a"), seen(2, copy, "test", tmp_path, "a")) == []
    assert told(seen(1, image, "train", tmp_path, "a"), seen(2, copy, "test", tmp_path, "b")) == [2]
    one, other = seen(1, image, "train", tmp_path), seen(2, copy, "test", tmp_path)
    equal = other._replace(line=Line(2, one.line.sample))
    assert told(one, equal._replace(line=Line(2, seen(1, image, "test", tmp_path).line.sample))) == []


def random_thumbs(count: int) -> Vectors:
    return np.random.default_rng(count).integers(0, 256, (count, THUMB, THUMB)).astype(np.float32) - 128


def own(count: int, first: int = 0) -> NDArray[np.int64]:
    """Owners that no two images share."""
    return np.arange(first, first + count)[:, None]


def test_the_nearest_is_found_in_every_position_and_across_blocks() -> None:
    left, right = random_thumbs(70), random_thumbs(2100)
    places = {7 + 290 * turn: turn for turn in range(8)}
    for place, turn in places.items():
        right[place] = turned(left[3 * turn], turn) + 1
    found = list(nearest(left, right, own(70), own(2100, 70)))
    assert {pair.right: (pair.left, pair.turn) for pair in found} == {p: (3 * t, t) for p, t in places.items()}
    assert all(0.9 < pair.distance < 1.1 for pair in found)


def test_no_nearest_is_missed_where_all_are_alike() -> None:
    """Compared with every pair in full."""
    noise = np.random.default_rng(0).normal(0, 0.9, (300, THUMB, THUMB)).astype(np.float32)
    left, right = noise[:100], noise[100:]
    full = np.stack([np.sqrt(((turned(left, 0)[:, None] - right) ** 2).mean(axis=(2, 3)))])
    found = [pair for pair in nearest(left, right, own(100), own(200, 100)) if pair.turn == 0]
    assert {pair.right: pair.left for pair in found} == dict(enumerate(full[0].argmin(axis=0).tolist()))
    owned = nearest(left, right, own(100) * 0, own(200) * 0)
    assert list(owned) == []


@pytest.mark.parametrize("turn", range(8))
def test_turned_and_mirrored_copies_are_faults(turn: int, parts: list[Image.Image], tmp_path: Path) -> None:
    """Saved again without losses the pixels are the same: a fault; as JPEG they are near: a warning."""
    shown = Image.fromarray(
        np.ascontiguousarray(turned(np.asarray(parts[0]).transpose(2, 0, 1), turn).transpose(1, 2, 0))
    )
    files = [seen(n, part, "train", tmp_path) for n, part in enumerate(parts)]
    exact, lossy = (seen(50 + n, image, "test", tmp_path) for n, image in enumerate((shown, recompressed(shown))))
    found = dict(near_duplicates([*files, exact, lossy]))
    assert {line: fault.code for line, fault in found.items()} == {50: "same-pixels-splits", 51: "near-duplicate"}
    assert all("line 0 in another split" in fault.rule for fault in found.values())


def test_one_position_alone_would_miss_them(
    parts: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "TURNS", ("",))
    mirrored = parts[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert told(seen(1, parts[0], "train", tmp_path), seen(2, mirrored, "test", tmp_path)) == []


def lamp(number: int) -> Image.Image:
    """A part without a mark of its own: what differs is noise, and all of them are lit alike."""
    y, x = np.mgrid[:96, :96] - 48
    light = 160 - (x**2 + y**2) / 80
    grain = np.random.default_rng(number).normal(0, 4, (96, 96))
    return Image.fromarray((light + grain).clip(0, 255).astype(np.uint8))


def test_parts_that_look_alike_under_one_lamp_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [seen(n, lamp(n), "train" if n % 2 else "test", tmp_path) for n in range(24)]
    assert told(*files) == []
    copy = seen(99, lamp(0).point(lambda level: level - 1), "train", tmp_path)
    assert told(*files, copy) == [99]
    monkeypatch.setattr(near, "ALIKE", -1)
    assert len(told(*files)) > 6
