"""Published sets on miniature trees with their quirks: recognised by themselves, with the right labels, splits and masks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfm.data.build import build
from adfm.data.layouts import SourceImage, choose
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.storage import read_json

Write = Callable[..., Path]
SIZE = (48, 32)


def read(root: Path, name: str) -> dict[str, SourceImage]:
    layout = choose(root)
    assert name == layout.NAME
    return {each.image.as_posix(): each for each in layout.read(root)}


def tally(found: dict[str, SourceImage]) -> Counter[tuple[str | None, str]]:
    return Counter((each.split, each.label) for each in found.values())


def masks(found: SourceImage) -> list[str]:
    return [path.as_posix() for path in found.masks]


def test_btad_pairs_by_stem_over_mixed_suffixes(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    for product in ("01", "02"):
        draw_image(tmp_path / product / "train" / "ok" / "0000.bmp")
        draw_image(tmp_path / product / "test" / "ok" / "0001.png")
        draw_image(tmp_path / product / "test" / "ko" / "0002.bmp")
        draw_image(tmp_path / product / "test" / "ko" / "0003.png")
        mask(tmp_path / product / "ground_truth" / "ko" / "0002.png")
        mask(tmp_path / product / "ground_truth" / "ko" / "0003.bmp")
    found = read(tmp_path, "btad")
    assert tally(found) == {("train", "normal"): 2, ("test", "normal"): 2, ("test", "anomalous"): 4}
    assert masks(found["01/test/ko/0002.bmp"]) == ["01/ground_truth/ko/0002.png"]
    assert masks(found["02/test/ko/0003.png"]) == ["02/ground_truth/ko/0003.bmp"]


def visa(root: Path, draw_image: Write, mask: Write) -> None:
    data = root / "candle" / "Data"
    for number in range(3):
        draw_image(data / "Images" / "Normal" / f"000{number}.JPG")
    for number in range(2):
        draw_image(data / "Images" / "Anomaly" / f"00{number}.JPG")
    mask(data / "Masks" / "Anomaly" / "001.png")


def test_visa_has_splits_where_its_list_lies_beside(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    visa(tmp_path, draw_image, mask)
    assert tally(read(tmp_path, "visa")) == {(None, "normal"): 3, (None, "anomalous"): 2}
    rows = ["object,split,label,image,mask"]
    for number in range(3):
        split = "test" if number == 2 else "train"
        rows.append(f"candle,{split},normal,candle/Data/Images/Normal/000{number}.JPG,")
    rows += [f"candle,test,anomaly,candle/Data/Images/Anomaly/00{n}.JPG,x" for n in range(2)]
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_text("\n".join(rows))
    found = read(tmp_path, "visa")
    assert tally(found) == {("train", "normal"): 2, ("test", "normal"): 1, ("test", "anomalous"): 2}
    assert masks(found["candle/Data/Images/Anomaly/001.JPG"]) == ["candle/Data/Masks/Anomaly/001.png"]
    assert found["candle/Data/Images/Anomaly/000.JPG"].masks == ()
    (tmp_path / "split_csv" / "1cls.csv").write_text("image,split\nx,sideways\n")
    with pytest.raises(DataError, match=r"1cls.csv: \[list-shape\].*must be a list"):
        read(tmp_path, "visa")


def test_visas_small_class_numbers_are_defects(tmp_path: Path, draw_image: Write) -> None:
    import numpy as np
    from PIL import Image

    visa(tmp_path / "set", draw_image, lambda path: path)
    truth = tmp_path / "set" / "candle" / "Data" / "Masks" / "Anomaly"
    truth.mkdir(parents=True)
    values = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    values[4:10, 5:12] = 3
    for number in range(2):
        Image.fromarray(values).save(truth / f"00{number}.png")
    report = build(tmp_path / "set", tmp_path / "out", BuildSettings())
    samples = [s for s in read_manifest(report.manifest).samples if s.anomalous]
    assert [s.boxes for s in samples] == [(Box(5, 4, 12, 10),)] * 2
    assert "CC BY 4.0" in read_json(tmp_path / "out" / "manifest.meta.json")["licence"]["as published"]


def test_defect_spectrum_is_a_test_part(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    draw_image(tmp_path / "pill" / "image" / "good" / "000.png")
    draw_image(tmp_path / "pill" / "image" / "crack" / "000.png")
    mask(tmp_path / "pill" / "mask" / "crack" / "000_mask.png")
    mask(tmp_path / "pill" / "rbg_mask" / "crack" / "000_rbg_mask.png")
    (tmp_path / "pill" / "image" / "crack" / "000.txt").write_text("a caption")
    found = read(tmp_path, "defect-spectrum")
    assert tally(found) == {("test", "normal"): 1, ("test", "anomalous"): 1}
    assert masks(found["pill/image/crack/000.png"]) == ["pill/mask/crack/000_mask.png"]


@pytest.mark.parametrize("nested", [False, True])
def test_mvtec2_has_its_truth_inside_and_leaves_private_tests_out(
    tmp_path: Path, draw_image: Write, mask: Write, nested: bool
) -> None:
    can = tmp_path / "can" / "can" if nested else tmp_path / "can"
    draw_image(can / "train" / "good" / "000_regular.png")
    draw_image(can / "validation" / "good" / "000_regular.png")
    draw_image(can / "test_public" / "good" / "000_overexposed.png")
    draw_image(can / "test_public" / "bad" / "000_shift_1.png")
    mask(can / "test_public" / "ground_truth" / "bad" / "000_shift_1_mask.png")
    draw_image(can / "test_private" / "000_regular.png")
    found = read(tmp_path, "mvtec2")
    expected = {("train", "normal"): 1, ("validation", "normal"): 1, ("test", "normal"): 1, ("test", "anomalous"): 1}
    assert tally(found) == expected
    bad = next(each for each in found.values() if each.label == "anomalous")
    assert len(bad.masks) == 1
    assert bad.category == "can"


def test_dagm_is_anomalous_where_a_label_exists(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    for part in ("Train", "Test"):
        for number in range(3):
            draw_image(tmp_path / "Class1" / part / f"000{number}.PNG")
        mask(tmp_path / "Class1" / part / "Label" / "0001_label.PNG")
        (tmp_path / "Class1" / part / "Label" / "Labels.txt").write_text("1\n")
    found = read(tmp_path, "dagm")
    assert tally(found) == {
        ("train", "normal"): 2,
        ("train", "anomalous"): 1,
        ("test", "normal"): 2,
        ("test", "anomalous"): 1,
    }
    assert masks(found["Class1/Test/0001.PNG"]) == ["Class1/Test/Label/0001_label.PNG"]


def test_magnetic_tiles_have_masks_beside_their_photographs(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    for kind in ("Free", "Blowhole", "Crack"):
        draw_image(tmp_path / f"MT_{kind}" / "Imgs" / "exp1_num_1.jpg")
        mask(tmp_path / f"MT_{kind}" / "Imgs" / "exp1_num_1.png", [] if kind == "Free" else [(4, 5, 20, 15)])
    draw_image(tmp_path / "MT_Crack" / "Imgs" / "exp2_num_2.jpg")
    found = read(tmp_path, "magnetic-tiles")
    assert tally(found) == {(None, "normal"): 1, (None, "anomalous"): 3}
    assert masks(found["MT_Free/Imgs/exp1_num_1.jpg"]) == ["MT_Free/Imgs/exp1_num_1.png"]
    crack = found["MT_Crack/Imgs/exp1_num_1.jpg"]
    assert (crack.defect, masks(crack)) == ("Crack", ["MT_Crack/Imgs/exp1_num_1.png"])


def listed(root: Path, rows: list[dict[str, Any]]) -> None:
    (root / "meta.json").write_text(json.dumps({"train": {"nut": []}, "test": {"nut": rows}}))


def item(image: str, mask: str = "", anomaly: int = 0) -> dict[str, Any]:
    return {
        "img_path": image,
        "mask_path": mask,
        "cls_name": "nut",
        "specie_name": "bent" if anomaly else "good",
        "anomaly": anomaly,
    }


def test_meta_json_lists_every_image(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    draw_image(tmp_path / "a" / "1.png")
    draw_image(tmp_path / "a" / "2.png")
    mask(tmp_path / "b" / "2.png")
    listed(tmp_path, [item("a/1.png"), item("a/2.png", "b/2.png", 1), item("a/3.png", "b", 1)])
    found = read(tmp_path, "meta-json")
    assert tally(found) == {("test", "normal"): 1, ("test", "anomalous"): 2}
    assert (found["a/2.png"].defect, masks(found["a/2.png"])) == ("bent", ["b/2.png"])
    assert found["a/3.png"].masks == ()


def test_a_list_beside_a_known_tree_gives_way(tmp_path: Path, mvtec_set: Path) -> None:
    listed(mvtec_set, [])
    assert choose(mvtec_set).NAME == "mvtec"
    assert choose(mvtec_set, "meta-json").NAME == "meta-json"


@pytest.mark.parametrize("place", ["../secret.png", "/etc/hostname", "a/../../secret.png"])
@pytest.mark.parametrize("field", ["img_path", "mask_path"])
def test_a_listed_path_never_leaves_the_set(tmp_path: Path, draw_image: Write, place: str, field: str) -> None:
    root = tmp_path / "set"
    draw_image(tmp_path / "secret.png")
    draw_image(root / "a" / "1.png")
    listed(root, [item("a/1.png", "a/1.png", 1) | {field: place}])
    with pytest.raises(DataError, match="\\[path-outside\\]"):
        read(root, "meta-json")
    listed(root, [item("a/1.png", "a/1.png", 1) | {field: "a/../a/1.png"}])
    assert len(read(root, "meta-json")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ('{"test": 3}', "must hold a list for each class"),
        ('{"test": {"nut": 3}}', "must be a list of objects"),
        ('{"test": {"nut": [{"img_path": 3}]}}', "needs the text 'img_path'"),
    ],
)
def test_a_broken_list_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path, "meta-json")


@pytest.mark.parametrize("prefix", ["realiad_256/", "", "realiad_256/toy/"])
def test_real_iad_counts_a_view_without_mask_as_normal(
    tmp_path: Path, draw_image: Write, mask: Write, prefix: str
) -> None:
    names = {"OK": "OK/S0001/toy_0001_OK_C1.jpg", "AK": "NG/AK/S0002/toy_0002_NG_AK_C1.jpg"}
    hidden = "NG/AK/S0002/toy_0002_NG_AK_C2.jpg"
    for name in (*names.values(), hidden):
        draw_image(tmp_path / "realiad_256" / "toy" / name)
    mask(tmp_path / "realiad_256" / "toy" / names["AK"].replace(".jpg", ".png"))
    below = "" if prefix.endswith("toy/") else "toy/"
    rows = [
        {"category": "toy", "anomaly_class": "OK", "image_path": below + names["OK"], "mask_path": None},
        {
            "category": "toy",
            "anomaly_class": "AK",
            "image_path": below + names["AK"],
            "mask_path": below + names["AK"].replace(".jpg", ".png"),
        },
        {"category": "toy", "anomaly_class": "AK", "image_path": below + hidden, "mask_path": None},
    ]
    (tmp_path / "realiad_jsons").mkdir()
    content = {"meta": {"prefix": prefix, "normal_class": "OK"}, "train": rows[:1], "test": rows[1:]}
    (tmp_path / "realiad_jsons" / "toy.json").write_text(json.dumps(content))
    found = read(tmp_path, "real-iad")
    assert tally(found) == {("train", "normal"): 1, ("test", "anomalous"): 1, ("test", "normal"): 1}
    assert masks(found[f"realiad_256/toy/{names['AK']}"]) == [f"realiad_256/toy/{names['AK'].replace('.jpg', '.png')}"]


def test_loco_has_a_folder_of_masks_for_each_image(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    box = tmp_path / "breakfast_box"
    draw_image(box / "train" / "good" / "000.png")
    draw_image(box / "validation" / "good" / "000.png")
    draw_image(box / "test" / "logical_anomalies" / "000.png")
    for number in range(2):
        mask(box / "ground_truth" / "logical_anomalies" / "000" / f"00{number}.png")
    (box / "defects_config.json").write_text("[]")
    found = read(tmp_path, "mvtec-loco")
    assert tally(found) == {("train", "normal"): 1, ("validation", "normal"): 1, ("test", "anomalous"): 1}
    assert len(found["breakfast_box/test/logical_anomalies/000.png"].masks) == 2


def test_visa_as_others_lay_it_out_is_mvtec(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    draw_image(tmp_path / "candle" / "train" / "good" / "0000.JPG")
    draw_image(tmp_path / "candle" / "test" / "bad" / "000.JPG")
    mask(tmp_path / "candle" / "ground_truth" / "bad" / "000.png")
    found = read(tmp_path, "mvtec")
    assert masks(found["candle/test/bad/000.JPG"]) == ["candle/ground_truth/bad/000.png"]


def test_goodsad_as_mmad_lays_it_out(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    for category in ("drink_can", "food_package"):
        for place in ("train/good/000003.jpg", "test/good/000010.jpg", "test/surface_damage/000021.jpg"):
            draw_image(tmp_path / category / place)
        mask(tmp_path / category / "ground_truth" / "surface_damage" / "000021.png")
    found = read(tmp_path, "goodsad")
    assert tally(found) == {("train", "normal"): 2, ("test", "normal"): 2, ("test", "anomalous"): 2}
    damaged = found["drink_can/test/surface_damage/000021.jpg"]
    assert (damaged.defect, masks(damaged)) == ("surface_damage", ["drink_can/ground_truth/surface_damage/000021.png"])


@pytest.mark.parametrize("colours", ["rgb_mask", "rbg_mask"])
def test_ds_mvtec_as_mmad_lays_it_out(tmp_path: Path, draw_image: Write, mask: Write, colours: str) -> None:
    """Its coloured masks go by two names and are no masks; captions and summaries lie between the images."""
    for category in ("bottle", "metal_nut"):
        for kind in ("good", "broken_large"):
            draw_image(tmp_path / "DS-MVTec" / category / "image" / kind / "000.png")
            (tmp_path / "DS-MVTec" / category / "image" / kind / "000.txt").write_text("a caption")
        mask(tmp_path / "DS-MVTec" / category / "mask" / "broken_large" / "000_mask.png")
        mask(tmp_path / "DS-MVTec" / category / colours / "broken_large" / f"000_{colours}.png", [(0, 0, 40, 30)])
    found = read(tmp_path / "DS-MVTec", "defect-spectrum")
    assert tally(found) == {("test", "normal"): 2, ("test", "anomalous"): 2}
    assert masks(found["bottle/image/broken_large/000.png"]) == ["bottle/mask/broken_large/000_mask.png"]
    report = build(tmp_path / "DS-MVTec", tmp_path / "out", BuildSettings())
    boxes = {s.boxes for s in read_manifest(report.manifest).samples if s.anomalous}
    assert boxes == {(Box(4, 5, 20, 15),)}
    terms = read_json(tmp_path / "out" / "manifest.meta.json")["licence"]["as published"]
    assert "CC BY-NC-SA 4.0" in terms
