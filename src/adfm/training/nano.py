"""The recipe of the bundled model: tokenizer, dense vision warm-up, fine-tuning on synthetic parts; seeded and resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adfm.config import Settings, dump_settings
from adfm.models.nano.architecture import NanoShape, build_model, build_processor
from adfm.storage import Journal, write_text
from adfm.training.scenes import LabelledScene, SceneSettings, draw_scene
from adfm.training.warmup import build_heads, cosine_rate, load_state, overlap_quality, save_state, warmup_step

VALIDATION_FIRST = 10_000_000
"""Scenes from this number on are never trained on."""


class WarmupSettings(Settings):
    """The dense warm-up: optimizer steps, pictures a step, and learning rate."""

    steps: int = 1000
    batch: int = 32
    learning_rate: float = 1e-3
    save_every: int = 100


class NanoSettings(Settings):
    """Everything that decides nano's weights."""

    seed: int = 0
    shape: NanoShape = NanoShape()
    scenes: SceneSettings = SceneSettings()
    warmup: WarmupSettings = WarmupSettings()


Progress = Callable[[str, int, int, dict[str, float]], None]
"""(stage, step, steps, quantities) after every step."""


class SceneStream:
    """A torch dataset of scenes by number, for a loader that draws them in another process."""

    def __init__(self, settings: SceneSettings, first: int, count: int) -> None:
        self._settings, self._first, self._count = settings, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> LabelledScene:
        return draw_scene(self._settings, self._first + index)


def scene_loader(settings: SceneSettings, first: int, count: int, batch: int, workers: int) -> Any:
    """Return a loader of scene batches, in order, drawn by `workers` processes."""
    from torch.utils.data import DataLoader

    return DataLoader(
        SceneStream(settings, first, count), batch_size=batch, num_workers=workers, collate_fn=list, prefetch_factor=4 if workers else None
    )


def warm_up(out: Path, settings: NanoSettings, tokenizer: Any, progress: Progress, *, workers: int = 1) -> Any:
    """Run the dense warm-up, or go on with it, in `out`; return the model with its warm vision tower."""
    import torch

    warm = settings.warmup
    model = build_model(tokenizer, settings.shape, seed=settings.seed)
    processor = build_processor(tokenizer, settings.shape)
    heads = build_heads(settings.shape.hidden)
    weights = [*model.model.visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=warm.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    state = out / "warmup.safetensors"
    done = load_state(state, model, heads, optimizer) if state.is_file() else 0
    journal = Journal(out / "warmup.jsonl", fresh=done == 0)
    write_text(out / "config.yaml", dump_settings(settings))
    check = [draw_scene(settings.scenes, VALIDATION_FIRST + index).scene for index in range(256)]
    loader = scene_loader(settings.scenes, done * warm.batch, (warm.steps - done) * warm.batch, warm.batch, workers)
    model.train()
    started = time.monotonic()
    for step, batch in enumerate(loader, done + 1):
        for group in optimizer.param_groups:
            group["lr"] = warm.learning_rate * cosine_rate(step - 1, warm.steps)
        loss = warmup_step(model, heads, processor, [labelled.scene for labelled in batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        row = {"step": step, "loss": loss.item(), "seconds": time.monotonic() - started}
        if step % warm.save_every == 0 or step == warm.steps:
            tokens, pictures = overlap_quality(model, heads, processor, check)
            row |= {"token_ap": tokens, "picture_auroc": pictures}
            save_state(state, step, model, heads, optimizer)
        journal.append(row)
        progress("warm-up", step, warm.steps, row)
    journal.close()
    return model
