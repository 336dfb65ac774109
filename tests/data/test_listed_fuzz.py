"""Lists that somebody spoilt: a layout reads their truth or says one line for each fault; it never differs in silence.

`HYPOTHESIS_PROFILE=search` draws new and many more examples.
"""

from __future__ import annotations

import copy
import csv
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, Layout, choose, columns, drawn, listed, listed_images, names, studio
from adfm.data.measure import corners, measure
from adfm.data.settings import BuildSettings

BY_NAME: dict[str, Layout] = {layout.NAME: layout for layout in LAYOUTS}
SPOILT: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("", "a\0b", "../x.png", "/x.png", "..\\x.png", "\ud800", "a" * 5000, "/" * 5000, "http://[", "OK", "\n", "]["),
    *([], [[]], [[[]]], {}, {"x": 1}, [None], ["a"], [1, 2], [1, 2, 3, 4], {"size": [2, 2], "counts": "00"}),
)
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 48, "height": 32}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        {"image_id": 1, "category_id": 1, "bbox": [], "segmentation": [[1, 2, 3, 4, 5, 0]]},
        {"image_id": 1, "category_id": 1, "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}},
        {"image_id": 1, "category_id": 1, "segmentation": {"size": [5, 5], "counts": "632NO0124"}},
    ],
    "categories": [{"id": 1, "name": "dent"}],
}
SIDES = {"original_width": 4, "original_height": 2, "image_rotation": 0}
BRUSH = [0, 0, 0, 32, 57, 27, 255, 255, 255, 255]
STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/01234567-a.png", "other": "/data/local-files/?d=x/a.png"},
        "annotations": [
            {
                "was_cancelled": False,
                "ground_truth": False,
                "result": [
                    SIDES
                    | {"type": "rectanglelabels", "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 5}},
                    SIDES
                    | {"type": "polygonlabels", "value": {"points": [[1, 2], [3, 4], [5, 0]], "polygonlabels": ["a"]}},
                    SIDES | {"type": "brushlabels", "value": {"rle": BRUSH, "brushlabels": ["a"]}},
                    {"type": "choices", "value": {"choices": ["NG"]}},
                ],
            }
        ],
    }
]
ROWS = {"file_name": "a.png", "label": 1, "objects": {"bbox": [[1, 2, 3, 4]], "categories": ["dent"]}}
META = {
    "test": {"nut": [{"img_path": "a.png", "mask_path": "a.png", "cls_name": "n", "specie_name": "b", "anomaly": 1}]}
}
CASES = [
    ("coco", "instances.json", COCO),
    ("label-studio", "export.json", STUDIO),
    ("imagefolder-metadata", "metadata.jsonl", ROWS),
    ("meta-json", "meta.json", META),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, the deepest included."""
    yield path
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def spoilt(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    if not place:
        return other
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = other
    return changed


def is_read(layout: Layout, root: Path) -> bool:
    """Whether the list is read; if not, one line of the vocabulary says why. Anything else is a crash."""
    try:
        found = list(layout.read(root))
    except DataFaultsError as error:
        assert "\n" not in str(error)
        return False
    assert all((root / path).resolve().is_relative_to(root) for each in found for path in (each.image, *each.masks))
    return True


@pytest.mark.parametrize(("name", "file", "document"), CASES, ids=[case[0] for case in CASES])
def test_a_spoilt_list_is_read_or_refused(
    name: str, file: str, document: Any, tmp_path: Path, draw_image: Callable[[Path], Path]
) -> None:
    root, layout = tmp_path / "set", BY_NAME[name]
    draw_image(root / "a.png")
    draw_image(tmp_path / "x.png")
    every = [(place, other) for place in places(document) for other in SPOILT]
    outcomes = []
    for place, other in random.Random(0).sample(every, min(600, len(every))):
        (root / file).write_text(json.dumps(spoilt(document, place, other)))
        outcomes.append(is_read(layout, root))
    assert any(outcomes)
    assert not all(outcomes)  # control: some of it is refused


EXAMPLES = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "search" else 80
WIDTH, HEIGHT, NAMES = 48, 32, tuple(f"p{number}.png" for number in range(6))
Shape = tuple[str, tuple[int, int, int, int]]
Truth = dict[str, tuple[str, str | None, tuple[tuple[float, ...], ...] | None]]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six images, where each example writes its list."""
    root = tmp_path_factory.mktemp("pool") / "set"
    root.mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    return root


@dataclass(frozen=True)
class Part:
    """What is true of one image."""

    name: str
    shapes: tuple[Shape, ...]

    @property
    def truth(self) -> tuple[str, str | None, tuple[tuple[float, ...], ...] | None]:
        kinds = {kind for kind, _ in self.shapes}
        boxes = tuple(sorted({box for _, box in self.shapes}, key=lambda box: (box[1], box[0], box[3], box[2])))
        return ("anomalous" if boxes else "normal"), (kinds.pop() if len(kinds) == 1 else None), boxes


@st.composite
def parts(draw: st.DrawFn) -> tuple[Part, ...]:
    """Two to six images with up to three defects each, the first without any and the second with one."""
    count = draw(st.integers(2, len(NAMES)))
    found = []
    for number, name in enumerate(NAMES[:count]):
        shapes = []
        for _ in range(min(number, 1) if number < 2 else draw(st.integers(0, 3))):
            x, y = draw(st.integers(0, WIDTH - 6)), draw(st.integers(0, HEIGHT - 6))
            across, down = draw(st.integers(4, WIDTH - x)), draw(st.integers(4, HEIGHT - y))
            shapes.append((draw(st.sampled_from(["scratch", "dent"])), (x, y, x + across, y + down)))
        found.append(Part(name, tuple(shapes)))
    return tuple(found)


def coco_of(found: tuple[Part, ...]) -> Any:
    kinds = {"scratch": 501, "dent": 502}
    rows = [(part, shape) for part in found for shape in part.shapes]
    return {
        "images": [
            {"id": 100 + n, "file_name": part.name, "width": WIDTH, "height": HEIGHT} for n, part in enumerate(found)
        ],
        "annotations": [
            {
                "id": 900 + number,
                "image_id": 100 + found.index(part),
                "category_id": kinds[kind],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
                "iscrowd": 0,
                "attributes": {"occluded": False, "rotation": 0.0},
            }
            for number, (part, (kind, (x1, y1, x2, y2))) in enumerate(rows)
        ],
        "categories": [{"id": number, "name": kind} for kind, number in kinds.items()],
    }


def studio_of(found: tuple[Part, ...]) -> Any:
    sides = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}

    def result(number: int, kind: str, box: tuple[int, int, int, int]) -> Any:
        x1, y1, x2, y2 = box
        across, down = 100 / WIDTH, 100 / HEIGHT
        value = {
            "x": x1 * across,
            "y": y1 * down,
            "width": (x2 - x1) * across,
            "height": (y2 - y1) * down,
            "rotation": 0,
        }
        value["rectanglelabels"] = [kind]
        place = {"from_name": "label", "to_name": "image", "type": "rectanglelabels"}
        return {"id": f"r{number}"} | place | sides | {"value": value}

    return [
        {
            "id": 100 + number,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{part.name}"},
            "annotations": [
                {
                    "id": 200 + number,
                    "was_cancelled": False,
                    "ground_truth": False,
                    "result": [result(n, kind, box) for n, (kind, box) in enumerate(part.shapes)],
                }
            ],
            "predictions": [],
        }
        for number, part in enumerate(found)
    ]


def rows_of(found: tuple[Part, ...]) -> Any:
    return [
        {
            "file_name": part.name,
            "label": int(bool(part.shapes)),
            "objects": {
                "bbox": [[x1, y1, x2 - x1, y2 - y1] for _, (x1, y1, x2, y2) in part.shapes],
                "categories": [kind for kind, _ in part.shapes],
            },
            "width": WIDTH,
            "height": HEIGHT,
        }
        for part in found
    ]


def plain(document: Any) -> bytes:
    return json.dumps(document).encode()


def lines_of(document: Any) -> bytes:
    return b"".join(plain(row) + b"\n" for row in document)


def table_of(document: Any) -> bytes:
    """A table of the first row's columns; what is no text is written as JSON."""
    stream = StringIO()
    writer = csv.DictWriter(stream, list(document[0]))
    writer.writeheader()
    for row in document:
        writer.writerow({name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()})
    return stream.getvalue().encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Form:
    """A kind of list: its file, how it is made of parts, and how it is written."""

    layout: str
    file: str
    document: Callable[[tuple[Part, ...]], Any]
    content: Callable[[Any], bytes]


FORMS = {
    "coco": Form("coco", "instances.json", coco_of, plain),
    "label-studio": Form("label-studio", "export.json", studio_of, plain),
    "json lines": Form("imagefolder-metadata", "metadata.jsonl", rows_of, lines_of),
    "table": Form("imagefolder-metadata", "metadata.csv", rows_of, table_of),
}


def outcome(root: Path, form: Form, content: bytes) -> Truth | None:
    """What a build reads from the list, or None where it refuses it, in one line for each fault."""
    file = root / form.file
    file.write_bytes(content)
    try:
        layout = choose(root)
        assert form.layout == layout.NAME
        measured = [measure(root, image, BuildSettings()) for image in listed_images(root, layout)]
        if faults := [fault for one in measured for fault in one.faults] or corners(root, measured):
            raise DataFaultsError(faults)
    except DataFaultsError as error:
        assert error.faults
        assert all("\n" not in str(fault) for fault in error.faults)
        return None
    finally:
        file.unlink()
    return {
        one.source.image.as_posix(): (
            one.label,
            one.source.defect,
            one.boxes and tuple(tuple(box) for box in one.boxes),
        )
        for one in measured
    }


def truth_of(found: tuple[Part, ...]) -> Truth:
    return {part.name: part.truth for part in found}


def shuffled(document: Any, seed: int) -> Any:
    """The same truth in another order: entries, and the keys of every object."""
    rng = random.Random(seed)
    if isinstance(document, dict):
        return {key: shuffled(document[key], seed) for key in rng.sample(list(document), len(document))}
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return [shuffled(row, seed) for row in rng.sample(document, len(document))]
    return document


def commented(document: Any) -> Any:
    """The same truth with fields that say nothing about it."""
    rows = document if isinstance(document, list) else document["images"]
    for row in rows:
        row["comment"] = "seen twice"
    return document


HARMLESS: dict[str, Callable[[Form, Any, int], bytes]] = {
    "as it is": lambda form, document, _seed: form.content(document),
    "another order": lambda form, document, seed: form.content(shuffled(document, seed)),
    "a byte-order mark": lambda form, document, _seed: b"\xef\xbb\xbf" + form.content(document),
    "lines of Windows": lambda form, document, _seed: (
        form.content(document).replace(b"\r", b"").replace(b"\n", b"\r\n")
    ),
    "other fields": lambda form, document, _seed: form.content(commented(document)),
    "numbers with a point": lambda form, document, _seed: form.content(
        json.loads(json.dumps(document), parse_int=lambda text: float(text) if len(text) < 3 else int(text))
    ),
}


def listed_rows(document: Any) -> list[Any]:
    return document["images"] if isinstance(document, dict) else document


def at(document: Any, index: int, key: str, value: Any) -> Any:
    rows = listed_rows(document)
    rows[index % len(rows)][key] = value
    return document


def joined(document: Any, index: int) -> Any:
    """One entry twice, as where two lists are joined."""
    rows = listed_rows(document)
    rows.append(copy.deepcopy(rows[index % len(rows)]))
    return document


def marks(document: Any, index: int) -> tuple[Any, str]:
    """An object that places a defect, and the name of its list of numbers; rectangles have none."""
    if isinstance(document, dict):
        return document["annotations"][index % len(document["annotations"])], "bbox"
    if "data" in document[0]:
        results = [row for task in document for row in task["annotations"][0]["result"]]
        return results[index % len(results)], "value"
    drawn_rows = [row["objects"] for row in document if row["objects"]["bbox"]]
    return drawn_rows[index % len(drawn_rows)], "bbox"


def misplaced(document: Any, index: int, change: Callable[[list[float]], list[float]]) -> Any:
    """The place of one defect, [x, y, width, height] in pixels, changed."""
    row, name = marks(document, index)
    if name == "value":
        value, scale = row["value"], (100 / WIDTH, 100 / HEIGHT, 100 / WIDTH, 100 / HEIGHT)
        keys = ("x", "y", "width", "height")
        changed = change([value[key] / each for key, each in zip(keys, scale, strict=True)])
        value |= {key: number * each for key, number, each in zip(keys, changed, scale, strict=True)}
    elif isinstance(row["bbox"][0], list):
        row["bbox"][0] = change(row["bbox"][0])
    else:
        row["bbox"] = change(row["bbox"])
    return document


def cut_off(content: bytes) -> bytes:
    """The first two thirds, which end inside an entry."""
    return content[: len(content) * 2 // 3].rstrip(b"]}\r\n") + b'"'


Damage = Callable[[Form, Any, int], bytes]
HARMFUL: dict[str, Damage] = {
    "an entry twice": lambda form, document, n: form.content(joined(document, n)),
    "UTF-16": lambda form, document, _n: form.content(document).decode().encode("utf-16"),
    "torn": lambda form, document, _n: cut_off(form.content(document)),
    "a side of zero": lambda form, document, n: form.content(misplaced(document, n, lambda box: [*box[:3], 0])),
    "a side below zero": lambda form, document, n: form.content(
        misplaced(document, n, lambda box: [*box[:2], -5, box[3]])
    ),
    "outside": lambda form, document, n: form.content(misplaced(document, n, lambda box: [box[0] + 60, *box[1:]])),
    "in shares": lambda form, document, n: form.content(
        misplaced(document, n, lambda box: [edge / 50 for edge in box])
    ),
    "no image": lambda form, document, n: form.content(
        at(
            document,
            n,
            *(("data", {"image": "none.png"}) if form.layout == "label-studio" else ("file_name", "none.png")),
        )
    ),
}
COCO_HARMFUL: dict[str, Callable[[Any, int], Any]] = {
    "image id twice": lambda document, n: at(
        document, n, "id", document["images"][n % len(document["images"]) - 1]["id"]
    ),
    "category id twice": lambda document, _n: document["categories"][0].update(id=502),
    "annotation id twice": lambda document, n: document["annotations"].append(document["annotations"][n % 1]),
    "unknown image": lambda document, n: marks(document, n)[0].update(image_id=77),
    "unknown category": lambda document, n: marks(document, n)[0].update(category_id=77),
    "another size": lambda document, n: at(document, n, "width", HEIGHT),
    "outline elsewhere": lambda document, n: marks(document, n)[0].update(segmentation=[[50, 40, 60, 40, 60, 50]]),
    "turned in an unknown way": lambda document, n: marks(document, n)[0].update(angle=10),
    "no annotations": lambda document, _n: document.pop("annotations"),
}
STUDIO_HARMFUL: dict[str, Callable[[Any, int], Any]] = {
    "unknown type": lambda document, n: marks(document, n)[0].update(type="cuboidlabels"),
    "turned image": lambda document, n: marks(document, n)[0].update(image_rotation=90),
    "another size": lambda document, n: marks(document, n)[0].update(original_width=HEIGHT),
    "a second image": lambda document, n: document[n % len(document)]["data"].update(other="p0.png"),
    "a second annotator": lambda document, n: document[1]["annotations"].append({"id": 9, "result": []}),
    "region id twice": lambda document, n: document[1]["annotations"][0]["result"].append(marks(document, 0)[0]),
    "a choice without its region": lambda document, n: marks(document, n)[0].update(type="labels"),
}
ROWS_HARMFUL: dict[str, Callable[[Any, int], Any]] = {
    "unknown truth": lambda document, n: at(document, n, "label", ("nan", "maybe", 2, -1)[n % 4]),
    "opposite truth": lambda document, _n: document[1].update(label=0),
    "another size": lambda document, n: at(document, n, "width", HEIGHT),
    "another truth column": lambda document, _n: [row.update(quality=1) for row in document],
    "column twice": lambda document, _n: [row.update(Label=row["label"]) for row in document],
}
OWN = {"coco": COCO_HARMFUL, "label-studio": STUDIO_HARMFUL, "json lines": ROWS_HARMFUL, "table": ROWS_HARMFUL}


def damaged(form: Form, name: str, found: tuple[Part, ...], kind: str, index: int) -> bytes:
    """The list of some parts with one damage, of all lists or of this one."""
    document = form.document(found)
    if kind in HARMFUL:
        return HARMFUL[kind](form, document, index)
    OWN[name][kind](document, index)
    return form.content(document)


@pytest.mark.parametrize("name", FORMS)
def test_a_list_in_another_form_says_the_same(name: str, pool: Path) -> None:
    form = FORMS[name]

    @settings(max_examples=EXAMPLES // 2, deadline=None)
    @given(parts(), st.sampled_from(sorted(HARMLESS)), st.integers(0, 99))
    def same(found: tuple[Part, ...], kind: str, seed: int) -> None:
        assert outcome(pool, form, HARMLESS[kind](form, form.document(found), seed)) == truth_of(found)

    same()


@pytest.mark.parametrize("name", FORMS)
def test_a_damaged_list_is_refused(name: str, pool: Path) -> None:
    form = FORMS[name]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(parts(), st.sampled_from(sorted({**HARMFUL, **OWN[name]})), st.integers(0, 99))
    def refused(found: tuple[Part, ...], kind: str, index: int) -> None:
        assert outcome(pool, form, damaged(form, name, found, kind, index)) is None, kind

    refused()


# Fields that state the truth, and those that take it back where they are emptied.
SAYS = frozenset({"name", "bbox", "label", "file_name", "categories", "objects", "value", "rotation", "data"})
EMPTIES = frozenset({"annotations", "result", "was_cancelled", "segmentation"})


@pytest.mark.parametrize("name", FORMS)
def test_any_change_of_what_says_no_truth_is_without_effect_or_refused(name: str, pool: Path) -> None:
    """Fields that state the truth are left alone; whatever any other field becomes, labels, types and boxes are the same."""
    form = FORMS[name]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(parts(), st.integers(0, 10**6), st.sampled_from(range(len(SPOILT))))
    def same_or_refused(found: tuple[Part, ...], at_: int, other: int) -> None:
        document = form.document(found)
        spots = [place for place in places(document) if place and not SAYS & set(map(str, place))]
        spots = [place for place in spots if place[-1] not in EMPTIES and not isinstance(place[-1], int)]
        changed = spoilt(document, spots[at_ % len(spots)], SPOILT[other])
        read = outcome(pool, form, form.content(changed))
        assert read in (None, truth_of(found)), spots[at_ % len(spots)]

    same_or_refused()


@pytest.mark.parametrize(
    ("name", "kind", "guard", "nothing"),
    [
        ("coco", "annotation id twice", (listed, "Counter"), lambda _values: {}),
        ("coco", "outline elsewhere", (drawn, "_agree"), lambda _box, _drawn: True),
        ("label-studio", "unknown type", (studio, "SILENT"), frozenset({"cuboidlabels"})),
        ("json lines", "unknown truth", (names, "_NO_TRUTH"), frozenset()),
        ("table", "another truth column", (columns, "_TRUTHS"), frozenset()),
    ],
)
def test_control_without_its_guard_a_damaged_list_is_read(
    name: str, kind: str, guard: tuple[Any, str], nothing: Any, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuple(Part(each, (("dent", (4, 5, 20, 15)),) if n == 1 else ()) for n, each in enumerate(NAMES[:2]))
    content = damaged(FORMS[name], name, found, kind, 1)
    assert outcome(pool, FORMS[name], content) is None
    monkeypatch.setattr(*guard, nothing)
    assert outcome(pool, FORMS[name], content) is not None
