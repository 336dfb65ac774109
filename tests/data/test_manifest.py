"""The manifest goes round unchanged, and a reader stops at its first broken line."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfm.data.contract import Line, LineError, sample_from_json, sample_json
from adfm.data.faults import Broken
from adfm.data.manifest import mask_paths, read_manifest, write_manifest
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Sample

NORMAL = Sample("a", "p/a.png", 40, 30, "normal", "part", None, None, (), "train", "f" * 64)
BOXES = (Box(0, 0, 40, 30), Box(1, 2, 3, 4))
SCRATCHED = replace(NORMAL, id="b", label="anomalous", defect="scratch", mask="m.png", boxes=BOXES, box_ratio=0.04)
UNKNOWN = replace(
    NORMAL, id="ü c", label="anomalous", mask=("m.png", "n.png"), boxes=None, split="test", group="board 7"
)
ALL = (NORMAL, SCRATCHED, UNKNOWN)


def line_faults(row: dict[str, Any]) -> tuple[Broken, ...]:
    """Every fault for which a line cannot be read; none where it can."""
    try:
        sample_from_json(row)
    except LineError as error:
        assert error.faults
        return error.faults
    return ()


def test_samples_go_round(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", ALL)
    for path in (tmp_path, tmp_path / "manifest.jsonl"):
        manifest = read_manifest(path)
        assert manifest.samples == ALL
        assert manifest.image_path(NORMAL) == tmp_path / "p" / "a.png"


def test_a_line_holds_the_fields_of_the_contract_first() -> None:
    names = ["id", "image", "width", "height", "label", "category", "defect", "mask", "boxes", "split", "sha256"]
    assert list(sample_json(NORMAL)) == names
    assert list(sample_json(SCRATCHED))[: len(names)] == names
    assert sample_json(SCRATCHED)["boxes"] == [[0, 0, 40, 30], [1, 2, 3, 4]]
    assert list(Line.model_fields) == [field.name for field in fields(Sample)]


def test_the_bytes_of_a_line_are_a_contract(tmp_path: Path) -> None:
    floats = replace(SCRATCHED, boxes=(Box(0.0, 1.0, 2.0, 3.0),), tight=False)
    write_manifest(tmp_path / "manifest.jsonl", (NORMAL, floats, UNKNOWN))
    sha256 = "f" * 64
    assert (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines() == [
        '{"id": "a", "image": "p/a.png", "width": 40, "height": 30, "label": "normal", "category": "part", '
        f'"defect": null, "mask": null, "boxes": [], "split": "train", "sha256": "{sha256}"}}',
        '{"id": "b", "image": "p/a.png", "width": 40, "height": 30, "label": "anomalous", "category": "part", '
        f'"defect": "scratch", "mask": "m.png", "boxes": [[0, 1, 2, 3]], "split": "train", "sha256": "{sha256}", '
        '"box_ratio": 0.04, "tight": false}',
        '{"id": "ü c", "image": "p/a.png", "width": 40, "height": 30, "label": "anomalous", "category": "part", '
        f'"defect": null, "mask": ["m.png", "n.png"], "boxes": null, "split": "test", "sha256": "{sha256}", '
        '"group": "board 7"}',
    ]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("width", True, "field-type"),
        ("width", "40", "field-type"),
        ("width", 40.0, "field-type"),
        ("height", float("nan"), "field-type"),
        ("id", 5, "field-type"),
        ("id", "", "field-type"),
        ("defect", "", "field-type"),
        ("group", False, "field-type"),
        ("tight", 0, "field-type"),
        ("tight", "false", "field-type"),
        ("tight", None, "field-type"),
        ("box_ratio", "0.02", "field-type"),
        ("box_ratio", True, "field-type"),
        ("box_ratio", float("nan"), "field-type"),
        ("box_ratio", float("inf"), "field-type"),
        ("mask", [], "field-type"),
        ("mask", ["m.png", 5], "field-type"),
        ("mask", ["m.png", "/m.png"], "path-absolute"),
        ("mask", ["m.png", "m\0.png"], "path-text"),
        ("boxes", [[0, 0, 4, True]], "box-malformed"),
        ("boxes", [[0, 0, 4.0, 4]], "box-malformed"),
        ("boxes", [["0", "0", "4", "4"]], "box-malformed"),
        ("boxes", [[0, 0, float("nan"), 4]], "box-malformed"),
        ("boxes", "0, 0, 4, 4", "boxes-type"),
    ],
)
def test_nothing_is_converted_silently(field: str, value: object, code: str) -> None:
    row = sample_json(SCRATCHED)
    assert line_faults(row) == ()
    assert [fault.code for fault in line_faults(row | {field: value})] == [code]


def test_every_broken_rule_of_a_line_is_named_once() -> None:
    row = sample_json(SCRATCHED) | {"id": 1, "width": "40", "mask": ["/m", "/m", "C:n"], "split": "dev", "boxes": [5]}
    codes = [fault.code for fault in line_faults(row)]
    assert codes == ["field-type", "field-type", "path-absolute", "path-absolute", "box-malformed", "split-unknown"]


def test_a_number_is_written_as_it_was_read() -> None:
    for ratio in (0, 1, 0.04):
        assert repr(sample_json(sample_from_json(sample_json(SCRATCHED) | {"box_ratio": ratio}))["box_ratio"]) == repr(
            ratio
        )


def test_null_boxes_mean_none_for_a_normal_part_and_unknown_for_an_anomalous_one() -> None:
    assert sample_from_json(sample_json(NORMAL) | {"boxes": None}).boxes == ()
    assert sample_from_json(sample_json(UNKNOWN)).boxes is None


def test_masks_are_none_one_or_several() -> None:
    assert [len(mask_paths(sample)) for sample in ALL] == [0, 1, 2]


def test_one_split_of_a_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", ALL)
    manifest = read_manifest(tmp_path)
    assert manifest.only("test").samples == (UNKNOWN,)
    with pytest.raises(DataError, match="'validation' split"):
        manifest.only("validation")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "holds no sample"),
        ([sample_json(NORMAL), sample_json(NORMAL)], "jsonl:2: [id-twice] id 'a' is also line 1; ids must be unique"),
        ([sample_json(NORMAL), sample_json(UNKNOWN) | {"width": True}], "jsonl:2: [field-type] 'width' must be"),
        (
            [sample_json(NORMAL) | {"image": "/etc/passwd"}],
            "jsonl:1: [path-absolute] path '/etc/passwd' must be relative",
        ),
    ],
)
def test_a_reader_stops_at_the_first_broken_line(tmp_path: Path, rows: list[dict[str, object]], told: str) -> None:
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as error:
        read_manifest(tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ALL), st.sampled_from([*sample_json(SCRATCHED), "group", "more"]), json_values)
def test_a_row_is_either_read_or_its_faults_are_named(sample: Sample, field: str, value: object) -> None:
    row = sample_json(sample) | {field: value}
    if not line_faults(row):
        read = sample_from_json(row)
        assert read.label in ("normal", "anomalous")
        assert read.boxes is None or all(0 <= box.x1 < box.x2 <= read.width for box in read.boxes)


@pytest.mark.parametrize("field", ["id", "image", "width", "height", "label", "category", "split", "sha256"])
def test_a_missing_field_is_named(field: str) -> None:
    row = sample_json(NORMAL)
    del row[field]
    assert any(f"'{field}'" in fault.rule for fault in line_faults(row))
