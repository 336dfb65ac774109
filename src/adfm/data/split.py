"""Which picture trains and which tests: pure functions of names, groups and hashes, whatever the order of the files.

Pictures of one group (a board, a video) and pictures with equal content form a *unit*, and a unit is never split.
Leaves out reading files and writing manifests.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from adfm.records import SPLITS, Label, Split

Shares = Mapping[Split, float]

_PASSES = 20
_OWED = 0.5  # validation must hold a stratum where its share of the units rounds to one


@dataclass(frozen=True)
class Item:
    """What a split needs to know of a picture; `group` is None where nothing but its content ties it to others.

    `strata` are the classes whose shares are kept, fine and coarse (kind of defect, label of a category, label): where
    the fine ones are too small to be shared out, the coarse ones still are.
    """

    id: str
    label: Label
    strata: tuple[str, ...]
    sha256: str
    group: str | None = None
    official: Split | None = None


class Assignment(NamedTuple):
    """The split of every id, and what the user should know about it."""

    splits: dict[str, Split]
    notes: tuple[str, ...]


class Unit(NamedTuple):
    """Pictures that stay together, sorted by id; `counts` holds how many of each stratum."""

    items: tuple[Item, ...]
    counts: Counter[str]

    @property
    def key(self) -> str:
        """The first id, which names the unit."""
        return self.items[0].id


def contradictions(items: Iterable[Item]) -> list[tuple[str, str]]:
    """Return pairs of ids whose pictures are the same file but whose labels differ."""
    first: dict[str, Item] = {}
    pairs = []
    for item in sorted(items, key=lambda item: item.id):
        other = first.setdefault(item.sha256, item)
        if other.label != item.label:
            pairs.append((other.id, item.id))
    return pairs


def units(items: Iterable[Item]) -> list[Unit]:
    """Join pictures that share a group or a hash (union-find), sorted by id."""
    ordered = sorted(items, key=lambda item: item.id)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for item in ordered:
        for tie in (f"hash {item.sha256}", *([f"group {item.group}"] if item.group is not None else [])):
            parent[root(tie)] = root(f"item {item.id}")
    joined: dict[str, list[Item]] = defaultdict(list)
    for item in ordered:
        joined[root(f"item {item.id}")].append(item)
    return [
        Unit(tuple(members), Counter(name for item in members for name in item.strata)) for members in joined.values()
    ]


def fractions(items: Sequence[Item], shares: Shares, seed: int) -> Assignment:
    """Split by shares of each stratum; a stratum with enough units is in every split whose share is above 0."""
    return Assignment(_balanced(units(items), lambda _: shares, seed), ())


class Held(NamedTuple):
    """What leaves train for validation: a share of every stratum, and a share of the normal parts alone."""

    parts: float = 0.0
    normals: float = 0.0


def official(items: Sequence[Item], held: Held, seed: int) -> Assignment:
    """Keep the layout's own split; a unit on both sides leaves train (counted), what is `held` becomes validation."""
    splits: dict[str, Split] = {}
    moved = 0
    for unit in units(items):
        sides = {item.official or "train" for item in unit.items}
        side: Split = "test" if "test" in sides else "validation" if "validation" in sides else "train"
        moved += sum((item.official or "train") != side for item in unit.items)
        splits |= {item.id: side for item in unit.items}
    notes = [f"{moved} pictures left the official split, because a copy or their group is in test"] if moved else []
    return Assignment(_carve(items, splits, held, seed), tuple(notes))


def labelled(items: Sequence[Item], fraction: float, held: Held, seed: int) -> Assignment:
    """The field's few-label protocol: a share of each stratum of the official test split trains, the rest tests."""
    test_shares: Shares = {"train": fraction, "test": 1 - fraction}
    keyed = [
        replace(each, strata=tuple(f"{each.official or 'train'}|{name}" for name in each.strata)) for each in items
    ]
    splits = _balanced(
        units(keyed), lambda stratum: test_shares if stratum.startswith("test|") else {"train": 1.0}, seed
    )
    moved = sum((item.official or "train") == "train" and splits[item.id] == "test" for item in items)
    notes = [f"{moved} pictures of the official train split test, because their group or a copy does"] if moved else []
    return Assignment(_carve(items, splits, held, seed), tuple(notes))


def _carve(items: Sequence[Item], splits: dict[str, Split], held: Held, seed: int) -> dict[str, Split]:
    """Move what is held from train to validation: first of all parts, then of the normal ones that are left."""
    for share, normals in ((held.parts, False), (held.normals, True)):
        if share:
            train = [each for each in items if splits[each.id] == "train" and (not normals or each.label == "normal")]
            splits = splits | _balanced(_whole_units(items, train), _always(1 - share, share), seed)
    return splits


def _always(train: float, validation: float) -> Callable[[str], Shares]:
    return lambda _: {"train": train, "validation": validation}


def _whole_units(items: Sequence[Item], chosen: Sequence[Item]) -> list[Unit]:
    """The units all of whose items are chosen: one that also holds a defect does not leave train as a normal one."""
    names = {each.id for each in chosen}
    return [unit for unit in units(items) if all(each.id in names for each in unit.items)]


def _rank(seed: int, key: str) -> bytes:
    """A place in a shuffled order that depends on the seed and the name alone."""
    return hashlib.sha256(f"{seed}|{key}".encode()).digest()


def _balanced(found: list[Unit], shares: Callable[[str], Shares], seed: int) -> dict[str, Split]:
    """Assign whole units so that every stratum is close to its shares: greedily, then by moves that lower the cost."""
    spread = Counter(stratum for unit in found for stratum in unit.counts)
    balance = _Balance(found, shares, spread)
    # The rarest strata and the largest units have the least freedom, so they choose first.
    order = sorted(found, key=lambda u: (min(spread[s] for s in u.counts), -len(u.items), _rank(seed, u.key)))
    chosen: dict[str, Split] = {}
    for unit in order:
        chosen[unit.key] = balance.put(unit)
    for _ in range(_PASSES):
        before = dict(chosen)
        for unit in order:
            balance.take(unit, chosen[unit.key])
            chosen[unit.key] = balance.put(unit, prefer=chosen[unit.key])
        if chosen == before:
            break
    return {item.id: chosen[unit.key] for unit in found for item in unit.items}


def _price(split: Split) -> float:
    """What it costs a split to lack a stratum, per sample: more than any miss, most on the two sides."""
    return 10.0 if split == "validation" else 100.0


class _Balance:
    """How far the splits are from their shares: squared misses, and a heavy price for a stratum that a split lacks."""

    def __init__(self, found: Sequence[Unit], shares: Callable[[str], Shares], spread: Mapping[str, int]) -> None:
        self.total: Counter[str] = Counter()
        for unit in found:
            self.total.update(unit.counts)
        self.shares = {stratum: shares(stratum) for stratum in self.total}
        self.have: Counter[tuple[Split, str]] = Counter()
        # A single unit cannot be shared out; its coarser strata still are.
        self.shared = {stratum for stratum, count in spread.items() if count > 1}
        self.owed = {
            (split, stratum): _price(split) * (1 + self.total.total())
            for stratum in self.shared
            for split, share in self.shares[stratum].items()
            if share > 0 and (split != "validation" or share * spread[stratum] >= _OWED)
        }

    def _cell(self, split: Split, stratum: str, count: int) -> float:
        if stratum not in self.shared:
            return 0.0
        miss = count - self.shares[stratum].get(split, 0) * self.total[stratum]
        return miss * miss / self.total[stratum] + (0.0 if count else self.owed.get((split, stratum), 0.0))

    def _added(self, split: Split, unit: Unit) -> float:
        """The change of the cost when a unit joins a split."""
        have = self.have
        return sum(
            self._cell(split, stratum, have[split, stratum] + count) - self._cell(split, stratum, have[split, stratum])
            for stratum, count in unit.counts.items()
        )

    def put(self, unit: Unit, prefer: Split | None = None) -> Split:
        """Add a unit where it costs least and return that split; of equals where it was, then the largest share."""
        shares = {split: sum(self.shares[stratum].get(split, 0) for stratum in unit.counts) for split in SPLITS}
        allowed = [split for split in SPLITS if shares[split] > 0]
        best = min(allowed, key=lambda split: (round(self._added(split, unit), 9), split != prefer, -shares[split]))
        for stratum, count in unit.counts.items():
            self.have[best, stratum] += count
        return best

    def take(self, unit: Unit, split: Split) -> None:
        """Remove a unit from its split."""
        for stratum, count in unit.counts.items():
            self.have[split, stratum] -= count
