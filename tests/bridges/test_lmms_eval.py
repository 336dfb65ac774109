"""The lmms-eval task folder: fields of its task guide, functions that can be called as lmms-eval calls them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked import BAD, HOSTILE, LOOSE, UNPLACED, exported
from PIL import Image

from adfm.bridges import lmms_eval
from adfm.errors import ImageError
from adfm.reasoning import Protocol


class Loader(yaml.SafeLoader):
    """Safe YAML with lmms-eval's one tag."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def offered() -> dict[str, Any]:
    """What the written `utils.py` offers."""
    names: dict[str, Any] = {}
    exec(compile(lmms_eval.UTILS, "utils.py", "exec"), names)
    return names


FILES = lmms_eval.files(exported())
TASK = yaml.load(FILES["adfm_inspection.yaml"], Loader=Loader)


def test_the_task_has_the_fields_of_the_guide() -> None:
    assert TASK["task"] == "adfm_inspection"
    assert f"--tasks {TASK['task']} " in lmms_eval.LOAD
    assert TASK["output_type"] == "generate_until"
    assert TASK["dataset_path"] == "json"
    assert TASK["dataset_kwargs"]["data_files"] == {TASK["test_split"]: f"{TASK['test_split']}.jsonl"}
    assert TASK["generation_kwargs"] == {"max_new_tokens": 512, "temperature": 0, "do_sample": False}
    longer = lmms_eval.files(exported(protocol=Protocol(max_new_tokens=64)))["adfm_inspection.yaml"]
    assert b"max_new_tokens: 64\n" in longer
    assert TASK["doc_to_target"] in json.loads(FILES["test.jsonl"].split(b"\n")[0])


def test_every_function_that_the_task_names_is_there() -> None:
    named = [value for value in TASK.values() if isinstance(value, str) and value.startswith("utils.")]
    named += [metric["aggregation"] for metric in TASK["metric_list"]]
    assert len(named) == 3 + len(lmms_eval.METRICS)
    assert all(callable(offered()[name.removeprefix("utils.")]) for name in named)


def test_the_last_split_is_evaluated_and_nothing_else_is_written() -> None:
    assert set(FILES) == {"adfm_inspection.yaml", "utils.py", "test.jsonl"}
    alone = lmms_eval.files(exported(samples=(BAD,)))
    assert "train.jsonl" in alone and b"test_split: train\n" in alone["adfm_inspection.yaml"]


def test_nothing_from_the_data_set_is_in_yaml_or_code() -> None:
    hostile = lmms_eval.files(exported(samples=(HOSTILE,)))
    plain = lmms_eval.files(exported(samples=(BAD,)))
    assert hostile["train.jsonl"] != plain["train.jsonl"]
    for name in ("adfm_inspection.yaml", "utils.py"):
        assert hostile[name] == plain[name]


def test_a_document_is_asked_shown_and_scored(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80), "red").save(tmp_path / "1.png")
    (item,) = exported(samples=(replace(LOOSE, image="1.png"),), folder=tmp_path)
    document = json.loads(lmms_eval.files([item])["test.jsonl"])
    call = offered()
    assert call["doc_to_text"](document) == call["doc_to_text"](document, {"default": {}}) == item.question.text
    (picture,) = call["doc_to_visual"](document)
    assert (picture.mode, picture.size) == ("RGB", (100, 80))
    scores = call["process_results"](document, [item.answer])
    assert scores == {"adfm_total": 3.5, "adfm_format": 1.0, "adfm_verdict": 1.0, "adfm_grounding": 1.5}
    assert set(scores) == {metric["metric"] for metric in TASK["metric_list"]}
    assert set(call["process_results"](document, [""]).values()) == {0.0}


def test_grounding_that_does_not_apply_is_left_out_of_the_mean() -> None:
    (item,) = exported(samples=(UNPLACED,))
    scores = lmms_eval.process_results(lmms_eval.row(item), [item.answer])
    assert scores["adfm_grounding"] is None and scores["adfm_total"] == 2.0
    assert lmms_eval.mean([1.0, None, 0.5]) == 0.75
    assert lmms_eval.mean([None]) == 0.0


def test_a_picture_that_is_gone_is_one_line() -> None:
    with pytest.raises(ImageError, match="no such file"):
        lmms_eval.doc_to_visual({"picture": "/nowhere/1.png"})
