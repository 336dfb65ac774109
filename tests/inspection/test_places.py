"""Every image has a place of its own in the output folder, which any file system can hold."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfm.inspection import places as module
from adfm.inspection.places import MAX_PART, OVERLAY, VERDICT, can_be_kept, places, short


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", True),
        ("sub/deep er/y.JPG", True),
        ("ünï çødé 部品\u3000.png", True),
        ("results.jsonl", True),  # an image called so: its files are `results.jsonl.json` and `.overlay.png`
        ("x" * MAX_PART, True),
        ("x" * (MAX_PART + 1), False),
        ("ü" * MAX_PART, False),
        (f"{'x' * MAX_PART}/" * 5 + "a.png", False),
        ("d/" * 100 + "a.png", False),
        ("a\nb.png", False),
        (".adfm", False),
        ("results.jsonl/a.png", False),
        ("a.png.JSON/b.png", False),
        ("a.png.overlay.png/b.png", False),
    ],
)
def test_a_name_is_kept_where_it_can_be(name: str, kept: bool) -> None:
    assert can_be_kept(name) == kept
    assert places([name])[name] == (name if kept else short(name))


NAMES = st.lists(
    st.lists(
        st.text("aAéE\u0301.~\n\x1b", min_size=1, max_size=5) | st.just("results.jsonl"), min_size=1, max_size=3
    ).map("/".join)
    | st.sampled_from(["a.json", "a", "a.overlay.png", "a.json/a", "x" * 250, "X" * 250]),
    max_size=12,
    unique=True,
)


def all_fit(names: list[str]) -> None:
    """Written files differ in more than case and form, none is a folder of another, none is too long."""
    found = places(names)
    assert list(found) == names
    files = ["results.jsonl", ".adfm", *(place + suffix for place in found.values() for suffix in (VERDICT, OVERLAY))]
    folded = [unicodedata.normalize("NFC", file).casefold() for file in files]
    assert len(set(folded)) == len(folded)
    folders = {file[:place] for file in folded for place, letter in enumerate(file) if letter == "/"}
    assert not folders & set(folded)
    assert all(len(part.encode()) <= 255 for file in files for part in file.split("/"))


@given(NAMES)
@settings(max_examples=200, deadline=None)
def test_no_name_is_in_the_way_of_another(names: list[str]) -> None:
    all_fit(names)


@pytest.mark.parametrize("broken", ["can_be_kept", "_folded"])
def test_control_names_as_they_are_clash(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, broken, {"can_be_kept": lambda _: True, "_folded": str}[broken])
    with pytest.raises(AssertionError):
        all_fit(["A", "a", "results.jsonl/a", "x" * 255])
