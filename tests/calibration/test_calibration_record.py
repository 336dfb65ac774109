"""A calibration's file is untrusted: it is read strictly and exactly, holds for one model, protocol and prompt, and never decides."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfm.calibration import record as module
from adfm.calibration.record import (
    Calibration,
    asked,
    calibration_json,
    find_calibration,
    read_calibration,
    require_made_for,
    write_calibration,
)
from adfm.errors import DataError, UserError
from adfm.reasoning import DEFAULT, Protocol, prompt
from adfm.storage import sha256_bytes


def content(**changes: Any) -> dict[str, Any]:
    """A valid file's content, with changes."""
    return {
        "schema": "adfm.calibration/1",
        "adfm": "0.1.0",
        "model": "mine",
        "revision": "weights-1",
        "stages": "full",
        "protocol": DEFAULT.model_dump(),
        "prompts": [asked(DEFAULT, "nut").model_dump()],
        "score_kind": "score",
        "split": "validation",
        "samples_sha256": "0",
        "normal": 40,
        "anomalous": 30,
        "unread": 0,
        "ng": {"log_odds": 1.5, "rate": 0.05, "samples": 40},
        "ok": {"log_odds": -1.5, "rate": 0.05, "samples": 30},
        "scaling": {"method": "platt", "slope": 0.5, "offset": 0.25},
        "quality": None,
        "measured": {"normal": {"OK": 1, "NG": 2, "REVIEW": 37}},
        "warnings": [],
        **changes,
    }


def written(folder: Path, value: Any) -> Path:
    file = folder / "calibration.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def calibration(**changes: Any) -> Calibration:
    return Calibration.model_validate_json(json.dumps(content(**changes)))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-9, 1e6))
@settings(max_examples=500, deadline=None)
def test_every_number_comes_back_to_the_last_bit(ng: float, offset: float, slope: float) -> None:
    one = calibration(
        ng={"log_odds": ng, "rate": 0.05, "samples": 40},
        scaling={"method": "platt", "slope": slope, "offset": offset},
    )
    again = Calibration.model_validate_json(json.dumps(calibration_json(one), indent=2))
    assert again == one and again.ng.log_odds == ng and again.id == one.id


def test_a_file_is_read_back_and_found(tmp_path: Path) -> None:
    assert find_calibration(str(tmp_path)) is None
    one = calibration()
    write_calibration(tmp_path / "calibration.json", one)
    assert find_calibration(str(tmp_path)) == tmp_path / "calibration.json"
    assert read_calibration(tmp_path) == read_calibration(tmp_path / "calibration.json") == one
    assert json.loads((tmp_path / "calibration.json").read_text()) == content()
    assert one.id != calibration(revision="weights-2").id
    assert one.probability(1.5) == pytest.approx(1 / (1 + math.exp(-1.0)))


LEVEL = {"log_odds": 1.5, "rate": 0.05, "samples": 40}
HOSTILE: dict[str, Any] = {
    "not JSON": "{",
    "a list": "[]",
    "empty": "",
    "deep": "[" * 100_000,
    "huge number": json.dumps(content()).replace("1.5", "1" + "0" * 5000),
    "NaN": json.dumps(content(ng=LEVEL | {"log_odds": math.nan})),
    "infinity": json.dumps(content(ng=LEVEL | {"log_odds": math.inf})),
    "1e999": json.dumps(content()).replace("1.5", "1e999"),
    "text for a number": content(ng=LEVEL | {"log_odds": "1.5"}),
    "true for a number": content(ng=LEVEL | {"log_odds": True}),
    "null level": content(ng=None),
    "no level": {name: value for name, value in content().items() if name != "ng"},
    "too few samples": content(ng=LEVEL | {"samples": 18}),
    "rate 0": content(ng=LEVEL | {"rate": 0.0}),
    "rate 1": content(ng=LEVEL | {"rate": 1.0}),
    "negative samples": content(ok=LEVEL | {"samples": -1}),
    "negative slope": content(scaling={"method": "platt", "slope": -1.0, "offset": 0.0}),
    "slope 0": content(scaling={"method": "platt", "slope": 0.0, "offset": 0.0}),
    "unknown name": content(decision="OK"),
    "unknown name inside": content(ng=LEVEL | {"default": "OK"}),
    "other schema": content(schema="adfm.calibration/2"),
    "no prompt": content(prompts=[]),
    "unknown stages": content(stages="none"),
    "unknown stages of the protocol": content(protocol=DEFAULT.model_dump() | {"stages": "none"}),
    "unknown field of the protocol": content(protocol=DEFAULT.model_dump() | {"verdict": "OK"}),
    "text for a number of the protocol": content(protocol=DEFAULT.model_dump() | {"shots": "1"}),
    "training split": content(split="train"),
    "too large": json.dumps(content()) + " " * (1 << 20),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_or_hostile_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"calibration\.json: .") as caught:
        read_calibration(written(tmp_path, HOSTILE[name]))
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


def test_control_the_valid_file_is_read(tmp_path: Path) -> None:
    assert read_calibration(written(tmp_path, content())) == calibration()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such calibration"):
        read_calibration(tmp_path)
    (tmp_path / "calibration.json").symlink_to(tmp_path / "gone")
    assert find_calibration(str(tmp_path)) is not None, "a dead link must not read as no calibration"
    with pytest.raises(DataError, match="no such calibration"):
        read_calibration(tmp_path / "calibration.json")


def check(one: Calibration, **changes: Any) -> None:
    values: dict[str, Any] = {"model": "mine", "revision": "weights-1", "protocol": DEFAULT, "parts": ["nut"]}
    require_made_for(one, Path("c.json"), **(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revision": "weights-2"}, r"made for mine \(weights-1\) and the model is mine \(weights-2\)"),
        ({"parts": ["bolt"]}, "other prompts than part 'bolt'; it holds for --part with 'nut'"),
        ({"parts": [None]}, "no part named"),
        ({"parts": ["nut", "bolt"]}, "part 'bolt'"),
    ],
)
def test_another_model_or_prompt_is_refused(changes: dict[str, Any], message: str) -> None:
    check(calibration())
    check(calibration(), model="moved/elsewhere")  # a folder may move, its weights are the same
    with pytest.raises(UserError, match=message):
        check(calibration(), **changes)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("task", "choice", "task=verdict and here it is task=choice"),
        ("stages", "verdict", "stages=full and here it is stages=verdict; ask as it was made, or run"),
        ("name_category", False, "name_category=True and here it is name_category=False"),
        ("shots", 2, "shots=0 and here it is shots=2"),
        ("max_new_tokens", 99, "max_new_tokens=512 and here it is max_new_tokens=99"),
    ],
)
def test_another_protocol_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check(calibration(), protocol=DEFAULT.model_copy(update={field: value}))
    assert "--no-calibration" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_without_protocol_is_checked_by_its_stages() -> None:
    old = Calibration.model_validate_json(json.dumps({k: v for k, v in content().items() if k != "protocol"}))
    assert old.protocol is None
    check(old)
    check(old, protocol=Protocol(max_new_tokens=99))
    with pytest.raises(UserError, match="stages=full and here it is stages=verdict"):
        check(old, protocol=Protocol(stages="verdict"))


def test_a_prompt_without_a_part_is_the_same_whether_or_not_it_might_name_one() -> None:
    unnamed = Protocol(name_category=False)
    one = calibration(protocol=unnamed.model_dump(), prompts=[asked(unnamed, None).model_dump()])
    check(one, protocol=DEFAULT, parts=[None])
    check(one, protocol=unnamed, parts=[None])
    with pytest.raises(UserError, match="name_category=False and here it is name_category=True"):
        check(one, protocol=DEFAULT, parts=["nut"])


def test_the_hash_of_a_prompt_is_that_of_older_files() -> None:
    text = prompt(category="nut", frame_hint="(unit)")
    assert asked(DEFAULT, "nut").sha256 == sha256_bytes(text.encode())


def test_an_unknown_revision_is_told_apart_by_name() -> None:
    one = calibration(revision="unknown")
    check(one, revision="unknown")
    with pytest.raises(UserError, match="made for mine"):
        check(one, revision="unknown", model="other")


def test_changed_words_of_the_prompt_are_another_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    one, verdict = calibration(), module.task_named("verdict")
    changed = replace(verdict, prompt=lambda *words: verdict.prompt(*words) + "!")
    monkeypatch.setattr(module, "task_named", lambda _: changed)
    with pytest.raises(UserError, match="other prompts"):
        check(one)
