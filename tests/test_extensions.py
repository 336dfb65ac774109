"""Entries that installed packages add: found by entry points, imported late, and refused in one line where they are wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adfm.errors import ConfigError
from adfm.extensions import extended, installed

GROUP = "adfm.test_tables"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what installs a package of one module into a folder that Python searches."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(package: str, points: str, code: str = "") -> None:
        info = tmp_path / f"{package}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
        (tmp_path / f"{package}_code.py").write_text(code)
        monkeypatch.delitem(sys.modules, f"{package}_code", raising=False)

    return add


def test_nothing_is_added_where_nothing_is_installed() -> None:
    assert installed(GROUP) == {}
    assert dict(extended(GROUP, {"own": 1})) == {"own": 1}


def test_an_installed_package_adds_its_entries_behind_our_own(install: Install) -> None:
    install("x", "two = x_code:VALUE\nalso = x_code", "VALUE = 2\n")
    table = extended(GROUP, {"own": 1})
    assert list(table) == ["own", "also", "two"]
    assert len(table) == 3
    assert table["own"] == 1
    assert table["two"] == 2
    assert table["also"].VALUE == 2  # type: ignore[attr-defined]
    assert list(table) == ["own", "also", "two"]
    assert "three" not in table
    with pytest.raises(KeyError):
        table["three"]


def test_an_extension_is_imported_when_its_entry_is_read_and_not_before(install: Install) -> None:
    install("x", "two = x_code:VALUE", "VALUE = 2\n")
    table = extended(GROUP, {"own": 1})
    assert set(table) == {"own", "two"}
    assert "two" in table
    assert table["own"] == 1
    assert "x_code" not in sys.modules
    assert table["two"] == 2
    assert "x_code" in sys.modules


def test_a_name_of_ours_is_refused(install: Install) -> None:
    install("x", "own = x_code:VALUE", "VALUE = 2\n")
    with pytest.raises(ConfigError, match=r"^extension own of x: adfm has its own 'own'.*another name$"):
        extended(GROUP, {"own": 1})


def test_a_name_of_two_packages_is_refused(install: Install) -> None:
    install("x", "two = x_code:VALUE")
    install("y", "two = y_code:VALUE")
    with pytest.raises(ConfigError, match=r"^extension two of group adfm.test_tables: x and y both add it"):
        extended(GROUP, {"own": 1})


@pytest.mark.parametrize(
    ("point", "code", "why"),
    [
        ("x_code:VALUE", "raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("x_code:VALUE", "import no_such_module_at_all", "ModuleNotFoundError"),
        ("x_code:VALUE", "this is no Python", "SyntaxError"),
        ("x_code:OTHER", "VALUE = 2", "AttributeError"),
        ("../x_code.py", "VALUE = 2", "cannot be imported"),  # a path is not a module
        ("x_code", "NAME = 'two'", "lacks SHAPE, TERMS"),
    ],
)
def test_a_broken_extension_is_one_line(install: Install, point: str, code: str, why: str) -> None:
    install("x", f"two = {point}", code)
    table = extended(GROUP, {}, needs=("NAME", "SHAPE", "TERMS"))
    with pytest.raises(ConfigError) as caught:
        table["two"]
    assert str(caught.value).startswith("extension two of x: ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
