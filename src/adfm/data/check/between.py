"""Rules between the lines of a manifest: names, copies, groups and shared masks; the later line carries the fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from adfm.data.check.rows import Line
from adfm.data.faults import Broken, broken
from adfm.data.manifest import mask_paths
from adfm.records import Sample

Numbered = Iterator[tuple[int, Broken]]


def between(lines: Sequence[Line]) -> Numbered:
    """Yield (line, fault) for every pair of lines that contradict each other."""
    for first, line in _clashes(lines, lambda s: s.id, _never_equal):
        yield line.number, broken("id-twice", id=line.sample.id, first=first)
    for first, line in _clashes(lines, lambda s: s.id.casefold(), lambda s: s.id):
        yield line.number, broken("id-case", id=line.sample.id, first=first)
    for first, line in _clashes(lines, lambda s: s.sha256, lambda s: s.label):
        yield line.number, broken("same-picture-labels", first=f"line {first}")
    for first, line in _clashes(lines, lambda s: s.sha256, lambda s: s.split):
        yield line.number, broken("same-picture-splits", first=first)
    for first, line in _clashes(lines, lambda s: (s.sha256, s.label, s.split), _never_equal):
        yield line.number, broken("same-picture", first=first)
    for first, line in _clashes(lines, lambda s: s.group, lambda s: s.split):
        yield line.number, broken("group-splits", group=line.sample.group, first=first)
    yield from _variants(lines, "category", lambda sample: sample.category)
    yield from _variants(lines, "defect", lambda sample: sample.defect)
    # Copies of one image may share a mask; two different images may not.
    seen: dict[str, Line] = {}
    for line in lines:
        for path in map(os.path.normpath, mask_paths(line.sample)):
            known = seen.setdefault(path, line)
            if known.sample.sha256 != line.sample.sha256:
                yield line.number, broken("mask-shared", path=path, first=known.number)


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


def _clashes(
    lines: Iterable[Line], key: Callable[[Sample], Hashable], value: Callable[[Sample], object]
) -> Iterator[tuple[int, Line]]:
    """Yield (first line, line) where a key met before has another value; a key of None is no key."""
    seen: dict[Hashable, tuple[int, object]] = {}
    for line in lines:
        name = key(line.sample)
        if name is None:
            continue
        number, known = seen.setdefault(name, (line.number, value(line.sample)))
        if number != line.number and known != value(line.sample):
            yield number, line


def _never_equal(_: Sample) -> object:
    """A value that no two samples share, so that meeting a key twice is a clash."""
    return object()
