"""Training runs of a few steps on tiny models, with a reward that even noise can earn in part; for tests alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adfm.data.manifest import read_manifest, write_manifest
from adfm.storage import sha256_file
from adfm.training.engine import list_checkpoints
from adfm.training.settings import GrpoSettings, SftSettings
from adfm.training.subject import Subject, load_subject

QUICK: dict[str, Any] = {"micro_batch": 4, "learning_rate": 1e-3, "warmup_steps": 0, "threads": 1}
LORA = {"rank": 2, "alpha": 4}


def sft_settings(model: Path, data: Path, out: Path, **more: Any) -> SftSettings:
    """Settings of a quick fine-tuning."""
    given = {"model": str(model), "out": str(out), "data": {"manifest": str(data)}}
    return SftSettings.model_validate(QUICK | given | more)


def grpo_settings(model: Path, data: Path, out: Path, **more: Any) -> GrpoSettings:
    """Settings of a quick GRPO: two prompts x two answers a step."""
    given = {"model": str(model), "out": str(out), "data": {"manifest": str(data), "balance": False}}
    return GrpoSettings.model_validate(QUICK | {"generations": 2, "protocol": {"max_new_tokens": 8}} | given | more)


def subject_of(model: Path, **protocol: Any) -> Subject:
    """Load a tiny model to train, under its own protocol but for what is given."""
    return load_subject(SftSettings.model_validate({"model": str(model), "protocol": protocol}))


def few_samples(data: Path, out: Path, count: int) -> Path:
    """Write a manifest of `count` train samples, both labels, beside copies of the images; return its folder."""
    manifest = read_manifest(data)
    chosen = sorted(manifest.samples, key=lambda sample: sample.id)
    anomalous = [sample for sample in chosen if sample.anomalous][: count // 2]
    normal = [sample for sample in chosen if not sample.anomalous][: count - len(anomalous)]
    out.mkdir()
    samples = [
        replace(sample, split="train", image=str(out_name(data, sample.image, out))) for sample in anomalous + normal
    ]
    write_manifest(out / "manifest.jsonl", samples)
    return out


def out_name(data: Path, image: str, out: Path) -> str:
    """Copy an image and return its path relative to the new manifest."""
    target = out / Path(image).name.replace("/", "-")
    number = 0
    while target.exists():
        number += 1
        target = out / f"{number}-{Path(image).name}"
    target.write_bytes((data / image).read_bytes())
    return target.name


def vowels(text: str) -> float:
    """A reward that noise earns in part: the share of vowels and digits."""
    return sum(letter in "aeiou0123456789" for letter in text) / max(1, len(text))


def noisy_rewards(rate: Callable[[str], float] = vowels) -> Callable[..., list[Callable[..., list[float]]]]:
    """Return a stand-in for `trl_rewards` whose three functions each pay `rate` of the text."""

    def make(_: Mapping[str, Any], *__: Any, **___: Any) -> list[Callable[..., list[float]]]:
        def named(name: str) -> Callable[..., list[float]]:
            def function(completions: Sequence[Any], **_: Any) -> list[float]:
                return [rate(completion[-1]["content"]) for completion in completions]

            function.__name__ = name
            return function

        return [named(name) for name in ("format", "verdict", "grounding")]

    return make


class StoppedError(Exception):
    """Raised in the middle of a training, as a kill would."""


def stop_at(step: int) -> Callable[[int, int, dict[str, float]], None]:
    """Return a progress function that raises when a step is reported."""

    def progress(done: int, steps: int, quantities: dict[str, float]) -> None:
        if done == step:
            raise StoppedError

    return progress


def state(run: Path) -> dict[str, str]:
    """Hashes of all that a run is: journal, final weights, and weights, optimizer, scheduler and random state of its last checkpoint."""
    last = list_checkpoints(run / "checkpoints")[-1]
    files = [*last.glob("*.safetensors"), *last.glob("*.pt"), *last.glob("*.pth")]
    files += [run / "metrics.jsonl", run / "final" / "model.safetensors"]
    return {path.relative_to(run).as_posix(): sha256_file(path) for path in files}
