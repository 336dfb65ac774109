"""The settings of a training run: one strict record per stage; a recipe is a YAML file of these names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from adfm.config import Settings
from adfm.rewards import RewardSettings

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class LoraSettings(Settings):
    """A low-rank adapter on the language model; the vision tower stays frozen. It is merged at the end."""

    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class DataSettings(Settings):
    """What is trained on: the `train` split of a manifest, and how its pictures are shown."""

    manifest: str = ""
    turns: bool = False
    cuts: Annotated[int, Field(ge=0, le=64)] = 0
    balance: bool = True
    category: bool = True
    longest: Annotated[int, Field(ge=0)] = 0
    max_pixels: Annotated[int, Field(ge=0)] = 0


class TrainSettings(Settings):
    """What SFT and GRPO share."""

    model: str = "nano"
    out: str = "runs/run"
    data: DataSettings = DataSettings()
    stages: Literal["full", "locate_answer", "verdict"] = "full"
    seed: Annotated[int, Field(ge=0)] = 0
    steps: Count = 100
    micro_batch: Count = 16
    accumulation: Count = 1
    learning_rate: Rate = 1e-5
    scheduler: Literal["constant", "cosine", "linear"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] = 1.0
    lora: LoraSettings | None = None
    freeze_vision: bool = False
    gradient_checkpointing: bool = False
    threads: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] = 0
    save_every: Annotated[int, Field(ge=0)] = 0
    keep: Count = 2
    tracker: Literal["none", "tensorboard", "trackio", "wandb"] = "none"


class DenseSettings(Settings):
    """A dense warm-up of the vision tower on the training boxes: steps, pictures a step, learning rate."""

    steps: Count = 300
    batch: Count = 32
    learning_rate: Rate = 5e-4


class SftSettings(TrainSettings):
    """Supervised fine-tuning on canonical answers.

    `blended` (Muon and AdamW) and `dense` are for small models such as nano, whose vision tower has seen little. `most_epochs` cuts the
    steps of both on a small set: a cold start that has memorised its pictures leaves GRPO nothing to learn from.
    """

    optimizer: Literal["adamw", "blended"] = "adamw"
    dense: DenseSettings | None = None
    most_epochs: Annotated[float, Field(gt=0)] | None = None


class VllmSettings(Settings):
    """Rollouts by vLLM in the training process (GPU)."""

    memory: Share = 0.3
    tensor_parallel: Count = 1
    sleep: bool = False


class SharedPrefixSettings(Settings):
    """Compute what the answers of a group share once, with the same numbers coming out; all off is the stock engine."""

    packed_loss: bool = True
    shared_generation: bool = True
    preprocess_once: bool = True
    skip_zero_advantage: bool = True


class GrpoSettings(TrainSettings):
    """GRPO: `generations` answers for each of `micro_batch * accumulation / generations` prompts a step."""

    generations: Annotated[int, Field(ge=2)] = 8
    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_new_tokens: Count = 512
    beta: Annotated[float, Field(ge=0)] = 0.0
    epsilon: Annotated[float, Field(gt=0)] = 0.2
    epsilon_high: Annotated[float, Field(gt=0)] | None = None
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    zero_tolerance: Annotated[float, Field(ge=0)] = 1e-6
    resample: Annotated[int, Field(ge=0, le=10)] = 0
    rewards: RewardSettings = RewardSettings(preset="set_iou")
    vllm: VllmSettings | None = None
    shared_prefix: SharedPrefixSettings = SharedPrefixSettings()
    self_check: bool = False
