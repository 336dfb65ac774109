"""`adfm data check`: every fault of a manifest, its pictures and its masks in one pass; it changes nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from adfm import images
from adfm.config import make_settings
from adfm.data.inspect import LOSSY, united_mask
from adfm.data.manifest import META, manifest_path, mask_paths, row_faults, sample_from_json
from adfm.data.meta import counts
from adfm.data.settings import BuildSettings
from adfm.data.threads import Progress, Threads
from adfm.data.tile import tight
from adfm.errors import DataError, UserError, nearest
from adfm.geometry import boxes_from_mask
from adfm.records import Sample
from adfm.storage import read_json, sha256_file

Level = Literal["fault", "warning"]
Extra = Callable[[Sample], list[str]]

_FIELDS = tuple(field.name for field in fields(Sample))


@dataclass(frozen=True)
class Fault:
    """One broken rule: `rule` says what and how to mend it; a `warning` does not forbid the use of the manifest."""

    file: str
    line: int | None
    rule: str
    level: Level = "fault"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {'warning: ' if self.level == 'warning' else ''}{self.rule}"


class _Line(NamedTuple):
    number: int
    sample: Sample


@dataclass(frozen=True)
class _Context:
    """The manifest, the folders its pictures may lie in, and how its boxes were made (None: unknown)."""

    file: Path
    roots: tuple[Path, ...] | None
    settings: BuildSettings | None
    more: Extra | None

    def fault(self, line: int | None, rule: str, level: Level = "fault") -> Fault:
        return Fault(str(self.file), line, rule, level)


def check(path: Path, *, extra: Extra | None = None, progress: Progress | None = None) -> list[Fault]:
    """Return every fault and warning of a manifest (or of the one in a folder), in the order of its lines.

    `extra` names more faults of a readable sample, such as a canonical answer that does not earn full marks.
    """
    file = manifest_path(path)
    rows, faults = _rows(file)
    if not rows and not faults:
        return [Fault(str(file), None, "holds no sample; run `adfm data build` first")]
    context, meta_faults = _context(file, extra)
    lines: list[_Line] = []
    for number, row in rows:
        broken = _unknown(row) + row_faults(row)
        faults += [context.fault(number, rule) for rule in broken]
        if not row_faults(row):
            lines.append(_Line(number, sample_from_json(row)))
    for found in Threads(progress=progress).map("samples", lambda line: list(_sample_faults(context, line)), lines):
        faults += found
    faults += _across(context, lines)
    return [*sorted(faults, key=lambda fault: fault.line or 0), *meta_faults, *_overview(context, lines)]


def _rows(file: Path) -> tuple[list[tuple[int, dict[str, Any]]], list[Fault]]:
    """Read every line that is a JSON object; the others are faults."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [], [Fault(str(file), None, f"cannot be read as text ({error}); run `adfm data build` first")]
    rows, faults = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = _object(line)
            if row is None:
                faults.append(Fault(str(file), number, "is not a JSON object; remove the line or build again"))
            else:
                rows.append((number, row))
    return rows, faults


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unknown(row: dict[str, Any]) -> list[str]:
    names = (name for name in row if name not in _FIELDS)
    return [f"unknown field '{name}'{nearest(name, _FIELDS)}; remove or rename it" for name in names]


def _context(file: Path, extra: Extra | None) -> tuple[_Context, list[Fault]]:
    """Read the meta file; without it paths and boxes cannot be judged, which is a warning."""
    try:
        meta = read_json(file.parent / META)
        if not (
            isinstance(meta, dict) and isinstance(meta.get("source"), str) and isinstance(meta.get("settings"), dict)
        ):
            raise DataError(f"{file.parent / META}: must name 'source' and 'settings'; build the manifest again")
        settings = make_settings(BuildSettings, meta["settings"], str(file.parent / META))
    except UserError as error:
        doubt = Fault(str(file), None, f"{error}; where pictures may lie and how boxes were made is unknown", "warning")
        return _Context(file, None, None, extra), [doubt]
    roots = (file.parent.resolve(), (file.parent / meta["source"]).resolve())
    return _Context(file, roots, settings, extra), []


def _sample_faults(context: _Context, line: _Line) -> Iterator[Fault]:
    sample = line.sample
    escaping = [path for path in (sample.image, *mask_paths(sample)) if not _inside(context, path)]
    for path in escaping:
        yield context.fault(line.number, f"'{path}' leads outside the source and the manifest's folder; move the file")
    if not escaping:
        yield from (context.fault(line.number, rule) for rule in _image_faults(context, sample))
        yield from _mask_faults(context, line)
    if context.more:
        yield from (context.fault(line.number, rule) for rule in context.more(sample))


def _inside(context: _Context, path: str) -> bool:
    place = (context.file.parent / path).resolve()
    return context.roots is None or any(place.is_relative_to(root) for root in context.roots)


def _image_faults(context: _Context, sample: Sample) -> Iterator[str]:
    path = context.file.parent / sample.image
    try:
        width, height = images.decoded_size(path)
        changed = sha256_file(path) != sample.sha256
    except (DataError, OSError) as error:
        yield str(error)
        return
    if changed:
        yield f"{path}: has changed since the manifest was built (sha256 differs); build it again"
    if (width, height) != (sample.width, sample.height):
        yield f"{path}: is {width} x {height}, the manifest says {sample.width} x {sample.height}; build it again"


def _mask_faults(context: _Context, line: _Line) -> Iterator[Fault]:
    sample = line.sample
    paths = [context.file.parent / path for path in mask_paths(sample)]
    if not paths:
        return
    if any(path.suffix.lower() in LOSSY for path in paths):
        yield context.fault(line.number, "a mask is a JPEG, whose noise counts as defect; export it as PNG", "warning")
    try:
        mask = united_mask(paths, sample.width, sample.height)
    except DataError as error:
        yield context.fault(line.number, str(error))
        return
    if not sample.anomalous and mask.any():
        yield context.fault(line.number, "is normal but its mask marks a defect; mend the label or the mask")
    elif sample.anomalous and not _boxes_agree(context.settings, sample, mask):
        yield context.fault(line.number, "boxes are not what the mask gives; build again, or drop the mask", "warning")


def _boxes_agree(settings: BuildSettings | None, sample: Sample, mask: Any) -> bool:
    """Whether the boxes follow from the mask: those of a tile are tight around what it shows, others are made anew."""
    if settings is None:
        return True
    if settings.tile is not None:
        return all(tight(mask, box) == box for box in sample.boxes or ())
    ratio = settings.dilate if sample.box_ratio is None else sample.box_ratio
    made = boxes_from_mask(mask, ratio=ratio, min_area=settings.min_area, max_boxes=settings.max_boxes)
    return (sample.boxes or ()) == made.boxes


def _across(context: _Context, lines: Sequence[_Line]) -> Iterator[Fault]:
    """Rules that hold between samples; the later line carries the fault."""
    for first, line in _clashes(lines, lambda s: s.id, lambda _: object()):
        yield context.fault(line.number, f"id '{line.sample.id}' is also line {first}; ids must be unique")
    for first, line in _clashes(lines, lambda s: s.sha256, lambda s: s.label):
        yield context.fault(line.number, f"is the same picture as line {first} with the opposite label; remove one")
    for first, line in _clashes(lines, lambda s: s.sha256, lambda s: s.split):
        yield context.fault(line.number, f"is the same picture as line {first} in another split; keep one of them")
    for first, line in _clashes(lines, lambda s: s.group, lambda s: s.split):
        rule = f"group '{line.sample.group}' is in another split on line {first}; a group is never split"
        yield context.fault(line.number, rule)


def _clashes(
    lines: Iterable[_Line], key: Callable[[Sample], str | None], value: Callable[[Sample], object]
) -> Iterator[tuple[int, _Line]]:
    """Yield (first line, line) where a key met before has another value."""
    seen: dict[str, tuple[int, object]] = {}
    for line in lines:
        name = key(line.sample)
        if name is None:
            continue
        number, known = seen.setdefault(name, (line.number, value(line.sample)))
        if number != line.number and known != value(line.sample):
            yield number, line


def _overview(context: _Context, lines: Sequence[_Line]) -> Iterator[Fault]:
    """What a manifest as a whole lacks; none of it forbids every use, so these are warnings."""
    labels: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        labels[line.sample.split].add(line.sample.label)
    for split in ("train", "test"):
        for label in ("normal", "anomalous"):
            if label not in labels[split]:
                fix = "`adfm data build --split labelled` or `fractions` gives it some"
                yield context.fault(None, f"the {split} split holds no {label} sample; {fix}", "warning")
    try:
        meta = read_json(context.file.parent / META)
    except DataError:
        return
    if isinstance(meta, dict) and meta.get("counts") != counts([line.sample for line in lines]):
        yield Fault(str(context.file.parent / META), None, "counts are not the manifest's; build it again", "warning")
