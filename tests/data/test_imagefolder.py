"""Hugging Face's imagefolder: class folders of each split, and metadata with labels or boxes; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, SourceImage, choose
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
    draw_image(root / "unlabelled" / "crack" / "6.jpg")
    assert truths(root, "imagefolder") == {
        f"train/{normal}/1.jpg": ("train", "normal", None),
        "train/crack/2.jpg": ("train", "anomalous", "crack"),
        f"Valid/{normal}/3.jpg": ("validation", "normal", None),
        "test/defect/4.jpg": ("test", "anomalous", None),
        f"test/{normal}/more/5.jpg": ("test", "normal", None),
    }
    assert {each.category for each in read(root)} == {"casting"}


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
