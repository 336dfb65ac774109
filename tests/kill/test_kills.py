"""A training that is killed, at every call of the save path or at any time, ends as one that nothing stopped."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from harness import Training, interrupted_everywhere, killed_after, published, resumed, trainings, uninterrupted

STAGES = ("sft", "grpo")
RANDOM_KILLS = 10
"""Of each stage. `make kills` does more."""


@pytest.fixture(params=STAGES)
def training(request: pytest.FixtureRequest, tiny: Path, parts_data: Path, tmp_path: Path) -> Training:
    return trainings(tiny, parts_data, tmp_path)[request.param]


def differing(
    training: Training, out: Path, *, enough: int | None = None, **how: bool
) -> tuple[dict[int, Path], list[str]]:
    """Interrupt the last save at every call. Return what each call left, and what went wrong when that was resumed.

    Of calls that leave the same files, the one with the most staging is resumed: the last. The first `enough` faults end it.
    """
    whole, _ = uninterrupted(training, out / "whole")
    left = interrupted_everywhere(training, out, **how)
    distinct = {published(left[number]): number for number in sorted(left)}
    wrong = []
    for number in distinct.values():
        if (end := resumed(training, left[number])) != whole:
            wrong.append(f"call {number}: {fault(end, whole)}")
        if len(wrong) == enough:
            break
    return left, wrong


def fault(end: dict[str, str] | str, whole: dict[str, str]) -> str:
    return end if isinstance(end, str) else ", ".join(name for name in whole if end.get(name) != whole[name])


def test_killed_at_every_call_of_the_save_path(training: Training, tmp_path: Path) -> None:
    left, wrong = differing(training, tmp_path)
    assert wrong == []
    assert {(folder / "exit").read_text() for folder in left.values()} == {str(-signal.SIGKILL)}
    assert len(left) > 60


def test_a_full_disk_at_every_call_of_the_save_path(training: Training, tmp_path: Path) -> None:
    """One line that names a path, or a cleaning that could not be done; once there is room the run goes on."""
    left, wrong = differing(training, tmp_path, kill=False)
    assert wrong == []
    refused = [(folder / "refusal").read_text() for folder in left.values() if (folder / "exit").read_text() == "2"]
    assert len(refused) > 40
    assert all("cannot be written (" in line and "make room" in line and "\n" not in line for line in refused)
    others = [number for number, folder in left.items() if (folder / "exit").read_text() != "2"]
    assert [number for number in others if not (left[number] / "run" / "summary.json").is_file()] == []


def in_place(staged: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(staged, folder)
    shutil.rmtree(staged)


def test_control_a_checkpoint_that_is_written_in_place_is_found(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adfm.training.engine.publish_folder", in_place)
    _, wrong = differing(trainings(tiny, parts_data, tmp_path)["sft"], tmp_path, enough=1)
    assert wrong


def test_control_a_journal_that_is_not_cut_is_found(
    tiny: Path, parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncut(path: Path, *_: Any) -> list[Any]:
        return []

    monkeypatch.setattr("adfm.training.journal.cut_journal", uncut)
    _, wrong = differing(trainings(tiny, parts_data, tmp_path)["sft"], tmp_path, enough=1)
    assert wrong


def test_killed_at_any_time(training: Training, tmp_path: Path) -> None:
    whole, seconds = uninterrupted(training, tmp_path / "whole")
    chance = random.Random(0)
    for number in range(RANDOM_KILLS):
        folder = tmp_path / f"kill-{number}"
        killed_after(training, folder, chance.uniform(0, seconds))
        end = resumed(training, folder)
        assert end == whole, f"kill {number}: {fault(end, whole)}"
