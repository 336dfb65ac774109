"""The fuzzer of answers finds nothing in the reader as it is, and each kind of fault in a broken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import parse
import pytest

from adfm.records import Response


def test_the_reader_keeps_its_promises() -> None:
    assert parse.fuzz(300, seed=3) == 0


def raises(*_: Any, **__: Any) -> Response:
    raise RecursionError


def slow(real: Callable[..., Response]) -> Callable[..., Response]:
    def read(*arguments: Any, **named: Any) -> Response:
        parse.timed(lambda: sum(range(200_000)), 1)
        return real(*arguments, **named)

    return read


def test_a_broken_reader_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real, earned = parse.read, parse.reward
    broken = {
        "raised": {"read": raises},
        "took": {"read": slow(real), "BOUND": 1e-3},
        "earned": {"reward": lambda *given: replace(earned(*given), total=float("nan"))},
    }
    for word, changes in broken.items():
        with monkeypatch.context() as patch:
            for name, value in changes.items():
                patch.setattr(parse, name, value)
            assert parse.fuzz(2, seed=3) == 6  # under each of three protocols
        assert f"{word} " in capsys.readouterr().out
