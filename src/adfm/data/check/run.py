"""`adfm data check`: every fault of a manifest, its pictures and its masks in one pass; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from adfm.data.check.between import between
from adfm.data.check.boxes import box_faults, mask_faults
from adfm.data.check.masks import marking_faults, read_masks
from adfm.data.check.near import Seen, near_duplicates
from adfm.data.check.overview import overview
from adfm.data.check.pictures import Thumb, look
from adfm.data.check.rows import Line, read_rows
from adfm.data.check.scope import Scope, leaving, read_scope
from adfm.data.faults import Broken, Fault, broken
from adfm.data.manifest import META, manifest_path, mask_paths
from adfm.data.meta import counts
from adfm.data.threads import Progress, Threads
from adfm.records import Sample

Extra = Callable[[Sample], Iterable[Broken]]
NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})


class _Rules(NamedTuple):
    """What a sample is held against."""

    scope: Scope
    known: Mapping[str, str]
    more: Extra | None


class _Looked(NamedTuple):
    faults: tuple[Broken, ...]
    thumb: Thumb | None


def check(
    path: Path,
    *,
    extra: Extra | None = None,
    known: Mapping[str, str] = NOTHING_KNOWN,
    progress: Progress | None = None,
) -> list[Fault]:
    """Return every fault and warning of a manifest (or of the one in a folder), in the order of its lines.

    Args:
        path: the manifest, or the folder that holds it; whatever is in it, nothing is raised.
        extra: names more faults of a readable sample, such as a canonical answer that does not earn full marks.
        known: sha256 -> why a picture of that hash is bad.
        progress: is told (stage, done, total).
    """
    file = manifest_path(path)
    rows = read_rows(file)
    if rows.unread:
        return [Fault(rows.unread.code, str(file), None, rows.unread.rule)]
    scope, doubts = read_scope(file)
    work = partial(_look, _Rules(scope, known, extra))
    looked = Threads(progress=progress).map("samples", work, rows.lines)
    found: list[tuple[int | None, Broken]] = [
        (line.number, fault) for line, each in zip(rows.lines, looked, strict=True) for fault in each.faults
    ]
    found += between(rows.lines)
    found += near_duplicates(_thumbs(rows.lines, looked))
    # What the whole lacks, and its counts, would be wrong where lines are missing that could not be read.
    found += overview(rows.lines) if rows.whole else ()
    doubts += _counts_differ(scope, rows.lines) if rows.whole else ()
    placed = [Fault(fault.code, str(file), line, fault.rule) for line, fault in found]
    return [*sorted([*rows.faults, *placed], key=lambda fault: fault.line or 0), *doubts]


def _look(rules: _Rules, line: Line) -> _Looked:
    """Hold one sample against its files and its own line."""
    sample, scope = line.sample, rules.scope
    faults = [fault for path in (sample.image, *mask_paths(sample)) if (fault := leaving(scope, path))]
    own = [*box_faults(sample, scope.settings), *(rules.more(sample) if rules.more else ())]
    if faults:
        return _Looked((*faults, *own), None)
    picture = look(sample, scope.place(sample.image), rules.known)
    masks = list(_mask_faults(scope, sample, picture.orientation))
    return _Looked((*picture.faults, *masks, *own), picture.thumb)


def _mask_faults(scope: Scope, sample: Sample, orientation: int) -> Iterator[Broken]:
    # A picture given as its own mask has been told already; what it would mark says nothing.
    places = [scope.place(path) for path in mask_paths(sample) if path != sample.image]
    faults, mask = read_masks(sample, places, orientation)
    yield from faults
    if mask is not None:
        yield from marking_faults(sample, mask, tiled=scope.settings is not None and scope.settings.tile is not None)
        if sample.anomalous and mask.any():
            yield from mask_faults(sample, mask, scope.settings)


def _thumbs(lines: Sequence[Line], looked: Sequence[_Looked]) -> list[Seen]:
    pairs = zip(lines, looked, strict=True)
    return [Seen(line, each.thumb) for line, each in pairs if each.thumb is not None]


def _counts_differ(scope: Scope, lines: Sequence[Line]) -> list[Fault]:
    if scope.counts in (None, counts([line.sample for line in lines])):
        return []
    return [Fault("meta-counts", str(scope.file.parent / META), None, broken("meta-counts").rule)]
