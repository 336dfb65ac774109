"""Settings from YAML: strict, without surprises, and with errors that help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from adfm.config import Setting, Settings, apply_overrides, describe, dump_settings, load_settings, parse_yaml
from adfm.errors import ConfigError, nearest


class Inner(Settings):
    """A nested record."""

    rate: float = Field(default=1e-4, gt=0)
    steps: int = 10


class Outer(Settings):
    """A record with a nested one."""

    name: str = "run"
    inner: Inner = Inner()
    maybe: Inner | None = None
    sizes: tuple[int, ...] = (1, 2)
    renamed: ClassVar[Mapping[str, str]] = {"title": "name", "inner.count": "inner.steps", "nested": "inner"}


def load(tmp_path: Path, text: str, *overrides: str) -> Outer:
    (tmp_path / "c.yaml").write_text(text)
    return load_settings(Outer, tmp_path / "c.yaml", overrides)


def test_values_and_overrides(tmp_path: Path) -> None:
    text = "name: a\ninner: {steps: 5}\n"
    assert load(tmp_path, text) == Outer(name="a", inner=Inner(steps=5))
    assert load(tmp_path, text, "inner.rate=1e-5", "sizes=[3]").inner == Inner(rate=1e-5, steps=5)
    assert load(tmp_path, text, "maybe.steps=7").maybe == Inner(steps=7)
    assert load(tmp_path, text, "inner=null", "inner.steps=2").inner == Inner(steps=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam: a", "unknown setting 'nam' (did you mean 'name'?)"),
        ("inner: {stepps: 1}", "unknown setting 'inner.stepps' (did you mean 'steps'?)"),
        ("maybe: {rat: 1}", "did you mean 'rate'"),
        ("name: 3", "setting 'name'"),
        ("inner: {steps: 1.5}", "setting 'inner.steps'"),
        ("inner: {rate: 0}", "setting 'inner.rate'"),
        ("- a\n- b", "name: value"),
        ("", "name: value"),
        ("name: a\nname: b", "'name' is given twice"),
        ("inner: &x {steps: 1}\nmaybe: *x", "aliases"),
        ("name: !!python/object/apply:os.system ['true']", "not a valid settings file"),
        ("a: [", "not a valid settings file"),
        ("? {a: 1}\n: 2", "not a valid settings file"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert expected in str(error.value)
    assert "c.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "overrides", "old", "new"),
    [
        ("title: a", (), "title", "name"),
        ("inner: {count: 3}", (), "inner.count", "inner.steps"),
        ("name: a", ("inner.count=3",), "inner.count", "inner.steps"),
        ("name: a", ("nested.steps=3",), "nested", "inner"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(
    tmp_path: Path, text: str, overrides: tuple[str, ...], old: str, new: str
) -> None:
    origin = "the command line" if overrides else "c.yaml"  # where the old name was written
    with pytest.raises(ConfigError, match=f"{origin}: setting '{old}' is now '{new}'$"):
        load(tmp_path, text, *overrides)
    with pytest.raises(ConfigError, match=r"unknown setting 'maybe.count'"):  # control: an old name of another place
        load(tmp_path, "maybe: {count: 3}")


@pytest.mark.parametrize("override", ["name", "=3", ""])
def test_an_override_needs_a_name_and_a_value(override: str) -> None:
    with pytest.raises(ConfigError, match="name=value"):
        apply_overrides({}, [override])


def test_an_override_does_not_change_what_it_was_given() -> None:
    values = {"inner": {"steps": 1}}
    assert apply_overrides(values, ["inner.steps=2"]) == {"inner": {"steps": 2}}
    assert values == {"inner": {"steps": 1}}


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("#" * (1 << 21))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, expected in (("big.yaml", "larger"), ("binary.yaml", "cannot be read"), ("none.yaml", "cannot be read")):
        with pytest.raises(ConfigError, match=expected):
            load_settings(Outer, tmp_path / name)


def test_deep_nesting_is_refused_not_fatal() -> None:
    with pytest.raises(ConfigError):
        parse_yaml("[" * 20_000, "deep")


def test_settings_go_round_and_are_frozen(tmp_path: Path) -> None:
    settings = Outer(name="ä", inner=Inner(rate=3e-6), sizes=(4,))
    assert load(tmp_path, dump_settings(settings)) == settings
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "b"  # type: ignore[misc]


def test_nearest_is_silent_where_nothing_is_near() -> None:
    assert nearest("colour", ["color", "size"]) == " (did you mean 'color'?)"
    assert nearest("xyz", ["color", "size"]) == ""


def test_settings_describe_themselves() -> None:
    class Described(Settings):
        mode: Literal["fast", "exact"] = Field("exact", description="how to count")
        share: Annotated[float, Field(gt=0, le=1)] | None = None
        seed: Annotated[int, Field(ge=0)]
        empty: str = ""
        free: Any = None
        pair: tuple[float, float] = (0.5, 1.0)
        inners: tuple[Inner, ...] = ()
        outer: Outer = Outer(name="other", maybe=Inner(steps=3))

    assert describe(Described) == [
        Setting("mode", "`fast`, `exact`", "exact", "how to count"),
        Setting("share", "number above 0 and at most 1 or null", "null", None),
        Setting("seed", "whole number at least 0", "required", None),
        Setting("empty", "text", "''", None),
        Setting("free", "any value", "null", None),
        Setting("pair", "list of numbers", "[0.5, 1.0]", None),
        Setting("inners", "list of values", "[]", None),
        Setting("outer.name", "text", "other", None),
        Setting("outer.inner.rate", "number above 0", "0.0001", None),
        Setting("outer.inner.steps", "whole number", "10", None),
        Setting("outer.maybe.rate", "number above 0", "0.0001", None),
        Setting("outer.maybe.steps", "whole number", "3", None),
        Setting("outer.sizes", "list of whole numbers", "[1, 2]", None),
    ]
    assert [setting.default for setting in describe(Outer) if setting.name.startswith("maybe")] == [
        "null",  # a record that may be null is listed itself
        "0.0001",
        "10",
    ]


def test_a_described_default_reads_back() -> None:
    defaults = Outer().model_dump(mode="json")
    for name, _, default, _ in describe(Outer):
        if not name.startswith("maybe."):
            parent, _, last = name.rpartition(".")
            assert parse_yaml(default, name) == (defaults[parent] if parent else defaults)[last]
