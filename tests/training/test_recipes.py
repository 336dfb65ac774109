"""Every packaged recipe says what its settings mean to: it loads, names its command, and trains a tiny model of its class."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from quick import few_samples

from adfm.config import load_settings
from adfm.errors import ConfigError
from adfm.models.files import load_config, load_processor
from adfm.training.grpo import check_batch, train_grpo
from adfm.training.settings import RECIPES, GrpoSettings, SftSettings, TrainSettings, filled_recipe, find_recipe
from adfm.training.sft import train_sft

FILES = sorted(RECIPES.glob("*.yaml"))
HUB = {
    "qwen2.5-vl-3b": ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2.5"),
    "qwen2.5-vl-7b": ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5"),
    "qwen3-vl-8b": ("Qwen/Qwen3-VL-8B-Instruct", "qwen3"),
}
LARGE = [f"{stem}-{stage}" for stem in HUB for stage in ("sft", "grpo")]


def kind_of(name: str) -> type[Any]:
    return SftSettings if name.endswith("sft") else GrpoSettings


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_loads_and_holds_whole_groups(file: Path) -> None:
    settings = load_settings(kind_of(file.stem), file)
    if isinstance(settings, GrpoSettings):
        check_batch(settings)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipes_command_names_the_recipe(file: Path) -> None:
    words = shlex.split(file.read_text().splitlines()[0])
    if words[2] == "train":
        assert words[3] == file.stem.rpartition("-")[2]
        assert words[words.index("--config") + 1] == file.stem


@pytest.mark.parametrize("name", LARGE)
def test_the_large_recipes_are_adapters_for_one_gpu(name: str) -> None:
    settings = load_settings(kind_of(name), find_recipe(name))
    stem = name.rpartition("-")[0]
    assert settings.model == HUB[stem][0]
    assert settings.lora and settings.lora.rank == 16 and settings.gradient_checkpointing
    assert settings.data.max_side == 0, "an image that only training shrinks would be news to the inspection"
    if isinstance(settings, GrpoSettings):
        assert settings.vllm and settings.learning_rate == 1e-5
        assert (settings.generations, settings.protocol.max_new_tokens, settings.beta) == (8, 512, 0)
    else:
        assert settings.learning_rate == 1e-4


@pytest.mark.parametrize("name", LARGE)
def test_a_large_recipe_trains_a_tiny_model_of_its_class(
    name: str, tiny_folders: dict[str, Path], parts_data: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForImageTextToText

    model = tiny_folders[HUB[name.rpartition("-")[0]][1]]
    small = ["steps=2", "micro_batch=2", "accumulation=2", "threads=1", "workers=0", "data.max_pixels=5000"]
    if name.endswith("grpo"):
        small += ["vllm=null", "protocol.max_new_tokens=8", "generations=2"]
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    settings: Any = filled_recipe(
        kind_of(name), name, small, manifest=rows, model=str(model), out=str(tmp_path / "run")
    )
    final = train_grpo(settings) if isinstance(settings, GrpoSettings) else train_sft(settings)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert load_config(str(final)).model_type == load_config(str(model)).model_type
    assert load_processor(str(final)).image_processor.size["longest_edge"] == 5000
    AutoModelForImageTextToText.from_pretrained(final)


def test_a_program_fills_a_recipe_without_yaml(tmp_path: Path) -> None:
    odd = tmp_path / "a #1: [b]"
    settings = filled_recipe(
        SftSettings, "nano-sft", ["steps=7", "data.flips_rotations=false"], manifest=odd, out="1e5", seed=3
    )
    assert (settings.data.manifest, settings.out, settings.seed) == (str(odd), "1e5", 3)
    assert settings.steps == 7 and not settings.data.flips_rotations and settings.data.max_side == 320


def test_an_unknown_recipe_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'nano-grpo'\?"):
        find_recipe("nano-gpro")
    (tmp_path / "mine.yaml").write_text("steps: 1\n")
    assert find_recipe(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"


def test_every_setting_that_is_filled_in_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed"):
        filled_recipe(SftSettings, "nano-sft", [], manifest=tmp_path, seed=-1)
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        filled_recipe(SftSettings, "nano-sft", ["step=1"], manifest=tmp_path)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainSettings().steps = 1  # type: ignore[misc]
