"""What a manifest as a whole lacks: splits, labels, categories, names of defects, counts; warnings, since none forbids every use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from adfm.data.check.rows import Line
from adfm.data.faults import Broken, broken
from adfm.records import LABELS

_NEEDED = ("train", "test")


def overview(lines: Sequence[Line]) -> Iterator[tuple[int | None, Broken]]:
    """Yield (first line it concerns, or None for the whole file; fault)."""
    yield from ((None, fault) for fault in [*_splits(lines), *_categories(lines)])
    unnamed: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if line.sample.anomalous and line.sample.defect is None:
            unnamed[line.sample.category].append(line.number)
    for category, numbers in unnamed.items():
        yield numbers[0], broken("defect-unnamed", count=len(numbers), category=category)


def _splits(lines: Sequence[Line]) -> Iterator[Broken]:
    labels: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        labels[line.sample.split].add(line.sample.label)
    for split in _NEEDED:
        if not labels[split]:
            yield broken("split-empty", split=split)
            continue
        yield from (
            broken("split-one-label", split=split, label=label) for label in LABELS if label not in labels[split]
        )


def _categories(lines: Sequence[Line]) -> Iterator[Broken]:
    """Categories on one side alone; where a whole split is missing that says it all."""
    trained, tested = ({line.sample.category for line in lines if line.sample.split == split} for split in _NEEDED)
    if trained and tested:
        yield from (broken("category-untested", category=name) for name in sorted(trained - tested))
        yield from (broken("category-untrained", category=name) for name in sorted(tested - trained))
