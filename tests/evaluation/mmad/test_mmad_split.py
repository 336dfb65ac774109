"""The 20/80 split: balanced, seeded, disjoint, complete, and the same whatever the order of the file."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from adfm.evaluation.mmad.questions import Entry, read_entries
from adfm.evaluation.mmad.split import part_of, shared_out, split_json, train_images

OBJECTS = {"DS-MVTec": 15, "MVTec-LOCO": 5, "VisA": 12, "GoodsAD": 6}
SIZES = {"DS-MVTec": (465, 1226), "MVTec-LOCO": (575, 993), "VisA": (962, 1200), "GoodsAD": (1298, 1647)}
"""About as many normal and anomalous pictures as in MMAD: 8,366 in all."""


def part(dataset: str, label: str, number: int) -> int:
    """The object of a picture; one of them has few normal pictures, as MVTec's toothbrush."""
    if (dataset, label) == ("DS-MVTec", "good"):
        return 0 if number < 12 else 1 + number % (OBJECTS[dataset] - 1)
    return number % OBJECTS[dataset]


def benchmark() -> list[Entry]:
    """As many pictures, objects and data sets as MMAD has."""
    return [
        Entry(f"{dataset}/part{part(dataset, label, number)}/test/{label}/{number:04d}.png", (), ())
        for dataset, sizes in SIZES.items()
        for label, size in zip(("good", "bad"), sizes, strict=True)
        for number in range(size)
    ]


def test_the_published_sizes_come_out() -> None:
    entries = benchmark()
    assert len(entries) == 8366 and len({entry.category for entry in entries}) == 38
    train, test = (part_of(entries, part, 0) for part in ("train", "test"))
    assert (len(train), len(test)) == (1600, 6766)
    assert Counter(entry.label for entry in train) == {"normal": 800, "anomalous": 800}
    assert len({entry.category for entry in train}) == len({entry.category for entry in test}) == 38


def test_every_object_gives_alike_and_at_most_half() -> None:
    entries = benchmark()
    chosen = train_images(entries, 3)
    for label in ("normal", "anomalous"):
        given = Counter(e.category for e in entries if e.label == label and e.image in chosen)
        rooms = {name: n // 2 for name, n in Counter(e.category for e in entries if e.label == label).items()}
        full = [name for name in rooms if given[name] == rooms[name]]
        rest = [given[name] for name in rooms if name not in full]
        assert max(rest) - min(rest) <= 1
        assert all(rooms[name] <= max(rest) for name in full)
        assert sum(given.values()) == 800


def test_the_parts_are_disjoint_and_complete_and_keep_their_order() -> None:
    entries = benchmark()
    train, test = (part_of(entries, part, 1) for part in ("train", "test"))
    assert not {e.image for e in train} & {e.image for e in test}
    assert {e.image for e in train} | {e.image for e in test} == {e.image for e in entries}
    assert list(test) == [e for e in entries if e in set(test)]
    assert part_of(entries, "all", 1) == tuple(entries)


def test_seed_and_names_alone_decide() -> None:
    entries = benchmark()
    shuffled = random.Random(0).sample(entries, len(entries))
    assert train_images(entries, 0) == train_images(shuffled, 0)
    first, second = train_images(entries, 0), train_images(entries, 1)
    assert len(first & second) < 0.5 * len(first)  # the control: another seed is another split


def test_the_split_is_published_as_a_list() -> None:
    entries = benchmark()
    told = split_json(entries, 5)
    assert told["seed"] == 5 and told["images"] == {"train": 1600, "test": 6766}
    assert told["labels"] == {"normal": 800, "anomalous": 800}
    assert told["train"] == sorted(train_images(entries, 5))


def test_a_set_too_small_to_split_gives_no_training_pictures(mini: Path) -> None:
    entries = read_entries(mini)
    assert part_of(entries, "train", 0) == () and part_of(entries, "test", 0) == entries


@pytest.mark.parametrize(
    ("wanted", "rooms", "given"),
    [
        (6, {"a": 9, "b": 9, "c": 9}, [2, 2, 2]),
        (7, {"a": 9, "b": 9, "c": 9}, [2, 2, 3]),
        (10, {"a": 1, "b": 9, "c": 9}, [1, 4, 5]),
        (10, {"a": 1, "b": 2, "c": 3}, [1, 2, 3]),
        (0, {"a": 1}, [0]),
        (5, {}, []),
    ],
)
def test_shared_out(wanted: int, rooms: dict[str, int], given: list[int]) -> None:
    assert sorted(shared_out(wanted, rooms, 0).values()) == given
