"""What differs between model families: box frames, pixel limits, image tokens and module paths; extensions add families."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_models import tiny_internvl

from adfm.errors import ConfigError, ImageError, ModelError
from adfm.geometry import Box, Frame, FrameOf
from adfm.models.families import FAMILIES, Family, family_of, frame_of_model
from adfm.models.files import load_config, load_processor, load_weights
from adfm.reasoning import PIXELS, THOUSANDTHS, frame_hint

SIZES = ((1, 1), (64, 64), (56, 57), (27, 29), (640, 480), (1000, 1000), (1001, 6), (37, 4000), (333, 777))
MAX_ASPECT = 200


def random_sizes(count: int = 40) -> list[tuple[int, int]]:
    random = np.random.default_rng(0)
    sides = np.exp(random.uniform(np.log(4), np.log(700), (count, 2))).astype(int)
    return [
        (int(width), int(height)) for width, height in sides if max(width, height) <= MAX_ASPECT * min(width, height)
    ]


def model_of(family: str, folders: dict[str, Path]) -> Any:
    return tiny_internvl() if family == "internvl" else load_weights(str(folders[family]))


every_family = pytest.mark.parametrize("name", ["qwen2.5", "qwen3", "internvl"])


# --- the frame of boxes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [(56**2, 56**2), (56 * 56, 28 * 28 * 16), (4, 10**7)])
def test_qwen25_writes_pixels_of_the_grid_that_its_processor_makes(limits: tuple[int, int], tiny: Path) -> None:
    processor = load_processor(str(tiny))
    images = processor.image_processor
    images.size = {"shortest_edge": limits[0], "longest_edge": limits[1]}
    rule = family_of("qwen2_5_vl").frame_rule(processor)
    for size in (*SIZES[:7], *random_sizes()):
        _, rows, columns = images(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"][0].tolist()
        assert rule(*size) == Frame(*size, columns * images.patch_size, rows * images.patch_size)


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen3_vl", "qwen3_vl_moe", "internvl"])
def test_the_other_families_write_thousandths(model_type: str) -> None:
    rule = family_of(model_type).frame_rule(None)
    for size in SIZES:
        assert rule(*size) == Frame(*size, 1000, 1000)
        assert frame_hint(rule(*size)) == THOUSANDTHS


def test_a_family_may_write_original_pixels() -> None:
    assert Family("X", ("x",), "original").frame_rule(None)(640, 480) == Frame.original(640, 480)


def test_a_model_folder_has_the_frame_of_its_family(tiny_folders: dict[str, Path]) -> None:
    hints = {
        name: {frame_hint(frame_of_model(str(folder))(*size)) for size in SIZES}
        for name, folder in tiny_folders.items()
    }
    assert hints == {"qwen2.5": {PIXELS}, "qwen3": {THOUSANDTHS}}


def test_a_box_survives_the_way_through_the_text(either: Path) -> None:
    rule = frame_of_model(str(either))
    for width, height in ((640, 480), (31, 77), (1920, 200)):
        frame = rule(width, height)
        back = frame.to_original(frame.to_text(Box(3, 5, width - 2, height - 7)))
        errors = np.abs(np.subtract(back, (3, 5, width - 2, height - 7)))
        assert (errors <= [width / frame.units_x, height / frame.units_y] * 2).all()


@pytest.mark.parametrize("size", [(201, 1), (3, 700)])
def test_an_image_that_no_processor_reads_is_its_own_fault(size: tuple[int, int], either: Path) -> None:
    with pytest.raises(ImageError, match="longer than 200 : 1"):
        frame_of_model(str(either))(*size)
    with pytest.raises(ValueError, match="aspect ratio"):  # so says the processor itself
        load_processor(str(either)).image_processor(images=[Image.new("RGB", size)], return_tensors="pt")


# --- the limit on pixels ----------------------------------------------------------------------------------------------


def test_a_limit_shrinks_what_the_processor_and_the_frame_see(either: Path) -> None:
    family, processor = family_of(load_config(str(either)).model_type), load_processor(str(either))
    smallest = processor.image_processor.size["shortest_edge"]

    def area() -> int:
        batch = processor.image_processor(images=[Image.new("RGB", (900, 600))], return_tensors="pt")
        _, rows, columns = batch["image_grid_thw"][0].tolist()
        return int(rows * columns * processor.image_processor.patch_size**2)

    family.limit_pixels(processor, 0)
    assert processor.image_processor.size["shortest_edge"] == smallest
    family.limit_pixels(processor, 512 * 512)
    assert 128 * 128 < area() <= 512 * 512  # the control: there is something to shrink
    family.limit_pixels(processor, 128 * 128)
    assert area() <= 128 * 128
    assert processor.image_processor.size == {
        "shortest_edge": min(smallest, 128 * 128),
        "longest_edge": 128 * 128,
    }


def test_a_limit_is_saved_with_the_model(tiny: Path, tmp_path: Path) -> None:
    processor = load_processor(str(tiny))
    family_of("qwen2_5_vl").limit_pixels(processor, 4000)
    processor.save_pretrained(tmp_path)
    assert load_processor(str(tmp_path)).image_processor.size["longest_edge"] == 4000


def test_a_family_without_a_limit_refuses_one_in_one_line() -> None:
    family_of("internvl").limit_pixels(None, 0)
    with pytest.raises(ConfigError, match=r"setting 'data\.max_pixels': InternVL has no limit on pixels") as refused:
        family_of("internvl").limit_pixels(None, 4000)
    assert "\n" not in str(refused.value)


# --- tokens and modules -----------------------------------------------------------------------------------------------


@every_family
def test_the_tower_and_the_decoder_are_where_the_family_says(name: str, tiny_folders: dict[str, Path]) -> None:
    model = model_of(name, tiny_folders)
    family = family_of(model.config.model_type)
    tower = {id(weight) for weight in family.tower_of(model).parameters()}
    decoder = {id(weight) for weight in model.get_submodule(family.decoder).parameters()}
    assert tower and decoder and not tower & decoder
    for weight_name, weight in model.named_parameters():
        for wrapped in (weight_name, f"module.{weight_name}", f"base_model.model.{weight_name}"):
            assert family.is_tower(wrapped) == (id(weight) in tower), wrapped
    if family.patch_embedding:
        assert family.tower_of(model).get_submodule(family.patch_embedding).weight.ndim > 2


def test_a_name_that_only_ends_like_the_towers_is_not_in_it() -> None:
    family = family_of("qwen2_5_vl")
    assert family.is_tower("model.visual.blocks.0.weight")
    assert not family.is_tower("supermodel.visual.blocks.0.weight")
    assert not family.is_tower("model.visualizer.weight")


def test_a_model_without_the_tower_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no vision tower at 'model\.eyes'"):
        Family("X", ("x",), "0-1000", tower="model.eyes").tower_of(tiny_internvl())


@every_family
def test_an_adapter_is_put_on_the_decoder_alone(name: str, tiny_folders: dict[str, Path]) -> None:
    model = model_of(name, tiny_folders)
    family = family_of(model.config.model_type)
    modules = [module for module, _ in model.named_modules()]
    last = {module.rpartition(".")[2] for module in modules if module.startswith(family.tower)}
    targets = [*family.lora_targets, *last]  # names of the tower's own layers, to tempt the pattern
    chosen = [module for module in modules if re.fullmatch(family.lora_pattern(targets), module)]
    assert chosen and all(module.startswith(f"{family.decoder}.") for module in chosen)
    default = [module for module in modules if re.fullmatch(family.lora_pattern(family.lora_targets), module)]
    layers = model.get_submodule(family.decoder).config.num_hidden_layers
    assert len(default) == layers * len(family.lora_targets)
    assert not re.fullmatch(family.lora_pattern(["q.proj"]), f"{family.decoder}.layers.0.self_attn.q_proj")


def test_every_placeholder_is_known(either: Path) -> None:
    from transformers import AutoTokenizer

    names = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tokens = AutoTokenizer.from_pretrained(either).convert_tokens_to_ids(list(names))
    config = load_config(str(either))
    assert family_of(config.model_type).placeholder_tokens(config) == sorted(tokens)


def test_a_placeholder_that_the_configuration_lacks_is_left_out() -> None:
    config = tiny_internvl().config
    assert family_of("internvl").placeholder_tokens(config) == [config.image_token_id]


# --- which family -----------------------------------------------------------------------------------------------------


def test_a_model_type_belongs_to_one_family() -> None:
    types = [model_type for family in FAMILIES.values() for model_type in family.model_types]
    assert len(types) == len(set(types))
    assert all(family_of(model_type).name in FAMILIES for model_type in types)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'llava': its box units are not known; known model types: qwen2_vl"):
        family_of("llava")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what installs a package whose one module is the code given, with its FAMILY as an extension."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(code: str) -> None:
        info = tmp_path / "lens-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lens\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text("[adfm.families]\nLens = lens_family:FAMILY\n")
        (tmp_path / "lens_family.py").write_text(code)
        monkeypatch.delitem(sys.modules, "lens_family", raising=False)

    return add


LENS = (
    "from adfm.models.families import Family\nFAMILY = Family('Lens', ('lens_vl',), 'original', tower='model.lens')\n"
)


def test_an_installed_package_adds_a_family(install: Callable[[str], None]) -> None:
    with pytest.raises(ModelError, match="'lens_vl'"):  # the control: without the package it is not known
        family_of("lens_vl")
    install(LENS)
    family = family_of("lens_vl")
    rule: FrameOf = family.frame_rule(None)
    assert (family.name, family.tower, rule(30, 20)) == ("Lens", "model.lens", Frame.original(30, 20))
    with pytest.raises(ModelError, match=r"known model types: .*internvl, lens_vl"):
        family_of("llava")


def test_a_known_family_needs_no_extension_and_a_broken_one_is_named(install: Callable[[str], None]) -> None:
    install("raise RuntimeError('out of order')")
    assert family_of("qwen3_vl").name == "Qwen3-VL"
    with pytest.raises(ConfigError, match="extension Lens of lens: cannot be imported") as refused:
        family_of("lens_vl")
    assert "\n" not in str(refused.value)
