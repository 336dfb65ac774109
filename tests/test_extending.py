"""The example packages of docs/extending.md: each is installed and found by its entry point."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from adfm.data.layouts import known_layouts
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError, ModelError
from adfm.extensions import extended
from adfm.models.families import family_of
from adfm.models.files import load_config
from adfm.reasoning import task_named
from adfm.rewards.presets import preset_named
from adfm.workflows.adapt import AdaptSettings, chosen_arms
from adfm.workflows.arms import Arm

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
    chosen = chosen_arms(AdaptSettings(BuildSettings(), arms=("base", "sft", "paper-reward")))
    assert chosen[-1].overrides == ("rewards.preset=paper",)


ARM_TOML = """
[project]
name = "adfm-follower"
[project.entry-points."adfm.arms"]
follower = "follower:arm"
"""
ARM_CODE = """
from adfm.workflows.arms import Arm
def arm(settings):
    return Arm("follower", "Follower", settings.model, "grpo", settings.grpo, settings.grpo_overrides)
"""


def test_an_arm_can_follow_the_users_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install([(ARM_TOML, ARM_CODE)], tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = AdaptSettings(BuildSettings(), model="mine", arms=("follower",), grpo_overrides=("steps=7",))
    assert chosen_arms(settings) == [Arm("follower", "Follower", "mine", "grpo", "nano-grpo", ("steps=7",))]


FAMILY_TOML = """
[project]
name = "adfm-prism"
[project.entry-points."adfm.families"]
Prism = "prism_family:FAMILY"
"""
FAMILY_CODE = """
from transformers import AutoConfig, PretrainedConfig
from adfm.models.families import Family
class PrismConfig(PretrainedConfig):
    model_type = "prism_vl"
AutoConfig.register("prism_vl", PrismConfig, exist_ok=True)
FAMILY = Family("Prism", ("prism_vl",), "0-1000")
"""


def test_a_family_package_registers_its_classes_before_a_type_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "prism_vl"}')
    with pytest.raises(ModelError, match="prism_vl"):
        load_config(str(model))
    install([(FAMILY_TOML, FAMILY_CODE)], tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_config(str(model)).model_type == "prism_vl"
