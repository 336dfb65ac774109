"""The bundled model's recipe: tokenizer, dense vision warm-up, fine-tuning on synthetic parts. Seeded and resumable.

Each stage publishes its result before the next begins, so a stopped build continues where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import set_seed

from adfm.config import Settings, dump_settings
from adfm.data.synthetic import DEFECT_KINDS, MATERIALS
from adfm.geometry import Box, Frame
from adfm.models.card import ModelCard
from adfm.models.nano.architecture import NanoShape, build_model, build_processor
from adfm.models.nano.tokenizer import train_tokenizer
from adfm.ownership import owned_folder
from adfm.progress import Progress
from adfm.reasoning import PIXELS, STAGES, Protocol, canonical, prompt
from adfm.records import Label, Sample
from adfm.storage import Journal, write_text
from adfm.training.examples import Example
from adfm.training.journal import StepProgress, cut_journal
from adfm.training.run import is_started
from adfm.training.scenes import SceneSettings, draw_scene
from adfm.training.settings import SftSettings
from adfm.training.sft import fine_tune
from adfm.training.subject import load_subject, resolved, save_model
from adfm.training.warmup import Scene, WarmUp, whiten_patches

VALIDATION_FIRST = 10_000_000
"""Scenes from this number on are never trained on."""
PROTOCOL = Protocol(max_new_tokens=256)
"""What nano is trained to be asked. Its answers are short."""


class WarmupSettings(Settings):
    """The dense warm-up: optimizer steps, images a step, and learning rate."""

    steps: int = 2300
    batch: int = 32
    learning_rate: float = 1e-3
    save_every: int = 100


class TuneSettings(WarmupSettings):
    """One round of the fine-tuning after it. Its learning rate is the peak of a cosine."""

    steps: int = 900
    save_every: int = 250


class NanoSettings(Settings):
    """Everything that decides nano's weights."""

    seed: int = 0
    shape: NanoShape = NanoShape()
    scenes: SceneSettings = SceneSettings()
    warmup: WarmupSettings = WarmupSettings()
    rounds: tuple[TuneSettings, ...] = (TuneSettings(), TuneSettings(steps=1500, learning_rate=7e-4, save_every=150))


def draw_scenes(settings: SceneSettings, numbers: Iterable[int]) -> list[Scene]:
    """Draw the scenes of these numbers, without their samples."""
    return [draw_scene(settings, number).scene for number in numbers]


def warm_up(out: Path, settings: NanoSettings, tokenizer: Any, progress: Progress, *, workers: int = 1) -> Any:
    """Run or continue the dense warm-up in `out`; return the model with its warm vision tower."""
    from torch.utils.data import DataLoader

    warm = settings.warmup
    model = build_model(tokenizer, settings.shape, seed=settings.seed)
    processor = build_processor(tokenizer, settings.shape)
    whiten_patches(model, processor, draw_scenes(settings.scenes, range(0, 40_000, 40)))
    work = WarmUp(model, processor, warm.learning_rate, warm.steps)
    state = out / "warmup.safetensors"
    done = work.load(state) if state.is_file() else 0
    cut_journal(out / "warmup.jsonl", done, f"remove {state} to warm up again")
    journal = Journal(out / "warmup.jsonl", fresh=done == 0)
    write_text(out / "config.yaml", dump_settings(settings))
    check = draw_scenes(settings.scenes, range(VALIDATION_FIRST, VALIDATION_FIRST + 256))
    # The loader's processes draw the scenes: its data set is their numbers.
    loader: Any = DataLoader(
        range(done * warm.batch, warm.steps * warm.batch),
        batch_size=warm.batch,
        num_workers=workers,
        collate_fn=partial(draw_scenes, settings.scenes),
        prefetch_factor=4 if workers else None,
    )
    model.train()
    started, report = time.monotonic(), _with_loss(progress, "warm-up")
    for step, batch in enumerate(loader, done + 1):
        loss = work.step(step, batch)
        row = {"step": step, "loss": loss, "seconds": time.monotonic() - started}
        if step % warm.save_every == 0 or step == warm.steps:
            tokens, images = work.quality(check)
            row |= {"token_ap": tokens, "picture_auroc": images}
        journal.append(row)
        if "token_ap" in row:
            journal.sync()  # the saved state counts on the row
            work.save(state, step)
        report(step, warm.steps, row)
    journal.close()
    return model


def _with_loss(progress: Progress, stage: str) -> StepProgress:
    """Return what reports every step of a stage with its loss as a note."""

    def report(step: int, steps: int, row: dict[str, float]) -> None:
        progress(f"{stage}  loss {row.get('loss', 0.0):.3f}", step, steps)

    return report


class SceneExamples:
    """Scenes number `first` to `first + count` as examples to fine-tune on. Each is drawn when it is asked for."""

    def __init__(self, settings: SceneSettings, first: int, count: int) -> None:
        self._settings, self._first, self._count = settings, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        drawn = draw_scene(self._settings, self._first + index)
        return Example(drawn.sample, lambda: drawn.scene.image)


def corpus(settings: SceneSettings, answers: int = 3000) -> list[str]:
    """Return the texts that nano's tokenizer is trained on: every prompt, and canonical answers in nano's units.

    Boxes and defect types are random: the tokenizer needs the grammar, not images.
    """
    prompts = [
        prompt(stages, category=material, frame_hint=PIXELS) for stages in STAGES.values() for material in MATERIALS
    ]
    rng = np.random.default_rng((settings.seed, 3))
    texts, side = prompts * (answers // 50), 140
    for _ in range(answers):
        count = int(rng.choice([0, 0, 1, 1, 1, 2, 3]))
        corners = rng.integers(0, side - 40, (count + 1, 2))
        sizes = rng.integers(4, 40, (count + 1, 2))
        boxes = [Box(*map(int, (x, y, x + w, y + h))) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
        defect = str(rng.choice(list(DEFECT_KINDS))) if count else None
        label: Label = "anomalous" if count else "normal"
        sample = Sample("", "", side, side, label, "", defect, None, tuple(boxes[:count]), "train", "")
        texts.append(canonical(sample, Frame.original(side, side), focus=boxes[-1]))
    return texts


def build_nano(out: Path, settings: NanoSettings, progress: Progress, *, workers: int = 1) -> Path:
    """Run every stage that is not yet done in `out` and return the folder of the finished model."""
    with owned_folder(out, "a build of the bundled model"):
        warm = out / "warm"
        if not (warm / "config.json").is_file():
            tokenizer = train_tokenizer(corpus(settings.scenes), vocabulary=settings.shape.vocabulary)
            trained = warm_up(out, settings, tokenizer, progress, workers=workers)
            save_model(warm, trained, build_processor(tokenizer, settings.shape), ModelCard(protocol=PROTOCOL))
        model, first = warm, settings.warmup.steps * settings.warmup.batch
        for number, tune in enumerate(settings.rounds, 1):
            run = out / f"tune-{number}"
            if not (run / "summary.json").is_file():
                recipe = resolved(
                    SftSettings(
                        model=str(model),
                        out=str(run),
                        seed=settings.seed,
                        micro_batch=tune.batch,
                        warmup_steps=50,
                        optimizer="blended",
                        **tune.model_dump(exclude={"batch"}),
                        threads=1,
                        workers=workers,
                    )
                )
                set_seed(settings.seed)
                fine_tune(
                    recipe,
                    load_subject(recipe),
                    SceneExamples(settings.scenes, first, tune.steps * tune.batch),
                    resume=is_started(run),
                    progress=_with_loss(progress, f"fine-tuning {run.name}"),
                )
            model, first = run / "final", first + tune.steps * tune.batch
    return model
