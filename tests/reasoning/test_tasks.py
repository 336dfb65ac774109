"""Tasks: our own, those of installed packages by entry points, and unknown names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from adfm.errors import ConfigError
from adfm.geometry import Box, Frame
from adfm.reasoning import TASKS, Protocol, ask, canonical, prompt, read, read_answer, task_named
from adfm.reasoning.prompts import PIXELS
from adfm.records import Sample

FRAME = Frame.original(64, 48)
SAMPLE = Sample("a", "a.png", 64, 48, "normal", "cap", None, None, (), "test", "0")
CODE = """
from adfm.reasoning import Task
from adfm.records import Response

def prompt(protocol, frame, category):
    return f"Is this {category} good? {protocol.stages} {frame.name}"

def read(answer, frame, protocol):
    verdict = {"yes": "normal", "no": "anomalous"}.get(answer)
    return Response(verdict, (), None, "", verdict is not None, () if verdict else ("bad_verdict",))

def target(sample, frame, protocol, focus):
    return "no" if sample.anomalous else "yes"

TASK = Task("yes_no", prompt, read, target)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python searches, with a module that holds a task."""
    (tmp_path / "adfm_test_task.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "adfm_test_task", raising=False)
    return tmp_path


def install(folder: Path, point: str) -> None:
    info = folder / "adfm_test_task-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: adfm-test-task\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[adfm.tasks]\n{point}\n")


def test_the_verdict_task_is_our_prompt_reading_and_canonical_answer() -> None:
    task, protocol, focus = TASKS["verdict"], Protocol(stages="locate_answer"), Box(1, 2, 3, 4)
    assert task.prompt(protocol, FRAME, "cap") == prompt(protocol.blocks, category="cap", frame_hint=PIXELS)
    target = task.target(SAMPLE, FRAME, protocol, focus)
    assert target == canonical(SAMPLE, FRAME, stages=protocol.blocks, focus=focus)
    assert task.read(target, FRAME, protocol) == read(target, FRAME, stages=protocol.blocks)
    assert read_answer(target, FRAME, protocol).strict


def test_a_task_of_an_installed_package_asks_reads_and_gives_targets(folder: Path) -> None:
    install(folder, "yes_no = adfm_test_task:TASK")
    protocol = Protocol(task="yes_no")
    question = ask(Image.new("RGB", (64, 48)), FRAME, protocol, category="cap")
    assert question.text == "Is this cap good? full original"
    assert question.read("no").verdict == "anomalous"
    assert question.read("perhaps").problems == ("bad_verdict",)
    assert question.read(task_named("yes_no").target(SAMPLE, FRAME, protocol, None)).verdict == "normal"


def test_a_module_without_an_entry_point_is_no_task_and_is_not_imported(folder: Path) -> None:
    for name in ("yes_no", "adfm_test_task", "adfm_test_task:TASK", str(folder / "adfm_test_task.py")):
        with pytest.raises(ConfigError, match="is not known"):
            task_named(name)
    assert "adfm_test_task" not in sys.modules
    __import__("adfm_test_task")  # it could have been imported
    assert "adfm_test_task" in sys.modules


def test_our_own_task_cannot_be_replaced(folder: Path) -> None:
    install(folder, "verdict = adfm_test_task:TASK")
    assert task_named("verdict") is TASKS["verdict"]
    assert "adfm_test_task" not in sys.modules


def test_an_unknown_task_is_one_line_with_the_nearest_name() -> None:
    for use in (task_named, lambda name: read_answer("", FRAME, Protocol(task=name))):
        with pytest.raises(ConfigError, match=r"task 'verdikt': is not known \(did you mean 'verdict'\?\)") as caught:
            use("verdikt")
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="task 'verdikt'"):
        ask(Image.new("RGB", (64, 48)), FRAME, Protocol(task="verdikt"), category=None)
