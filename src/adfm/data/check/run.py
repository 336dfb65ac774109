"""`adfm data check`: every fault of a manifest, its images and its masks in one pass; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from adfm.data.check.between import between, overview
from adfm.data.check.images import Look, look
from adfm.data.check.masks import box_faults, marking_faults, mask_faults, read_masks
from adfm.data.check.near import Seen, near_duplicates
from adfm.data.check.rows import Line, read_rows
from adfm.data.check.scope import Scope, leaving, read_scope
from adfm.data.faults import Broken, Fault, broken
from adfm.data.manifest import META, manifest_path, mask_paths
from adfm.data.meta import counts
from adfm.data.threads import Threads
from adfm.progress import Progress, quiet
from adfm.records import Sample

Extra = Callable[[Sample], Iterable[Broken]]
NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})


def check(
    path: Path,
    *,
    extra: Extra | None = None,
    known: Mapping[str, str] = NOTHING_KNOWN,
    progress: Progress = quiet,
) -> list[Fault]:
    """Return every fault and warning of a manifest (or of the one in a folder), in the order of its lines.

    Args:
        path: the manifest, or the folder that holds it; whatever is in it, nothing is raised.
        extra: names more faults of a readable sample, such as a canonical answer that does not earn full marks.
        known: sha256 -> why an image of that hash is bad.
        progress: receives (stage, done, total).
    """
    file = manifest_path(path)
    lines, faults, complete = read_rows(file)
    if any(fault.line is None for fault in faults):  # the file as such cannot be read
        return list(faults)
    scope, doubts = read_scope(file)
    looks = Threads(progress=progress).map("samples", partial(_look, scope, known, extra), lines)
    found: list[tuple[int | None, Broken]] = [
        (line.number, fault) for line, seen in zip(lines, looks, strict=True) for fault in seen.faults
    ]
    found += between(lines)
    thumbs = [
        Seen(line, seen.thumb, seen.colours) for line, seen in zip(lines, looks, strict=True) if seen.thumb is not None
    ]
    found += near_duplicates(thumbs)
    if complete:  # else what the whole lacks, and its counts, would miss the lines that could not be read
        found += overview(lines)
        if scope.counts not in (None, counts([line.sample for line in lines])):
            doubts.append(broken("meta-counts").at(file.parent / META))
    placed = [fault.at(file, line) for line, fault in found]
    return [*sorted([*faults, *placed], key=lambda fault: fault.line or 0), *doubts]


def _look(scope: Scope, known: Mapping[str, str], extra: Extra | None, line: Line) -> Look:
    """Compare one sample with its files and with the rules of its own line."""
    sample, settings = line.sample, scope.settings
    outside = [fault for path in (sample.image, *mask_paths(sample)) if (fault := leaving(scope, path))]
    own = [*box_faults(sample, settings), *(extra(sample) if extra else ())]
    if outside:
        return Look((*outside, *own))
    seen = look(sample, scope.place(sample.image), known)
    # An image given as its own mask is a fault already, and what it would mark says nothing.
    places = [scope.place(path) for path in mask_paths(sample) if path != sample.image]
    faults, mask = read_masks(sample, places, seen.orientation)
    if mask is not None:
        faults += marking_faults(sample, mask, tiled=settings is not None and settings.tile is not None)
        if sample.anomalous and mask.any():
            faults += mask_faults(sample, mask, settings)
    return replace(seen, faults=(*seen.faults, *faults, *own))
