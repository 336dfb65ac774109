"""Demo and adaptation on a handful of parts: every stage's files, a second call that skips them, another setting refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adfm.data.settings import BuildSettings
from adfm.data.synthetic.make import make
from adfm.errors import UserError
from adfm.models.nano import WEIGHTS
from adfm.workflows.adapt import AdaptSettings, run_adaptation
from adfm.workflows.adapt_repeats import run_repeats
from adfm.workflows.demo import FEWEST_IMAGES, DemoSettings, run_demo

pytestmark = pytest.mark.skipif(not (WEIGHTS / "model.safetensors").is_file(), reason="the bundled weights are absent")
SMALL = DemoSettings(images=max(40, FEWEST_IMAGES), products=1, steps=1, inspected=2)


@pytest.mark.slow
def test_the_demo_runs_through_and_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    stages: list[str] = []
    summary = run_demo(out, SMALL, lambda stage, *_: stages.append(stage))
    written = json.loads((out / "summary.json").read_text())
    assert set(written) == {"base", "trained", "difference", "seconds", "seed", "report"}
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
    assert written["seeds"] == [0, 1] and {"base", "sft", "grpo", "difference_to_sft"} < set(written)
    manifests = [(out / f"seed-{seed}" / "data" / "manifest.jsonl").read_text() for seed in (0, 1)]
    assert manifests[0] != manifests[1]
    one = [json.loads((out / f"seed-{seed}" / "summary.json").read_text()) for seed in (0, 1)]
    recall = written["grpo"]["metrics"]["recall"]
    assert recall["each"] == [summary["grpo"]["metrics"]["recall"]["value"] for summary in one]
    assert written["base"]["n"] == sum(summary["base"]["n"] for summary in one) > written["base"]["different"]
    for decisions, summary in zip(written["decisions"], one, strict=True):
        assert decisions["alpha"] == 0.5 and decisions["normal"] >= 1
        assert sum(sum(row.values()) for row in decisions["counts"].values()) == summary["base"]["n"]
    assert (out / "seed-0" / "grpo" / "final" / "calibration.json").is_file()
    assert "seeds 0 to 1" in (out / "table.md").read_text()

    stages.clear()
    again = run_repeats(tmp_path / "parts", out, settings, 2, lambda stage, *_: stages.append(stage))
    assert not any("training" in stage or "evaluating" in stage for stage in stages)
    assert again.summary["difference_to_base"] == adapted.summary["difference_to_base"]
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
