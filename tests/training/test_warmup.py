"""Nano's warm-up: targets by hand, a state that goes on bit for bit, scenes that are the same whenever they are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import tiny_internvl, tiny_tokenizer

from adfm.data.synthetic import BENIGN_KINDS
from adfm.errors import ModelError
from adfm.geometry import Box
from adfm.models.nano.architecture import NanoShape, build_model, build_processor
from adfm.progress import quiet
from adfm.training import nano
from adfm.training.nano import NanoSettings, WarmupSettings, warm_up
from adfm.training.scenes import Lesson, SceneSettings, draw_product, draw_scene
from adfm.training.warmup import Scene, WarmUp, cosine_rate, token_targets, whiten_patches

SHAPE = NanoShape(side=56, vision_hidden=32, vision_layers=1, hidden=32, layers=1, intermediate=32)


def scene(boxes: tuple[Box, ...], width: int = 40, height: int = 20) -> Scene:
    mask = np.zeros((height, width), np.uint8)
    for box in boxes:
        mask[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = 3
    return Scene(Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)), boxes, mask)


def test_tokens_overlap_where_a_mask_pixel_is() -> None:
    targets = token_targets(scene((Box(0, 0, 1, 1), Box(29, 9, 31, 11))), 2, 4)
    assert targets.overlap.reshape(2, 4).tolist() == [[1, 0, 1, 1], [0, 0, 1, 1]]


def test_the_box_of_a_token_is_the_one_around_it_or_the_nearest() -> None:
    left, right = Box(0, 0, 10, 20), Box(30, 0, 40, 10)
    boxes = token_targets(scene((left, right)), 2, 4).box.reshape(2, 4, 4)
    assert boxes[0, 0].tolist() == boxes[1, 1].tolist() == pytest.approx([0, 0, 0.25, 1])
    assert boxes[0, 3].tolist() == boxes[1, 3].tolist() == pytest.approx([0.75, 0, 1, 0.5])


def test_of_nested_boxes_the_smaller_one_wins() -> None:
    boxes = token_targets(scene((Box(0, 0, 40, 20), Box(0, 0, 10, 10))), 2, 4).box.reshape(2, 4, 4)
    assert boxes[0, 0].tolist() == pytest.approx([0, 0, 0.25, 0.5])
    assert boxes[1, 3].tolist() == pytest.approx([0, 0, 1, 1])


def test_a_part_without_a_defect_says_nothing() -> None:
    targets = token_targets(scene(()), 3, 5)
    assert targets.overlap.shape == (15,) and targets.box.shape == (15, 4)
    assert not targets.overlap.any() and not targets.box.any()


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [cosine_rate(step, 500) for step in range(500)]
    assert rates[0] == 1 / 50 and max(rates) == rates[50] == 1 and rates[-1] == pytest.approx(0.05, abs=1e-3)
    assert rates[:51] == sorted(rates[:51]) and rates[50:] == sorted(rates[50:], reverse=True)


def begun(seed: int = 0) -> WarmUp:
    """A tiny tower in warm-up."""
    tokenizer = tiny_tokenizer()
    model = build_model(tokenizer, SHAPE, seed=seed)
    torch.manual_seed(seed)
    return WarmUp(model, build_processor(tokenizer, SHAPE), 1e-3, 500)


def step(work: WarmUp, number: int) -> float:
    """One step at about the highest rate; the number decides where the defect is."""
    return work.step(50 + number, [scene((Box(number, 2, number + 9, 12),)), scene(())])


def weights(work: WarmUp) -> list[Any]:
    return [weight.detach() for weight in (*work.tower.parameters(), *work.heads.parameters())]


def test_a_saved_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    through, again = begun(), begun(seed=1)
    for number in range(3):
        step(through, number)
    through.save(tmp_path / "state", 3)
    losses = [step(through, number) for number in range(3, 6)]
    assert again.load(tmp_path / "state") == 3
    assert [step(again, number) for number in range(3, 6)] == losses
    assert all(a.equal(b) for a, b in zip(weights(through), weights(again), strict=True))


def test_control_without_the_moments_it_does_not(tmp_path: Path) -> None:
    through, again = begun(), begun(seed=1)
    step(through, 0)
    through.save(tmp_path / "state", 1)
    again.load(tmp_path / "state")
    for optimizer in again.optimizers:
        optimizer.state.clear()
    for work in (through, again):
        for number in (1, 2):
            step(work, number)
    assert not all(a.equal(b) for a, b in zip(weights(through), weights(again), strict=True))


def test_the_warm_up_learns_one_scene() -> None:
    work = begun()
    losses = [step(work, 3) for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]
    tokens, images = work.quality([scene((Box(3, 2, 12, 12),)), scene(())])
    assert 0 <= tokens <= 1 and 0 <= images <= 1


def test_a_model_of_tiles_is_refused_in_one_line() -> None:
    model = tiny_internvl()
    with pytest.raises(ModelError, match="dense=null"):
        WarmUp(model, None, 1e-3, 1).loss([scene(())])
    with pytest.raises(ModelError, match="no layer that embeds patches"):
        whiten_patches(model, None, [scene(())])


def test_whitened_patches_have_unit_variance() -> None:
    work = begun()
    scenes = [draw_scene(SceneSettings(), index).scene for index in range(6)]
    whiten_patches(work.model, work.processor, scenes, noise=0.0)
    patches = work.processor.image_processor(images=[drawn.image for drawn in scenes], return_tensors="pt")
    patches = patches["pixel_values"]
    weight = work.tower.patch_embed.proj.weight.reshape(SHAPE.vision_hidden, -1)
    projected = (patches - patches.mean(0)) @ weight.T
    covariance = projected.T @ projected / len(projected)
    assert torch.allclose(covariance[:8, :8], torch.eye(8), atol=0.05)


def test_a_scene_is_the_same_whenever_it_is_drawn() -> None:
    settings = SceneSettings()
    first = [draw_scene(settings, index) for index in (0, 5, 1000)]
    again = [draw_scene(settings, index) for index in (1000, 5, 0)][::-1]
    for a, b in zip(first, again, strict=True):
        assert a.sample == b.sample
        assert np.array_equal(np.asarray(a.scene.image), np.asarray(b.scene.image))
        assert np.array_equal(a.scene.mask, b.scene.mask)
    other = draw_scene(SceneSettings(seed=1), 0)
    assert not np.array_equal(np.asarray(first[0].scene.image), np.asarray(other.scene.image))


def test_a_scenes_sample_describes_it() -> None:
    drawn = [draw_scene(SceneSettings(), index) for index in range(12)]
    for scene, sample in drawn:
        assert scene.image.size == (sample.width, sample.height)
        assert sample.anomalous == bool(scene.mask.any()) == bool(sample.boxes)
    assert 2 < sum(sample.anomalous for _, sample in drawn) < 10


def benign_of(settings: SceneSettings, count: int) -> set[str]:
    found: set[str] = set()
    for number in range(count):
        product = draw_product(settings, settings.lessons[-1], np.random.default_rng(number))
        found |= {feature.kind for feature in product.features}
    return found


def test_held_out_features_are_never_drawn() -> None:
    assert benign_of(SceneSettings(), 300) == set(BENIGN_KINDS) - {"drilled_hole"}
    assert "drilled_hole" in benign_of(SceneSettings(held_out=()), 300)  # the control


def test_lessons_follow_each_other_and_the_last_goes_on() -> None:
    settings = SceneSettings(lessons=(Lesson(scenes=3), Lesson(scenes=2, features=7), Lesson(scenes=1, features=9)))
    features = [settings.lesson(index).features for index in (0, 2, 3, 4, 5, 6, 10**6)]
    assert features == [2, 2, 7, 7, 9, 9, 9]


def warm_settings() -> NanoSettings:
    lesson = Lesson(scenes=1, features=0)
    return NanoSettings(
        shape=SHAPE, scenes=SceneSettings(lessons=(lesson,)), warmup=WarmupSettings(steps=4, batch=2, save_every=2)
    )


def test_a_stopped_warm_up_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        pass

    def stop(_: str, step: int, __: int) -> None:
        if step == 3:
            raise StoppedError

    # Whitening and the check take many images; six are enough here.
    few = [draw_scene(warm_settings().scenes, index) for index in range(6)]
    monkeypatch.setattr(
        nano,
        "draw_scene",
        lambda settings, index: (
            few[index % 6] if index % 40 == 0 or index >= 10_000_000 else draw_scene(settings, index)
        ),
    )
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    whole = warm_up(tmp_path / "whole", warm_settings(), tokenizer, quiet, workers=0)
    torch.manual_seed(0)
    with pytest.raises(StoppedError):
        warm_up(tmp_path / "cut", warm_settings(), tokenizer, stop, workers=0)
    cut = warm_up(tmp_path / "cut", warm_settings(), tokenizer, quiet, workers=0)
    pairs = zip(whole.model.visual.parameters(), cut.model.visual.parameters(), strict=True)
    assert all(a.equal(b) for a, b in pairs)
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "warmup.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
