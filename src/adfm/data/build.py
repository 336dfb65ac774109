"""`adfm data build`: a folder of pictures and masks becomes a manifest; the folder is published whole or not at all.

Pictures are not copied (a manifest points at them), except tiles, which are cut and written beside the manifest.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from adfm.data import layouts, split
from adfm.data.faults import DataFaultsError
from adfm.data.inspect import Facts, inspect
from adfm.data.layouts import Found, Layout
from adfm.data.manifest import MANIFEST, META, write_manifest
from adfm.data.meta import licences, make_meta, unused
from adfm.data.settings import BuildSettings
from adfm.data.threads import Progress, Threads
from adfm.data.tile import cut_all
from adfm.errors import ConfigError, DataError
from adfm.records import Sample, Split
from adfm.storage import published_folder, require_new_folder, write_json


@dataclass(frozen=True)
class BuildReport:
    """What was built: where the manifest lies, how many samples it holds and what stands in its meta file."""

    manifest: Path
    samples: int
    meta: dict[str, Any]


def build(source: Path, out: Path, settings: BuildSettings, progress: Progress | None = None) -> BuildReport:
    """Build a manifest of `source` in the new folder `out`; `progress` receives (stage, done, total).

    Raises:
        DataFaultsError: pictures or masks that break a rule, one line each; nothing is written.
        DataError: the folder holds no pictures, has no known layout, or the split asked for is impossible.
        UserError: `out` is not empty.
    """
    require_new_folder(out)
    root, target = source.resolve(), out.resolve()
    layout = layouts.choose(source, settings.layout)
    found = _read(source, root, layout)
    threads = Threads(settings.workers, progress)
    facts = _inspected(root, found, settings, threads)
    way = Path(os.path.relpath(root, target))  # once: it is the same for every picture
    samples = [_sample(way, fact, id_) for fact, id_ in zip(facts, sample_ids(found), strict=True)]
    samples, notes = _split(source, layout, facts, samples, settings)
    warnings = [*_doubts(facts), *_unmasked(found), *unused(root, found), *notes]
    with published_folder(target) as staging:
        if settings.tile is not None:
            samples, tile_notes = cut_all(samples, target, staging, settings, threads)
            warnings += tile_notes
        terms = licences(root, found) | ({"as published": layout.TERMS} if layout.TERMS else {})
        meta = make_meta(samples, layout.NAME, os.path.relpath(root, target), settings, warnings, terms)
        write_json(staging / META, meta)
        write_manifest(staging / MANIFEST, samples)
    return BuildReport(out / MANIFEST, len(samples), meta)


def _read(source: Path, root: Path, layout: Layout) -> list[Found]:
    """Return what a layout finds, sorted by path."""
    found = sorted(layout.read(root), key=lambda each: each.image)
    if not found:
        raise DataError(f"{source}: holds no pictures in the layout '{layout.NAME}', which is {layout.SHAPE}")
    twice = [path for path, count in Counter(each.image for each in found).items() if count > 1]
    if twice:
        raise DataFaultsError([f"{source / path}: is listed more than once; keep one entry" for path in twice])
    return found


def _inspected(root: Path, found: Sequence[Found], settings: BuildSettings, threads: Threads) -> list[Facts]:
    facts = threads.map("pictures", lambda each: inspect(root, each, settings), found)
    faults = [fault for fact in facts for fault in fact.faults]
    if faults:
        raise DataFaultsError(faults)
    return facts


def sample_ids(found: Sequence[Found]) -> list[str]:
    """Return `<category>/<relative path without suffix>` in safe characters; names that clash get a short hash."""
    plain = [_safe(f"{each.category}/{_below_category(each)}") for each in found]
    taken = Counter(name.casefold() for name in plain)
    return [
        name if taken[name.casefold()] == 1 else f"{name}-{sha256(each.image.as_posix().encode()).hexdigest()[:8]}"
        for name, each in zip(plain, found, strict=True)
    ]


def _below_category(found: Found) -> str:
    parts = found.image.with_suffix("").parts
    return "/".join(parts[1:] if parts[0] == found.category and len(parts) > 1 else parts)


def _safe(name: str) -> str:
    return re.sub(r"[^\w./-]", "_", name)


def _sample(way: Path, facts: Facts, id_: str) -> Sample:
    """Return a picture's sample; `way` leads from the manifest's folder to the source."""
    found = facts.found
    masks = tuple((way / mask).as_posix() for mask in found.masks) if facts.boxes else ()
    return Sample(
        id=id_,
        image=(way / found.image).as_posix(),
        width=facts.width,
        height=facts.height,
        label=facts.label,
        category=found.category,
        defect=found.defect,
        mask=masks if len(masks) > 1 else masks[0] if masks else None,
        boxes=facts.boxes,
        split="train",
        sha256=facts.sha256,
        box_ratio=facts.box_ratio,
        tight=facts.tight,
    )


def _split(
    source: Path, layout: Layout, facts: Sequence[Facts], samples: list[Sample], settings: BuildSettings
) -> tuple[list[Sample], list[str]]:
    """Return the samples with their split and group, and notes for the user."""
    groups, notes = _groups(source, facts, settings.group_by)
    items = [
        split.Item(s.id, s.label, _strata(s), s.sha256, group, fact.found.split)
        for s, group, fact in zip(samples, groups, facts, strict=True)
    ]
    clashes = split.contradictions(items)
    if clashes:
        raise DataFaultsError(
            [f"{source}: {a} and {b} are the same picture with opposite labels; remove one" for a, b in clashes]
        )
    copies = len(items) - len({item.sha256 for item in items})
    notes += [f"{copies} pictures are copies of others; copies stay in one split"] if copies else []
    chosen = _assigned(source, layout, items, settings)
    placed = [replace(s, split=chosen.splits[s.id], group=group) for s, group in zip(samples, groups, strict=True)]
    return placed, [*notes, *chosen.notes]


def _strata(sample: Sample) -> tuple[str, ...]:
    place = f"{sample.category}/{sample.label}"
    return f"{place}/{sample.defect or ''}", place, sample.label


def _assigned(source: Path, layout: Layout, items: Sequence[split.Item], settings: BuildSettings) -> split.Assignment:
    has_official = any(item.official for item in items)
    rule = settings.split or ("official" if has_official else "fractions")
    if rule == "fractions":
        total = sum(settings.shares)
        if abs(total - 1) > 1e-6:
            raise ConfigError(f"--shares: train, validation and test must add up to 1, not {total:g}")
        names: tuple[Split, ...] = ("train", "validation", "test")
        return split.fractions(items, dict(zip(names, settings.shares, strict=True)), settings.seed)
    if not has_official:
        raise DataError(f"{source}: the layout '{layout.NAME}' has no split of its own; use --split fractions")
    held = split.Held(settings.validation, settings.validation_normals)
    if rule == "official":
        return split.official(items, held, settings.seed)
    return split.labelled(items, settings.labelled_fraction, held, settings.seed)


def _groups(source: Path, facts: Sequence[Facts], pattern: str | None) -> tuple[list[str | None], list[str]]:
    """Return every picture's group: the layout's own, else the first capture group of the pattern in its file stem."""
    own = [fact.found.group and f"{fact.found.category}/{fact.found.group}" for fact in facts]
    if pattern is None:
        return own, []
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--group-by '{pattern}': is not a regular expression ({error})") from error
    if compiled.groups < 1:
        raise ConfigError(f"--group-by '{pattern}': needs a capture group, as in '^([0-9]+)'")
    matches = [compiled.search(fact.found.image.stem) for fact in facts]
    named = [f"{f.found.category}/{m[1]}" if m and m[1] else None for m, f in zip(matches, facts, strict=True)]
    if not any(named):
        raise DataError(
            f"{source}: --group-by '{pattern}' fits no file name; the pattern is searched in names without suffix"
        )
    groups = [first or second for first, second in zip(own, named, strict=True)]
    missing = groups.count(None)
    return groups, [f"{missing} pictures fit no --group-by group and stand alone"] if missing else []


def _doubts(facts: Iterable[Facts]) -> Iterator[str]:
    """One line per kind of doubt: how many pictures, and the first few names."""
    named: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        for doubt in fact.doubts:
            named[doubt].append(fact.found.image.as_posix())
    for doubt, names in sorted(named.items()):
        yield f"{doubt}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _unmasked(found: Sequence[Found]) -> Iterator[str]:
    """A folder where some pictures have masks and some have none is more often an accident than an intention."""
    folders: dict[Path, list[bool]] = defaultdict(list)
    for each in found:
        if each.label == "anomalous":
            folders[each.image.parent].append(bool(each.masks or each.boxes))
    for folder, masked in sorted(folders.items()):
        if any(masked) and not all(masked):
            yield f"{folder.as_posix()}: {masked.count(False)} of {len(masked)} pictures have no mask, the others do"
