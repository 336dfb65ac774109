"""Which image trains and which tests: pure functions of names, groups and hashes, whatever the order of the files.

Images of one group (a board, a video) and images with equal content form a *unit*, and a unit is never split.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import SourceImage
from adfm.data.layouts.names import copied_from
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError
from adfm.records import SPLITS, Label, Sample, Split

Shares = Mapping[Split, float]

_MAX_PASSES = 20
_OWED = 0.5  # validation must hold a stratum where its share of the units rounds to one
# What it costs a split to lack a stratum, per sample: more than any miss, most on the two sides.
_PRICES: dict[Split, float] = {"train": 100.0, "validation": 10.0, "test": 100.0}


@dataclass(frozen=True)
class Item:
    """What a split needs to know of an image; `group` is None where only its content ties it to others.

    `strata` are the classes whose shares are kept, from fine to coarse (defect type, label of a category, label). Where
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
    """Images that stay together, sorted by id; `counts` holds how many of each stratum."""

    items: tuple[Item, ...]
    counts: Counter[str]

    @property
    def key(self) -> str:
        """The first id, which names the unit."""
        return self.items[0].id

    def rank(self, seed: int) -> bytes:
        """Return a place in a shuffled order that depends on the seed and the name alone."""
        return hashlib.sha256(f"{seed}|{self.key}".encode()).digest()


class Held(NamedTuple):
    """What leaves train for validation: a share of every stratum, and a share of the normal parts alone."""

    parts: float = 0.0
    normals: float = 0.0


def placed(
    source: Path, layout: str, listed: Sequence[SourceImage], samples: Sequence[Sample], settings: BuildSettings
) -> tuple[list[Sample], list[str]]:
    """Return the samples with their split and group, and notes for the user.

    Raises:
        DataFaultsError: the rule needs a split or groups that the source does not have, or equal images have opposite
            labels.
        ConfigError: the settings of the rule cannot be used.
    """
    groups, notes = grouped(source, listed, settings.group_by)
    items = []
    for sample, image, group in zip(samples, listed, groups, strict=True):
        place = f"{sample.category}/{sample.label}"
        strata = f"{place}/{sample.defect or ''}", place, sample.label
        items.append(Item(sample.id, sample.label, strata, sample.sha256, group, image.split))
    if clashes := contradictions(items):
        paths = {sample.id: image.image for sample, image in zip(samples, listed, strict=True)}
        raise DataFaultsError(
            [broken("same-picture-labels", first=paths[first]).at(source / paths[later]) for first, later in clashes]
        )
    copies = len(items) - len({item.sha256 for item in items})
    notes += [f"{copies} images are copies of others; copies stay in one split"] if copies else []
    assignment = _assigned(source, layout, items, settings)
    split = [replace(s, split=assignment.splits[s.id], group=group) for s, group in zip(samples, groups, strict=True)]
    return split, [*notes, *assignment.notes]


def grouped(source: Path, listed: Sequence[SourceImage], pattern: str | None) -> tuple[list[str | None], list[str]]:
    """Return every image's group and notes: the layout's group, else the first capture group of `pattern` in its stem.

    Augmented copies (`NAME_jpg.rf.HASH`) have the name of their source: in all layouts they are a group, and `pattern`
    sees the source's name.

    Raises:
        DataFaultsError: the pattern fits no file name.
        ConfigError: the pattern is not a regular expression with a capture group.
    """
    sources = [copied_from(image.image.stem) for image in listed]
    own = [image.group and f"{image.category}/{image.group}" for image in listed]
    copies = [source and f"{image.category}/{source}" for source, image in zip(sources, listed, strict=True)]
    if pattern is None:
        return [first or second for first, second in zip(own, copies, strict=True)], []
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--group-by '{pattern}': is not a regular expression ({error})") from error
    if compiled.groups < 1:
        raise ConfigError(f"--group-by '{pattern}': needs a capture group, as in '^([0-9]+)'")
    matches = [compiled.search(name or image.image.stem) for name, image in zip(sources, listed, strict=True)]
    named = [f"{image.category}/{m[1]}" if m and m[1] else None for m, image in zip(matches, listed, strict=True)]
    if not any(named):
        raise DataFaultsError([broken("group-none", pattern=pattern).at(source)])
    groups = [first or second or third for first, second, third in zip(own, named, copies, strict=True)]
    missing = groups.count(None)
    return groups, [f"{missing} images fit no --group-by group and stand alone"] if missing else []


def _assigned(source: Path, layout: str, items: Sequence[Item], settings: BuildSettings) -> Assignment:
    has_official = any(item.official for item in items)
    rule = settings.split or ("official" if has_official else "fractions")
    if rule == "fractions":
        total = sum(settings.shares)
        if abs(total - 1) > 1e-6:
            raise ConfigError(f"--shares: train, validation and test must add up to 1, not {total:g}")
        return fractions(items, dict(zip(SPLITS, settings.shares, strict=True)), settings.seed)
    if not has_official:
        raise DataFaultsError([broken("split-none", name=layout).at(source)])
    held = Held(settings.validation, settings.validation_normals)
    if rule == "official":
        return official(items, held, settings.seed)
    return labelled(items, settings.labelled_fraction, held, settings.seed)


def contradictions(items: Iterable[Item]) -> list[tuple[str, str]]:
    """Return pairs of ids whose images are the same file but whose labels differ."""
    first: dict[str, Item] = {}
    pairs = []
    for item in sorted(items, key=lambda item: item.id):
        other = first.setdefault(item.sha256, item)
        if other.label != item.label:
            pairs.append((other.id, item.id))
    return pairs


def units(items: Iterable[Item]) -> list[Unit]:
    """Join images that share a group or a hash (union-find), sorted by id."""
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
    return Assignment(_balanced(units(items), _constant(shares), seed), ())


def official(items: Sequence[Item], held: Held, seed: int) -> Assignment:
    """Keep the layout's own split; a unit on both sides leaves train (counted), what is `held` becomes validation."""
    splits: dict[str, Split] = {}
    moved = 0
    for unit in units(items):
        sides = {item.official or "train" for item in unit.items}
        side: Split = "test" if "test" in sides else "validation" if "validation" in sides else "train"
        moved += sum((item.official or "train") != side for item in unit.items)
        splits |= {item.id: side for item in unit.items}
    notes = [f"{moved} images left the official split, because a copy or their group is in test"] if moved else []
    return Assignment(_with_validation(items, splits, held, seed), tuple(notes))


def labelled(items: Sequence[Item], fraction: float, held: Held, seed: int) -> Assignment:
    """The field's few-label protocol: a share of each stratum of the official test split trains, the rest tests."""
    test_shares: Shares = {"train": fraction, "test": 1 - fraction}
    keyed = [
        replace(item, strata=tuple(f"{item.official or 'train'}|{name}" for name in item.strata)) for item in items
    ]
    splits = _balanced(
        units(keyed), lambda stratum: test_shares if stratum.startswith("test|") else {"train": 1.0}, seed
    )
    moved = sum((item.official or "train") == "train" and splits[item.id] == "test" for item in items)
    notes = [f"{moved} images of the official train split test, because their group or a copy does"] if moved else []
    return Assignment(_with_validation(items, splits, held, seed), tuple(notes))


def _with_validation(items: Sequence[Item], splits: dict[str, Split], held: Held, seed: int) -> dict[str, Split]:
    """Move what is held from train to validation: first of all parts, then of the normal ones that are left.

    Only units that are in train as a whole move, so one that also holds a defect does not leave as a normal one.
    """
    for share, labels in ((held.parts, ("normal", "anomalous")), (held.normals, ("normal",))):
        if share:
            shares: Shares = {"train": 1 - share, "validation": share}
            train = {item.id for item in items if splits[item.id] == "train" and item.label in labels}
            whole = [unit for unit in units(items) if all(item.id in train for item in unit.items)]
            splits = splits | _balanced(whole, _constant(shares), seed)
    return splits


def _constant(shares: Shares) -> Callable[[str], Shares]:
    """The same shares for every stratum."""
    return lambda _: shares


def _balanced(chosen: list[Unit], shares: Callable[[str], Shares], seed: int) -> dict[str, Split]:
    """Assign whole units so that every stratum is close to its shares: greedily, then by moves that lower the cost."""
    spread = Counter(stratum for unit in chosen for stratum in unit.counts)
    balance = _Balance(chosen, shares, spread)
    # The rarest strata and the largest units have the least freedom, so they choose first.
    order = sorted(chosen, key=lambda u: (min(spread[s] for s in u.counts), -len(u.items), u.rank(seed)))
    splits: dict[str, Split] = {}
    for unit in order:
        splits[unit.key] = balance.put(unit)
    for _ in range(_MAX_PASSES):
        before = dict(splits)
        for unit in order:
            balance.take(unit, splits[unit.key])
            splits[unit.key] = balance.put(unit, prefer=splits[unit.key])
        if splits == before:
            break
    return {item.id: splits[unit.key] for unit in chosen for item in unit.items}


class _Balance:
    """How far the splits are from their shares: squared misses, and a heavy price for a stratum that a split lacks."""

    def __init__(self, chosen: Sequence[Unit], shares: Callable[[str], Shares], spread: Mapping[str, int]) -> None:
        self.total: Counter[str] = Counter()
        for unit in chosen:
            self.total.update(unit.counts)
        self.shares = {stratum: shares(stratum) for stratum in self.total}
        self.have: Counter[tuple[Split, str]] = Counter()
        # A single unit cannot be shared out; its coarser strata still are.
        self.shared = {stratum for stratum, count in spread.items() if count > 1}
        self.owed = {
            (split, stratum): _PRICES[split] * (1 + self.total.total())
            for stratum in self.shared
            for split, share in self.shares[stratum].items()
            if share > 0 and (split != "validation" or share * spread[stratum] >= _OWED)
        }

    def _cost(self, split: Split, stratum: str, count: int) -> float:
        """Return the cost of a split that holds `count` samples of a stratum."""
        if stratum not in self.shared:
            return 0.0
        miss = count - self.shares[stratum].get(split, 0) * self.total[stratum]
        return miss * miss / self.total[stratum] + (0.0 if count else self.owed.get((split, stratum), 0.0))

    def put(self, unit: Unit, prefer: Split | None = None) -> Split:
        """Add a unit where it costs least and return that split; of equals where it was, then the largest share."""
        ranks = {}
        for split in SPLITS:
            share = sum(self.shares[stratum].get(split, 0) for stratum in unit.counts)
            if share > 0:
                added = sum(
                    self._cost(split, stratum, self.have[split, stratum] + count)
                    - self._cost(split, stratum, self.have[split, stratum])
                    for stratum, count in unit.counts.items()
                )
                ranks[split] = round(added, 9), split != prefer, -share
        best = min(ranks, key=lambda split: ranks[split])
        for stratum, count in unit.counts.items():
            self.have[best, stratum] += count
        return best

    def take(self, unit: Unit, split: Split) -> None:
        """Remove a unit from its split."""
        for stratum, count in unit.counts.items():
            self.have[split, stratum] -= count
