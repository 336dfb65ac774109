"""Near duplicates: copies are found whatever was done to the file, different parts are not, and no pair is missed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from adfm.data.check.images import look
from adfm.data.check.near import NEAR, Seen, near_duplicates, nearest
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
    thumb = look(sample, path, {}).thumb
    assert thumb is not None
    return Seen(Line(number, sample), thumb)


def told(*images_files: Seen) -> list[int]:
    return [line for line, fault in near_duplicates(images_files) if fault.code == "near-duplicate"]


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


def test_the_nearest_is_the_nearest_across_blocks() -> None:
    draw = np.random.default_rng(0)
    left, right = (draw.integers(0, 256, (n, 1024)).astype(np.float32) - 128 for n in (70, 2100))
    right[7], right[2050] = left[3], left[60] + 1
    index, distance = nearest(left, right)
    expected = brute(left, right[::50])
    assert index[::50].tolist() == expected.argmin(axis=1).tolist()
    assert np.allclose(distance[::50], expected.min(axis=1))
    assert (index[7], index[2050]) == (3, 60)
    assert distance[7] == 0
    assert 0.9 < distance[2050] < 1.1 < NEAR


def brute(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """RMS distances, a pair at a time."""
    wide = right.astype(np.float64)[:, None] - left.astype(np.float64)
    return np.sqrt((wide**2).mean(axis=2))
