"""The demo's chain on a handful of parts: every stage's files, a second call that skips them, another setting refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adfm.errors import UserError
from adfm.models.nano import WEIGHTS
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
