"""The synthetic parts generator: exact masks, determinism, every kind on every material, and the folder it writes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from adfm.data.synthetic import (
    BENIGN_KINDS,
    DEFECT_KINDS,
    MATERIALS,
    Part,
    Product,
    draw_part,
    graphics,
    make,
    materials,
    random_product,
)
from adfm.data.synthetic import product as products
from adfm.errors import UserError

SIZES = [(128, 128), (96, 160), (160, 96), (64, 64)]
Mask = npt.NDArray[np.bool_]


def product(seed: int = 0, **settings: object) -> Product:
    return random_product(np.random.default_rng(seed), **settings)  # type: ignore[arg-type]


def part(drawn: Product, seed: int = 0, **settings: object) -> Part:
    return draw_part(drawn, np.random.default_rng(seed), **settings)  # type: ignore[arg-type]


def difference(one: Part, other: Part) -> npt.NDArray[np.int64]:
    return np.abs(one.image.astype(np.int64) - other.image.astype(np.int64)).max(axis=2)


def hugs(mask: Mask, change: npt.NDArray[np.int64], reach: int) -> bool:
    """Whether a mask covers what clearly changed and goes no further than `reach` px from what changed at all."""
    strong = change > max(12, 0.5 * change.max())
    covered = mask[strong].mean() if strong.any() else 1.0
    near = cv2.dilate((change >= 4).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    return bool(covered > 0.9 and near[mask].mean() > 0.95)


def pairs(kind: str) -> list[tuple[Part, Part]]:
    """The same parts with and without one defect of `kind`, one per material."""
    found = []
    for index, material in enumerate(MATERIALS):
        benign = ("printed_mark",) if kind == "missing_print" else None
        drawn = product(index, materials=[material], benign=benign, difficulty=0.4)
        found.append((part(drawn, index, defects=1, kinds=[kind]), part(drawn, index, defects=0)))
    return found


@pytest.mark.parametrize("material", MATERIALS)
def test_same_product_and_seed_give_the_same_bytes(material: str) -> None:
    one, two = (product(3, materials=[material]) for _ in range(2))
    assert one == two and hash(one) == hash(two)
    first, second, third = part(one, 7, defects=2), part(two, 7, defects=2), part(two, 8, defects=2)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()
    assert (first.defects, first.benign_boxes) == (second.defects, second.benign_boxes)
    assert first.image.tobytes() != third.image.tobytes()


def test_a_restored_generator_draws_the_same_part() -> None:
    rng = np.random.default_rng(5)
    rng.random(10)
    state = rng.bit_generator.state
    again = np.random.default_rng(99)
    again.bit_generator.state = state
    drawn = product(1)
    assert draw_part(drawn, rng, defects=1).image.tobytes() == draw_part(drawn, again, defects=1).image.tobytes()


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_the_mask_is_empty_exactly_for_normal_parts(difficulty: float) -> None:
    for seed in range(24):
        drawn = product(seed, difficulty=difficulty)
        size = SIZES[seed % len(SIZES)]
        normal, bad = part(drawn, seed, size=size), part(drawn, seed, size=size, defects=None)
        assert not normal.mask.any() and normal.defects == ()
        assert set(np.unique(bad.mask)) == {0, 255} and 1 <= len(bad.defects) <= 3
        assert (bad.mask > 0).sum() >= max(4, 12 * (min(size) / 128) ** 2)


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_the_mask_is_where_the_image_differs(kind: str) -> None:
    for bad, good in pairs(kind):
        reach = 6 if kind == "deformation" else 3
        assert hugs(bad.mask > 0, difference(bad, good), reach), bad.defects
        shifted = np.roll(bad.mask > 0, (32, 32), (0, 1))
        assert not hugs(shifted, difference(bad, good), reach), "the check must fail on a wrong mask"


def test_apart_from_its_defects_a_part_is_the_same_part() -> None:
    for bad, good in pairs("hole"):
        far = cv2.dilate(bad.mask, np.ones((9, 9), np.uint8)) == 0
        assert difference(bad, good)[far].max() <= 2
        assert bad.benign_boxes == good.benign_boxes


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_every_kind_on_every_material_and_size(material: str, kind: str) -> None:
    for index, size in enumerate(SIZES):
        drawn = product(index, materials=[material])
        one = part(drawn, index, size=size, defects=1, kinds=[kind])
        assert one.image.shape == (size[1], size[0], 3) and one.image.dtype == np.uint8
        assert one.mask.shape == (size[1], size[0]) and one.mask.dtype == np.uint8
        assert one.mask.any() and len(one.defects) == 1 and one.defects[0] in DEFECT_KINDS
        assert one.image.std() > 3


@pytest.mark.parametrize("material", MATERIALS)
def test_every_variant_of_a_material_has_a_texture_of_its_own(material: str) -> None:
    look = materials.random_look(np.random.default_rng(0), material)
    variants = range(materials.FAMILIES[material].variants)
    looks = [replace(look, variant=variant, turned=False) for variant in variants]
    looks += [replace(look, turned=True)] if material == "brushed_metal" else []
    drawn = [materials.texture(material, one, np.random.default_rng(1), (60, 40), 0.5) for one in looks]
    for index, one in enumerate(drawn):
        assert one.shape == (40, 60, 3) and one.dtype == np.float32 and 0 <= one.min() < one.max() <= 1
        assert not any(np.array_equal(one, other) for other in drawn[:index])


@pytest.mark.parametrize("kind", graphics.MARKS)
@pytest.mark.parametrize("size", [(40, 24), (30, 30), (90, 12)])
def test_every_mark_prints_something_and_leaves_something_blank(kind: str, size: tuple[int, int]) -> None:
    cover = graphics.mark(np.random.default_rng(2), *size, kind)
    assert cover.shape == size[::-1] and cover.min() == 0 and cover.max() == 1
    assert 0.02 < cover.mean() < 0.98


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [
        ("full", (0.45, 0.45), None),
        ("disc", (0.0, 0.39), (0.3, 0.3)),
        ("plate", (0.35, 0.25), (0.0, 0.35)),
        ("ring", (0.0, 0.25), (0.0, 0.0)),
        ("bracket", (-0.2, -0.3), (0.3, -0.3)),
    ],
)
def test_the_distance_to_an_outline_is_negative_inside(
    shape: products.Shape, inside: tuple[float, float], outside: tuple[float, float] | None
) -> None:
    def distance(x: float, y: float) -> float:
        return float(products.distance(products.Outline(shape, 0.8), np.float32([x]), np.float32([y])).item())

    assert distance(*inside) < 0
    assert outside is None or distance(*outside) > 0


def test_print_is_missing_only_where_there_is_print() -> None:
    plain = product(1, materials=["cast"], benign=())
    printed = product(1, materials=["printed"], benign=())
    assert not plain.has_print and printed.has_print
    assert "missing_print" not in part(plain, 1, defects=3, kinds=["missing_print"]).defects
    assert part(printed, 1, defects=1, kinds=["missing_print"]).defects == ("missing_print",)


@pytest.mark.parametrize("kind", BENIGN_KINDS)
def test_benign_features_are_drawn_inside_their_boxes(kind: str) -> None:
    for index, size in enumerate(SIZES):
        drawn = product(index, materials=["cast", "woven"], benign=[kind])
        assert drawn.features and {feature.kind for feature in drawn.features} == {kind}
        boxes = part(drawn, index, size=size).benign_boxes
        assert boxes
        assert all(0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1] for x1, y1, x2, y2 in boxes)


def test_a_drilled_hole_has_a_dark_ring_and_a_bright_core() -> None:
    drawn = product(2, materials=["cast"], benign=["drilled_hole"], difficulty=0.2)
    seen = part(drawn, 0, size=(256, 256))
    for x1, y1, x2, y2 in seen.benign_boxes:
        hole = seen.image[y1:y2, x1:x2].astype(float).mean(axis=2)
        middle = hole[hole.shape[0] // 2, hole.shape[1] // 2]
        assert middle > 130 and hole.min() < 60


def test_a_kind_can_be_left_out() -> None:
    kinds = [kind for kind in BENIGN_KINDS if kind != "drilled_hole"]
    drawn = [product(seed, benign=kinds) for seed in range(60)]
    assert all(feature.kind != "drilled_hole" for one in drawn for feature in one.features)
    assert all(not product(seed, benign=()).features for seed in range(10))


def test_difficulty_lowers_the_contrast_of_defects() -> None:
    def contrast(difficulty: float) -> float:
        seen = []
        for seed in range(20):
            drawn = product(seed, difficulty=difficulty)
            bad, good = part(drawn, seed, defects=1, kinds=["scratch", "stain"]), part(drawn, seed)
            seen.append(float(difference(bad, good)[bad.mask > 0].mean()))
        return float(np.mean(seen))

    assert contrast(0.1) > 1.3 * contrast(0.9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: product(materials=["glass"]), "unknown material 'glass'"),
        (lambda: product(benign=["sticker"]), "unknown benign feature 'sticker'"),
        (lambda: product(materials=[]), "materials is empty"),
        (lambda: product(difficulty=1.5), "difficulty"),
        (lambda: part(product(), kinds=["dent"], defects=1), "unknown defect type 'dent'"),
        (lambda: part(product(), defects=-1), "defects must be"),
        (lambda: part(product(), size=(16, 128)), "at least 32"),
    ],
)
def test_wrong_settings_are_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


def test_make_writes_the_layout_and_every_image_is_counted(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    counts = make(
        tmp_path / "set", seed=4, images=31, size=(64, 48), products=3, progress=lambda *done: calls.append(done)
    )
    written = sorted((tmp_path / "set").glob("*/*/*/*.png"))
    images = [path for path in written if path.parts[-3] != "ground_truth"]
    assert len(images) == 31 == sum(sum(folders.values()) for folders in counts.values())
    assert calls[-1] == ("parts", 31, 31) and len(calls) == 31
    for category, folders in counts.items():
        for folder, number in folders.items():
            assert len(list((tmp_path / "set" / category / folder).glob("*.png"))) == number
        masks = tmp_path / "set" / category / "ground_truth"
        bad = [path for path in (tmp_path / "set" / category / "test").glob("*/*.png") if path.parent.name != "good"]
        assert bad and folders["train/good"] and folders["test/good"]
        for path in bad:
            mask = cv2.imread(str(masks / path.parent.name / f"{path.stem}_mask.png"), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (48, 64) and set(np.unique(mask)) == {0, 255}
        assert len(list(masks.glob("*/*.png"))) == len(bad)
    record = json.loads((tmp_path / "set" / "generator.json").read_text())
    assert record["settings"]["seed"] == 4 and record["counts"] == counts
    assert "CC0" in (tmp_path / "set" / "LICENSE.txt").read_text()
    assert not list((tmp_path / "set").rglob(".*"))  # no file that was never finished


def test_make_is_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make(tmp_path / name, seed=1, images=8, size=(48, 48), products=2)
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two")]
    assert [path.relative_to(tmp_path / "one") for path in files[0]] == [
        path.relative_to(tmp_path / "two") for path in files[1]
    ]
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(*files, strict=True))


def test_make_refuses_what_would_be_lost_or_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="is not empty"):
        make(tmp_path / "full", images=4, products=1)
    with pytest.raises(UserError, match="is a file"):
        make(tmp_path / "full" / "mine.txt", images=4, products=1)
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
    with pytest.raises(ValueError, match="images"):
        make(tmp_path / "few", images=2, products=3)
    with pytest.raises(ValueError, match="fraction"):
        make(tmp_path / "odd", images=4, products=1, anomalous_fraction=1.5)
    assert not (tmp_path / "few").exists() and not (tmp_path / "odd").exists()


def test_drawing_is_fast_enough_for_endless_training_data() -> None:
    drawn = [product(seed) for seed in range(12)]
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for seed, one in enumerate(drawn):
            part(one, seed, defects=seed % 2)
        best = min(best, (time.process_time() - start) / len(drawn))
    assert best < 0.012  # measured: 0.0016 s; the margin is for slow and shared machines
