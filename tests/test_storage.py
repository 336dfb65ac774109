"""A reader never sees half a file, whatever happens while it is written."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adfm import storage
from adfm.errors import DataError, UserError, WriteError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    storage.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            WriteError, match=r"a\.json: cannot be written \(No space left on device\); it needs 3 bytes"
        ):
            storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]
    storage.write_text(path, "new")  # control: without the failure it is replaced
    assert path.read_text() == "new"


def test_a_result_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    storage.write_text(tmp_path / "deep" / "a", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "deep" / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_json_that_other_readers_refuse_is_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(tmp_path / "a.json", value)
    assert names(tmp_path) == []


def test_json_goes_round(tmp_path: Path) -> None:
    value = {"name": "größe 日本", "rows": [1, 2.5, None]}
    storage.write_json(tmp_path / "a.json", value)
    assert storage.read_json(tmp_path / "a.json") == value


def test_half_a_character_becomes_a_question_mark(tmp_path: Path) -> None:
    storage.write_jsonl(tmp_path / "a", [{"text": "x\ud83d"}])
    assert storage.read_jsonl(tmp_path / "a") == [{"text": "x?"}]


@pytest.mark.parametrize(
    ("content", "line"), [('{"a": 1}\n[1]\n', 2), ('{"a": 1}\n\n{"a"\n', 3), ("3", 1), ("[" * 100_000, 1)]
)
def test_a_broken_line_is_named(tmp_path: Path, content: str, line: int) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match=rf"a\.jsonl:{line}: "):
        storage.read_jsonl(tmp_path / "a.jsonl")


def test_unreadable_files_are_the_users_errors(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'{"a": "\xe9"}\n')
    for read in (storage.read_json, storage.read_jsonl):
        with pytest.raises(DataError):
            read(tmp_path / "latin")
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / "missing")


def test_only_a_torn_tail_is_forgiven(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"a": 1}\n{"a": 2}\n{"a": ')
    assert storage.read_jsonl(tmp_path / "a", torn_tail=True) == [{"a": 1}, {"a": 2}]
    with pytest.raises(DataError, match=":3:"):
        storage.read_jsonl(tmp_path / "a")


def test_a_journal_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal.jsonl"
    journal = storage.Journal(path)
    journal.append({"step": 1})
    with path.open("a") as killed:
        killed.write('{"step": 2, "lo')
    resumed = storage.Journal(path, fresh=False)
    resumed.append({"step": 2})
    resumed.close()
    assert storage.read_jsonl(path) == [{"step": 1}, {"step": 2}]
    assert storage.Journal(path).path.read_text() == ""  # control: fresh starts empty


def test_hashes_are_sha256(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "a").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert storage.sha256_file(tmp_path / "a") == storage.sha256_bytes(content) == expected


def test_a_folder_is_published_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with storage.published_folder(target) as staging:
        (staging / "a").mkdir()
        (staging / "a" / "b").write_text("x")
        assert not target.exists()
    assert (target / "a" / "b").read_text() == "x"
    assert names(tmp_path) == ["out"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), storage.published_folder(tmp_path / "out") as staging:
        (staging / "b").write_text("x")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with storage.published_folder(tmp_path / "out"):  # empty: allowed
        pass
    (tmp_path / "out" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    for taken in ("out", "file"):
        with pytest.raises(UserError, match="another --out"), storage.published_folder(tmp_path / taken):
            raise AssertionError("must not be reached")
    assert (tmp_path / "out" / "mine").read_text() == "x"


def killed(statement: str) -> None:
    """Run a statement about `storage` in a process of its own and kill it in the middle: where it calls `stop()`."""
    program = "import os, signal; from pathlib import Path; from adfm import storage\n"
    program += "stop = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n" + statement
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL


def test_the_next_write_takes_away_what_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    killed(f"os.fsync = stop; storage.write_text(Path({str(path)!r}), 'long and never finished')")
    assert names(tmp_path) == [storage.staging_of(path).name]  # control: the kill did leave something
    storage.write_text(path, "new")
    assert names(tmp_path) == ["a.json"]
    assert path.read_text() == "new"


def test_the_next_folder_takes_away_what_a_kill_left(tmp_path: Path) -> None:
    target = tmp_path / "out"
    killed(f"with storage.published_folder(Path({str(target)!r})) as staging: (staging / 'old').mkdir(); stop()")
    assert names(tmp_path) == [storage.staging_of(target).name]
    with storage.published_folder(target) as staging:
        (staging / "new").write_text("x")
    assert names(tmp_path) == ["out"]
    assert names(target) == ["new"]


def test_leftovers_go_and_live_writers_and_strangers_stay(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    killed(f"os.fsync = stop; storage.write_text(Path({str(deep / 'a')!r}), 'x')")
    killed(f"with storage.published_folder(Path({str(deep / 'b')!r})) as staging: stop()")
    (deep / ".mine.part").write_text("x")
    with storage.published_folder(deep / "live"):
        assert len(names(deep)) == 4
        storage.remove_leftovers(tmp_path)
        assert names(deep) == sorted([".mine.part", storage.staging_of(deep / "live").name])
    assert names(deep) == [".mine.part", "live"]


def test_two_cannot_make_one_folder(tmp_path: Path) -> None:
    with (
        storage.published_folder(tmp_path / "out"),
        pytest.raises(UserError, match="another process is making it"),
        storage.published_folder(tmp_path / "out"),
    ):
        raise AssertionError("must not be reached")
    assert names(tmp_path) == ["out"]


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    storage.write_text(path, "x")
    assert names(tmp_path) == [path.name]
    with pytest.raises(WriteError, match="File name too long"):
        storage.write_text(tmp_path / ("n" * 256), "x")


def test_a_link_in_the_place_of_the_staging_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    storage.staging_of(tmp_path / "a").symlink_to("mine")
    with pytest.raises(WriteError):
        storage.write_text(tmp_path / "a", "x")
    assert (tmp_path / "mine").read_text() == "precious"
    storage.staging_of(tmp_path / "a").open("w").write("x")  # control: whoever follows it overwrites
    assert (tmp_path / "mine").read_text() == "x"
