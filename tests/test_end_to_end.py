"""The whole chain by the command line on tiny random models: every file of the contract, every exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from adfm.cli.main import main
from adfm.data.manifest import read_manifest
from adfm.geometry import Box

VERDICT_FIELDS = {"raw_score", "review_from", "protocol", "protocol_overrides"} | {
    *("schema", "image", "sha256", "width", "height", "decision", "score", "threshold", "threshold_origin", "regions"),
    *("located", "explanation", "parse", "model", "revision", "prompt_sha256", "decoding", "timings_ms", "warnings"),
}
RECIPE = """
steps: 3
micro_batch: 4
learning_rate: 0.001
warmup_steps: 0
save_every: 2
threads: 1
"""
GROUPS = """
generations: 2
protocol: {max_new_tokens: 12}
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_run(run: Path, steps: int, saved: set[str]) -> None:
    """A training's folder holds what the contract says, and its model loads with two lines of transformers."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert yaml.safe_load((run / "config.yaml").read_text())["steps"] == steps
    journal = lines(run / "metrics.jsonl")
    assert [row["step"] for row in journal] == list(range(1, steps + 1))
    assert all("loss" in row for row in journal)
    assert {path.name for path in (run / "checkpoints").iterdir() if path.name[0] != "."} == saved
    assert json.loads((run / "summary.json").read_text())["last"] == journal[-1]
    model, report = AutoModelForImageTextToText.from_pretrained(run / "final", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert AutoProcessor.from_pretrained(run / "final").chat_template
    assert not list((run / "final").glob("*.bin"))
    assert model.config.model_type.startswith("qwen")


def check_evaluation(out: Path, data: Path) -> None:
    """One prediction per test sample in the manifest's order, and metrics without NaN."""
    test = read_manifest(data).only("test")
    assert [row["id"] for row in lines(out / "predictions.jsonl")] == [sample.id for sample in test.samples]
    metrics = json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["n"] == len(test.samples)
    assert metrics["provenance"]["decoding"] == "greedy"


def check_inspection(out: Path, pictures: list[str], model: Path, code: int) -> None:
    """A verdict JSON with every field and an overlay beside it per picture; the exit code follows from them."""
    rows = lines(out / "results.jsonl")
    assert sorted(row["image"] for row in rows) == sorted(pictures)
    for row in rows:
        assert set(row) == VERDICT_FIELDS
        assert row == json.loads((out / f"{row['image']}.json").read_text())
        assert (out / f"{row['image']}.overlay.png").read_bytes().startswith(b"\x89PNG")
        assert row["model"] == str(model) and row["revision"].startswith("model-")
        assert row["schema"] == "adfm.verdict/1" and row["decoding"]["method"] == "greedy"
        assert all(Box(*region["bbox_2d"]).area > 0 for region in row["regions"])
    decisions = {row["decision"] for row in rows}
    assert code == (3 if decisions & {"REVIEW", "ERROR"} else 1 if "NG" in decisions else 0)


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
def test_the_whole_chain(either: Path, adapter: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts, data = tmp_path / "parts", tmp_path / "data"
    assert main(f"data make --out {parts} --images 16 --size 64 --products 1 --materials cast --seed 1".split()) == 0
    assert main(f"data build {parts} --out {data} --split labelled --labelled-fraction 0.5".split()) == 0
    (tmp_path / "sft.yaml").write_text(RECIPE)
    (tmp_path / "grpo.yaml").write_text(RECIPE + GROUPS)
    method = ["lora={rank: 4}"] if adapter else ["freeze_vision=true"]
    common = [f"data.manifest={data}", *method]
    sft, grpo = tmp_path / "sft", tmp_path / "grpo"
    assert main(["train", "sft", "--config", f"{sft}.yaml", f"model={either}", f"out={sft}", *common]) == 0
    check_run(sft, steps=3, saved={"step-2", "step-3"})
    model = sft / "final"
    assert main(["train", "grpo", "--config", f"{grpo}.yaml", f"model={model}", f"out={grpo}", "steps=2", *common]) == 0
    check_run(grpo, steps=2, saved={"step-2"})
    check_only_the_language_model_changed(either, grpo / "final")
    model = grpo / "final"
    assert main(f"eval --model {model} --data {data} --out {tmp_path / 'eval'} --threads 1".split()) == 0
    check_evaluation(tmp_path / "eval", data)
    new = tmp_path / "new"
    new.mkdir()
    for number, sample in enumerate(read_manifest(data).samples[:2]):
        (new / f"{number}.png").write_bytes((data / sample.image).read_bytes())
    code = main(f"inspect {new} --model {model} --out {tmp_path / 'verdicts'} --threads 1".split())
    check_inspection(tmp_path / "verdicts", ["0.png", "1.png"], model, code)
    assert "internal error" not in capsys.readouterr().err


def check_only_the_language_model_changed(before: Path, after: Path) -> None:
    from transformers import AutoModelForImageTextToText

    old, new = (AutoModelForImageTextToText.from_pretrained(folder).state_dict() for folder in (before, after))
    changed = {name for name in old if not old[name].equal(new[name])}
    assert changed
    assert not {name for name in changed if ".visual." in name}
