"""Every kind of fault of a data set: a stable code, the rule, the fix and the level; and many faults raised at once.

The table is data: `docs/data-check.md` and `adfm data check --list` are printed from it. Finding faults is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from adfm.errors import DataError

Level = Literal["fault", "warning"]
_SHOWN = 400  # characters of a value that came from a file


@dataclass(frozen=True)
class Kind:
    """One kind of fault; `rule` names the details of a finding in braces. A `warning` does not forbid the use."""

    part: str
    code: str
    level: Level
    rule: str
    fix: str


class Broken(NamedTuple):
    """A broken rule with its details filled in, not yet placed in a file."""

    code: str
    rule: str


@dataclass(frozen=True)
class Fault:
    """One finding: what (`code`, `rule`) and where; `line` counts from 1, None where the whole file is meant."""

    code: str
    file: str
    line: int | None
    rule: str

    @property
    def level(self) -> Level:
        """Whether it forbids the use of the manifest."""
        return KINDS[self.code].level

    @property
    def fix(self) -> str:
        """What to do about it."""
        return KINDS[self.code].fix

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {'warning: ' if self.level == 'warning' else ''}[{self.code}] {self.rule}; {self.fix}"


class DataFaultsError(DataError):
    """Every fault that one pass over a data set found; `lines` holds one line per fault, never empty."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        more = f" (and {len(lines) - 1} more faults)" if len(lines) > 1 else ""
        super().__init__(f"{lines[0]}{more}")


def broken(code: str, **details: object) -> Broken:
    """Fill the details into a kind's rule; values are cut to a length that still fits on a line."""
    return Broken(code, KINDS[code].rule.format(**{name: f"{value!s:.{_SHOWN}}" for name, value in details.items()}))


_AGAIN = "build the manifest again"

_MANIFEST, _LINE, _PATH, _PICTURE = "The manifest", "A line", "Paths", "Pictures"
_MASK, _BOX, _BETWEEN, _SET, _META = "Masks", "Boxes", "Between samples", "The set as a whole", "The meta file"

_ALL = (
    Kind(_MANIFEST, "manifest-unreadable", "fault", "cannot be read ({why})", "run `adfm data build` first"),
    Kind(_MANIFEST, "manifest-encoding", "fault", "is not UTF-8 text (byte {byte})", "save it as UTF-8"),
    Kind(_MANIFEST, "manifest-bom", "fault", "begins with a byte order mark", "save it as UTF-8 without one"),
    Kind(_MANIFEST, "manifest-empty", "fault", "holds no sample", "run `adfm data build` first"),
    Kind(_LINE, "line-json", "fault", "is not JSON ({why})", "remove the line or build again"),
    Kind(_LINE, "line-object", "fault", "is not a JSON object", "write one sample a line, in braces"),
    Kind(_LINE, "key-twice", "fault", "names '{name}' twice, and only one can count", "remove one of them"),
    Kind(_LINE, "field-unknown", "fault", "unknown field '{name}'{hint}", "remove or rename it"),
    Kind(_LINE, "field-missing", "fault", "'{name}' is missing", "add it or build again"),
    Kind(_LINE, "field-type", "fault", "'{name}' must be {kind}", "mend the value or build again"),
    Kind(_LINE, "text-control", "fault", "'{name}' holds a control character or half a character", "rename it"),
    Kind(_LINE, "label-unknown", "fault", "'label' must be one of {known}", "mend the label"),
    Kind(_LINE, "split-unknown", "fault", "'split' must be one of {known}", "mend the split"),
    Kind(_LINE, "size-limit", "fault", "{width} x {height} is over {limit} pixels", "tile or shrink the picture"),
    Kind(_LINE, "size-aspect", "warning", "{width} x {height} is longer than {most} : 1", "no model reads it: tile it"),
    Kind(_LINE, "sha256-malformed", "fault", "'sha256' must be 64 digits of 0-9 and a-f", _AGAIN),
    Kind(_LINE, "defect-on-normal", "fault", "a normal sample must have no defect", "mend the label or the defect"),
    Kind(
        _LINE,
        "gold-marks",
        "fault",
        "cannot earn full marks: {why}",
        "the boxes or the label are not usable for training",
    ),
    Kind(_PATH, "path-absolute", "fault", "path '{path}' must be relative and must not name a drive", _AGAIN),
    Kind(_PATH, "path-text", "fault", "path '{path}' cannot be the name of a file", "rename the file"),
    Kind(_PATH, "path-backslash", "warning", "path '{path}' holds a backslash", "write / between folders"),
    Kind(
        _PATH, "path-outside", "fault", "'{path}' leads outside the source and the manifest's folder", "move the file"
    ),
    Kind(_PATH, "link-outside", "fault", "'{path}' is or lies behind a link that leads outside", "put the file there"),
    Kind(_PICTURE, "image-missing", "fault", "{path}: no such file", "put it back or build again"),
    Kind(_PICTURE, "image-unreadable", "fault", "{path}: is not a readable file ({why})", "replace or remove it"),
    Kind(_PICTURE, "image-empty", "fault", "{path}: has 0 bytes", "replace or remove it"),
    Kind(_PICTURE, "image-format", "fault", "{path}: is not a PNG, JPEG, BMP, TIFF or WebP picture", "convert it"),
    Kind(_PICTURE, "image-damaged", "fault", "{path}: is damaged or cut off", "replace or remove it"),
    Kind(_PICTURE, "image-limit", "fault", "{path}: is over {limit} pixels", "tile or shrink it"),
    Kind(_PICTURE, "image-suffix", "warning", "{path}: holds {format}, its name says otherwise", "rename it"),
    Kind(_PICTURE, "image-frames", "warning", "{path}: holds several frames, and the first counts", "save it alone"),
    Kind(_PICTURE, "image-depth", "warning", "{path}: has over 8 bits a channel ({mode})", "8 bits will be read"),
    Kind(
        _PICTURE, "image-colours", "warning", "{path}: has {mode} colours, read without their profile", "save it as RGB"
    ),
    Kind(
        _PICTURE,
        "image-alpha",
        "warning",
        "{path}: has a transparency channel, and white shows through",
        "save it without",
    ),
    Kind(
        _PICTURE, "image-uniform", "warning", "{path}: has one colour all over", "remove it, if the part cannot be seen"
    ),
    Kind(
        _PICTURE,
        "image-size",
        "fault",
        "{path}: is {width} x {height}, the manifest says {told_width} x {told_height}",
        _AGAIN,
    ),
    Kind(
        _PICTURE,
        "image-rotated",
        "fault",
        "{path}: its EXIF tag turns it to {width} x {height}, the manifest has the size before that",
        "sizes and boxes are those of the picture as shown: build again",
    ),
    Kind(_PICTURE, "sha256-differs", "fault", "{path}: has changed since the manifest was built (sha256)", _AGAIN),
    Kind(
        _PICTURE,
        "known-bad",
        "fault",
        "{path}: is on a list of known bad pictures ({why})",
        "remove it from the set",
    ),
    Kind(
        _PICTURE,
        "known-bad-name",
        "warning",
        "{path}: has the name of a known bad picture ({why})",
        "look at it, remove it if so",
    ),
    Kind(_MASK, "mask-missing", "fault", "{path}: no such file (a mask)", "put it back or build again"),
    Kind(_MASK, "mask-unreadable", "fault", "{path}: cannot be read as a mask ({why})", "export it again as PNG"),
    Kind(
        _MASK,
        "mask-size",
        "fault",
        "{path}: mask is {width} x {height}, its picture {told_width} x {told_height}",
        "export it at the picture's size",
    ),
    Kind(_MASK, "mask-is-image", "fault", "'{path}' is given as picture and as its mask", "name the mask"),
    Kind(_MASK, "mask-on-normal", "fault", "is normal but its mask marks a defect", "mend the label or the mask"),
    Kind(_MASK, "mask-empty", "warning", "is anomalous but its mask marks nothing", "draw it, or set it to null"),
    Kind(_MASK, "mask-inverted", "warning", "mask covers {share} of the picture", "if it is inverted, export it again"),
    Kind(_MASK, "mask-lossy", "warning", "{path}: a mask is a JPEG, whose noise counts as defect", "export it as PNG"),
    Kind(_MASK, "mask-colour", "warning", "{path}: mask has colours; all but black is defect", "export it as grey"),
    Kind(
        _MASK,
        "mask-soft",
        "warning",
        "{path}: mask has {levels} grey levels; all above 0 is defect",
        "export it with hard edges",
    ),
    Kind(
        _MASK,
        "mask-orientation",
        "warning",
        "{path}: mask has another EXIF orientation than its picture",
        "see that it lies on the picture as shown",
    ),
    Kind(_MASK, "mask-shared", "warning", "'{path}' is also the mask of line {first}", "a mask belongs to one picture"),
    Kind(_BOX, "boxes-type", "fault", "'boxes' must be a list or null", "mend the value or build again"),
    Kind(_BOX, "box-malformed", "fault", "box {box} must be four whole numbers [x1, y1, x2, y2]", _AGAIN),
    Kind(
        _BOX, "box-empty", "fault", "box {box} needs x1 < x2 and y1 < y2", "[x, y, width, height] is not the form here"
    ),
    Kind(_BOX, "box-outside", "fault", "box {box} must be inside {width} x {height}", _AGAIN),
    Kind(_BOX, "boxes-on-normal", "fault", "a normal sample must have no boxes", "mend the label or the boxes"),
    Kind(
        _BOX,
        "boxes-empty",
        "fault",
        "an anomalous sample must have boxes, or null where they are unknown",
        "mend the label or the boxes",
    ),
    Kind(_BOX, "box-twice", "warning", "box {box} is given twice", "remove one of them"),
    Kind(_BOX, "boxes-unsorted", "warning", "boxes are not sorted by (y1, x1, y2, x2)", "sort them or build again"),
    Kind(_BOX, "boxes-many", "warning", "has {count} boxes, more than {most}", "build again with a larger --dilate"),
    Kind(_BOX, "boxes-null", "warning", "boxes are null though a mask marks the defect", _AGAIN),
    Kind(_BOX, "boxes-differ", "warning", "boxes are not what the mask gives", "build again, or drop the mask"),
    Kind(_BETWEEN, "id-twice", "fault", "id '{id}' is also line {first}", "ids must be unique"),
    Kind(_BETWEEN, "id-case", "warning", "id '{id}' differs from line {first} in its case alone", "rename one"),
    Kind(
        _BETWEEN,
        "same-picture-labels",
        "fault",
        "is the same picture as line {first} with the opposite label",
        "remove one",
    ),
    Kind(
        _BETWEEN,
        "same-picture-splits",
        "fault",
        "is the same picture as line {first} in another split",
        "keep one of them",
    ),
    Kind(_BETWEEN, "same-picture", "warning", "is the same picture as line {first}", "it counts twice: remove one"),
    Kind(
        _BETWEEN,
        "near-duplicate",
        "warning",
        "looks like line {first} in another split (grey levels apart: {distance})",
        "put both in one split, or a --group-by",
    ),
    Kind(
        _BETWEEN,
        "group-splits",
        "fault",
        "group '{group}' is in another split on line {first}",
        "a group is never split",
    ),
    Kind(
        _BETWEEN,
        "name-variants",
        "warning",
        "{field} '{name}' differs from '{other}' (line {first}) in case or spaces alone",
        "use one name",
    ),
    Kind(
        _SET,
        "split-empty",
        "warning",
        "the {split} split holds no sample",
        "`adfm data build --split fractions` gives it some",
    ),
    Kind(
        _SET,
        "split-one-label",
        "warning",
        "the {split} split holds no {label} sample",
        "`adfm data build --split labelled` or `fractions` gives it some",
    ),
    Kind(
        _SET,
        "category-untested",
        "warning",
        "category '{category}' is in train and not in test",
        "nothing will tell how well it went: build with another split",
    ),
    Kind(
        _SET,
        "category-untrained",
        "warning",
        "category '{category}' is in test and not in train",
        "build with another split, unless that is the question",
    ),
    Kind(
        _SET,
        "defect-unnamed",
        "warning",
        "{count} anomalous samples of '{category}' have no name of their defect",
        "name it for metrics by kind of defect",
    ),
    Kind(_META, "meta-missing", "warning", "is missing, so less can be checked", _AGAIN),
    Kind(_META, "meta-unreadable", "warning", "cannot be read as a JSON object ({why})", _AGAIN),
    Kind(_META, "meta-source", "warning", "'source' must name a folder, so paths are unchecked", _AGAIN),
    Kind(_META, "meta-settings", "warning", "{why}; how boxes were made is unknown", _AGAIN),
    Kind(_META, "meta-counts", "warning", "counts are not the manifest's", _AGAIN),
)

KINDS = {kind.code: kind for kind in _ALL}
