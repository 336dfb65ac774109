"""Hostile recipes on a real model and data: each ends in one line that names the setting, and exit 2."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adfm.cli.main import main
from adfm.training import subject
from adfm.training.settings import LoraSettings, SftSettings

QUICK = ("micro_batch=2", "steps=1", "warmup_steps=0", "threads=1", "protocol.max_new_tokens=4")
BOTH = (
    *("seed=4294967296", "seed=-1", "seed=.nan", "seed=1e400"),
    *("learning_rate=1e300", "learning_rate=.nan", "learning_rate=.inf", "learning_rate=0", "learning_rate=1e-320"),
    *("steps=1000000000000", "steps=0", "micro_batch=0", "micro_batch=-1", "accumulation=0", "accumulation=1000000000"),
    *(
        "warmup_steps=1000000000000",
        "weight_decay=.inf",
        "weight_decay=1e300",
        "max_grad_norm=.nan",
        "max_grad_norm=.inf",
    ),
    *(
        "max_grad_norm=1e-300",
        "threads=1000000",
        "threads=-1",
        "workers=1000000",
        "save_every=-1",
        "keep_checkpoints=0",
    ),
    *("tracker=nothing", "scheduler=none", "lora.targets=[nothing]", "lora.targets=[]", "lora.targets=['']"),
    *("lora.targets=['(a+)+$']", "lora.targets=[mlp]", "lora.rank=0", "lora.rank=1000000", "lora.dropout=2"),
    *("model=''", "model=/etc/passwd", 'model="a\\0b"', "model=[a]", 'out="a\\0b"', 'data.manifest="a\\0b"'),
    *("data.max_pixels=1000000000000", "data.crops=100", "data=7", "lora=7", "protocol=[]", "protocol.task=nothing"),
    *("protocol.max_new_tokens=1000000000", "protocol.max_new_tokens=0", "protocol.stages=all", "unknown=1"),
)
GRPO = (
    *("temperature=1e-300", "temperature=0", "temperature=.inf", "generations=1", "generations=0", "generations=3"),
    *("generations=1000000", "beta=.inf", "epsilon=.nan", "epsilon=1e300", "epsilon_high=-1", "vllm.memory=5"),
    *(
        "zero_tolerance=-1",
        "resample=11",
        "loss=nothing",
        "rewards.preset=nothing",
        "rewards.alpha=.nan",
        "optimizer=adamw",
    ),
)
SFT = (
    *("optimizer=muon", "dense.steps=0", "dense.batch=1000000000", "dense.learning_rate=1e300", "max_epochs=.inf"),
    "temperature=1",
)
CASES = [("sft", one) for one in (*BOTH, *SFT)] + [("grpo", one) for one in GRPO]


def refused(stage: str, more: str, folder: Path, model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Train, and return the one line that refuses."""
    (folder / "recipe.yaml").write_text("{}")
    given = [f"model={model}", f"out={folder / 'out'}", f"data.manifest={data}", *QUICK]
    given += ["generations=2"] if stage == "grpo" else []
    assert main(["train", stage, "--config", str(folder / "recipe.yaml"), *given, more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("adfm: ") and said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(("stage", "more"), CASES)
def test_a_hostile_recipe_is_refused_in_one_line(
    stage: str, more: str, tmp_path: Path, tiny: Path, parts_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(stage, more, tmp_path, tiny, parts_data, capsys)
    name, _, value = more.partition("=")
    assert name in said or value.strip("'\"") in said or name.rpartition(".")[2] in said, said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("tracker=wandb", "setting 'tracker': wandb is not installed"),
        ("tracker=trackio", "setting 'tracker': trackio is not installed"),
        ("vllm={}", "setting 'vllm': vLLM is not installed"),
    ],
)
def test_what_is_not_installed_is_named(
    more: str,
    says: str,
    tmp_path: Path,
    tiny: Path,
    parts_data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subject, "find_spec", lambda _: None)
    assert says in refused("grpo", more, tmp_path, tiny, parts_data, capsys)


def test_rollouts_on_a_gpu_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from adfm.errors import ConfigError
    from adfm.training.settings import GrpoSettings, VllmSettings

    monkeypatch.setattr(subject, "find_spec", lambda _: object())
    monkeypatch.setattr(subject, "best_device", lambda: "cpu")
    with pytest.raises(ConfigError, match="needs a GPU"):
        subject.require_installed(GrpoSettings(vllm=VllmSettings()))
    monkeypatch.setattr(subject, "best_device", lambda: "cuda")
    subject.require_installed(GrpoSettings(vllm=VllmSettings(), tracker="wandb"))


def test_the_nearest_projection_is_named(tiny: Path) -> None:
    from adfm.errors import ConfigError

    lora = LoraSettings(targets=("q_proj", "o_pro"))
    with pytest.raises(ConfigError, match=re.escape("no projection 'o_pro' (did you mean 'o_proj'?)")):
        subject.load_subject(SftSettings(model=str(tiny), lora=lora))
    subject.load_subject(SftSettings(model=str(tiny), lora=LoraSettings(targets=("q_proj", "o_proj"))))


def test_without_its_guard_a_missing_projection_is_a_fault_of_the_library(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import get_peft_model

    settings = SftSettings(model=str(tiny), lora=LoraSettings(targets=("nothing",)))
    monkeypatch.setattr(subject, "require_targets", lambda *_: None)
    loaded = subject.load_subject(settings)
    with pytest.raises(ValueError, match="nothing"):
        get_peft_model(loaded.weights, subject.lora_config(settings, loaded.family))
