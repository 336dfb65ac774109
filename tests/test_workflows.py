"""Demo and adaptation on a handful of parts: every stage's files, a second call that skips them, other settings refused.

An adaptation evaluates each arm under the protocol that it was trained for.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from adfm.data.settings import BuildSettings
from adfm.data.synthetic.make import make
from adfm.errors import ConfigError, DataError, UserError
from adfm.models.card import protocol_of
from adfm.models.nano import WEIGHTS
from adfm.predictions import read_predictions
from adfm.progress import quiet
from adfm.reasoning import Protocol
from adfm.workflows.adapt import AdaptSettings, run_adaptation, run_repeats
from adfm.workflows.arms import Arm, ArmResult, arm_settings, run_arms
from adfm.workflows.demo import FEWEST_IMAGES, DemoSettings, run_demo

pytestmark = pytest.mark.skipif(not (WEIGHTS / "model.safetensors").is_file(), reason="the bundled weights are absent")
SMALL = DemoSettings(images=max(40, FEWEST_IMAGES), products=1, steps=1, inspected=2)


@pytest.mark.slow
def test_the_demo_runs_through_and_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    stages: list[str] = []
    summary = run_demo(out, SMALL, lambda stage, *_: stages.append(stage))
    written = json.loads((out / "summary.json").read_text())
    assert set(written) == {"base", "trained", "difference", "seconds", "seed", "report", "arms"}
    assert [arm["name"] for arm in written["arms"]] == ["base", "trained"]
    assert len(written["difference"]["balanced_accuracy"]) == 3
    assert (out / "report.html").is_file() and (out / "grpo" / "final" / "model.safetensors").is_file()
    assert len(list((out / "inspected").glob("*.overlay.png"))) == 2
    assert any(stage.startswith("training") for stage in stages)

    stages.clear()
    again = run_demo(out, SMALL, lambda stage, *_: stages.append(stage))
    assert not any(stage.startswith(("training", "drawing", "evaluating")) for stage in stages)
    assert again["difference"] == summary["difference"]
    with pytest.raises(UserError):
        run_demo(out, replace(SMALL, seed=1), lambda *_: None)


@pytest.mark.slow
def test_an_adaptation_repeats_its_split_and_averages(tmp_path: Path) -> None:
    make(tmp_path / "parts", images=40, products=1, size=(140, 140), seed=3)
    settings = AdaptSettings(
        BuildSettings(split="labelled", labelled_fraction=0.3, validation_normals=0.5),
        alpha=0.5,
        sft_overrides=("steps=1", "dense.steps=1", "learning_rate=1e-5"),
        grpo_overrides=("steps=1", "micro_batch=16"),
    )
    out, stages = tmp_path / "run", []
    adapted = run_repeats(tmp_path / "parts", out, settings, 2, lambda stage, *_: stages.append(stage))
    written = json.loads((out / "summary.json").read_text())
    assert written["seeds"] == [0, 1] and [arm["key"] for arm in written["arms"]] == ["base", "sft", "grpo"]
    assert [(each["of"], each["to"]) for each in written["differences"]] == [
        ("SFT + GRPO", "base"),
        ("SFT + GRPO", "SFT"),
    ]
    manifests = [(out / f"seed-{seed}" / "data" / "manifest.jsonl").read_text() for seed in (0, 1)]
    assert manifests[0] != manifests[1]
    one = [json.loads((out / f"seed-{seed}" / "summary.json").read_text()) for seed in (0, 1)]
    recall = written["arms"][2]["metrics"]["metrics"]["recall"]
    assert recall["each"] == [summary["arms"][2]["metrics"]["metrics"]["recall"]["value"] for summary in one]
    held = written["arms"][0]["metrics"]
    assert held["n"] == sum(summary["arms"][0]["metrics"]["n"] for summary in one) > held["different"]
    for decisions, summary in zip(written["decisions"], one, strict=True):
        assert decisions["alpha"] == 0.5 and decisions["normal"] >= 1
        assert sum(sum(row.values()) for row in decisions["counts"].values()) == summary["arms"][0]["metrics"]["n"]
    assert (out / "seed-0" / "grpo" / "final" / "calibration.json").is_file()
    assert "seeds 0 to 1" in (out / "table.md").read_text()

    stages.clear()
    again = run_repeats(tmp_path / "parts", out, settings, 2, lambda stage, *_: stages.append(stage))
    assert not any("training" in stage or "evaluating" in stage for stage in stages)
    assert again.summary["differences"] == adapted.summary["differences"]
    with pytest.raises(UserError, match="repeats"):
        run_repeats(tmp_path / "parts", out, settings, 3, lambda *_: None)


@pytest.mark.slow
def test_an_adaptation_without_normals_to_spare_says_why_it_has_no_threshold(tmp_path: Path) -> None:
    make(tmp_path / "parts", images=40, products=1, size=(140, 140), seed=3)
    settings = AdaptSettings(
        BuildSettings(split="labelled", labelled_fraction=0.3),
        sft_overrides=("steps=1", "dense.steps=1"),
        grpo_overrides=("steps=1", "micro_batch=16"),
    )
    adapted = run_adaptation(tmp_path / "parts", tmp_path / "run", settings, lambda *_: None)
    assert "validation" in adapted.summary["decisions"]["refused"]
    assert "No threshold was set" in (tmp_path / "run" / "table.md").read_text()
    with pytest.raises(UserError, match="alpha"):
        run_adaptation(tmp_path / "parts", tmp_path / "other", replace(settings, alpha=2), lambda *_: None)
    assert not (tmp_path / "other").exists()


def test_a_fault_of_the_data_leaves_the_choice_of_other_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "parts", images=12, products=1, size=(64, 64), seed=3)
    mask = next((tmp_path / "parts").rglob("*_mask.png"))
    mask.write_bytes(b"broken")
    first = AdaptSettings(BuildSettings(split="labelled", labelled_fraction=0.3))
    with pytest.raises(DataError):
        run_adaptation(tmp_path / "parts", tmp_path / "run", first, quiet)
    make(tmp_path / "whole", images=12, products=1, size=(64, 64), seed=3)
    mask.write_bytes((tmp_path / "whole" / mask.relative_to(tmp_path / "parts")).read_bytes())
    monkeypatch.setattr("adfm.workflows.adapt.run_arms", stopped)
    with pytest.raises(KeyboardInterrupt):  # the data are built, and the run goes on from there
        run_adaptation(tmp_path / "parts", tmp_path / "run", replace(first, alpha=0.2), quiet)
    with pytest.raises(UserError, match=r"results of other settings \(alpha\)"):
        run_adaptation(tmp_path / "parts", tmp_path / "run", first, quiet)


def stopped(*_: object, **__: object) -> list[ArmResult]:
    raise KeyboardInterrupt


@pytest.mark.parametrize("replaced", ["source", "model", "recipe"])
def test_results_of_what_has_been_replaced_are_refused(
    replaced: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, model, recipe = tmp_path / "parts", tmp_path / "model", tmp_path / "mine.yaml"
    make(source, images=12, products=1, size=(64, 64), seed=3)
    shutil.copytree(tiny, model)
    recipe.write_text("steps: 3\n")
    settings = AdaptSettings(
        BuildSettings(split="labelled", labelled_fraction=0.3), model=str(model), arms=("base", "sft"), sft=str(recipe)
    )

    def called_again() -> None:
        monkeypatch.setattr("adfm.workflows.adapt.run_arms", stopped)
        run_adaptation(source, tmp_path / "run", settings, quiet)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):  # control: nothing has changed, it goes on
            called_again()
    if replaced == "source":
        image = next(source.rglob("test/good/*.png"))
        Image.open(image).rotate(180).save(image)
        name = "source_sha256"
    elif replaced == "model":
        weights = load_file(model / "model.safetensors")
        save_file({key: value * 2 for key, value in weights.items()}, model / "model.safetensors", {"format": "pt"})
        name = f"model {model}"
    else:
        recipe.write_text("steps: 4\n")
        name = "recipe of sft"
    with pytest.raises(UserError, match=rf"holds results of other settings \({name}\)"):
        called_again()


def test_a_run_inside_its_source_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "parts", images=12, products=1, size=(64, 64), seed=3)
    with pytest.raises(UserError, match="is inside the source"):
        run_adaptation(tmp_path / "parts", tmp_path / "parts" / "run", AdaptSettings(BuildSettings()), quiet)


def hashes(out: Path, key: str) -> tuple[set[str], set[str]]:
    """The questions that an arm was trained on, and those that it was evaluated on."""
    trained = json.loads((out / key / "questions.json").read_text())["questions"]
    return {*trained}, {str(prediction.question_sha256) for prediction in read_predictions(out / f"eval-{key}")}


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["full", "locate_answer", "verdict"])
@pytest.mark.parametrize("named", [True, False])
def test_an_arm_is_evaluated_as_it_was_trained(
    stages: str, named: bool, tiny: Path, parts_data: Path, tmp_path: Path
) -> None:
    arms = adapted_arms(tiny, (f"protocol.stages={stages}", f"protocol.name_category={str(named).lower()}"))
    results = run_arms(arms, parts_data, tmp_path, seed=0, progress=quiet)
    assert [result.protocol.stages for result in results] == [stages, stages]
    for arm in arms:
        trained, evaluated = hashes(tmp_path, arm.key)
        assert trained == evaluated != set()
        assert protocol_of(str(tmp_path / arm.key / "final")).name_category is named


def adapted_arms(model: Path, overrides: tuple[str, ...]) -> list[Arm]:
    """Fine-tuning under other words, then GRPO, which says nothing of them and starts from its result."""
    few = ("steps=1", "micro_batch=4", "threads=1", "max_epochs=null", "data.crops=0", "data.flips_rotations=false")
    short = ("protocol.max_new_tokens=8",)
    sft = Arm("sft", "SFT", str(model), "sft", "nano-sft", (*few, *short, *overrides, "dense=null", "optimizer=adamw"))
    return [sft, Arm("grpo", "GRPO", "sft", "grpo", "nano-grpo", (*few[:3], *few[4:], *short, "generations=2"))]


@pytest.mark.slow
def test_control_another_protocol_asks_other_questions(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the protocol of the model ignored, as it once was, the evaluation asks what was never trained."""
    monkeypatch.setattr("adfm.workflows.arms.protocol_of", lambda _: Protocol(max_new_tokens=8))
    arms = adapted_arms(tiny, ("protocol.stages=verdict", "protocol.name_category=false"))[:1]
    run_arms(arms, parts_data, tmp_path, seed=0, progress=quiet)
    trained, evaluated = hashes(tmp_path, "sft")
    assert not trained & evaluated


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("base", "grop"), r"arm 'grop': is not known \(did you mean 'grpo'\?\)"),
        (("base", "grpo"), "arm 'grpo' starts from 'sft': name that arm before it"),
    ],
)
def test_arms_that_cannot_run_are_refused_before_anything_is_done(
    names: tuple[str, ...], fault: str, tmp_path: Path
) -> None:
    settings = AdaptSettings(BuildSettings(), arms=names)
    with pytest.raises(ConfigError, match=fault):
        run_adaptation(tmp_path / "parts", tmp_path / "out", settings, quiet)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new"), [("stages=verdict", "protocol.stages"), ("data.category=false", "protocol.name_category")]
)
def test_an_old_name_is_refused_with_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    arm = Arm("grpo", "GRPO", "nano", "grpo", "nano-grpo", (old,))
    with pytest.raises(ConfigError, match=f"is now '{new}'"):
        arm_settings(arm, "nano", tmp_path, tmp_path / "out", 0)
