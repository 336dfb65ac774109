"""A run's folder: one run each, the same settings on resume, journals that are cut and go on, pixel limits that stay."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from adfm.errors import ConfigError, DataError, NotFiniteError, UserError, WriteError
from adfm.models.card import ModelCard, protocol_of
from adfm.models.families import frame_of_model
from adfm.models.files import load_weights
from adfm.reasoning import Protocol
from adfm.training.journal import RunJournal
from adfm.training.run import open_run, training_manifest
from adfm.training.settings import DataSettings, SftSettings
from adfm.training.subject import load_subject, resolved, save_model

CARD = ModelCard(protocol=Protocol())


def settings(out: Path, **more: Any) -> SftSettings:
    return SftSettings.model_validate({"out": str(out)} | more)


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    open_run(settings(tmp_path / "run"), {}, resume=False)
    with pytest.raises(UserError, match="already holds a run; add --resume"):
        open_run(settings(tmp_path / "run"), {}, resume=False)


def test_a_resumed_run_has_the_same_settings(tmp_path: Path) -> None:
    open_run(settings(tmp_path / "run"), {}, resume=False)
    open_run(settings(tmp_path / "run"), {}, resume=True)
    with pytest.raises(UserError, match="'seed: 0' was, 'seed: 1' is"):
        open_run(settings(tmp_path / "run", seed=1), {}, resume=True)
    with pytest.raises(UserError, match="differs from the settings given"):
        open_run(settings(tmp_path / "run", lora={"rank": 2}), {}, resume=True)


def test_a_resumed_run_starts_from_the_same(tmp_path: Path) -> None:
    began = {"the manifest data": "a", "the model nano": "b"}
    open_run(settings(tmp_path / "run"), began, resume=False)
    open_run(settings(tmp_path / "run"), began, resume=True)
    for name in began:
        with pytest.raises(
            UserError, match=f"{name} changed since the run was started .*restore it, or train in another"
        ):
            open_run(settings(tmp_path / "run"), began | {name: "c"}, resume=True)


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    run = tmp_path / "run"
    open_run(settings(run), {}, resume=False)
    journal = RunJournal(run, resumed_at=0, steps=2, progress=None)
    journal.receive(1, {"loss": 1.0})
    journal.close()
    save_model(run / "final", None, None, CARD)
    assert not run.exists()


def test_a_journal_goes_on_where_the_checkpoint_was(tmp_path: Path) -> None:
    told: list[tuple[int, int, dict[str, float]]] = []
    first = RunJournal(tmp_path, resumed_at=0, steps=9, progress=lambda *row: told.append(row))
    for step in (1, 2, 3):
        first.receive(step, {"loss": 1 / step})
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed while it wrote
    second = RunJournal(tmp_path, resumed_at=2, steps=9, progress=None)
    assert [row["step"] for row in second.rows] == [1, 2]
    second.receive(3, {"loss": 0.5})
    second.close()
    assert steps(tmp_path / "metrics.jsonl") == steps(tmp_path / "timings.jsonl") == [1, 2, 3]
    assert told == [(step, 9, {"loss": 1 / step}) for step in (1, 2, 3)]


def test_the_seconds_go_on_too(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "timings.jsonl").write_text('{"step": 1, "seconds": 500.0}\n')
    journal = RunJournal(tmp_path, resumed_at=1, steps=2, progress=None)
    assert 500 <= journal.seconds() < 510
    journal.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "grad_norm", "entropy", "kl"])
def test_a_quantity_that_is_not_finite_stops_the_run(name: str, value: float, tmp_path: Path) -> None:
    journal = RunJournal(tmp_path, resumed_at=0, steps=1, progress=None)
    with pytest.raises(NotFiniteError, match=f"step 1: {name} is {value}"):
        journal.receive(1, {"learning_rate": 1.0, name: value})
    journal.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_the_mean_of_a_reward_that_never_applied_is_left_out(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path, resumed_at=0, steps=1, progress=None)
    journal.receive(1, {"loss": 1.0, "reward/grounding": math.nan})
    with pytest.raises(NotFiniteError, match="reward/grounding is inf"):
        journal.receive(2, {"reward/grounding": math.inf})
    journal.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 1.0}


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'data.manifest' is empty"):
        training_manifest(settings(tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        training_manifest(settings(tmp_path, data={"manifest": str(tmp_path / "nothing")}))


def test_the_vision_tower_is_frozen(either: Path) -> None:
    weights = load_subject(settings(Path("run"), model=str(either), freeze_vision=True)).weights
    frozen = {name for name, weight in weights.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name, _ in weights.named_parameters() if ".visual." in name}


def test_pixel_limits_are_saved_with_the_model(either: Path, tmp_path: Path) -> None:
    from adfm.models.files import load_processor

    limited = settings(tmp_path, model=str(either), data=DataSettings(max_pixels=2000))
    subject = load_subject(limited)
    save_model(tmp_path / "saved", subject.weights, subject.processor, CARD)
    size = load_processor(str(tmp_path / "saved")).image_processor.size
    assert (size["shortest_edge"], size["longest_edge"]) == (2000, 2000)
    assert frame_of_model(str(tmp_path / "saved"))(640, 480) == subject.frame_of(640, 480)


def test_the_protocol_comes_from_the_model_and_settings_win(tiny: Path, tmp_path: Path) -> None:
    subject = load_subject(settings(tmp_path, model=str(tiny)))
    save_model(tmp_path / "m", subject.weights, subject.processor, ModelCard(protocol=Protocol(stages="verdict")))
    start = settings(tmp_path, model=str(tmp_path / "m"), protocol={"name_category": False})
    assert protocol_of(str(tmp_path / "m")).stages == "verdict"
    assert load_subject(start).protocol == Protocol(stages="verdict", name_category=False)
    assert resolved(start).protocol.given() == Protocol(stages="verdict", name_category=False).model_dump()


def test_saving_replaces_only_by_a_whole_folder(tiny: Path, tmp_path: Path) -> None:
    class Breaks:
        def save_pretrained(self, folder: Path) -> None:
            raise OSError("disk full")

    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "old").write_text("x")
    weights = load_weights(str(tiny))
    with pytest.raises(WriteError, match=r"final: cannot be written \(disk full\); make room there"):
        save_model(tmp_path / "final", weights, Breaks(), CARD)
    assert (tmp_path / "final" / "old").read_text() == "x"
