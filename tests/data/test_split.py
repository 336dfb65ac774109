"""Splits: shares kept, groups and copies together, the same for every order of the files."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfm.data.faults import DataFaultsError
from adfm.data.layouts import SourceImage
from adfm.data.split import Assignment, Held, Item, contradictions, fractions, grouped, labelled, official, units
from adfm.errors import ConfigError
from adfm.records import Split

SHARES: dict[Split, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
Rule = Callable[[Sequence[Item]], Assignment]
RULES: dict[str, Rule] = {
    "fractions": lambda items: fractions(items, SHARES, 3),
    "official": lambda items: official(items, Held(0.2), 3),
    "labelled": lambda items: labelled(items, 0.2, Held(0.1), 3),
}


def item(number: int, kind: str = "", *, sha: str = "", group: str | None = None, side: Split | None = None) -> Item:
    label = "anomalous" if kind else "normal"
    strata = (f"{label}/{kind}", label)
    return Item(f"{kind or 'good'}-{number:03d}", label, strata, sha or f"{kind}{number}", group, side)  # type: ignore[arg-type]


def counted(items: Sequence[Item], assignment: Assignment) -> Counter[tuple[str, str]]:
    return Counter((each.strata[0], assignment.splits[each.id]) for each in items)


def mvtec(train: int = 40, good: int = 20, **kinds: int) -> list[Item]:
    items = [item(number, side="train") for number in range(train)]
    items += [item(1000 + number, side="test") for number in range(good)]
    return items + [item(number, kind, side="test") for kind, count in kinds.items() for number in range(count)]


items_with_ties = st.lists(
    st.tuples(
        st.sampled_from(["", "scratch", "dent"]),
        st.one_of(st.none(), st.sampled_from("ABCDEF")),
        st.integers(0, 40),
        st.sampled_from(["train", "test"]),
    ),
    min_size=1,
    max_size=60,
).map(
    lambda rows: [
        item(n, kind, sha=f"{kind}{sha}", group=group, side=side)  # type: ignore[arg-type]
        for n, (kind, group, sha, side) in enumerate(rows)
    ]
)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(items_with_ties, st.randoms())
def test_groups_and_copies_are_never_split_whatever_the_order(
    name: str, items: list[Item], order: random.Random
) -> None:
    splits = RULES[name](items).splits
    assert set(splits) == {each.id for each in items}
    for tie in ("group", "sha256"):
        sides: dict[str, set[str]] = {}
        for each in items:
            if getattr(each, tie) is not None:
                sides.setdefault(getattr(each, tie), set()).add(splits[each.id])
        assert all(len(side) == 1 for side in sides.values())
    shuffled = list(items)
    order.shuffle(shuffled)
    assert RULES[name](shuffled).splits == splits


def test_control_without_groups_images_of_one_board_are_split() -> None:
    boards = [item(n, group=f"board-{n % 5}") for n in range(50)]
    alone = [replace(each, group=None) for each in boards]
    sides: dict[str, set[str]] = {}
    for board, each in zip(boards, alone, strict=True):
        sides.setdefault(board.group or "", set()).add(fractions(alone, SHARES, 0).splits[each.id])
    assert all(len(side) > 1 for side in sides.values())


def test_units_join_over_chains_of_group_and_hash() -> None:
    chain = [item(0, sha="x", group="A"), item(1, sha="x", group="B"), item(2, sha="y", group="B"), item(3, sha="z")]
    assert sorted(len(unit.items) for unit in units(chain)) == [1, 3]


@pytest.mark.parametrize("seed", range(5))
def test_fractions_are_kept_in_every_stratum(seed: int) -> None:
    items = (
        [item(n) for n in range(100)] + [item(n, "scratch") for n in range(50)] + [item(n, "dent") for n in range(10)]
    )
    found = counted(items, fractions(items, SHARES, seed))
    for stratum, total in (("normal/", 100), ("anomalous/scratch", 50), ("anomalous/dent", 10)):
        for split, share in SHARES.items():
            assert found[stratum, split] == pytest.approx(total * share, abs=1), (stratum, split)


def test_every_stratum_of_two_is_on_both_sides() -> None:
    items = [item(n, f"kind{kind}") for kind in range(6) for n in range(2)]
    found = counted(items, fractions(items, SHARES, 0))
    assert all(found[f"anomalous/kind{kind}", side] == 1 for kind in range(6) for side in ("train", "test"))


def test_strata_of_one_still_share_out_their_label() -> None:
    items = [item(0, f"kind{kind}") for kind in range(10)]
    found = Counter(fractions(items, SHARES, 0).splits.values())
    assert found == {"train": 7, "validation": 1, "test": 2}


def test_a_single_image_goes_where_most_go() -> None:
    assert fractions([item(0)], SHARES, 0).splits == {"good-000": "train"}
    assert labelled([item(0, "dent", side="test")], 0.2, Held(), 0).splits == {"dent-000": "test"}


def test_whole_groups_come_close_to_the_shares() -> None:
    items = [item(n, "" if n % 3 else "scratch", group=f"board-{n // 20}") for n in range(400)]
    found = Counter(fractions(items, SHARES, 0).splits.values())
    assert found == {"train": 280, "validation": 40, "test": 80}


def test_the_seed_decides_and_only_the_seed() -> None:
    items = [item(n) for n in range(60)]
    assert fractions(items, SHARES, 1) == fractions(items, SHARES, 1)
    assert fractions(items, SHARES, 1) != fractions(items, SHARES, 2)


def test_official_is_kept_and_validation_is_cut_from_train() -> None:
    items = mvtec(scratch=30)
    plain = official(items, Held(0.0), 0)
    assert plain.splits == {each.id: each.official for each in items}
    assert plain.notes == ()
    found = counted(items, official(items, Held(0.1), 0))
    assert found["normal/", "validation"] == 4
    assert found["anomalous/scratch", "test"] == 30


def test_normal_parts_alone_can_be_held_for_validation() -> None:
    items = mvtec(scratch=30, dent=15)
    found = counted(items, labelled(items, 0.2, Held(normals=0.25), 0))
    assert found["normal/", "validation"] == 11
    assert found["normal/", "train"] == 33
    assert {kind for (kind, side) in found if side == "validation"} == {"normal/"}


def test_a_normal_part_that_shares_its_group_with_a_defect_stays_in_train() -> None:
    tied = [replace(each, group="one board") for each in (item(1), item(2, "dent"))]
    tied = [replace(each, official="train") for each in tied]
    items = [*tied, *mvtec(train=8, good=2)]
    assignment = official(items, Held(normals=0.9), 0)
    assert {assignment.splits[each.id] for each in tied} == {"train"}


def test_a_training_copy_of_a_test_image_leaves_train() -> None:
    items = [*mvtec(train=3, good=3), item(500, sha="same", side="train"), item(501, sha="same", side="test")]
    assignment = official(items, Held(0.0), 0)
    assert assignment.splits["good-500"] == "test"
    assert "1 images" in assignment.notes[0]


def test_labelled_moves_a_fifth_of_each_kind_of_test_and_keeps_train() -> None:
    items = mvtec(scratch=30, dent=15)
    found = counted(items, labelled(items, 0.2, Held(0.0), 0))
    assert found["anomalous/scratch", "train"] == 6
    assert found["anomalous/dent", "train"] == 3
    assert found["normal/", "train"] == 40 + 4
    assert not any(split == "validation" for _, split in found)
    assert all(
        labelled(items, 0.2, Held(0.0), 0).splits[each.id] == "train" for each in items if each.official == "train"
    )


def test_only_opposite_labels_of_one_image_contradict() -> None:
    same = [item(0, sha="x"), item(1, "dent", sha="x"), item(2, "scratch", sha="y"), item(3, "dent", sha="y")]
    assert contradictions(same) == [("dent-001", "good-000")]


def pieces(*stems: str, group: str | None = None) -> list[SourceImage]:
    return [SourceImage(Path(f"{stem}.png"), "normal", "part", group=group) for stem in stems]


def test_groups_are_the_layouts_own_else_the_patterns() -> None:
    source, images = Path("set"), pieces("board1_a", "board1_b", "tray") + pieces("board2_a", group="item")
    assert grouped(source, images, None) == ([None, None, None, "part/item"], [])
    groups, notes = grouped(source, images, r"^(board\d)")
    assert groups == ["part/board1", "part/board1", None, "part/item"]
    assert notes == ["1 images fit no --group-by group and stand alone"]
    with pytest.raises(DataFaultsError, match=r"^set: \[group-none\]"):
        grouped(source, images, r"^(crate\d)")
    for pattern in ("(", r"^board\d"):
        with pytest.raises(ConfigError, match="--group-by"):
            grouped(source, images, pattern)
