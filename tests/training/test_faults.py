"""What goes wrong in the middle of a training: numbers that are not finite, images that vanish, rewards that raise, signals.

Each stops in one line, or is recorded, counted and gone on from. The last checkpoint always loads.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from quick import StoppedError as Raised
from quick import few_samples, grpo_settings, noisy_rewards, sft_settings, state, stop_at
from transformers import Trainer

from adfm.data.manifest import read_manifest, write_manifest
from adfm.errors import DataError, NotFiniteError, StoppedError, UserError
from adfm.rewards import Reward
from adfm.training import engine, journal, run
from adfm.training.engine import list_checkpoints, newest_checkpoint
from adfm.training.grpo import train_grpo
from adfm.training.journal import collapsed_at, cut_journal
from adfm.training.settings import GrpoSettings, SftSettings
from adfm.training.sft import train_sft
from adfm.training.stopping import StopRequest

Make = Callable[..., Any]


def train(settings: SftSettings | GrpoSettings, **more: Any) -> Path:
    return train_grpo(settings, **more) if isinstance(settings, GrpoSettings) else train_sft(settings, **more)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adfm.training.grpo.trl_rewards", noisy_rewards())


# Numbers that are not finite, at the second step


def bad_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.training_step

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        return step(self, *given, **named) * (math.nan if self.state.global_step == 1 else 1)

    monkeypatch.setattr(Trainer, "training_step", changed)


def bad_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.training_step

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        loss = step(self, *given, **named)
        if self.state.global_step == 1:
            next(weight for weight in self.model.parameters() if weight.grad is not None).grad.fill_(math.nan)
        return loss

    monkeypatch.setattr(Trainer, "training_step", changed)


def bad_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = Trainer._get_learning_rate

    def changed(self: Any) -> Any:  # called between the optimizer's step and its end
        if self.state.global_step == 1:
            with torch.no_grad():
                next(self.model.parameters()).fill_(math.inf)
        return rate(self)

    monkeypatch.setattr(Trainer, "_get_learning_rate", changed)


def bad_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real functions, over a reward that breaks in the second step
    given: list[int] = []

    def changed(*_: Any, **__: Any) -> Reward:
        given.append(1)
        return Reward(len(given) % 3, 0.0, math.nan if len(given) > 4 else 0.0, 0.0)

    monkeypatch.setattr("adfm.rewards.trl.reward", changed)


NOT_FINITE = {
    "the loss is nan": (bad_loss, (sft_settings, grpo_settings)),
    "the norm of the gradient is nan": (bad_gradient, (sft_settings, grpo_settings)),
    "the weight .* is not finite": (bad_weight, (sft_settings, grpo_settings)),
    "the reward 'grounding' .* is nan": (bad_reward, (grpo_settings,)),
}
CASES = [(text, break_it, make) for text, (break_it, makes) in NOT_FINITE.items() for make in makes]


@pytest.mark.parametrize(("text", "break_it", "make"), CASES, ids=[f"{c[2].__name__[:4]} {c[0]}" for c in CASES])
@pytest.mark.usefixtures("noise")
def test_a_number_that_is_not_finite_stops_at_its_step(
    text: str, break_it: Any, make: Make, tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    settings = make(tiny, few_samples(parts_data, tmp_path / "rows", 4), tmp_path / "run", steps=3, save_every=1)
    with pytest.raises(NotFiniteError, match=f"step 2: {text}.*not-finite.json keeps") as caught:
        train(settings)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "final").exists()
    assert [row["step"] for row in rows_of(tmp_path / "run" / "metrics.jsonl")] == [1]
    last = newest_checkpoint(tmp_path / "run")
    assert last and last.name == "step-1"
    kept = json.loads((tmp_path / "run" / "not-finite.json").read_text())["rows"]
    ids = {sample.id for sample in read_manifest(tmp_path / "rows").samples}
    assert kept and {row["sample_id"] for row in kept} <= ids
    assert all(row.get("text") or "answer" in row for row in kept)


@pytest.mark.usefixtures("noise")
def test_control_unguarded_it_looks_like_a_perfect_run(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_loss(monkeypatch)
    monkeypatch.setattr(engine, "require_finite", lambda *_: None)
    arguments = run.engine_arguments
    filtered = {"logging_nan_inf_filter": True}
    monkeypatch.setattr("adfm.training.sft.engine_arguments", lambda *given: arguments(*given) | filtered)
    train(sft_settings(tiny, few_samples(parts_data, tmp_path / "rows", 4), tmp_path / "run", steps=2))
    assert rows_of(tmp_path / "run" / "metrics.jsonl")[1]["loss"] == 0.0
    assert (tmp_path / "run" / "final").exists()


@pytest.mark.parametrize(
    ("unread", "first"),
    [([1, 1, 1], 1), ([0, 1, 1, 1, 1], 2), ([1, 1, 0, 1, 1], None), ([0.9] * 5, None), ([1, 1, 1, 0, 0], 1)],
)
def test_a_collapsed_policy_is_seen(unread: list[float], first: int | None) -> None:
    assert collapsed_at([{"step": step, "unread_rate": rate} for step, rate in enumerate(unread, 1)]) == first


def test_a_collapsed_policy_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = journal.RunJournal(tmp_path, resumed_at=0, steps=6, progress=None)
    with caplog.at_level(logging.WARNING, "adfm"):
        for step, rate in enumerate([0.5, 1, 1, 1, 1, 1], 1):
            made.receive(step, {"loss": 0.0, "unread_rate": rate})
    made.close()
    assert [record.message.count("unread_rate 1 since step 2") for record in caplog.records] == [1]


# Images that vanish, and rewards that raise


@pytest.mark.parametrize("make", [sft_settings, grpo_settings])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:90])])
@pytest.mark.usefixtures("noise")
def test_an_image_that_cannot_be_read_is_left_out_and_counted(
    damage: Any, make: Make, tiny: Path, parts_data: Path, tmp_path: Path
) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    gone = read_manifest(rows).samples[1]
    damage(rows / gone.image)
    train(make(tiny, rows, tmp_path / "run", steps=2, micro_batch=4))
    noted = rows_of(tmp_path / "run" / "incidents.jsonl")
    assert [(row["incident"], row["image"]) for row in noted] == [("image", gone.image)]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["incidents"] == {"image": 1}


def test_too_many_of_them_stop_the_run_in_one_line(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    for sample in read_manifest(rows).samples[:2]:
        (rows / sample.image).unlink()
    with pytest.raises(DataError, match="2 of 4 training images cannot be read any more: restore them") as caught:
        train(sft_settings(tiny, rows, tmp_path / "run", steps=2, workers=1))
    assert type(caught.value) is not UserError or "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_was_replaced_stops_the_run_in_one_line(
    workers: int, tiny: Path, parts_data: Path, tmp_path: Path
) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    first, second = read_manifest(rows).samples[:2]
    (rows / first.image).write_bytes((rows / second.image).read_bytes())
    with pytest.raises(UserError, match="sha256") as caught:
        train(sft_settings(tiny, rows, tmp_path / "run", steps=2, workers=workers))
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_a_reward_that_raises_is_recorded(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    broken = read_manifest(rows).samples[0].id

    def changed(response: Any, sample: Any, settings: Any) -> Reward:
        if sample.id == broken:
            raise ZeroDivisionError("in an extension")
        return Reward(0.5, 0.5, None, 1.0)

    monkeypatch.setattr("adfm.rewards.trl.reward", changed)
    train(grpo_settings(tiny, rows, tmp_path / "run", steps=2))
    counted = [row["reward_failures"] for row in rows_of(tmp_path / "run" / "metrics.jsonl")]
    assert sorted(counted) == [0, 2]  # the two answers of its group, in one of the two steps of the epoch
    noted = rows_of(tmp_path / "run" / "incidents.jsonl")
    assert {(row["incident"], row["sample_id"]) for row in noted} == {("reward", broken)}
    assert noted[0]["reason"] == "ZeroDivisionError: in an extension"


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves(number: int, code: int, tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    whole, cut = (sft_settings(tiny, rows, tmp_path / name, steps=4, micro_batch=2) for name in ("whole", "cut"))
    train(whole)
    before = signal.getsignal(number)

    def send(step: int, *_: Any) -> None:
        if step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(
        StoppedError, match=r"stopped by SIG\w+ after step 3 of 4, which is saved; resume with --resume"
    ) as caught:
        train(cut, progress=send)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before
    assert [path.name for path in list_checkpoints(tmp_path / "cut" / "checkpoints")] == ["step-3"]
    train(cut, resume=True)
    for name in ("metrics.jsonl", "final/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_second_signal_or_the_bound_ends_it_at_once() -> None:
    for send in (2, 1):
        started = time.monotonic()
        with pytest.raises(StoppedError, match="SIGTERM"), StopRequest(0.2) as stop:
            stop.stepping = True
            for _ in range(send):
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        assert time.monotonic() - started < 20
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_signal_outside_of_a_step_ends_it_at_once() -> None:
    with pytest.raises(StoppedError, match="stopped by SIGINT before a step could be saved") as caught, StopRequest(9):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    assert caught.value.exit_code == 130


# What a resume finds


def stopped_run(make: Make, model: Path, data: Path, tmp_path: Path, **more: Any) -> Any:
    """Return the settings of a run that was stopped in its third step, with a checkpoint of the second."""
    rows = few_samples(data, tmp_path / "rows", 6)
    settings = make(model, rows, tmp_path / "run", steps=4, save_every=2, micro_batch=2, **more)
    with pytest.raises(Raised):
        train(settings, progress=stop_at(3))
    return settings


def rebuild(model: Path, rows: Path) -> None:
    samples = read_manifest(rows).samples
    write_manifest(rows / "manifest.jsonl", samples[:-1])


def replace_model(model: Path, rows: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    name = sorted(tensors)[0]
    save_file(tensors | {name: tensors[name] + 1}, model / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (rebuild, "the manifest .*rows changed since the run was started"),
        (replace_model, "the model .*m changed since"),
    ],
)
@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 4}], ids=["full", "lora"])
def test_a_resume_on_something_else_is_refused(
    lora: Any, change: Any, text: str, tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(tiny, tmp_path / "m")
    settings = stopped_run(sft_settings, tmp_path / "m", parts_data, tmp_path, lora=lora)
    change(tmp_path / "m", tmp_path / "rows")
    with pytest.raises(UserError, match=f"{text}.*restore it, or train in another out=FOLDER"):
        train(settings, resume=True)
    monkeypatch.setattr(run, "require_same_inputs", lambda *_: None)  # control: without the check it goes on
    train(settings, resume=True)


@pytest.mark.usefixtures("noise")
def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_over(
    tiny: Path, parts_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    whole, cut = (grpo_settings(tiny, rows, tmp_path / name, steps=2) for name in ("whole", "cut"))
    train(whole)
    with pytest.raises(UserError, match="holds no run to resume"):
        train(cut, resume=True)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(Raised):
        train(cut, progress=stop_at(1))
    with pytest.raises(UserError, match="already holds a run"):
        train(cut)
    train(cut, resume=True)
    assert "has no checkpoint yet; the run starts over" in caplog.text
    for name in ("metrics.jsonl", "final/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_finished_run_is_left_as_it_is(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    settings = sft_settings(
        tiny, few_samples(parts_data, tmp_path / "rows", 4), tmp_path / "run", steps=2, save_every=1
    )
    final = train(settings)
    before = state(tmp_path / "run"), (final / "model.safetensors").stat().st_mtime_ns
    assert train(settings, resume=True, progress=stop_at(1)) == final
    assert before == (state(tmp_path / "run"), (final / "model.safetensors").stat().st_mtime_ns)


def test_what_somebody_else_wrote_is_never_replaced(tiny: Path, parts_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "final").mkdir(parents=True)
    (tmp_path / "run" / "final" / "thesis.txt").write_text("mine")
    rows = few_samples(parts_data, tmp_path / "rows", 4)
    with pytest.raises(UserError, match="holds files that adfm did not write"):
        train(sft_settings(tiny, rows, tmp_path / "run", steps=1))
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["final", "thesis.txt"]
    with pytest.raises(ValueError, match="at least 1 character"):
        sft_settings(tiny, rows, tmp_path / "run", out="")


# The journal


def test_every_cut_and_every_gap_of_a_journal_is_seen(tmp_path: Path) -> None:
    """Cut at every byte: either all rows that the checkpoint counts on are there, or one line says which is not."""
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": step / 7}) + "\n" for step in range(1, 6)]
    text = "".join(lines)
    enough = len("".join(lines[:4]))
    for size in range(len(text) + 1):
        path.write_text(text[:size])
        if size >= enough:
            assert [row["step"] for row in cut_journal(path, 4, "fix it")] == [1, 2, 3, 4]
            assert path.read_text() == text[:enough]
        else:
            with pytest.raises(DataError, match=r"metrics.jsonl:\d: the row of step \d is missing or damaged; fix it"):
                cut_journal(path, 4, "fix it")
    for damaged in (lines[:2] + lines[3:], [lines[0], "\0" * 20 + "\n", *lines[2:]], ["[1]\n", *lines[1:]], [""]):
        path.write_text("".join(damaged))
        with pytest.raises(DataError, match="is missing or damaged"):
            cut_journal(path, 4, "fix it")


def synced_before_checkpoints(tiny: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Train with a checkpoint a step, and return how many rows a power cut at each publishing would have left."""
    held: dict[int, int] = {}
    synced, publish, left = os.fsync, engine.publish_checkpoint, []

    def fsync(handle: int) -> None:
        held[os.fstat(handle).st_ino] = os.fstat(handle).st_size
        synced(handle)

    def published(*given: Any) -> None:
        path = tmp_path / "run" / "metrics.jsonl"
        left.append(path.read_bytes()[: held.get(path.stat().st_ino, 0)].count(b"\n"))
        publish(*given)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(engine, "publish_checkpoint", published)
    train(sft_settings(tiny, few_samples(data, tmp_path / "rows", 4), tmp_path / "run", steps=3, save_every=1))
    return left


def test_rows_are_on_the_disk_before_the_checkpoint_that_counts_on_them(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert synced_before_checkpoints(tiny, parts_data, tmp_path, monkeypatch) == [1, 2, 3]


def test_control_rows_that_are_not_synced(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal.RunJournal, "sync", lambda _: None)
    assert synced_before_checkpoints(tiny, parts_data, tmp_path, monkeypatch) == [0, 0, 0]
