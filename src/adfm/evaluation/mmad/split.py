"""Which MMAD images train and which test: our own seeded 20/80 split, balanced over labels and objects.

The split that the field compares on (1,600 of 8,366 images, as many normal as anomalous, every object) is not public.
This one has the same rule and depends on the seed and the images' names alone, not on their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from adfm.evaluation.mmad.questions import IMAGES, Entry
from adfm.records import LABELS, Label
from adfm.storage import sha256_bytes

TRAIN_IMAGES = 1600
Part = Literal["all", "train", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


def train_images(entries: Sequence[Entry], seed: int) -> frozenset[str]:
    """Return the images to train on: the share 1,600 / 8,366, half of each label, spread evenly over the objects.

    Each object gives at most half of its images of a label, so that it can also be tested.
    """
    wanted = round(len(entries) * TRAIN_IMAGES / IMAGES)
    halves: dict[Label, int] = {"normal": wanted // 2, "anomalous": wanted - wanted // 2}
    chosen: set[str] = set()
    for label, half in halves.items():
        pools: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            if entry.label == label:
                pools["/".join(entry.category)].append(entry.image)
        quotas = shared_out(half, {name: len(images) // 2 for name, images in pools.items()}, seed)
        chosen |= {image for name, images in pools.items() for image in _ranked(images, seed)[: quotas[name]]}
    return frozenset(chosen)


def part_of(entries: Sequence[Entry], part: Part, seed: int) -> tuple[Entry, ...]:
    """Return the entries of a part, in their order."""
    if part == "all":
        return tuple(entries)
    chosen = train_images(entries, seed)
    return tuple(entry for entry in entries if (entry.image in chosen) == (part == "train"))


def split_json(entries: Sequence[Entry], seed: int) -> dict[str, Any]:
    """Return the split as it is published: the seed, the numbers of either part, and the images to train on."""
    train, test = (part_of(entries, part, seed) for part in ("train", "test"))
    return {
        "benchmark": "MMAD",
        "seed": seed,
        "images": {"train": len(train), "test": len(test)},
        "questions": {name: sum(len(e.questions) for e in part) for name, part in (("train", train), ("test", test))},
        "labels": {label: sum(entry.label == label for entry in train) for label in LABELS},
        "train": sorted(entry.image for entry in train),
    }


def shared_out(wanted: int, rooms: Mapping[str, int], seed: int) -> dict[str, int]:
    """Share a number out as evenly as the rooms allow: what a small one cannot take goes to the larger ones."""
    quotas: dict[str, int] = {}
    for taken, name in enumerate(sorted(_ranked(list(rooms), seed), key=rooms.__getitem__)):
        quotas[name] = min(rooms[name], (wanted - sum(quotas.values())) // (len(rooms) - taken))
    return quotas


def _ranked(names: Sequence[str], seed: int) -> list[str]:
    """Return names in an order that the seed decides."""
    return sorted(names, key=lambda name: sha256_bytes(f"{seed}|{name}".encode("utf-8", "replace")))
