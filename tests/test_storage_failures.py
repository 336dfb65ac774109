"""Every call of a writer fails, or is the last one before a kill: a reader finds the old or the new, never half of it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adfm import storage
from adfm.errors import DataError, UserError

OLD, NEW = b"old" * 5, b"new" * 7
CALLS = ("open", "write", "fsync", "ftruncate", "truncate", "chmod", "mkdir", "rename", "replace")
Shown = dict[str, bytes] | bytes | None


@dataclass(frozen=True)
class Writer:
    """Writes `NEW` to a path that held `before`; a reader who looks must find one of the two, whenever it looks."""

    write: Callable[[Path], None]
    before: Shown
    after: Shown

    def prepare(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        if isinstance(self.before, bytes):
            path.write_bytes(self.before)


def look(path: Path) -> Shown:
    """What a reader finds: the bytes of a file, the files of a folder, or nothing."""
    if path.is_dir():
        return {str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}
    return path.read_bytes() if path.exists() else None


def publish(path: Path) -> None:
    with storage.published_folder(path) as staging:
        storage.write_bytes(staging / "a", NEW)
        storage.write_bytes(staging / "deep" / "b", NEW)


def in_place(path: Path) -> None:
    """Control: the writer that everybody writes first."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(handle, NEW)
    os.fsync(handle)
    os.close(handle)


def renamed_unsynced(path: Path) -> None:
    """Control: a rename of what the disk does not hold yet."""
    beside = path.with_suffix(storage.STAGING)
    beside.write_bytes(NEW)
    beside.replace(path)


def filled_in_place(path: Path) -> None:
    """Control: a folder that is seen while it grows."""
    path.mkdir(exist_ok=True)
    for name in ("a", "b"):
        storage.write_bytes(path / name, NEW)


BOTH = {"a": NEW, "deep/b": NEW}
WRITERS = {
    "a new file": Writer(lambda path: storage.write_bytes(path, NEW), None, NEW),
    "an old file": Writer(lambda path: storage.write_bytes(path, NEW), OLD, NEW),
    "a folder": Writer(publish, None, BOTH),
}
NAIVE = {
    "in place": Writer(in_place, OLD, NEW),
    "a folder in place": Writer(filled_in_place, None, {"a": NEW, "b": NEW}),
}
TABLE = pytest.mark.parametrize("writer", WRITERS.values(), ids=list(WRITERS))
NAIVE_TABLE = pytest.mark.parametrize("writer", NAIVE.values(), ids=list(NAIVE))
Disturbance = Callable[[Callable[..., Any], tuple[Any, ...]], Any]


@contextmanager
def disturbed(at: int, disturb: Disturbance, *, onwards: bool = False) -> Iterator[list[str]]:
    """From call number `at` of the file system on (or only there), do `disturb` instead. Yields the calls so far."""
    made: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            number = len(made)
            if number == at or (onwards and number > at):
                return disturb(lambda *given: real(*given, **named), arguments)
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        yield made


def fail(_: Callable[..., Any], __: tuple[Any, ...]) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def die(_: Callable[..., Any], __: tuple[Any, ...]) -> Any:
    os._exit(9)


def die_after(real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The call is made, or half of it where it writes bytes, and is the last thing that happens."""
    first, *rest = arguments
    if rest and isinstance(rest[0], (bytes, memoryview)):
        rest[0] = rest[0][: len(rest[0]) // 2]
    try:
        real(first, *rest)
    finally:
        os._exit(9)


def length(writer: Writer, folder: Path) -> int:
    """How many calls an undisturbed write makes."""
    path = folder / "undisturbed" / "x"
    writer.prepare(path)
    with disturbed(0, fail) as made:
        writer.write(path)
    assert look(path) == writer.after
    return len(made)


def in_a_child(work: Callable[[], None]) -> int:
    """Run in a process of its own, which may die of it; return its exit status."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def halves_after_errors(writer: Writer, folder: Path, *, onwards: bool) -> list[Shown]:
    """What readers found that is neither the old nor the new, after an error at each call in turn."""
    found: list[Shown] = []
    for at in range(1, length(writer, folder) + 1):
        path = folder / str(at) / "x"
        writer.prepare(path)
        with disturbed(at, fail, onwards=onwards), suppress(UserError, OSError):
            writer.write(path)
        found.append(look(path))
    return [each for each in found if each not in (writer.before, writer.after)]


@TABLE
@pytest.mark.parametrize("onwards", [False, True], ids=["once", "from then on"])
def test_an_error_at_any_call_leaves_the_old_or_the_new(writer: Writer, onwards: bool, tmp_path: Path) -> None:
    assert halves_after_errors(writer, tmp_path, onwards=onwards) == []


@NAIVE_TABLE
def test_a_naive_writer_leaves_half_after_an_error(writer: Writer, tmp_path: Path) -> None:
    assert halves_after_errors(writer, tmp_path, onwards=False)


@TABLE
def test_after_one_error_nothing_is_left_and_the_next_write_succeeds(writer: Writer, tmp_path: Path) -> None:
    for at in range(1, length(writer, tmp_path) + 1):
        path = tmp_path / str(at) / "x"
        writer.prepare(path)
        told = ""
        with disturbed(at, fail):
            try:
                writer.write(path)
            except UserError as error:
                told = str(error)
                assert "No space left" in told and "\n" not in told
        # A staging folder that cannot be opened may be another process's, so it stays; it is empty.
        assert not any(look(left) for left in path.parent.iterdir() if left.name != "x")
        if look(path) != writer.after:
            assert told
            writer.write(path)
        assert look(path) == writer.after
        assert [each.name for each in path.parent.iterdir()] == ["x"]


def halves_after_kills(writer: Writer, folder: Path, disturb: Disturbance) -> tuple[list[Shown], list[str]]:
    """What readers found that is neither old nor new after a kill at each call, and what the next start leaves."""
    found, left = [], []
    for at in range(1, length(writer, folder) + 1):
        path = folder / f"{disturb.__name__} {at}" / "x"
        writer.prepare(path)

        def work(at: int = at, path: Path = path) -> None:
            with disturbed(at, disturb):
                writer.write(path)

        assert in_a_child(work) == 9
        found.append(look(path))
        if at % 2 or found[-1] == writer.after:
            storage.remove_leftovers(path.parent)
        else:
            writer.write(path)
        left += [each.name for each in path.parent.iterdir() if each.name != "x"]
    return [each for each in found if each not in (writer.before, writer.after)], left


@TABLE
@pytest.mark.parametrize("disturb", [die, die_after])
def test_a_kill_at_any_call_leaves_the_old_or_the_new(writer: Writer, disturb: Disturbance, tmp_path: Path) -> None:
    assert halves_after_kills(writer, tmp_path, disturb) == ([], [])


@NAIVE_TABLE
def test_a_naive_writer_leaves_half_after_a_kill(writer: Writer, tmp_path: Path) -> None:
    assert halves_after_kills(writer, tmp_path, die_after)[0]


def unsafe_renames(write: Callable[[Path], None], path: Path) -> list[str]:
    """What a power cut could undo: files renamed before they were synced, and renames whose folder was not synced."""
    synced: dict[int, tuple[int, int]] = {}
    faults: list[str] = []
    open_folders: set[int] = set()
    real_sync, real_replace = os.fsync, os.replace

    def sync(handle: int) -> None:
        real_sync(handle)
        state = os.fstat(handle)
        synced[state.st_ino] = state.st_size, state.st_mtime_ns
        open_folders.discard(state.st_ino)

    def replace(source: Path, target: Path) -> None:
        for each in [Path(source), *Path(source).rglob("*")]:
            state = each.stat()
            if each.is_file() and synced.get(state.st_ino) != (state.st_size, state.st_mtime_ns):
                faults.append(f"{each.name} is renamed before it is synced")
        real_replace(source, target)
        open_folders.add(Path(target).parent.stat().st_ino)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "replace", replace)
        write(path)
    return faults + ["a rename is not synced" for _ in open_folders]


@TABLE
def test_nothing_is_renamed_before_it_is_on_the_disk(writer: Writer, tmp_path: Path) -> None:
    writer.prepare(tmp_path / "in" / "x")
    assert unsafe_renames(writer.write, tmp_path / "in" / "x") == []


def test_files_that_others_wrote_into_a_folder_are_synced_too(tmp_path: Path) -> None:
    def foreign(path: Path) -> None:
        with storage.published_folder(path) as staging:
            (staging / "weights").write_bytes(NEW)

    assert unsafe_renames(foreign, tmp_path / "x") == []


def test_a_rename_that_is_not_synced_is_found(tmp_path: Path) -> None:
    found = unsafe_renames(renamed_unsynced, tmp_path / "x.json")
    assert found == ["x.adfm-part is renamed before it is synced", "a rename is not synced"]


# Journals

ROWS: list[dict[str, Any]] = [
    {"step": 1, "text": "größe 缺陷 😀"},
    {"step": 2, "text": 'a "quoted" \\ back\nslash'},
    {"step": 3, "values": [1.5, None, True, {"deep": []}]},
]
LINES = [storage.encode_line(row).encode() for row in ROWS]
WHOLE = b"".join(LINES)


def complete(content: bytes) -> list[dict[str, Any]]:
    """The rows whose newline is there."""
    return ROWS[: content.count(b"\n")]


def skipping(path: Path) -> list[dict[str, Any]]:
    """Control: the reader that passes over what it cannot read."""
    rows = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def test_a_journal_cut_at_any_byte_is_its_complete_rows_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for cut in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:cut])
        assert storage.read_jsonl(path, torn_tail=True) == complete(WHOLE[:cut]), cut
        journal = storage.Journal(path, fresh=False)
        journal.append({"step": "next"})
        journal.close()
        assert storage.read_jsonl(path) == [*complete(WHOLE[:cut]), {"step": "next"}], cut


def test_an_append_without_the_cut_loses_the_next_row(tmp_path: Path) -> None:
    """Control: a file that is only opened to append joins the torn row and the next one."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(WHOLE[:-3])
    with path.open("ab") as file:
        file.write(LINES[0])
    with pytest.raises(DataError, match=":3: "):
        storage.read_jsonl(path, torn_tail=True)


def test_zeros_after_a_power_cut_are_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(WHOLE + b"\0" * 512)
    assert storage.read_jsonl(path, torn_tail=True) == ROWS


DAMAGE: dict[str, Callable[[bytes, int], bytes]] = {
    "lost": lambda content, at: content[:at] + content[at + 1 :],
    "zero": lambda content, at: content[:at] + b"\0" + content[at + 1 :],
    "no text": lambda content, at: content[:at] + b"\xff" + content[at + 1 :],
    "newline": lambda content, at: content[:at] + b"\n" + content[at + 1 :],
    "doubled": lambda content, at: content[:at] + content[at : at + 1] + content[at:],
    "a lost block": lambda content, at: content[:at] + content[at + 16 :],
}


def lost_rows(read: Callable[[Path], list[dict[str, Any]]], path: Path, damage: Callable[[bytes, int], bytes]) -> int:
    """How often a damaged byte before the last row takes rows away without an error."""
    lost = 0
    for at in range(len(LINES[0] + LINES[1])):
        path.write_bytes(damage(WHOLE, at))
        with suppress(DataError):
            lost += len(read(path)) < len(ROWS)
    return lost


@pytest.mark.parametrize("torn_tail", [False, True])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_damage_in_the_middle_never_takes_a_row_away(
    damage: Callable[[bytes, int], bytes], torn_tail: bool, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    assert lost_rows(lambda each: storage.read_jsonl(each, torn_tail=torn_tail), path, damage) == 0
    assert lost_rows(skipping, path, damage) > 0  # control


@pytest.mark.parametrize("torn_tail", [False, True])
def test_bytes_that_are_no_text_are_an_error(torn_tail: bool, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for at in range(len(LINES[0] + LINES[1])):
        path.write_bytes(DAMAGE["no text"](WHOLE, at))
        with pytest.raises(DataError):
            storage.read_jsonl(path, torn_tail=torn_tail)
