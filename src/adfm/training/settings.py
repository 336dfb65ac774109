"""The settings of a training run: one strict record per stage, and recipes, which are YAML files of their names.

What a setting does is said in its description, from which `adfm train STAGE --settings` and the docs are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from adfm.config import Settings, load_settings, make_settings
from adfm.errors import ConfigError, nearest
from adfm.reasoning import ProtocolFlags
from adfm.rewards import RewardSettings

RECIPES = Path(__file__).parent.parent / "recipes"
MOST_STEPS, MOST_ROWS = 100_000_000, 1 << 16


class LoraSettings(Settings):
    """A low-rank adapter on the language model. The vision tower stays frozen, and the adapter is merged at the end."""

    rank: int = Field(16, ge=1, le=4096, description="rank of the adapter")
    alpha: int = Field(
        32, ge=1, le=1 << 20, description="scale of the adapter: the update is multiplied by alpha / rank"
    )
    dropout: float = Field(0.0, ge=0, le=1, description="dropout on the adapter's input")
    targets: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="which projections of the language model get an adapter (null: those of the model's family)",
    )


class DataSettings(Settings):
    """What is trained on: the `train` split of a manifest, and how its images are shown."""

    manifest: str = Field("", description="`manifest.jsonl` or its folder; the `train` split is used")
    flips_rotations: bool = Field(
        False, description="also show every image in its seven other flips and quarter rotations, with its boxes"
    )
    crops: int = Field(
        0,
        ge=0,
        le=64,
        description="also show that many random crops of every image, at least 60 % of its sides, every defect whole",
    )
    balance: bool = Field(True, description="repeat samples of the rarer label until both labels are equally frequent")
    max_side: int = Field(
        0, ge=0, le=1 << 20, description="shrink images to this longest side, px, before caching (0: never)"
    )
    max_pixels: int = Field(
        0,
        ge=0,
        le=1 << 27,
        description="resize images to at most this many pixels for the model, saved with it (0: its own limit)",
    )


class TrainSettings(Settings):
    """What SFT and GRPO share."""

    renamed: ClassVar[Mapping[str, str]] = {
        "stages": "protocol.stages",
        "max_new_tokens": "protocol.max_new_tokens",
        "data.category": "protocol.name_category",
        "data.turns": "data.flips_rotations",
        "data.cuts": "data.crops",
        "data.longest": "data.max_side",
        "clip": "max_grad_norm",
        "keep": "keep_checkpoints",
        "most_epochs": "max_epochs",
        "levers": "shared_prefix",
    }

    model: str = Field("nano", description="what is trained: a model folder, a hub id, or `nano`")
    out: str = Field(
        "runs/run", min_length=1, description="the run folder: a new or empty one, or with --resume that of the run"
    )
    data: DataSettings = DataSettings()
    protocol: ProtocolFlags = ProtocolFlags()
    seed: int = Field(0, ge=0, lt=1 << 32, description="decides the order of the samples and every random draw")
    steps: int = Field(100, ge=1, le=MOST_STEPS, description="optimizer steps")
    micro_batch: int = Field(
        16, ge=1, le=MOST_ROWS, description="rows in one forward pass; for GRPO a row is one answer"
    )
    accumulation: int = Field(1, ge=1, le=MOST_ROWS, description="forward passes per optimizer step")
    learning_rate: float = Field(1e-5, ge=1e-12, lt=1, description="peak learning rate")
    scheduler: Literal["constant", "cosine", "linear"] = Field(
        "cosine", description="how the learning rate falls after its warm-up"
    )
    warmup_steps: int = Field(5, ge=0, le=MOST_STEPS, description="steps over which the learning rate rises")
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled weight decay")
    max_grad_norm: float = Field(
        1.0, ge=1e-6, le=1e6, description="largest norm of the gradient; a longer one is scaled down"
    )
    lora: LoraSettings | None = Field(
        None, description="train a low-rank adapter on the language model instead of every weight; merged at the end"
    )
    freeze_vision: bool = Field(False, description="leave the vision tower as it is (a LoRA run always does)")
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="torch threads (0: torch's choice); 1 on a machine that does other work"
    )
    workers: int = Field(0, ge=0, le=256, description="processes that load rows (0: the training process)")
    save_every: int = Field(
        0, ge=0, le=MOST_STEPS, description="steps between checkpoints (0: none, so a killed run starts over)"
    )
    keep_checkpoints: int = Field(2, ge=1, le=10_000, description="how many checkpoints are kept")
    stop_seconds: float = Field(
        25,
        ge=0.1,
        le=1e6,
        description="seconds that SIGTERM leaves to end the step and save it; then the run leaves without",
    )
    tracker: Literal["none", "tensorboard", "trackio", "wandb"] = Field(
        "none", description="where the engine also sends its own log; `metrics.jsonl` is always written"
    )


class DenseSettings(Settings):
    """A dense warm-up of the vision tower on the training boxes."""

    steps: int = Field(300, ge=1, le=MOST_STEPS, description="optimizer steps of the dense warm-up")
    batch: int = Field(32, ge=1, le=MOST_ROWS, description="images per step of it")
    learning_rate: float = Field(5e-4, ge=1e-12, lt=1, description="its peak learning rate")


class SftSettings(TrainSettings):
    """Supervised fine-tuning on canonical answers.

    `blended` and `dense` are for small models such as nano, whose vision tower has seen little. `max_epochs` cuts the
    steps of both on a small set, because a cold start that has memorised its images leaves GRPO nothing to learn from.
    """

    optimizer: Literal["adamw", "blended"] = Field(
        "adamw",
        description="`adamw`; or `blended`, with Muon for the decoder's matrices, for models trained from nothing",
    )
    dense: DenseSettings | None = Field(
        None, description="first warm the vision tower on the training boxes (small models such as nano)"
    )
    max_epochs: float | None = Field(
        None, gt=0, le=1e6, description="cut the steps, of `dense` too, to this many passes over the training images"
    )


class VllmSettings(Settings):
    """Rollouts by vLLM in the training process (GPU)."""

    memory: float = Field(0.3, gt=0, le=1, description="share of the GPU's memory that vLLM may take")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs that share one copy of the rollout model")
    sleep: bool = Field(False, description="free vLLM's memory while the gradient is computed")


class SharedPrefixSettings(Settings):
    """Compute what the answers of a group share once, with the same numbers. All off is the stock engine."""

    packed_loss: bool = Field(True, description="pass each prompt once for all its answers to get log-probabilities")
    shared_generation: bool = Field(True, description="prefill each prompt once for all its answers")
    preprocess_once: bool = Field(True, description="put each image through the image processor once per step")
    skip_zero_advantage: bool = Field(
        True, description="leave answers without advantage out of the loss's passes, where that is exact"
    )


class GrpoSettings(TrainSettings):
    """GRPO: `generations` answers for each of `micro_batch * accumulation / generations` prompts a step."""

    generations: int = Field(8, ge=2, le=MOST_ROWS, description="answers per prompt: the size of a group")
    temperature: float = Field(1.0, ge=0.01, le=100, description="temperature of the sampled answers")
    beta: float = Field(
        0.0, ge=0, le=1000, description="weight of the divergence from the start model (0: no reference model is kept)"
    )
    epsilon: float = Field(
        0.2, gt=0, le=1000, description="how far the policy ratio may fall, and rise, before it is clipped"
    )
    epsilon_high: float | None = Field(
        None, gt=0, le=1000, description="how far it may rise, where that differs from `epsilon`"
    )
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = Field(
        "dapo", description="the engine's loss type: how tokens and answers are averaged"
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        "group", description="what advantages are divided by: the deviation of their group, of the batch, or nothing"
    )
    zero_tolerance: float = Field(
        1e-6,
        ge=0,
        le=1,
        description="relative spread of rewards up to which a group counts as equal and has advantage 0",
    )
    resample: int = Field(
        0, ge=0, le=10, description="how often a step may draw groups of equal rewards again; in one process only"
    )
    rewards: RewardSettings = RewardSettings(preset="set_iou")
    vllm: VllmSettings | None = Field(
        None, description="rollouts by vLLM inside the training process (GPU) instead of plain `generate`"
    )
    shared_prefix: SharedPrefixSettings = SharedPrefixSettings()
    self_check: bool = Field(
        False, description="compare the shared prefix's first step with the stock engine's before training"
    )


T = TypeVar("T", bound=TrainSettings)


def find_recipe(name: str) -> Path:
    """Return a recipe file, given its path or the name of a packaged one.

    Raises:
        ConfigError: neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = sorted(file.stem for file in RECIPES.glob("*.yaml"))
    if name in known:
        return RECIPES / f"{name}.yaml"
    raise ConfigError(f"{name}: no such file or recipe{nearest(name, known)}; recipes: {', '.join(known)}")


def filled_recipe(kind: type[T], name: str, overrides: Sequence[str], *, manifest: Path, **values: Any) -> T:
    """Return a recipe with a user's overrides, then with values that a program sets: taken as they are, never as YAML.

    Raises:
        ConfigError: no such recipe, or a setting is unknown, of the wrong type or out of range.
    """
    recipe = find_recipe(name)
    chosen: Mapping[str, Any] = load_settings(kind, recipe, overrides).model_dump()
    data = {**chosen["data"], "manifest": str(manifest)}
    return make_settings(kind, {**chosen, **values, "data": data}, str(recipe))
