"""Rules between the lines of a manifest, and what the whole of it lacks; of two lines the later one carries the fault."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence

from adfm.data.check.rows import Line
from adfm.data.faults import Broken, broken
from adfm.data.layouts.names import TRAIN_TEST
from adfm.data.manifest import mask_paths
from adfm.records import LABELS, Sample

Numbered = Iterator[tuple[int, Broken]]


def _never_equal(_: Sample) -> object:
    """A value that no two samples share, so that meeting a key twice is a clash."""
    return object()


# Code, key and value: lines with one key must have one value; a key of None is no key.
_RULES: tuple[tuple[str, Callable[[Sample], Hashable], Callable[[Sample], object]], ...] = (
    ("id-twice", lambda s: s.id, _never_equal),
    ("id-case", lambda s: s.id.casefold(), lambda s: s.id),
    ("same-picture-labels", lambda s: s.sha256, lambda s: s.label),
    ("same-picture-splits", lambda s: s.sha256, lambda s: s.split),
    ("same-picture", lambda s: (s.sha256, s.label, s.split), _never_equal),
    ("group-splits", lambda s: s.group, lambda s: s.split),
)


def between(lines: Sequence[Line]) -> Numbered:
    """Yield (line, fault) for every pair of lines that contradict each other."""
    for code, key, value in _RULES:
        known: dict[Hashable, tuple[int, object]] = {}
        for number, sample in lines:
            first, kept = known.setdefault(key(sample), (number, value(sample)))
            if first != number and key(sample) is not None and kept != value(sample):
                yield number, broken(code, id=sample.id, group=sample.group, first=f"line {first}")
    yield from _variants(lines, "category", lambda sample: sample.category)
    yield from _variants(lines, "defect", lambda sample: sample.defect)
    # Copies of one image may share a mask; two different images may not.
    masks: dict[str, Line] = {}
    for line in lines:
        for path in map(os.path.normpath, mask_paths(line.sample)):
            owner = masks.setdefault(path, line)
            if owner.sample.sha256 != line.sample.sha256:
                yield line.number, broken("mask-shared", path=path, first=owner.number)


def _variants(lines: Sequence[Line], field: str, name: Callable[[Sample], str | None]) -> Numbered:
    """Names of one thing that differ in case or white space alone; each spelling is reported once, on its first line."""
    spelt: dict[str, dict[str, int]] = {}
    for line in lines:
        given = name(line.sample)
        known = spelt.setdefault("".join((given or "").split()).casefold(), {})
        if given is None or given in known:
            continue
        if known:
            other, first = next(iter(known.items()))
            yield line.number, broken("name-variants", field=field, name=given, other=other, first=first)
        known[given] = line.number


def overview(lines: Sequence[Line]) -> Iterator[tuple[int | None, Broken]]:
    """Yield (first line it concerns, or None for the whole file; fault)."""
    labels: dict[str, set[str]] = defaultdict(set)
    unnamed: dict[str, list[int]] = defaultdict(list)
    for number, sample in lines:
        labels[sample.split].add(sample.label)
        if sample.anomalous and sample.defect is None:
            unnamed[sample.category].append(number)
    for split in TRAIN_TEST:
        if not labels[split]:
            yield None, broken("split-empty", split=split)
            continue
        missing = (label for label in LABELS if label not in labels[split])
        yield from ((None, broken("split-one-label", split=split, label=label)) for label in missing)
    trained, tested = ({line.sample.category for line in lines if line.sample.split == split} for split in TRAIN_TEST)
    if trained and tested:  # where a whole split is missing that says it all
        yield from ((None, broken("category-untested", category=name)) for name in sorted(trained - tested))
        yield from ((None, broken("category-untrained", category=name)) for name in sorted(tested - trained))
    for category, numbers in unnamed.items():
        yield numbers[0], broken("defect-unnamed", count=len(numbers), category=category)
