"""An output folder is ours by a marker, and one process at a time works in it; nothing of the user's is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adfm import ownership, storage
from adfm.errors import UserError, WriteError
from adfm.ownership import MARKER, owned_folder

HOLD = """
import sys, time
from pathlib import Path
from adfm.ownership import owned_folder
with owned_folder(Path(sys.argv[1]), "a training run"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_new_an_empty_and_our_own_folder_are_claimed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new/deep", "empty", "empty"):
        with owned_folder(tmp_path / name, "a training run"):
            assert (tmp_path / name / MARKER).is_file()


@pytest.mark.parametrize("name", ["parts", ".hidden"])
def test_a_folder_of_somebody_else_is_refused_and_untouched(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("precious")
    with (
        pytest.raises(UserError, match=rf"holds files that adfm did not write \('{name}'\)"),
        owned_folder(tmp_path, "a training run"),
    ):
        raise AssertionError("must not be reached")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    monkeypatch.setattr(ownership, "require_claimable", lambda _: None)
    with owned_folder(tmp_path, "a training run"):  # control: without the check it is claimed
        assert (tmp_path / MARKER).is_file()


def test_a_folder_with_other_results_is_refused(tmp_path: Path) -> None:
    with owned_folder(tmp_path / "a", "a training run"):
        pass
    with (
        pytest.raises(UserError, match="holds a training run, not an evaluation"),
        owned_folder(tmp_path / "a", "an evaluation"),
    ):
        raise AssertionError("must not be reached")


@pytest.mark.parametrize("content", ["[]", "{", '{"holds": 1}', "\x00" * 9])
def test_a_broken_marker_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(UserError, match="broken marker"), owned_folder(tmp_path, "a training run"):
        raise AssertionError("must not be reached")


def test_a_writer_killed_before_the_first_byte_of_the_marker_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    with owned_folder(tmp_path, "a training run"):
        assert (tmp_path / MARKER).read_text() == '{"holds": "a training run"}\n'


def test_a_file_and_a_folder_that_cannot_be_made_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"), owned_folder(tmp_path / "file", "a training run"):
        pass
    with pytest.raises((UserError, WriteError)), owned_folder(tmp_path / "file" / "deep", "a training run"):
        pass


def test_a_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    try:
        with pytest.raises(UserError, match="another adfm process works in it"), owned_folder(folder, "a training run"):
            raise AssertionError("must not be reached")
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    with owned_folder(folder, "a training run"):
        pass


class Forgetful(set[int]):
    """A set that keeps nothing."""

    def add(self, _: int) -> None: ...


def test_a_child_does_not_keep_the_lock_of_a_dead_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_outlives_the_owner(folder: Path) -> bool:
        (ready, forked), (wait, go) = os.pipe(), os.pipe()
        with owned_folder(folder, "a training run"):
            child = os.fork()
            if child == 0:
                os.close(go)
                os.write(forked, b"x")
                os.read(wait, 1)  # until the test closes the other end
                os._exit(0)
            os.read(ready, 1)
        try:
            with owned_folder(folder, "a training run"):
                return False
        except UserError:
            return True
        finally:
            os.close(go)
            os.waitpid(child, 0)

    assert not lock_outlives_the_owner(tmp_path / "a")
    monkeypatch.setattr(ownership, "_held", Forgetful())
    assert lock_outlives_the_owner(tmp_path / "b")  # control: a child that does not know the lock keeps it


def test_what_kills_left_is_removed_with_the_claim(tmp_path: Path) -> None:
    with owned_folder(tmp_path, "a training run"):
        storage.staging_of(tmp_path / "a").write_text("half")
    with owned_folder(tmp_path, "a training run"):
        assert [path.name for path in tmp_path.iterdir()] == [MARKER]
