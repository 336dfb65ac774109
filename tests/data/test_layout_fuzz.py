"""Every layout that walks folders, on random trees with random damage: read as it was planted, or refused, never in silence."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.data import layouts
from adfm.data.build import build
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import LAYOUTS, names, pairing, tree, walk
from adfm.data.manifest import mask_paths, read_manifest
from adfm.data.settings import BuildSettings

COUNT = int(os.environ.get("ADFM_FUZZ_TREES", "2000"))
LISTED = {"real-iad", "meta-json", "coco", "label-studio", "imagefolder-metadata"}
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module", autouse=True)
def no_installed_layouts() -> Iterator[None]:
    """Looking for installed packages would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "extended", lambda group, own, needs: own)
        yield


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trees")


def test_every_layout_that_walks_folders_has_its_trees() -> None:
    assert set(trees.BUILDERS) == {layout.NAME for layout in LAYOUTS} - LISTED


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(trees.BUILDERS)),
    st.lists(st.sampled_from(sorted(trees.DAMAGES)), max_size=3).map(tuple),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_a_tree_is_read_as_it_was_planted_or_refused(
    ground: Path, name: str, damages: tuple[str, ...], size: int, seed: int
) -> None:
    assert trees.difference(name, damages, size, seed, ground) is None


def test_all_damage_changes_some_tree_and_most_trees_are_read(ground: Path) -> None:
    """The fuzzer cannot pass by refusing everything, nor by damaging nothing."""
    sound = [_grown(number, ()) for number in range(45)]
    for damage in trees.DAMAGES:
        assert sum(_grown(number, (damage,)) != sound[number] for number in range(45)) >= 3, damage
    read = 0
    for number in range(45):
        root = ground / trees.ROOT
        root.mkdir()
        trees.planted(sound[number], root)
        read += isinstance(trees.said(root), dict)
        trees.cleared(root)
    assert read == 45


def _grown(number: int, damages: tuple[str, ...]) -> list[trees.File]:
    return trees.grown(sorted(trees.BUILDERS)[number % len(trees.BUILDERS)], damages, 2, number)


def masks_are_parts(patch: Patch) -> None:
    patch.setattr(walk._Walk, "_mask", lambda self, path: None)


def unpaired_masks_are_dropped(patch: Patch) -> None:
    paired = pairing._paired
    patch.setattr(pairing, "_paired", lambda tree, index: (paired(tree, index)[0], []))


def unread_folders_are_dropped(patch: Patch) -> None:
    patch.setattr(pairing, "_unread", lambda tree, parts, why: [])


def names_may_repeat(patch: Patch) -> None:
    patch.setattr(pairing.Index, "twice", lambda self, root: [])


def masks_may_repeat(patch: Patch) -> None:
    patch.setattr(pairing, "_masks_twice", lambda root, masks: [])


def case_counts(patch: Patch) -> None:
    patch.setattr(names, "folded", names.composed)


def other_formats_are_dropped(patch: Patch) -> None:
    patch.setattr(names, "is_unread_picture", lambda path: False)


def doubt_is_ignored(patch: Patch) -> None:
    patch.setattr(names, "doubt", lambda name: None)


def names_stay_decomposed(patch: Patch) -> None:
    patch.setattr(names, "composed", str)


def categories_may_mix(patch: Patch) -> None:
    patch.setattr(tree, "_mixed", lambda root, known: [])


def splits_may_be_partial(patch: Patch) -> None:
    patch.setattr(pairing, "unsplit", lambda root, parts: [])
    patch.setattr(tree, "_mixed", lambda root, known: [])


# Without which rule, on trees of which layout, with which damage.
CONTROLS: dict[Callable[[Patch], None], tuple[str, str]] = {
    masks_are_parts: ("folder", "junk"),
    unpaired_masks_are_dropped: ("mvtec", "delete_image"),
    unread_folders_are_dropped: ("folder", "extra_folder"),
    names_may_repeat: ("folder", "second_image"),
    masks_may_repeat: ("mvtec", "second_mask"),
    case_counts: ("imagefolder", "change_case"),
    other_formats_are_dropped: ("mvtec", "change_suffix"),
    doubt_is_ignored: ("mvtec", "class_anew"),
    names_stay_decomposed: ("mvtec", "decompose"),
    categories_may_mix: ("folder", "mask_folder_anew"),
    splits_may_be_partial: ("mvtec", "class_anew"),
}


@pytest.mark.parametrize("broken", CONTROLS)
def test_control_without_a_rule_a_tree_is_read_wrongly(
    broken: Callable[[Patch], None], ground: Path, monkeypatch: Patch
) -> None:
    name, damage = CONTROLS[broken]
    broken(monkeypatch)
    with fresh_names():
        found = (trees.difference(name, (damage,), 2, number, ground) for number in range(300))
        assert next((wrong for wrong in found if wrong and not wrong.startswith("refused")), None)


@contextmanager
def fresh_names() -> Iterator[None]:
    """Forget what names are, before and after a rule about them is off."""
    try:
        forget()
        yield
    finally:
        forget()


def forget() -> None:
    for function in (names._words, names._parted):
        function.cache_clear()


def _paint(file: trees.File, root: Path, marked: set[int]) -> None:
    """Noise for a part that depends on its path alone; a mask marks a corner of a defective part."""
    path = root / file.path
    pixels = np.zeros((12, 12), np.uint8)
    if file.what == "part":
        pixels = np.random.default_rng(zlib.crc32(file.path.encode())).integers(0, 256, (12, 12), dtype=np.uint8)
    elif file.of in marked:
        pixels[2:6, 2:6] = 255
    Image.fromarray(pixels).save(path)


def _content(what: str, files: list[trees.File], rng: random.Random, root: Path, marked: set[int]) -> bool:
    """Damage what is in a file; whether there was such a file."""
    wanted = [file for file in files if file.what == ("part" if what in ("empty image", "cut image") else "mask")]
    wanted = [file for file in wanted if (file.of not in marked) or what != "mask of a good part"]
    if not wanted:
        return False
    path = root / rng.choice(wanted).path
    if what == "empty image":
        path.write_bytes(b"")
    elif what in ("cut image", "cut mask"):
        path.write_bytes(path.read_bytes()[:20])
    else:
        side = 12 if what == "mask of a good part" else 9
        Image.fromarray(np.full((side, side), 255, np.uint8)).save(path)
    return True


@pytest.mark.parametrize(
    "what", [None, "empty image", "cut image", "cut mask", "mask of another size", "mask of a good part"]
)
def test_a_tree_with_contents_is_built_rightly_or_refused(what: str | None, tmp_path: Path) -> None:
    seen = 0
    for number, name in enumerate(sorted(trees.BUILDERS)):
        rng, root, out = random.Random(number), tmp_path / name / trees.ROOT, tmp_path / name / "out"
        files = trees.grown(name, (), 2, 7 + number)
        # A label that decides marks something in every other photograph.
        marked = {f.of for f in files if f.label == "anomalous" or (f.what == "part" and not f.label and f.of % 4)}
        trees.planted(files, root)
        for file in (file for file in files if file.what in ("part", "mask")):
            _paint(file, root, marked)
        decides = name in ("kolektor-sdd", "dagm")  # there a mask that marks something makes a part defective
        if what is None:
            _built(files, root, out, marked)
        elif not (decides and what == "mask of a good part") and _content(what, files, rng, root, marked):
            with pytest.raises(DataFaultsError) as error:
                build(root, out, BuildSettings())
            assert len(error.value.faults) == 1
            seen += 1
    assert seen >= (0 if what is None else 1 if what == "mask of a good part" else 10)


def _built(files: list[trees.File], root: Path, out: Path, marked: set[int]) -> None:
    found = read_manifest(build(root, out, BuildSettings(dilate=0)).manifest).samples
    parts = {file.path: file for file in files if file.what == "part"}
    masks = {file.path: file.of for file in files if file.what == "mask"}
    assert len(found) == len(parts)
    for sample in found:
        part = parts[Path(os.path.normpath(out / sample.image)).relative_to(root).as_posix()]
        own = {Path(os.path.normpath(out / mask)).relative_to(root).as_posix() for mask in mask_paths(sample)}
        has_mask = part.of in masks.values()
        assert sample.anomalous == (part.of in marked), part
        assert {masks[mask] for mask in own} == ({part.of} if sample.anomalous and has_mask else set())
        assert (sample.boxes == ((2, 2, 6, 6),)) == (sample.anomalous and has_mask)
