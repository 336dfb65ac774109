"""What cannot be loaded is refused in one line that names the folder; nothing is unpickled and no model code runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfm.errors import ModelError, UserError
from adfm.models import files
from adfm.models.files import base_of, load_config, load_processor, load_weights, resolve, revision_of


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def change_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def change_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def refusal(load: Callable[[], Any]) -> str:
    with pytest.raises(ModelError) as caught:
        load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_folder_loads(copy: Path) -> None:
    assert load_weights(str(copy)).training is False
    assert load_processor(str(copy)).tokenizer.padding_side == "left"


@pytest.mark.parametrize("name", ["no/such/folder", "./nothing", "~/nothing", "nothing", "/nothing", "a/b/c"])
def test_a_missing_folder(name: str) -> None:
    assert name in refusal(lambda: resolve(name))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert "config.json is missing" in refusal(lambda: resolve(str(tmp_path)))


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    assert "no such model folder" in refusal(lambda: resolve(str(tmp_path / "model")))


def test_nano_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WEIGHTS", tmp_path)
    assert "adfm nano build" in refusal(lambda: resolve("nano"))


def test_a_missing_weight(copy: Path) -> None:
    def drop(tensors: dict[str, Any]) -> None:
        del tensors[next(name for name in tensors if "down_proj" in name)]

    change_weights(copy, drop)
    assert "1 weights are missing" in refusal(lambda: load_weights(str(copy)))


def test_a_weight_of_another_shape(copy: Path) -> None:
    def shrink(tensors: dict[str, Any]) -> None:
        name = next(name for name in tensors if "down_proj" in name)
        tensors[name] = tensors[name][:-1].clone()

    change_weights(copy, shrink)
    assert str(copy) in refusal(lambda: load_weights(str(copy)))


def test_a_truncated_weight_file(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert str(copy) in refusal(lambda: load_weights(str(copy)))


def test_a_pickle_is_never_opened(copy: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (copy / "exploded",))

    import torch

    (copy / "model.safetensors").unlink()
    torch.save({"weight": Bomb()}, copy / "pytorch_model.bin")
    assert str(copy) in refusal(lambda: load_weights(str(copy)))
    assert not (copy / "exploded").exists()
    torch.load(copy / "pytorch_model.bin", weights_only=False)  # the control: this pickle does explode
    assert (copy / "exploded").exists()


def test_code_of_a_model_never_runs(copy: Path) -> None:
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass Evil: pass\n")

    def point(config: dict[str, Any]) -> None:
        config["model_type"] = "evil"
        config["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil"}

    change_json(copy / "config.json", point)
    refusal(lambda: load_config(str(copy)))
    refusal(lambda: load_weights(str(copy)))
    assert not (copy / "ran").exists()


def test_a_broken_config(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert str(copy) in refusal(lambda: load_config(str(copy)))


def test_a_processor_without_a_chat_template(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    assert "chat template" in refusal(lambda: load_processor(str(copy)))


def test_an_adapter_that_names_no_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="names no base model"):
        base_of(str(tmp_path))


def test_an_adapter_folder_is_merged_into_its_base(tiny: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    adapter = get_peft_model(load_weights(str(tiny)), LoraConfig(r=2, target_modules=r".*language_model.*q_proj"))
    for name, weight in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(weight)
    adapter.save_pretrained(tmp_path)
    merged, base = load_weights(str(tmp_path)), load_weights(str(tiny))
    changed = {name for name, value in base.state_dict().items() if not value.equal(merged.state_dict()[name])}
    assert changed and all("q_proj" in name for name in changed)
    assert revision_of(str(tmp_path), base.config) != revision_of(str(tiny), base.config)
    (tmp_path / "adapter_model.safetensors").unlink()
    assert "only safetensors" in refusal(lambda: load_weights(str(tmp_path)))


def test_the_revision_follows_the_weights(copy: Path, tiny: Path) -> None:
    config = load_config(str(copy))
    assert revision_of(str(copy), config) == revision_of(str(tiny), config)

    def swap_rows(tensors: dict[str, Any]) -> None:
        name = next(name for name in tensors if "down_proj" in name)
        tensors[name] = tensors[name].flip(0)

    change_weights(copy, swap_rows)
    assert revision_of(str(copy), config) != revision_of(str(tiny), config)
