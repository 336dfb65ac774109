"""Rows to train on: images and boxes turn together, labels balance, prompts end with text, frames are those of the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from quick import subject_of

from adfm.data.faults import DataFaultsError
from adfm.data.manifest import Manifest, read_manifest
from adfm.geometry import Box, Frame
from adfm.models.files import load_processor
from adfm.reasoning import read
from adfm.records import Sample
from adfm.rewards import reward
from adfm.rewards.presets import RewardSettings
from adfm.storage import sha256_file
from adfm.training.examples import Example, balanced, manifest_examples, row, rows
from adfm.training.settings import DataSettings
from adfm.training.views import POSITIONS, SMALLEST_CROP, View, viewed_image, viewed_sample, views

WIDTH, HEIGHT = 70, 40


def sample(box: Box | None, **changes: object) -> Sample:
    label = "anomalous" if box else "normal"
    made = Sample("s", "", WIDTH, HEIGHT, label, "nut", "x" if box else None, None, (box,) if box else (), "train", "")
    return replace(made, **changes)  # type: ignore[arg-type]


def marked(box: Box, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = 255
    return Image.fromarray(pixels)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, y1 = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    return Box(x1, y1, draw(st.integers(x1 + 1, WIDTH)), draw(st.integers(y1 + 1, HEIGHT)))


@pytest.mark.parametrize("position", range(POSITIONS))
@given(box=boxes())
def test_image_and_boxes_turn_together(position: int, box: Box) -> None:
    view = View(position)
    turned, image = viewed_sample(sample(box), view), viewed_image(marked(box), view, sample(box))
    assert turned.boxes
    assert image.size == (turned.width, turned.height)
    assert np.array_equal(np.asarray(image), np.asarray(marked(turned.boxes[0], image.size)))


def test_an_image_replaced_after_the_build_is_no_example(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    built = Sample("a", "a.png", 8, 8, "normal", "nut", None, None, (), "train", sha256_file(tmp_path / "a.png"))
    (example,) = manifest_examples(Manifest(tmp_path, (built,)), DataSettings(flips_rotations=False))
    assert example.image().size == (8, 8)
    Image.new("RGB", (8, 8), "white").save(tmp_path / "a.png")
    (example,) = manifest_examples(Manifest(tmp_path, (built,)), DataSettings(flips_rotations=False))
    with pytest.raises(DataFaultsError, match="sha256-differs"):
        example.image()


def test_flips_and_rotations_are_eight_different_ones() -> None:
    turned = [viewed_sample(sample(Box(3, 5, 20, 11)), View(position)) for position in range(POSITIONS)]
    assert len({(part.width, part.boxes) for part in turned}) == 8
    assert [part.id for part in turned] == ["s", *(f"s#turn{position}" for position in range(1, 8))]


@given(box=boxes(), seed=st.integers(0, 99))
def test_a_crop_holds_the_whole_defect_where_its_box_says(box: Box, seed: int) -> None:
    whole = sample(box)
    for view in list(views(whole, flips_rotations=True, crops=5, seed=seed))[POSITIONS:]:
        assert view.window
        crop, image = viewed_sample(whole, view), viewed_image(marked(box), view, whole)
        assert crop.boxes
        assert image.size == (crop.width, crop.height)
        assert np.array_equal(np.asarray(image), np.asarray(marked(crop.boxes[0], image.size)))


@pytest.mark.parametrize("places", [None, ()])
def test_crops_of_normal_parts_differ_and_unknown_places_are_never_cropped(places: tuple[Box, ...] | None) -> None:
    normal = sample(None, boxes=())
    crops = [viewed_sample(normal, view) for view in views(normal, flips_rotations=False, crops=20, seed=3)][1:]
    assert len({(crop.id, crop.width) for crop in crops}) > 10
    assert min(crop.width for crop in crops) >= round(SMALLEST_CROP * WIDTH)
    assert all(crop.boxes == () and crop.width <= WIDTH for crop in crops)
    unknown = sample(None, label="anomalous", boxes=places)
    assert len(list(views(unknown, flips_rotations=False, crops=4, seed=0))) == (1 if places is None else 5)


def test_a_crop_of_a_shrunk_image_is_in_original_pixels() -> None:
    whole = sample(Box(20, 10, 40, 30))
    small = marked(whole.boxes[0]).resize((WIDTH // 2, HEIGHT // 2))  # type: ignore[index]
    view = list(views(whole, flips_rotations=False, crops=1, seed=1))[1]
    crop, image = viewed_sample(whole, view), viewed_image(small, view, whole)
    assert (abs(image.width * 2 - crop.width), abs(image.height * 2 - crop.height)) <= (1, 1)


def test_the_seed_decides_the_crops() -> None:
    def drawn(seed: int) -> list[object]:
        return list(views(sample(Box(2, 3, 9, 9)), flips_rotations=True, crops=4, seed=seed))

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize("places", [None, ()])
def test_a_sample_without_boxes_turns_too(places: tuple[Box, ...] | None) -> None:
    turned = viewed_sample(sample(None, boxes=places), View(1))
    assert (turned.boxes, turned.width, turned.height) == (places, HEIGHT, WIDTH)


@pytest.mark.parametrize(("normal", "anomalous"), [(5, 2), (2, 5), (3, 3), (0, 4), (4, 0), (1, 7)])
def test_balanced(normal: int, anomalous: int) -> None:
    examples = [Example(sample(None, id=f"n{i}"), Image.new) for i in range(normal)]  # type: ignore[arg-type]
    examples += [Example(sample(Box(0, 0, 1, 1), id=f"a{i}"), Image.new) for i in range(anomalous)]  # type: ignore[arg-type]
    result = balanced(examples)
    if not normal or not anomalous:
        assert result == examples
        return
    counts = [sum(e.sample.anomalous is flag for e in result) for flag in (True, False)]
    assert counts == [max(normal, anomalous)] * 2
    assert {e.sample.id for e in result} == {e.sample.id for e in examples}


@pytest.fixture
def manifest(parts_data: Path) -> Manifest:
    return read_manifest(parts_data).only("train")


def examples_of(manifest: Manifest, **settings: Any) -> list[Example]:
    return manifest_examples(manifest, DataSettings(**settings))


def test_turned_examples_show_their_own_image(manifest: Manifest) -> None:
    examples = examples_of(manifest, flips_rotations=True, balance=False, max_side=0)
    assert len(examples) == 8 * len(manifest.samples)
    first = [np.asarray(example.image()) for example in examples[:POSITIONS]]
    for position, shown in enumerate(first):
        turned = viewed_image(Image.fromarray(first[0]), View(position), manifest.samples[0])
        assert np.array_equal(shown, np.asarray(turned))
    other = np.asarray(examples[POSITIONS].image())  # late binding would show the last sample's image everywhere
    assert not np.array_equal(first[0], other)


def test_a_prompt_ends_with_text_after_the_image(either: Path, manifest: Manifest) -> None:
    processor, subject = load_processor(str(either)), subject_of(either)
    examples = examples_of(manifest, flips_rotations=False, balance=True, max_side=0)
    for filled in rows(examples, subject, answers=True).select(range(2)):
        kinds = [part["type"] for part in filled["prompt"][0]["content"]]
        assert kinds == ["image", "text"]
        text = processor.apply_chat_template(filled["prompt"], tokenize=False, add_generation_prompt=True)
        assert text.rindex("<|image_pad|>") < text.rindex("Begin with <locate>.")


def test_every_target_earns_full_marks(either: Path, manifest: Manifest) -> None:
    subject = subject_of(either, name_category=False)
    for example in examples_of(manifest, flips_rotations=True, balance=False, max_side=0):
        filled = row(example, subject, answer=True)
        frame = Frame.parse(filled["frame"], example.sample.width, example.sample.height)
        response = read(filled["completion"][0]["content"][0]["text"], frame)
        assert response.strict
        assert reward(response, example.sample, RewardSettings(preset="set_iou")).verdict == 1
        assert len(response.located or ()) == max(1, len(example.sample.boxes or ()))


def test_a_shrunk_image_is_written_in_its_own_units(tiny: Path) -> None:
    """One that is shrunk to 10 x 20 is shown as the processor resizes *that*; its boxes stay where they are."""
    subject = subject_of(tiny, name_category=False)
    box = Box(100, 400, 300, 900)
    big = sample(box, width=500, height=1000)
    filled = row(Example(big, lambda: Image.new("RGB", (10, 20))), subject, answer=True)
    seen, frame = subject.frame_of(10, 20), Frame.parse(filled["frame"], 500, 1000)
    assert (frame.units_x, frame.units_y) == (seen.units_x, seen.units_y)
    found = read(filled["completion"][0]["content"][0]["text"], frame).regions[0].box
    assert np.abs(np.subtract(found, box)).max() <= max(500 / seen.units_x, 1000 / seen.units_y)


def test_max_side_shrinks_what_is_shown_and_nothing_else(manifest: Manifest) -> None:
    full = examples_of(manifest, flips_rotations=False, balance=False, max_side=0)
    small = examples_of(manifest, flips_rotations=False, balance=False, max_side=32)
    assert [example.sample for example in small] == [example.sample for example in full]
    assert {max(example.image().size) for example in small} == {32}
    assert {max(example.image().size) for example in full} == {64}


def test_a_normal_parts_focus_is_inside_it(tiny: Path, manifest: Manifest) -> None:
    normal = next(
        e for e in examples_of(manifest, flips_rotations=False, balance=False, max_side=32) if not e.sample.anomalous
    )
    filled = row(normal, subject_of(tiny)._replace(frame_of=Frame.original), answer=True)
    frame = Frame.parse(filled["frame"], normal.sample.width, normal.sample.height)
    located = read(filled["completion"][0]["content"][0]["text"], frame).located
    assert located and 0 <= located[0].box.x1 < located[0].box.x2 <= normal.sample.width
    assert located[0].box.area == pytest.approx(normal.sample.width * normal.sample.height / 16, rel=0.15)
