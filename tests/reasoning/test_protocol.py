"""The protocol of a model, and what commands and recipes change of it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from adfm.config import make_settings
from adfm.errors import ConfigError
from adfm.reasoning import DEFAULT, STAGES, Protocol, ProtocolFlags, StagesName


def test_the_default_protocol() -> None:
    assert DEFAULT.model_dump() == {
        "task": "verdict",
        "stages": "full",
        "name_category": True,
        "shots": 0,
        "max_new_tokens": 512,
    }


@pytest.mark.parametrize("stages", STAGES)
def test_the_blocks_follow_the_stages(stages: StagesName) -> None:
    assert Protocol(stages=stages).blocks is STAGES[stages]


@pytest.mark.parametrize(
    "values",
    [
        {"stages": "some"},
        {"shots": -1},
        {"shots": 17},
        {"max_new_tokens": 0},
        {"max_new_tokens": 1 << 17},
        {"task": 7},
        {"stage": "full"},
    ],
)
@pytest.mark.parametrize("kind", [Protocol, ProtocolFlags])
def test_what_makes_no_sense_is_refused(values: dict[str, object], kind: type[Protocol | ProtocolFlags]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        make_settings(kind, values, "adfm.json")  # type: ignore[type-var]


def test_a_protocol_is_frozen() -> None:
    with pytest.raises(ValidationError):
        DEFAULT.shots = 2  # type: ignore[misc]


def test_flags_that_are_not_given_leave_the_models_own_values() -> None:
    own = Protocol(stages="locate_answer", name_category=False, shots=2, max_new_tokens=64)
    assert ProtocolFlags().given() == {}
    assert own.with_flags(ProtocolFlags()) == own


@pytest.mark.parametrize(
    ("name", "value"),
    [("task", "count"), ("stages", "verdict"), ("name_category", True), ("shots", 0), ("max_new_tokens", 9)],
)
def test_a_flag_that_is_given_wins_even_where_it_is_false_or_zero(name: str, value: object) -> None:
    own = Protocol(stages="locate_answer", name_category=False, shots=2, max_new_tokens=64)
    flags = ProtocolFlags.model_validate({name: value})
    assert flags.given() == {name: value}
    changed = own.with_flags(flags)
    assert changed.model_dump() == {**own.model_dump(), name: value}
    assert changed.overrides(own) == {name: value}
    assert own.overrides(own) == {}


def test_flags_and_protocol_have_the_same_fields() -> None:
    assert list(ProtocolFlags.model_fields) == list(Protocol.model_fields)
