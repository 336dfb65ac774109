"""No reader of a user's files waits for a pipe, reads a device or opens a folder: each is refused in one line."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adfm import images
from adfm.config import Settings, load_settings, read_json_settings
from adfm.data.build import build
from adfm.data.check import check, read_known
from adfm.data.layouts.listed import read_list
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import DataError, UserError
from adfm.predictions import read_predictions
from adfm.storage import Journal, read_file, read_json, read_jsonl, sha256_file

READERS: dict[str, Callable[[Path], Any]] = {
    "read_file": read_file,
    "sha256_file": sha256_file,
    "read_json": read_json,
    "read_jsonl": read_jsonl,
    "journal": lambda path: Journal(path, fresh=False),
    "manifest": read_manifest,
    "check": lambda path: [str(fault) for fault in check(path)],
    "known bad": read_known,
    "predictions": read_predictions,
    "list": read_list,
    "recipe": lambda path: load_settings(Settings, path),
    "card": lambda path: read_json_settings(Settings, path, 99, DataError, what="it", fix="-"),
    "image": images.load,
    "mask": images.load_mask,
    "bytes": images.read,
}


class Hung(BaseException):
    """What no reader catches."""


def give_up(*_: Any) -> None:
    raise Hung


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """A reader that waits is interrupted."""
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def plug(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("make", [pipe, device, plug])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(name: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    make(path)
    try:
        said = str(READERS[name](path))
    except (UserError, OSError) as error:
        said = str(error)
    assert re.search("not a (regular )?file", said)


@pytest.mark.parametrize("read", [read_file, sha256_file, images.read])
def test_a_folder_is_refused(read: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises((UserError, OSError), match="not a regular file"):
        read(tmp_path)
    with pytest.raises((UserError, FileNotFoundError)):
        read(tmp_path / "nothing")


def test_a_name_that_becomes_a_pipe_after_the_look_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("{}")
    pipe(tmp_path / "pipe")
    status = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: status)
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe")


def test_control_a_plain_reader_waits(tmp_path: Path) -> None:
    pipe(tmp_path / "a.jsonl")
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(Hung):
        (tmp_path / "a.jsonl").read_text()


def test_a_set_with_pipes_for_files_is_built_or_refused(parts_folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(parts_folder, tmp_path / "src")
    for folder in [one for one in (tmp_path / "src").rglob("*") if one.is_dir()] + [tmp_path / "src"]:
        for name in ("list.json", "license.txt", "metadata.csv"):
            pipe(folder / name)
    report = build(tmp_path / "src", tmp_path / "out", BuildSettings())
    assert report.samples == 24
    image = next((tmp_path / "src").rglob("good/*.png"))
    image.unlink()
    pipe(image)
    with pytest.raises(DataError, match=f"{image.name}: is not a readable file"):
        build(tmp_path / "src", tmp_path / "again", BuildSettings())
