"""Every file below a folder is inspected or left out with a reason; only what desktops leave there is not mentioned."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adfm.errors import DataError
from adfm.inspection import find as module
from adfm.inspection.find import HOLDS, NOTHING, find
from adfm.inspection.folder import find_images
from adfm.ownership import owned_folder


def draw(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), "grey").save(path, kind)
    return path


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def circle(path: Path) -> None:
    path.symlink_to(path.with_name("other.png"))
    path.with_name("other.png").symlink_to(path)


def outside(path: Path) -> Path:
    return draw(path.parent.parent / "secret" / "s.png")


LEFT_OUT: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "text": ("notes.txt", lambda path: path.write_text("this is no bitmap"), "is not a PNG"),
    "no suffix": ("notes", lambda path: path.write_text(""), "is not a PNG"),
    "gif": ("b.gif", lambda path: draw(path, "GIF"), "is not a PNG"),
    "svg": ("b.svg", lambda path: path.write_text("<svg/>"), "is not a PNG"),
    "heic": ("b.heic", lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40)), "is not a PNG"),
    "hidden": (".b.png", draw, "is hidden"),
    "hidden folder": (".cache/deep/b.png", draw, "hidden folder, '.cache'"),
    "masks": ("Masks/b.png", draw, "folder of masks, 'Masks'"),
    "masks below": ("ground_truth/scratch/b.png", draw, "folder of masks, 'ground_truth'"),
    "pipe": ("b.png", os.mkfifo, "is a pipe"),
    "socket": ("b.png", listen, "is a pipe, a socket"),
    "link out": ("b.png", lambda path: path.symlink_to(outside(path)), "is a link out of the folder"),
    "link to a folder out": ("sub", lambda path: path.symlink_to(outside(path).parent), "is a link out of the folder"),
    "link to a folder": ("sub", lambda path: path.symlink_to(path.parent), "is a link to a folder"),
    "broken link": ("b.png", lambda path: path.symlink_to("nothing.png"), "is a link to nothing"),
    "links in a circle": ("b.png", circle, "is a link to nothing"),
    "a folder called as a file of nothing": ("Thumbs.db/notes.txt", lambda path: path.write_text(""), "is not a PNG"),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_left_out_is_listed_with_its_reason(kind: str, tmp_path: Path) -> None:
    name, make, reason = LEFT_OUT[kind]
    draw(tmp_path / "in" / "a.png")
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    found = find(tmp_path / "in")
    assert list(found.images) == ["a.png"]
    assert reason in found.left_out[name]
    assert list(found.left_out) == ([name, "other.png"] if kind == "links in a circle" else [name])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", ["b.jfif", "b.jpe", "b", "b.txt", "b.PNG", "b.gif"])
def test_what_can_be_decoded_is_inspected_whatever_its_suffix(kind: str, name: str, tmp_path: Path) -> None:
    draw(tmp_path / name, kind)
    assert find(tmp_path) == ({name: tmp_path / name}, {})


def test_a_file_with_an_images_suffix_is_never_opened_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"no image: the inspection records an ERROR")
    monkeypatch.setattr(module.images, "size", lambda _: pytest.fail("opened"))
    assert list(find(tmp_path).images) == ["a.png"]


def test_a_link_inside_the_folder_is_inspected(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert [file.name for file in find_images(tmp_path)] == ["a.png", "b.png"]


def test_what_desktops_leave_is_nothing(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    for name in (*NOTHING, ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert find(tmp_path) == ({"a.png": tmp_path / "a.png"}, {})


def test_results_of_another_inspection_are_no_parts(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    for name, holds in {"out": HOLDS, "parts": "synthetic parts"}.items():
        with owned_folder(tmp_path / name, holds):
            draw(tmp_path / name / "b.png")
    found = find(tmp_path)
    assert list(found.images) == ["a.png", "parts/b.png"]
    assert "holds the results of another inspection" in found.left_out["out/b.png"]


def unreadable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder unreadable for root too."""
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_a_folder_without_permission_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "closed" / "b.png")
    unreadable(monkeypatch, tmp_path / "closed")
    found = find(tmp_path)
    assert list(found.images) == ["a.png"]
    assert found.left_out == {"closed": "is a folder that cannot be read (Permission denied)"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_is_closed_for_real_is_listed(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "closed" / "b.png").parent.chmod(0)
    try:
        assert list(find(tmp_path).left_out) == ["closed"]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_a_file_that_vanishes_while_the_folder_is_walked_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "a.png")
    gone = draw(tmp_path / "b.png")
    stat = Path.stat

    def vanishing(self: Path, **kwargs: Any) -> Any:
        if self == gone:
            gone.unlink(missing_ok=True)
        return stat(self, **kwargs)

    monkeypatch.setattr(Path, "stat", vanishing)
    assert find(tmp_path).left_out == {"b.png": "cannot be read, or has gone"}


def test_a_very_deep_folder_is_walked(tmp_path: Path) -> None:
    """Deeper than Python's stack; `mkdir(parents=True)` and `rmtree` are not up to it."""
    folders = [tmp_path / "/".join("d" * depth) for depth in range(1, 1051)]
    for folder in folders:
        folder.mkdir()
    file = draw(tmp_path / "a.png").rename(folders[-1] / "a.png")
    try:
        assert len(find(tmp_path).images) == 1
    finally:
        file.unlink()
        for folder in reversed(folders):
            folder.rmdir()


def test_a_hidden_folder_may_itself_be_inspected(tmp_path: Path) -> None:
    draw(tmp_path / ".in" / "a.png")
    draw(tmp_path / "masks" / "a.png")
    assert len(find_images(tmp_path / ".in")) == len(find_images(tmp_path / "masks")) == 1


def test_nothing_to_inspect(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no PNG, JPEG, BMP, TIFF or WebP image$"):
        find(tmp_path)
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds no PNG.*left out: 'readme\.txt' is not a PNG"):
        find(tmp_path)
    with pytest.raises(DataError, match="no such image or folder"):
        find(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        find(tmp_path / "pipe")


def test_control_a_walk_by_suffix_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the reasons, files disappear: the property of the tests above can fail."""
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.gif", "GIF")
    monkeypatch.setattr(module, "walk", lambda root: ((path, "") for path in root.glob("*.png")))
    found = find(tmp_path)
    assert {*found.images, *found.left_out} != {"a.png", "b.gif"}
