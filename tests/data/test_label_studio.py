"""Label Studio's export: percent becomes pixels, brushes become boxes, choices decide; addresses never leave the folder."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, SourceImage, choose, studio
from adfm.data.layouts.drawn import brush_shape
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError, DataError
from adfm.geometry import Box
from adfm.records import Sample

Write = Callable[..., Path]
Row = dict[str, Any]
RECTANGLE = {"x": 12.5, "y": 25, "width": 25, "height": 50, "rotation": 0, "rectanglelabels": ["scratch"]}


def region(kind: str, value: Row, **other: Any) -> Row:
    sides = {"original_width": 48, "original_height": 32, "image_rotation": 0}
    return {"id": "x", "from_name": "label", "to_name": "image", "type": kind, "value": value} | sides | other


def choice(*names: str) -> Row:
    return {"from_name": "quality", "to_name": "image", "type": "choices", "value": {"choices": list(names)}}


def task(image: str, *results: Row, **answer: Any) -> Row:
    given = {"id": 3, "result": list(results), "was_cancelled": False, "ground_truth": False} | answer
    return {"id": 5, "annotations": [given], "drafts": [], "predictions": [], "data": {"note": "a", "image": image}}


def export(root: Path, *tasks: Row) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "project-1-at-2026-11-24.json").write_text(json.dumps(tasks))
    return root


def read(root: Path) -> dict[str, SourceImage]:
    assert [each.NAME for each in LAYOUTS if each.recognise(root)] == ["label-studio"]
    return {each.image.as_posix(): each for each in choose(root).read(root)}


def built(root: Path, out: Path) -> dict[str, Sample]:
    report = build(root, out, BuildSettings())
    return {Path(sample.image).stem: sample for sample in read_manifest(report.manifest).samples}


@pytest.fixture
def parts(tmp_path: Path, draw_image: Write) -> Path:
    """A folder of four images."""
    for name in "abcd":
        draw_image(tmp_path / "parts" / "images" / f"{name}.png")
    return tmp_path / "parts"


def packed(values: Sequence[int]) -> list[int]:
    """Bytes as run lengths of `@thi.ng/rle-pack`, written from its description: runs and, where short, plain values."""
    sizes, bits = (3, 4, 8, 16), f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] == values[start] and end - start < 60_000:
            end += 1
        index = next(i for i, size in enumerate(sizes) if end - start - 1 < 2**size)
        same = end - start > 1
        bits += f"{int(same)}{index:02b}{end - start - 1:0{sizes[index]}b}{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[index : index + 8], 2) for index in range(0, len(bits), 8)]


def brush(mask: np.ndarray) -> list[int]:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, mask
    return packed(pixels.ravel().tolist())


def test_regions_become_boxes_in_pixels(parts: Path, tmp_path: Path) -> None:
    mask = np.zeros((32, 48), np.uint8)
    mask[3:9, 40:44] = 255
    mask[20, 41] = 1
    polygon = {"points": [[50, 50], [75, 50], [75, 100]], "closed": True, "polygonlabels": ["dent"]}
    tasks = [
        task("/data/upload/1/0a1b2c3d-a.png", region("rectanglelabels", RECTANGLE)),
        task("/data/local-files/?d=line3/parts/images/b.png", region("polygonlabels", polygon)),
        task(
            "s3://bucket/c.png", region("brushlabels", {"format": "rle", "rle": brush(mask), "brushlabels": ["dent"]})
        ),
        task("https://example.org/images/d.png?sign=1"),
    ]
    samples = built(export(parts, *tasks), tmp_path / "out")
    assert {name: (s.label, s.defect, s.boxes) for name, s in samples.items()} == {
        "a": ("anomalous", "scratch", (Box(6, 8, 18, 24),)),
        "b": ("anomalous", "dent", (Box(24, 16, 36, 32),)),
        "c": ("anomalous", "dent", (Box(40, 3, 44, 21),)),
        "d": ("normal", None, ()),
    }
    assert {s.category for s in samples.values()} == {"parts"}


def test_a_turned_rectangle_is_enclosed(parts: Path) -> None:
    turned = RECTANGLE | {"x": 50, "y": 25, "width": 25, "height": 25, "rotation": 90}
    found = read(export(parts, task("images/a.png", region("rectanglelabels", turned))))
    x1, y1, x2, y2 = found["images/a.png"].boxes[0]
    assert all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip((x1, y1, x2, y2), (16, 8, 24, 20), strict=True))


@pytest.mark.parametrize(
    ("results", "label", "defect"),
    [
        ([choice("OK")], "normal", None),
        ([choice("NG")], "anomalous", None),
        ([choice("bent lead")], "anomalous", "bent lead"),
        ([choice("bent lead", "dent")], "anomalous", None),
        ([choice("NG"), region("rectanglelabels", RECTANGLE)], "anomalous", "scratch"),
        ([{"type": "relation", "from_id": "a", "to_id": "b"}], "normal", None),
        ([{"type": "textarea", "value": {"text": ["looks fine"]}}], "normal", None),
    ],
)
def test_choices_and_regions_decide(parts: Path, results: list[Row], label: str, defect: str | None) -> None:
    others = task("images/b.png"), task("images/c.png", region("rectanglelabels", RECTANGLE))
    found = read(export(parts, task("images/a.png", *results), *others))["images/a.png"]
    assert (found.label, found.defect) == (label, defect)


def test_only_answers_count_and_the_ground_truth_first(parts: Path) -> None:
    second = {"id": 4, "result": [choice("NG")], "ground_truth": True}
    two = task("images/a.png", choice("OK"))
    assert read(export(parts, two))["images/a.png"].label == "normal"  # control
    two["annotations"].append(second)
    skipped = task("images/b.png", choice("OK"), was_cancelled=True)
    nobody = task("images/c.png") | {"annotations": []}
    found = read(export(parts, two, skipped, nobody))
    assert {name: each.label for name, each in found.items()} == {"images/a.png": "anomalous"}


def test_the_folder_of_a_image_is_its_split(tmp_path: Path, draw_image: Write) -> None:
    for split in ("train", "test"):
        draw_image(tmp_path / "set" / split / "test_1.png")
    tasks = [task(f"/data/local-files/?d=set/{split}/test_1.png", choice("OK")) for split in ("train", "test")]
    found = read(export(tmp_path / "set", *tasks))
    assert {name: each.split for name, each in found.items()} == {
        "train/test_1.png": "train",
        "test/test_1.png": "test",
    }


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("../secret.png", "images/../images/a.png"),
        ("/data/local-files/?d=../secret.png", "/data/local-files/?d=images/a.png"),
        ("images/../../secret.png", "images/../../parts/images/a.png"),
        ("..%2Fsecret.png", "images%2Fa.png"),
        ("..\\secret.png", "images\\a.png"),
    ],
)
def test_an_address_never_leaves_the_set(parts: Path, draw_image: Write, outside: str, inside: str) -> None:
    draw_image(parts.parent / "secret.png")
    with pytest.raises(DataError, match=r"\[path-outside\]"):
        read(export(parts, task(outside)))
    assert list(read(export(parts, task(inside)))) == ["images/a.png"]  # control


def test_an_absolute_address_is_looked_for_inside_alone(parts: Path, draw_image: Write, tmp_path: Path) -> None:
    secret = draw_image(parts.parent / "secret.png")
    with pytest.raises(DataFaultsError, match="no such file") as error:
        build(
            export(parts, task(str(secret)), task(f"file://{secret.with_name('other.png')}")),
            tmp_path / "out",
            BuildSettings(),
        )
    assert all(str(parts) in str(fault) for fault in error.value.faults)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (task("notes.txt"), "task 5: its data name no image"),
        (task("http://[x/a.png"), "task 5: "),
        (task("images/a.png") | {"annotations": [3]}, "'annotations' must be a list of objects"),
        (task("images/a.png", result=3), "'result' must be a list of objects"),
        (task("images/a.png", choice("OK"), choice("NG")), "both OK and"),
        (task("images/a.png", choice("OK"), region("rectanglelabels", RECTANGLE)), "both OK and"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE, original_width=None)), "two sides must be numbers"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE, image_rotation=90)), "rotated image"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE | {"width": 0})), "must be above 0"),
        (task("images/a.png", region("rectanglelabels", RECTANGLE | {"x": "1"})), "x, y, width, height, rotation must"),
        (task("images/a.png", region("polygonlabels", {"points": [[1, 2], [3, 4], [3]]})), "x, y must be numbers"),
        (
            task("images/a.png", region("ellipselabels", {"x": 1, "y": 2, "radiusX": 3})),
            "x, y, radiusX, radiusY, rotation must",
        ),
        (task("images/a.png", region("brushlabels", {"rle": [1, 2, 300]})), "rle must be a list of bytes"),
        (task("images/a.png", region("brushlabels", {"rle": [1, 2, 3]})), "end too early"),
        (task("images/a.png", region("brushlabels", {"rle": packed([0] * 8)})), "must be of 48 x 32"),
        (task("images/a.png", region("brushlabels", {"rle": brush(np.zeros((32, 48)))})), "its mask is empty"),
    ],
)
def test_a_broken_export_is_one_line(parts: Path, broken: Row, said: str) -> None:
    fine = task("images/b.png", region("rectanglelabels", RECTANGLE))
    assert list(read(export(parts, fine))) == ["images/b.png"]  # control
    with pytest.raises(DataError, match=said) as error:
        read(export(parts, fine, broken))
    assert "project-1-at-2026-11-24.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_torn_export_is_recognised_and_refused(parts: Path) -> None:
    file = export(parts, task("images/a.png")) / "project-1-at-2026-11-24.json"
    file.write_text(file.read_text()[:-5])
    with pytest.raises(DataError, match="is not valid JSON"):
        read(parts)


@pytest.mark.parametrize("seed", range(6))
def test_a_brush_gives_the_box_of_its_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((29, 41), np.uint8)
    mask[5:19, 8:30] = rng.integers(0, 3, (14, 22)) * 100
    mask[5, 8] = mask[18, 29] = 255
    assert brush_shape(brush(mask), 41, 29) == Box(8, 5, 30, 19)


def test_the_beginning_of_a_brush_that_label_studio_wrote() -> None:
    """Source: a public export of 3332 x 2527 pixels; only its first bytes, so that the length and word size are read."""
    begun = [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31]
    with pytest.raises(ValueError, match="end too early"):
        brush_shape(begun, 3332, 2527)
    with pytest.raises(ValueError, match="must be of 3333 x 2527"):
        brush_shape(begun, 3333, 2527)


def bitmask(mask: np.ndarray, ink: int = 0, background: int = 0) -> str:
    """Black pixels on a transparent background, as a data URL."""
    pixels = np.full((*mask.shape, 4), ink, np.uint8)
    pixels[..., 3] = np.where(mask > 0, 255, background)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return f"data:image/png;base64,{b64encode(stream.getvalue()).decode()}"


SQUARE = np.zeros((32, 48), np.uint8)
SQUARE[8:24, 6:18] = 1
BOX = Box(6, 8, 18, 24)
ELLIPSE = {"x": 25, "y": 50, "radiusX": 12.5, "radiusY": 25, "rotation": 0}
POINTS = [[12.5, 25], [37.5, 25], [37.5, 75], [12.5, 75]]
PLAIN = {name: value for name, value in RECTANGLE.items() if name != "rectanglelabels"}


@pytest.mark.parametrize(
    ("results", "defect"),
    [
        ([region("rectanglelabels", RECTANGLE)], "scratch"),
        ([region("rectangle", PLAIN)], None),
        ([region("rectangle", PLAIN), region("labels", PLAIN | {"labels": ["dent"]})], "dent"),
        ([region("rectanglelabels", RECTANGLE), region("choices", PLAIN | {"choices": ["severe"]})], "scratch"),
        ([region("choices", PLAIN | {"choices": ["dent"]}), region("rectangle", PLAIN)], "dent"),
        ([region("rectanglelabels", RECTANGLE), region("textarea", PLAIN | {"text": ["deep"]})], "scratch"),
        ([region("rectanglelabels", RECTANGLE), region("rating", PLAIN | {"rating": 3})], "scratch"),
        ([region("polygonlabels", {"points": POINTS, "closed": True, "polygonlabels": ["dent"]})], "dent"),
        ([region("ellipselabels", ELLIPSE | {"ellipselabels": ["dent"]})], "dent"),
        ([region("ellipse", ELLIPSE | {"radiusX": 50 / 3, "radiusY": 18.75, "rotation": 90})], None),
        ([region("bitmask", {"imageDataURL": bitmask(SQUARE)})], None),
        ([region("bitmasklabels", {"imageDataURL": bitmask(SQUARE, 255), "bitmasklabels": ["dent"]})], "dent"),
        ([region("brush", {"format": "rle", "rle": brush(SQUARE)})], None),
        ([region("rectanglelabels", RECTANGLE), {"type": "relation", "from_id": "x", "to_id": "y"}], "scratch"),
    ],
)
def test_every_shape_that_is_read_gives_its_box_and_type(parts: Path, results: list[Row], defect: str | None) -> None:
    found = read(export(parts, task("images/a.png", *results), task("images/b.png")))
    assert [(each.label, each.defect) for each in found.values()] == [("anomalous", defect), ("normal", None)]
    (box,) = found["images/a.png"].boxes
    assert box == pytest.approx(BOX, abs=0.01)


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (
            [region("keypointlabels", {"x": 1, "y": 2, "width": 1, "keypointlabels": ["dent"]})],
            "'keypointlabels' are not",
        ),
        ([region("vectorlabels", {"vertices": [[1, 2]]})], "'vectorlabels' are not read"),
        ([region("taxonomy", {"taxonomy": [["NG", "dent"]]})], "'taxonomy' are not read"),
        ([region("pairwise", {"selected": "left"})], "'pairwise' are not read"),
        ([region("videorectangle", {})], "'videorectangle' are not read"),
        ([{"value": PLAIN}], "None are not read"),
        ([region("choices", PLAIN | {"choices": ["severe"]})], "no region has the id 'x'"),
        ([region("labels", {"labels": ["dent"]})], "no region has the id 'x'"),
        ([region("rectanglelabels", RECTANGLE)] * 2, "several regions have the id 'x'"),
        ([region("rectanglelabels", RECTANGLE), region("choices", {"choices": ["OK"]})], "both OK and a defect"),
        ([region("rectanglelabels", RECTANGLE | {"rectanglelabels": ["OK", "dent"]})], "both OK and"),
        ([region("rectanglelabels", RECTANGLE | {"rectanglelabels": ["ignore"]})], "does not say whether"),
        ([choice("unsure")], "'unsure' does not say whether it is normal"),
        ([choice("2")], "'2' does not say whether it is normal"),
        ([choice("OK"), choice("NG") | {"to_name": "second"}], "about several things"),
        ([region("rectanglelabels", RECTANGLE | {"x": 70, "width": 40})], "outside 0 to 100 percent"),
        ([region("polygon", {"points": [[1, 2], [30, 240], [5, 6]]})], "outside 0 to 100 percent"),
        ([region("polygon", {"points": POINTS, "closed": False})], "must be closed"),
        ([region("ellipse", ELLIPSE | {"radiusX": 0})], "radii must be above 0"),
        ([region("bitmask", {"imageDataURL": bitmask(SQUARE[1:])})], "its bitmask is 48 x 31, not 48 x 32"),
        ([region("bitmask", {"imageDataURL": bitmask(SQUARE, background=255)})], "must have a transparent background"),
        ([region("bitmask", {"imageDataURL": bitmask(SQUARE * 0)})], "its mask is empty"),
        ([region("bitmask", {"imageDataURL": "data:image/png;base64,AAAA"})], "is not a PNG"),
        ([region("bitmask", {"imageDataURL": "https://example.org/a.png"})], "must begin with data:image/png"),
        (
            [region("rectanglelabels", RECTANGLE), region("rectangle", PLAIN, id="y", original_width=96)],
            "it gives the sizes 48 x 32 and 96 x 32",
        ),
        ([region("rectanglelabels", RECTANGLE | {"x": 0.1, "y": 0.1, "width": 0.3, "height": 0.2})], "first pixel"),
    ],
)
def test_what_is_not_understood_is_refused(parts: Path, results: list[Row], said: str) -> None:
    others = task("images/b.png"), task("images/c.png", region("rectanglelabels", RECTANGLE))
    assert len(read(export(parts, *others))) == 2  # control
    with pytest.raises(DataFaultsError, match=said) as error:
        read(export(parts, task("images/a.png", *results), *others))
    assert [fault.code for fault in error.value.faults] == ["list-entry"]
    assert "\n" not in str(error.value)


def test_control_a_result_of_unknown_type_would_be_normal(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = task("images/a.png", region("keypointlabels", {"x": 1, "y": 2, "keypointlabels": ["dent"]}))
    monkeypatch.setattr(studio, "SILENT", studio.SILENT | {"keypointlabels"})
    assert read(export(parts, unknown))["images/a.png"].label == "normal"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"dark": "images/a.png", "bright": "images/b.png"}, "name 2 images"),
        ({"image": "images/a.png", "pages": ["images/b.png", "images/c.png"]}, "name 3 images"),
        ({"image": None}, "name no image"),
        ({"image": "images/a.png", "again": "images/a.png", "note": "see a.txt"}, None),
        ({"pages": ["images/a.png"]}, None),
    ],
)
def test_a_task_is_about_one_image(parts: Path, data: Row, said: str | None) -> None:
    one = task("", region("rectanglelabels", RECTANGLE)) | {"data": data}
    if said is None:
        assert list(read(export(parts, one))) == ["images/a.png"]
        return
    with pytest.raises(DataFaultsError, match=said):
        read(export(parts, one))


NOTHING, DRAWN = [], [region("rectanglelabels", RECTANGLE)]


@pytest.mark.parametrize(
    ("answers", "rule", "label"),
    [
        ((NOTHING, NOTHING), None, "normal"),
        ((DRAWN, DRAWN), None, "anomalous"),
        ((NOTHING, DRAWN), "any", "anomalous"),
        ((NOTHING, DRAWN), "all", "normal"),
        ((NOTHING, DRAWN), "first", "normal"),
        ((DRAWN, NOTHING), "any", "anomalous"),
        ((DRAWN, NOTHING), "all", "normal"),
        ((DRAWN, NOTHING), "first", "anomalous"),
        ((DRAWN, NOTHING, NOTHING), "any", "anomalous"),
    ],
)
def test_annotators_agree_or_a_rule_decides(
    parts: Path, tmp_path: Path, answers: tuple[list[Row], ...], rule: Any, label: str
) -> None:
    several = task("images/a.png") | {"annotations": [{"id": n, "result": rows} for n, rows in enumerate(answers)]}
    root = export(parts, several, task("images/b.png"), task("images/c.png", *DRAWN))
    report = build(root, tmp_path / "out", BuildSettings(annotators=rule))
    samples = {Path(each.image).stem: each for each in read_manifest(report.manifest).samples}
    assert (samples["a"].label, samples["a"].boxes) == (label, (BOX,) if label == "anomalous" else ())
    assert report.meta["settings"]["annotators"] == rule
    noted = [line for line in report.meta["warnings"] if f"--annotators {rule} decides" in line]
    assert len(noted) == (rule is not None)
    if rule is not None:
        with pytest.raises(DataFaultsError, match=rf"task 5: {len(answers)} annotators disagree"):
            build(root, tmp_path / "none", BuildSettings())


def test_the_rule_for_annotators_is_refused_where_nothing_has_any(tmp_path: Path, mvtec_set: Path) -> None:
    assert build(mvtec_set, tmp_path / "control", BuildSettings()).samples
    with pytest.raises(ConfigError, match=r"--annotators: the layout 'mvtec' has no use for it"):
        build(mvtec_set, tmp_path / "out", BuildSettings(annotators="any"))


def test_a_ground_truth_an_agreement_and_a_skipped_answer_need_no_rule(parts: Path) -> None:
    truth = task("images/a.png") | {"annotations": [{"result": []}, {"result": DRAWN, "ground_truth": True}]}
    skipped = task("images/b.png") | {"annotations": [{"result": [], "was_cancelled": True}, {"result": DRAWN}]}
    guessed = task("images/c.png") | {"annotations": [], "predictions": [{"result": DRAWN}]}
    drafted = task("images/d.png") | {"annotations": [], "drafts": [{"result": DRAWN}]}
    found = read(export(parts, truth, skipped, guessed, drafted))
    assert {path: each.label for path, each in found.items()} == dict.fromkeys(
        ("images/a.png", "images/b.png"), "anomalous"
    )
    with pytest.raises(DataFaultsError, match="'was_cancelled' must be true, false"):
        read(export(parts, task("images/a.png", was_cancelled="no")))


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([task("images/a.png", choice("OK")), task("images/b.png")], "images/b.png: was answered without a choice"),
        (
            [task("images/a.png", choice("flawless")), task("images/b.png", choice("bent"))],
            r"\(bent, flawless\) may not",
        ),
        ([{"id": 1, "image": "images/a.png", "annotator": 1, "annotation_id": 3}], "it is JSON-MIN"),
    ],
)
def test_what_a_whole_export_leaves_open_is_refused(parts: Path, tasks: list[Row], said: str) -> None:
    with pytest.raises(DataFaultsError, match=said):
        read(export(parts, *tasks))


def test_shares_are_no_percent(tmp_path: Path, draw_image: Write) -> None:
    draw_image(tmp_path / "set" / "a.png", (480, 320))
    sides = {"original_width": 480, "original_height": 320}
    small = PLAIN | {"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}
    with pytest.raises(DataFaultsError, match="shares of the image are no percent"):
        read(export(tmp_path / "set", task("a.png", region("rectangle", small, **sides))))
    fine = region("rectangle", PLAIN, id="y", **sides)  # control
    assert len(read(export(tmp_path / "set", task("a.png", region("rectangle", small, **sides), fine)))) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_export_with_a_byte_order_mark(parts: Path, encoding: str) -> None:
    file = export(parts, task("images/a.png", *DRAWN)) / "project-1-at-2026-11-24.json"
    file.write_bytes(file.read_text().encode(encoding))
    if encoding == "utf-8-sig":
        assert read(parts)["images/a.png"].label == "anomalous"
        return
    with pytest.raises(DataFaultsError, match="is UTF-16: save it as UTF-8"):
        read(parts)
