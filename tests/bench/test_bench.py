"""`adfm bench`: both sides do the same work and agree; a side that does not agree is seen; the numbers keep their contract."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from adfm.cli.main import main
from adfm.errors import ConfigError
from adfm.workflows.bench import step as bench
from adfm.workflows.bench.phases import PHASES, Phases, peak_memory
from adfm.workflows.bench.reward import answers_of, bench_reward
from adfm.workflows.bench.sizes import SIZES, Case, prompt_rows, random_subject, size_named
from adfm.workflows.bench.step import Step, bench_steps, loss_bound, summary

CONTRACT = {
    "num_generations",
    "prompt_tokens",
    "completion_tokens",
    "ratio",
    "loss_ratio",
    "loss_bound",
    "generate_ratio",
    "memory_ratio",
    "phases",
    "equal",
}
TINY = SIZES["tiny"]


def measured() -> dict[str, Any]:
    torch.set_num_threads(1)
    return bench_steps(TINY, [Case(4, 115, 10)], pairs=1)[0]


def test_a_tiny_step_agrees_and_does_less_work() -> None:
    row = measured()
    assert row.keys() >= CONTRACT
    assert row["equal"] is True
    assert row["work"]["stock"]["image_patches"] == 4 * row["work"]["ours"]["image_patches"]
    assert row["work"]["ours"]["decoder_tokens"] < 0.6 * row["work"]["stock"]["decoder_tokens"]
    for side, phases in row["phases"].items():
        assert set(phases) == set(PHASES)
        assert sum(phases.values()) == pytest.approx(row["seconds"][side], rel=0.2)
        assert min(phases[name] for name in ("generate", "forward", "backward")) > 0


def test_another_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from adfm.training.shared_prefix import packed

    right = packed.forward_inputs

    def wrong(*given: Any, **more: Any) -> dict[str, Any]:
        inputs = right(*given, **more)
        return inputs | {"position_ids": 2 * inputs["position_ids"]}  # a shift alone would change nothing

    monkeypatch.setattr(packed, "forward_inputs", wrong)
    row = measured()
    assert row["equal"] is False
    assert row["gradient_difference"] > 1e-3


def test_other_answers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from adfm.training.shared_prefix import generate

    right = generate.Sampler.__call__
    monkeypatch.setattr(generate.Sampler, "__call__", lambda *a: right(*a).flip(0))
    assert measured()["equal"] is False


def test_the_model_is_left_as_it_was_found() -> None:
    model = random_subject(TINY, 0, "cpu").weights
    before = model.state_dict()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    sum(weight.sum() for weight in model.parameters()).backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("tokens", [110, 131])
def test_prompts_have_exactly_the_tokens_of_the_case(tokens: int) -> None:
    subject = random_subject(TINY, 0, "cpu")
    processor = subject.processor
    rows, samples = prompt_rows(TINY, Case(2, tokens, 5), subject, 2, 0)
    text = processor.apply_chat_template(rows[0]["prompt"], tokenize=False, add_generation_prompt=True)
    assert len(processor(text=[text], images=rows[0]["images"])["input_ids"][0]) == tokens
    assert [sample.id for sample in samples] == ["0", "1"]
    with pytest.raises(ConfigError, match="at least"):
        prompt_rows(TINY, Case(2, 20, 5), subject, 1, 0)


def test_the_bound_is_the_ratio_of_decoder_tokens() -> None:
    assert loss_bound(Case(8, 431, 96)) == pytest.approx(8 * 527 / (430 + 8 * 96))


def test_ratios_are_medians_of_pairs() -> None:
    def step(seconds: float) -> Step:
        return Step(seconds, dict.fromkeys(PHASES, seconds / 6), None, [])

    found = summary(Case(2, 5, 5), [step(4), step(9), step(8)], [step(2), step(3), step(1)])
    assert found["ratio"] == {"median": 3.0, "min": 2.0, "max": 8.0}


def test_a_phase_inside_another_counts_once() -> None:
    phases = Phases()
    inner = phases._timed(lambda: None, "log_probs")
    phases._timed(inner, "forward")()
    taken = phases.take(1.0)
    assert taken["log_probs"] == 0.0
    assert taken["forward"] > 0
    assert sum(taken.values()) == pytest.approx(1.0)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system keeps no high-water mark")
def test_memory_that_was_freed_again_is_seen() -> None:
    found: dict[str, float] = {}
    with peak_memory(found):
        torch.zeros(30_000_000).sum()
    assert 100 < found["memory_mib"] < 200
    with peak_memory(found):
        pass
    assert found["memory_mib"] < 50


def test_the_answers_that_are_rewarded_are_good_bad_and_broken() -> None:
    texts = [text for text, _, _ in answers_of(40, 0)]
    assert len(set(texts)) == 40
    assert any(not text.endswith("</answer>") for text in texts)
    found = bench_reward(answers=40, repeats=2)
    assert all(0 < rate["min"] <= rate["median"] <= rate["max"] for rate in found["presets"].values())


def test_the_command_prints_the_contract(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["bench", "step", "--size", "tiny", "--pairs", "1", "--threads", "1", "--json", "--out", str(tmp_path)])
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert printed["rows"][0].keys() >= CONTRACT
    assert json.loads((tmp_path / "bench-step.json").read_text())["rows"] == printed["rows"]


def test_a_disagreement_is_not_a_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    row = measured() | {"equal": False}
    monkeypatch.setattr(bench, "bench_steps", lambda *_, **__: [row])
    assert main(["bench", "step", "--size", "tiny"]) == 101
    assert "NO (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "tinny"], "did you mean 'tiny'"),
        (["--size", "tiny", "--generations", "5"], "size 'tiny' has 4"),
        (["--size", "tiny", "--pairs", "0"], "must be at least 1"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "step", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_inspection_agrees_with_a_plain_loop(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "inspect", "--images", "8", "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_the_large_size_is_qwens() -> None:
    """The GPU size is only built as a configuration here: its weights would take 15 GB."""
    from transformers import AutoModelForImageTextToText

    from adfm.models.files import load_processor, resolve
    from adfm.models.nano import architecture

    size = size_named("h100-3b")
    tokenizer = load_processor(resolve("nano")).tokenizer
    with torch.device("meta"):
        model = architecture.build_model(tokenizer, size.shape, seed=0, overrides=size.overrides)
    assert isinstance(model, AutoModelForImageTextToText._model_mapping[type(model.config)])
    assert 3.6e9 < sum(weight.numel() for weight in model.parameters()) < 4.0e9


def test_help_needs_no_torch() -> None:
    code = "import sys; from adfm.cli.main import build_parser; build_parser(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
