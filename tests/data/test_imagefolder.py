"""Hugging Face's imagefolder: class folders of each split, and metadata with labels or boxes; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, SourceImage, choose, names
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import DataError
from adfm.geometry import Box

Write = Callable[..., Path]
Truth = tuple[str | None, str | None, str | None]


def truths(root: Path, name: str) -> dict[str, Truth]:
    """Picture -> split, label, kind of defect; no other layout may know the folder."""
    assert [each.NAME for each in LAYOUTS if each.recognise(root)] == [name]
    return {each.image.as_posix(): (each.split, each.label, each.defect) for each in read(root)}


def read(root: Path) -> list[SourceImage]:
    return list(choose(root).read(root))


@pytest.mark.parametrize("normal", ["ok", "Normal", "PASS"])
def test_class_folders_of_each_split(tmp_path: Path, draw_image: Write, normal: str) -> None:
    root = tmp_path / "casting"
    for place in (f"train/{normal}/1.jpg", "train/crack/2.jpg", f"Valid/{normal}/3.jpg", "test/defect/4.jpg"):
        draw_image(root / place)
    draw_image(root / "test" / normal / "more" / "5.jpg")
    assert truths(root, "imagefolder") == {
        f"train/{normal}/1.jpg": ("train", "normal", None),
        "train/crack/2.jpg": ("train", "anomalous", "crack"),
        f"Valid/{normal}/3.jpg": ("validation", "normal", None),
        "test/defect/4.jpg": ("test", "anomalous", None),
        f"test/{normal}/more/5.jpg": ("test", "normal", None),
    }
    assert {each.category for each in read(root)} == {"casting"}
    draw_image(root / "unlabelled" / "crack" / "6.jpg")
    with pytest.raises(DataError, match=r"\[folder-unread\]"):
        read(root)


def test_class_folders_of_a_known_set_are_that_set(tmp_path: Path, draw_image: Write) -> None:
    for place in ("a/train/good/1.png", "a/test/crack/2.png", "b/train/ok/1.png", "b/test/ok/2.png", "b/test/ko/3.png"):
        draw_image(tmp_path / place)
    assert choose(tmp_path / "a").NAME == "mvtec"
    assert choose(tmp_path / "b").NAME == "btad"
    assert choose(tmp_path / "b", "imagefolder").NAME == "imagefolder"


def test_classes_without_a_normal_one_are_not_taken_for_defects(tmp_path: Path, draw_image: Write) -> None:
    draw_image(tmp_path / "train" / "cat" / "1.jpg")
    draw_image(tmp_path / "test" / "dog" / "2.jpg")
    with pytest.raises(DataError, match="has no known layout"):
        choose(tmp_path)


def lay(root: Path, draw_image: Write, *places: str) -> Path:
    for place in places:
        draw_image(root / place)
    return root


def jsonl(file: Path, *rows: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_table_with_labels(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b.png", "train/c.png", "test/d.png", "e.png")
    rows = ["\ufefffile_name,label", "a.png,0", "b.png,1", "train/c.png,good", "test/d.png,bent lead", "e.png,True"]
    (root / "metadata.csv").write_text("\r\n".join(rows), encoding="utf-8")
    assert truths(root, "imagefolder-metadata") == {
        "a.png": (None, "normal", None),
        "b.png": (None, "anomalous", None),
        "train/c.png": ("train", "normal", None),
        "test/d.png": ("test", "anomalous", "bent lead"),
        "e.png": (None, "anomalous", None),
    }


def test_lines_with_boxes_beside_the_images_of_each_split(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "train/a.png", "train/b.png", "test/a.png", "test/b.png")
    one = {"bbox": [[4, 5, 16, 10]], "categories": ["scratch"]}
    two = {"bbox": [[4, 5, 16, 10], [30.4, 20.2, 8, 6.5]], "category": [0, 1]}
    jsonl(root / "train" / "metadata.jsonl", {"file_name": "a.png", "objects": one}, {"file_name": "b.png", "label": 0})
    none = {"file_name": "b.png", "objects": {"bbox": [], "categories": []}}
    jsonl(root / "test" / "metadata.jsonl", {"file_name": "a.png", "objects": two, "label": 1}, none)
    assert truths(root, "imagefolder-metadata") == {
        "train/a.png": ("train", "anomalous", "scratch"),
        "train/b.png": ("train", "normal", None),
        "test/a.png": ("test", "anomalous", None),
        "test/b.png": ("test", "normal", None),
    }
    samples = read_manifest(build(root, tmp_path / "out", BuildSettings()).manifest).samples
    boxes = {sample.image.split("/set/")[1]: sample.boxes for sample in samples}
    assert boxes["test/a.png"] == (Box(4, 5, 20, 15), Box(30, 20, 39, 27))
    assert boxes["test/b.png"] == ()


def test_boxes_in_a_table_are_json(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    (root / "metadata.csv").write_text('file_name,objects\na.png,"{""bbox"": [[4, 5, 16, 10]]}"\n')
    assert [each.boxes for each in read(root)] == [(Box(4, 5, 20, 15),)]


def test_metadata_come_before_class_folders_and_after_a_known_tree(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "train/ok/a.png", "train/crack/b.png")
    jsonl(root / "metadata.jsonl", {"file_name": "train/ok/a.png", "label": 0})
    assert choose(root).NAME == "imagefolder-metadata"
    lay(root, draw_image, "train/good/c.png")
    assert choose(root).NAME == "mvtec"


def test_other_metadata_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("query_image,answer\na.png,A\n")
    assert [each.NAME for each in LAYOUTS if each.recognise(tmp_path)] == []


@pytest.mark.parametrize("place", ["../secret.png", "/etc/hostname.png", "a/../../secret.png", "..\\secret.png"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_listed_path_never_leaves_the_set(tmp_path: Path, draw_image: Write, place: str, kind: str) -> None:
    root = lay(tmp_path / "set", draw_image, "a/1.png", "../secret.png")
    file = root / f"metadata.{kind}"

    def name(path: str) -> None:
        line = f"file_name,label\n{path},0\n" if kind == "csv" else json.dumps({"file_name": path, "label": 0})
        file.write_text(line)

    name(place)
    with pytest.raises(DataError, match=r"\[path-outside\]"):
        read(root)
    name("a/../a/1.png")  # control
    assert [each.image.as_posix() for each in read(root)] == ["a/1.png"]


FINE = {"file_name": "a.png", "label": 1, "objects": {"bbox": [[4, 5, 16, 10]], "categories": ["dent"]}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file_name": 3}, "needs the text 'file_name'"),
        ({"label": None, "objects": None}, "needs 'objects', a mask, or a 'label'"),
        ({"label": 2}, "2 does not say whether it is normal: use 0, 1 or the name"),
        ({"label": 0}, "both OK and that there is a defect"),
        ({"objects": [3]}, "must hold the list 'bbox'"),
        ({"objects": {"bbox": 3}}, "must hold the list 'bbox'"),
        ({"objects": {"bbox": [[1, 2, 3]]}}, "x, y, width, height must be"),
        ({"objects": {"bbox": [[1, 2, 3, -4]]}}, "must be above 0"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": []}}, "as many categories as boxes"),
        ({"objects": "{"}, "'a.png'"),
        ({"objects": "[" * 100_000}, "'a.png'"),
    ],
)
def test_a_broken_row_is_one_line(tmp_path: Path, draw_image: Write, change: dict[str, Any], said: str) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    jsonl(root / "metadata.jsonl", FINE)
    assert [each.defect for each in read(root)] == ["dent"]  # control
    jsonl(root / "metadata.jsonl", FINE | change)
    with pytest.raises(DataError, match=said) as error:
        read(root)
    assert str(root / "metadata.jsonl") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metadata.jsonl", b'{"file_name": ', r"metadata\.jsonl: \[list-unreadable\] .*1: is not valid JSON"),
        ("metadata.csv", b"file_name,label\n\xff\xfe.png,0\n", r"\[list-unreadable\] cannot be read"),
        ("metadata.csv", b"file_name,label\n" + b"x" * 200_000 + b",0\n", r"\[list-unreadable\] cannot be read"),
        ("metadata.csv", b"label,file_name\n0\n", "line 2 has 1 fields, its first line 2"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_missing_and_doubled_images_are_named(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    jsonl(root / "metadata.jsonl", {"file_name": "none.png", "label": 0}, {"file_name": "x" * 300 + ".png", "label": 0})
    with pytest.raises(DataFaultsError) as error:
        build(root, tmp_path / "out", BuildSettings())
    assert len(error.value.faults) == 2
    assert "none.png: no such file" in str(error.value.faults[0])
    jsonl(root / "metadata.jsonl", {"file_name": "a.png", "label": 0}, {"file_name": "./a.png", "label": 1})
    with pytest.raises(DataFaultsError, match="is listed more than once"):
        build(root, tmp_path / "out", BuildSettings())


def table(root: Path, *lines: str, name: str = "metadata.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines), encoding="utf-8")
    return root


TRUTHS = [
    *[(value, "normal") for value in ("0", "0.0", "00", " 0 ", "0e0", "false", "FALSE", "ok", "OK", "Good", "normal")],
    *[
        (value, "anomalous")
        for value in ("1", "1.0", "1.", "1,0", "true", "True", "ng", "NG", "defect", "anomaly", "bent lead")
    ],
    *[
        (value, None)
        for value in ("", " ", "nan", "NaN", "null", "None", "N/A", "unknown", "maybe", "?", "-", "2", "-1")
    ],
    *[
        (value, None)
        for value in (
            "0.5",
            "1e9",
            "inf",
            "1,5",
            "yes",
            "no",
            "unlabeled",
            "Not sure",
            "no scratch",
            "good weld",
            "scratch-free",
            "to-do",
            "-0",
        )
    ],
]


@pytest.mark.parametrize(("value", "label"), TRUTHS, ids=[repr(value) for value, _ in TRUTHS])
def test_a_label_is_a_known_truth_or_refused(tmp_path: Path, draw_image: Write, value: str, label: str | None) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b.png")
    table(root, "file_name,label", f'a.png,"{value}"', "b.png,0")
    if label is not None:
        assert {each.image.name: each.label for each in read(root)} == {"a.png": label, "b.png": "normal"}
        return
    with pytest.raises(DataFaultsError, match=r"row 1 \('a.png'\)") as error:
        read(root)
    assert [fault.code for fault in error.value.faults] == ["list-entry"]


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "normal"), (0.0, "normal"), (False, "normal"), (1, "anomalous"), (1.0, "anomalous"), (True, "anomalous")]
    + [(value, None) for value in (2, -1, 0.5, float("nan"), float("inf"), [1], {"a": 1}, 10**400)],
)
def test_a_label_of_json_is_a_known_truth_or_refused(
    tmp_path: Path, draw_image: Write, value: Any, label: str | None
) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b.png")
    jsonl(root / "metadata.jsonl", {"file_name": "a.png", "label": value}, {"file_name": "b.png", "label": 0})
    if label is not None:
        assert {each.image.name: each.label for each in read(root)} == {"a.png": label, "b.png": "normal"}
        return
    with pytest.raises(DataFaultsError, match=r"\[list-entry\] row 1"):
        read(root)


def test_control_a_truth_from_no_list_would_be_a_defect(
    tmp_path: Path, draw_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = table(lay(tmp_path / "set", draw_image, "a.png", "b.png"), "file_name,label", "a.png,maybe", "b.png,0")
    monkeypatch.setattr(names, "_NO_TRUTH", frozenset())
    assert {each.image.name: each.label for each in read(root)} == {"a.png": "anomalous", "b.png": "normal"}


def test_classes_without_a_normal_one_may_not_all_be_defects(tmp_path: Path, draw_image: Write) -> None:
    root = table(lay(tmp_path / "set", draw_image, "a.png", "b.png"), "file_name,label", "a.png,flawless", "b.png,bent")
    with pytest.raises(
        DataFaultsError, match=r"\[list-no-normal\] no image is normal, so its classes \(bent, flawless\)"
    ):
        read(root)
    table(root, "file_name,label", "a.png,good", "b.png,bent")  # control
    assert [each.defect for each in read(root)] == [None, "bent"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_tables_of_any_separator(tmp_path: Path, draw_image: Write, separator: str, end: str, start: str) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b, c.png")
    rows = [["", '"File_name"'.lower(), " Label "], ["0", "a.png", "0"], [], ["1", '"b, c.png"', "1"]]
    text = start + end.join(separator.join(row) for row in rows) + end
    (root / "metadata.csv").write_bytes(text.encode())
    assert [(each.image.name, each.label) for each in read(root)] == [("a.png", "normal"), ("b, c.png", "anomalous")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("file_name,label,label", "a.png,0,1"), "names the column 'label' twice"),
        (("file_name,label,Label", "a.png,0,1"), "names the column 'label' twice"),
        (("file_name,label", "a.png,0,1"), "line 2 has 3 fields, its first line 2"),
        (("file_name,label", "a.png"), "line 2 has 1 fields, its first line 2"),
        (("file_name,label,class", "a.png,0,bent"), r"\[list-column\] the column 'class'"),
        (("file_name,label,quality_grade", "a.png,0,3"), r"\[list-column\] the column 'quality_grade'"),
        (("file_name,label,is_good", "a.png,0,0"), r"\[list-column\] the column 'is_good'"),
        (("file_name,label,bbox", "a.png,0,"), r"\[list-column\] the column 'bbox'"),
        (("file_name,label,anomaly", "a.png,0,1"), "both OK and that there is a defect"),
        (("file_name,label,label_name", "a.png,1,good"), "both OK and that there is a defect"),
        (("file_name,label,defect_type", "a.png,0,bent"), "both OK and that there is a defect"),
        (("file_name,label,split", "a.png,0,holdout"), "'holdout' is no split"),
        (("file_name,label,width,height", "a.png,0,wide,32"), "must be whole numbers above 0"),
        (("file_name,label", ",0"), r"\[image-unreadable\]"),
        (("file_name,label,width,height", "a.png,0,32,48"), r"\[image-size\] a.png: is 48 x 32, its list says 32 x 48"),
        (("file_name,label,mask", "a.png,1,none.png"), r"\[mask-missing\]"),
        (("file_name,label,mask", "a.png,0,m.png"), r"\[mask-on-normal\]"),
        (("file_name,mask,objects", 'a.png,m.png,"{""bbox"": [[4, 5, 16, 10]]}"'), "both boxes and a mask"),
    ],
)
def test_a_table_that_contradicts_itself_is_one_line(
    tmp_path: Path, draw_image: Write, mask: Write, lines: tuple[str, ...], said: str
) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    mask(root / "m.png")
    build(table(root, "file_name,label", "a.png,0"), tmp_path / "control", BuildSettings())
    table(root, *lines)
    with pytest.raises(DataFaultsError, match=said) as error:
        build(root, tmp_path / "out", BuildSettings())
    assert len(error.value.faults) == 1


def test_every_broken_row_is_a_line(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b.png", "c.png")
    table(root, "file_name,label", "a.png,", "b.png,2", "c.png,0", "../d.png,0")
    with pytest.raises(DataFaultsError) as error:
        read(root)
    assert [fault.code for fault in error.value.faults] == ["list-entry", "list-entry", "path-outside"]


@pytest.mark.parametrize("column", ["mask_file_name", "mask", "mask_path", "gt_file_name", "Segmentation_Mask"])
@pytest.mark.parametrize("labelled", [True, False])
def test_masks_of_a_table_are_used(tmp_path: Path, draw_image: Write, mask: Write, column: str, labelled: bool) -> None:
    root = lay(tmp_path / "set", draw_image, "images/a.png", "images/b.png", "images/c.png")
    mask(root / "masks" / "b.png")
    mask(root / "masks" / "c.png", [])
    rows = (
        ["a.png,,0", "b.png,masks/b.png,1", "c.png,masks/c.png,0"]
        if labelled
        else ["b.png,masks/b.png", "c.png,masks/c.png"]
    )
    table(root, f"file_name,{column}{',label' if labelled else ''}", *(f"images/{row}" for row in rows))
    report = build(root, tmp_path / "out", BuildSettings())
    samples = {Path(each.image).name: each for each in read_manifest(report.manifest).samples}
    assert {name: (each.label, each.boxes) for name, each in samples.items()} == {
        name: truth
        for name, truth in {
            "a.png": ("normal", ()),
            "b.png": ("anomalous", (Box(4, 5, 20, 15),)),
            "c.png": ("normal", ()),
        }.items()
        if labelled or name != "a.png"
    }


def test_a_list_of_masks_in_json_lines(tmp_path: Path, draw_image: Write, mask: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    masks = [mask(root / "m" / f"{n}.png", [(n, n, n + 9, n + 9)]).relative_to(root).as_posix() for n in (1, 20)]
    jsonl(root / "metadata.jsonl", {"file_name": "a.png", "mask_file_names": masks})
    (found,) = read(root)
    assert ([each.as_posix() for each in found.masks], found.label) == (masks, None)
    jsonl(root / "metadata.jsonl", {"file_name": "a.png", "mask": 1})
    with pytest.raises(DataFaultsError, match="a mask must be a path, not 1"):
        read(root)


def test_columns_that_are_not_read_are_noted_and_a_split_is_used(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b.png", "c.png")
    lines = ["a.png,0,train,cam1,", "b.png,1,Test,cam2,bent", "c.png,0,val,cam1,none"]
    table(root, "file_name,label,split,camera,defect_type", *lines)
    report = build(root, tmp_path / "out", BuildSettings())
    samples = read_manifest(report.manifest).samples
    assert [(each.split, each.label, each.defect) for each in samples] == [
        ("train", "normal", None),
        ("test", "anomalous", "bent"),
        ("validation", "normal", None),
    ]
    assert "columns that were not read (camera): 3 (a.png, b.png, c.png)" in report.meta["warnings"]


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({"bbox": [[0.1, 0.2, 0.3, 0.4]]}, "inside the first pixel"),
        ({"bbox": [[4, 5, 16, 10]], "categories": ["unknown"]}, "does not say whether it is a defect"),
        ({"bbox": [[5, 5, 44, 20], [4, 6, 30, 30]]}, r"\[boxes-corners\]"),
        ({"bbox": [[60, 5, 4, 4]]}, r"\[box-outside\]"),
    ],
)
def test_boxes_in_another_form_are_refused(tmp_path: Path, draw_image: Write, objects: Any, said: str) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    jsonl(root / "metadata.jsonl", {"file_name": "a.png", "objects": {"bbox": [[4, 5, 16, 10]]}})
    assert build(root, tmp_path / "control", BuildSettings()).samples == 1
    jsonl(root / "metadata.jsonl", {"file_name": "a.png", "objects": objects})
    with pytest.raises(DataFaultsError, match=said):
        build(root, tmp_path / "out", BuildSettings())


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_metadata_in_utf_16_are_refused_in_one_line(tmp_path: Path, draw_image: Write, name: str) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    (root / name).write_bytes("file_name,label\na.png,0\n".encode("utf-16"))
    with pytest.raises(DataFaultsError, match=r"\[list-unreadable\] cannot be read \(is UTF-16"):
        read(root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"anomaly": "1.0"}, None),
        ({"anomaly": True}, None),
        ({"anomaly": None}, "None does not say whether it is normal"),
        ({"anomaly": float("nan")}, "nan does not say whether it is normal"),
        ({"anomaly": 2}, "2 does not say whether it is normal"),
        ({"anomaly": "bent"}, "'anomaly' must be 0 or 1"),
        ({"anomaly": 0}, "and agree with 'specie_name'"),
        ({"specie_name": "good"}, "and agree with 'specie_name'"),
        ({"mask_path": "none.png"}, r"\[mask-missing\]"),
    ],
)
def test_meta_json_says_what_is_anomalous_or_is_refused(
    tmp_path: Path, draw_image: Write, mask: Write, change: dict[str, Any], said: str | None
) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png", "b.png")
    mask(root / "m.png")
    row = {"img_path": "a.png", "mask_path": "m.png", "cls_name": "nut", "specie_name": "bent", "anomaly": 1}
    good = {"img_path": "b.png", "mask_path": "", "cls_name": "nut", "specie_name": "good", "anomaly": 0}
    (root / "meta.json").write_text(json.dumps({"test": {"nut": [row | change, good]}}))
    if said is None:
        found = {each.image.name: (each.label, each.defect) for each in read(root)}
        assert found == {"a.png": ("anomalous", "bent"), "b.png": ("normal", None)}
        return
    with pytest.raises(DataFaultsError, match=said) as error:
        build(root, tmp_path / "out", BuildSettings())
    assert len(error.value.faults) == 1


def test_a_split_of_meta_json_that_is_not_read_is_refused(tmp_path: Path, draw_image: Write) -> None:
    root = lay(tmp_path / "set", draw_image, "a.png")
    row = {"img_path": "a.png", "mask_path": "", "cls_name": "nut", "specie_name": "good", "anomaly": 0}
    (root / "meta.json").write_text(json.dumps({"test": {"nut": [row]}, "holdout": {"nut": [row]}}))
    with pytest.raises(DataFaultsError, match="'holdout' is no split"):
        read(root)
