"""The example packages of docs/extending.md: each is installed and found by its entry point."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from adfm.data.layouts import known_layouts
from adfm.errors import ConfigError
from adfm.extensions import extended
from adfm.models.families import family_of
from adfm.reasoning import task_named
from adfm.rewards.presets import preset_named

PAGE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"


def install(examples: list[tuple[str, str]], folder: Path) -> None:
    """Write each (pyproject.toml, module) as an installed package."""
    for toml, code in examples:
        project = tomllib.loads(toml)["project"]
        ((group, points),) = project["entry-points"].items()
        ((name, value),) = points.items()
        (folder / f"{value.partition(':')[0]}.py").write_text(code)
        info = folder / f"{project['name'].replace('-', '_')}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


def test_every_example_is_found_once_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError):
        task_named("short-scratches")
    examples = re.findall(r"```toml\n(.*?)```\s*```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    install(examples, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(examples) == 5
    assert family_of("acme_vl").name == "Acme-VL"
    assert known_layouts()["weld-line"].NAME == "weld-line"
    assert preset_named("best-pair").best(0.5) == 1.0
    assert task_named("short-scratches").name == "short-scratches"
    assert extended("adfm.arms", {})["paper-reward"].key == "paper-reward"  # type: ignore[attr-defined]
