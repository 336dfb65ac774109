"""verl, EasyR1 and ms-swift rows, compared with what their documentation and their loaders ask for."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest
from asked import BAD, OK, SAMPLES, exported
from PIL import Image

from adfm.bridges import BRIDGES, easyr1, lmms_eval, ms_swift, verl
from adfm.geometry import Frame
from adfm.reasoning import STAGES, Protocol, StagesName, ask, canonical
from adfm.rewards import easyr1 as easyr1_rewards
from adfm.rewards import verl as verl_rewards
from adfm.rewards.truth import rate, read_truth


def rows(content: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    found: list[dict[str, Any]] = pq.read_table(BytesIO(content)).to_pylist()
    return found


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().split("\n") if line]


# What is asked


@pytest.mark.parametrize("name_category", [True, False])
@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("frame", ["original", "0-1000", "resized:112x84"])
def test_the_prompt_is_that_of_our_own_training(stages: StagesName, frame: str, name_category: bool) -> None:
    protocol = Protocol(stages=stages, name_category=name_category)
    items = exported(frame, protocol)
    for item in items:
        size = item.sample.width, item.sample.height
        ours = ask(Image.new("RGB", size), Frame.parse(frame, *size), protocol, category=item.sample.category)
        assert item.question.text == ours.text and item.question.sha256 == ours.sha256
        assert item.marked_prompt == "<image>" + ours.text
        written = ours.text.encode("utf-8", "replace").decode()
        assert lines(lmms_eval.files([item])[f"{item.sample.split}.jsonl"])[0]["question"] == written
        (row,) = lines(ms_swift.files([item])[f"{item.sample.split}.jsonl"])
        assert row["messages"][0]["content"] == "<image>" + written
        assert rows(easyr1.files([item])[f"{item.sample.split}.parquet"])[0]["problem"] == "<image>" + written
        chat = rows(verl.files([item])[f"{item.sample.split}.parquet"])[0]["prompt"]
        assert chat == [{"role": "user", "content": "<image>" + written}]


def test_one_mark_for_one_image_whatever_the_part_is_called() -> None:
    assert any({"<image>", "<|image_pad|>"} & set(each.category.replace(chr(34), " ").split()) for each in SAMPLES)
    for item in exported():
        assert item.marked_prompt.count("<image>") == 1
        assert not {"<|image_pad|>", "<video>", "<audio>", "<bbox>"} & set(item.marked_prompt.split())


def test_the_part_is_named_unless_it_must_not_be() -> None:
    (named,) = exported(samples=(BAD,))
    (unnamed,) = exported(samples=(BAD,), protocol=Protocol(name_category=False))
    assert "\nPart: cap\n" in named.question.text
    assert "Part:" not in unnamed.question.text


def test_answers_are_in_the_frame_and_the_truth_is_in_original_pixels() -> None:
    (item,) = exported("resized:200x160", samples=(BAD,))
    assert '"bbox_2d": [20, 40, 60, 140]' in item.answer  # twice the image's 10, 20, 30, 70
    assert item.answer == canonical(BAD, Frame(100, 80, 200, 160))
    (row,) = lines(ms_swift.files([item])["train.jsonl"])
    assert json.loads(row["truth"])["sample"]["boxes"][0] == [10, 20, 30, 70]
    assert json.loads(row["truth"])["frame"] == "resized:200x160"


# verl: docs/preparation/prepare_data.rst lists five fields; rl_dataset.py reads `images` for each `<image>`


def test_verl_row() -> None:
    files = verl.files(exported())
    assert set(files) == {"train.parquet", "test.parquet"}
    train = rows(files["train.parquet"])
    assert [row["extra_info"]["id"] for row in train] == ["cap/1", "cap/2", "../<image>日"]
    assert [row["extra_info"]["index"] for row in train] == [0, 1, 2]
    row = train[0]
    assert set(row) == {"data_source", "prompt", "images", "ability", "reward_model", "extra_info"}
    assert row["data_source"] == "adfm/cap"
    assert row["prompt"] == [{"role": "user", "content": exported(samples=(BAD,))[0].marked_prompt}]
    assert row["images"] == [{"image": "/data/1.png", "resized_width": 112, "resized_height": 84}]
    assert row["reward_model"]["style"] == "rule"
    assert row["extra_info"]["split"] == "train"


def test_verl_sizes_are_for_resized_pixels_alone_and_never_null() -> None:
    (row,) = rows(verl.files(exported("0-1000", samples=(BAD,)))["train.parquet"])
    assert row["images"] == [{"image": "/data/1.png"}]
    mixed = verl.files([*exported("0-1000", samples=(BAD,)), *exported(samples=(OK,))])
    assert all(set(row["images"][0]) == {"image"} for row in rows(mixed["train.parquet"]))


def test_the_exported_ground_truth_pays_the_canonical_answer() -> None:
    items = exported()
    written = rows(verl.files(items)["train.parquet"]) + rows(verl.files(items)["test.parquet"])
    by_id = {read_truth(row["reward_model"]["ground_truth"]).sample.id: row for row in written}
    assert len(by_id) == len(items)
    for item in items:
        row = by_id[item.sample.id]
        scores = verl_rewards.compute_score(
            row["data_source"], item.answer, row["reward_model"]["ground_truth"], row["extra_info"]
        )
        assert scores["format"] == scores["verdict"] == 1.0
        assert scores["grounded"] == (item.sample.boxes is not None)
        assert scores["score"] >= 2.0


# EasyR1: examples/config.yaml names the columns; dataset.py takes `images` as a list per row


def test_easyr1_row() -> None:
    (item,) = exported(samples=(BAD,))
    files = easyr1.files([item])
    assert set(files) == {"train.parquet", "adfm_reward.py"}
    (row,) = rows(files["train.parquet"])
    assert row["problem"] == item.marked_prompt
    assert row["images"] == ["/data/1.png"]
    (score,) = easyr1_rewards.compute_score([{"response": item.answer, "ground_truth": row["answer"]}])
    assert score["accuracy"] == score["format"] == 1.0
    assert all(
        f"data.{name}" in easyr1.LOAD for name in ("prompt_key=problem", "answer_key=answer", "image_key=images")
    )


def test_easyr1s_reward_file_offers_what_easyr1_looks_for() -> None:
    offered: dict[str, Any] = {}
    exec(compile(easyr1.REWARD, "adfm_reward.py", "exec"), offered)
    assert offered["compute_score"] is easyr1_rewards.compute_score
    assert offered["REWARD_TYPE"] == "batch"


# ms-swift: docs/source_en/Customization/Custom-dataset.md: messages, images, and columns that reach the rewards


def test_ms_swift_row() -> None:
    files = ms_swift.files(exported())
    assert set(files) == {"train.jsonl", "test.jsonl", "adfm_reward.py"}
    row = lines(files["train.jsonl"])[0]
    assert set(row) == {"messages", "images", "truth"}
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["images"] == ["/data/1.png"]
    assert rate(row["messages"][1]["content"], row["truth"]).verdict == 1.0


def test_the_plugin_registers_every_reward_as_its_own_class(monkeypatch: pytest.MonkeyPatch) -> None:
    # ms-swift is not installed here; its table and base class are all that the plugin touches.
    import sys
    from types import ModuleType

    swift, rewards = ModuleType("swift"), ModuleType("swift.rewards")
    base = type("ORM", (), {"__init__": lambda self, args=None, **_: None})
    rewards.ORM, rewards.orms = base, {"accuracy": base}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "swift", swift)
    monkeypatch.setitem(sys.modules, "swift.rewards", rewards)
    exec(compile(ms_swift.PLUGIN, "adfm_reward.py", "exec"), {"__name__": "plugin"})
    table = rewards.orms  # type: ignore[attr-defined]
    named = [word for word in ms_swift.LOAD.split() if word.startswith("adfm_")]
    assert named and set(named) <= set(table) - {"accuracy"}
    assert all(issubclass(table[name], base) and table[name].__name__ == name for name in set(table) - {"accuracy"})


# All of them


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    for bridge in BRIDGES.values():
        for content in bridge.files(exported()).values():
            assert content.startswith(b"PAR1") or content.decode("utf-8")


def test_files_depend_on_the_samples_only() -> None:
    for bridge in BRIDGES.values():
        assert bridge.files(exported()) == bridge.files(exported())
