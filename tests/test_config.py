"""Settings from YAML: strict, without surprises, and with errors that help."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from adfm.config import Settings, apply_overrides, dump_settings, load_settings, parse_yaml
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
    ("text", "told"),
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
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert told in str(error.value)
    assert "c.yaml" in str(error.value)
    assert "\n" not in str(error.value)


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
    for name, told in (("big.yaml", "larger"), ("binary.yaml", "cannot be read"), ("none.yaml", "cannot be read")):
        with pytest.raises(ConfigError, match=told):
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
