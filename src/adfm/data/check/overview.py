"""What a manifest as a whole lacks: splits, labels, categories, defect types; warnings, since none forbids every use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from adfm.data.check.rows import Line
from adfm.data.faults import Broken, broken
from adfm.data.layouts.names import TRAIN_TEST
from adfm.records import LABELS


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
