"""Every type of fault of a data set: a stable code, the rule, the fix and the level; and many faults raised at once.

The table is data: `docs/data-check.md` and `adfm data check --list` are printed from it. `adfm data build` finds the
faults of a source folder, `adfm data check` those of a manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

from adfm.errors import DataError

Level = Literal["fault", "warning"]
_MAX_CHARACTERS = 400  # of a value that came from a file


@dataclass(frozen=True)
class Kind:
    """One type of fault; `rule` has the details of a finding in braces. A `warning` does not forbid the use."""

    part: str
    code: str
    level: Level
    rule: str
    fix: str


@dataclass(frozen=True)
class Fault:
    """One finding: what (`code`, `rule`) and where; `line` counts from 1, None where the whole file is meant."""

    code: str
    file: str
    line: int | None
    rule: str

    @property
    def level(self) -> Level:
        """Whether it forbids the use of the data."""
        return KINDS[self.code].level

    @property
    def fix(self) -> str:
        """What to do about it."""
        return KINDS[self.code].fix

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {'warning: ' if self.level == 'warning' else ''}[{self.code}] {self.rule}; {self.fix}"


class Broken(NamedTuple):
    """A broken rule with its details filled in, not yet placed in a file."""

    code: str
    rule: str

    def at(self, file: Path, line: int | None = None) -> Fault:
        """Return the fault of a file, or of one of its lines."""
        return Fault(self.code, str(file), line, self.rule)


class DataFaultsError(DataError):
    """Every fault that one pass over a data set found, at least one; the message is the first of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}")


def broken(code: str, **details: object) -> Broken:
    """Fill the details into the rule of a code; each becomes printable text that is short enough for one line."""
    texts = {name: f"{value!s:.{_MAX_CHARACTERS}}" for name, value in details.items()}
    printable = {name: "".join(c if c.isprintable() else " " for c in text) for name, text in texts.items()}
    return Broken(code, KINDS[code].rule.format(**printable))


# The parts of a data set and, below each, its types of fault: code | level | rule | fix.
_TABLE = """
The source folder
source-missing | fault | is not a folder | give the folder that holds the images
layout-unknown | fault | has no known layout (known: {known}) | arrange its folders as one of these
layout-ambiguous | fault | fits several layouts ({names}) | name one with --layout
layout-differs | fault | does not have the layout '{name}', which is {shape} | name another one, or none
source-empty | fault | holds no images in the layout '{name}', which is {shape} | check the names of its folders
split-none | fault | the layout '{name}' has no split of its own | use --split fractions
group-none | fault | --group-by '{pattern}' fits no file name | the pattern is searched in names without suffix
image-twice | fault | {path}: is listed more than once | keep one entry
label-undecided | fault | {path}: has no mask, and only a mask decides its label | restore the mask, or remove the image
folder-unread | fault | holds {count} images that are not read ({first}): {why} | rename the folder, or move it away
folder-link | fault | is a link to a folder, which is not followed | put the folder itself there
folder-unreadable | fault | cannot be read ({why}) | give the right to read it
file-unread | fault | {path}: a {suffix} file is not read | convert it to PNG, or move it away
class-empty | fault | holds {count} files and no image | convert them to PNG, or remove the folder
category-mixed | fault | holds parts of its own and the category '{name}' | put each category into its own folder
split-partial | fault | {count} images are in no split ({first}), the others are | put each into the folder of a split
name-twice | fault | has the name of {other}, so a mask would fit both | rename one; if it is a mask, put it in masks/
mask-ambiguous | fault | fits several images named {name} | put masks in folders named as theirs
mask-unpaired | fault | is a mask by its name or folder, and fits no image | name it as its image, or remove it
mask-twice | fault | is a second mask of the image of {other} | remove one, or number them: _mask_1, _mask_2
mask-of-two | fault | is the mask of {first} and of {second} | a mask belongs to one image

Lists of images in the source
list-unreadable | fault | cannot be read ({why}) | export it again
list-shape | fault | does not have its format's shape: {why} | export it again
list-field | fault | every item needs {what} | add it to the list
list-entry | fault | {entry}: {why} | correct or remove it
list-image-unknown | fault | no image has the id {id} | remove its annotations
list-id-twice | fault | several {what} have the id {id} | give each its own: lists that are joined need new ids
list-path-ambiguous | fault | '{name}' fits several files ({places}) | name its folder
list-no-normal | fault | no image is normal, so its classes ({names}) may not all be defects | name a class normal, or give labels 0 and 1
list-annotators | fault | {entry}: {count} annotators disagree | choose by --annotators any, all or first
list-column | fault | the column '{name}' seems to say what is defective, and is not read | rename or remove it
boxes-corners | fault | its boxes reach over the borders as [x, y, width, height], and fit as [x1, y1, x2, y2] | write width and height

The manifest
manifest-unreadable | fault | cannot be read ({why}) | run `adfm data build` first
manifest-encoding | fault | is not UTF-8 text (byte {byte}) | save it as UTF-8
manifest-bom | fault | begins with a byte order mark | save it as UTF-8 without one
manifest-empty | fault | holds no sample | run `adfm data build` first

A line
line-json | fault | is not JSON ({why}) | remove the line or build again
line-long | fault | has {length} bytes, more than {most} | remove the line or build again
line-object | fault | is not a JSON object | write one sample a line, in braces
key-twice | fault | names '{name}' twice, and only one can count | remove one of them
field-unknown | fault | unknown field '{name}'{hint} | remove or rename it
field-missing | fault | '{name}' is missing | add it or build again
field-type | fault | '{name}' must be {kind} | correct the value or build again
field-long | fault | '{name}' holds {count} entries, more than {most} | build again with a larger --dilate
text-control | fault | '{name}' holds a control character or half a character | rename it
label-unknown | fault | 'label' must be one of {known} | correct the label
split-unknown | fault | 'split' must be one of {known} | correct the split
size-limit | fault | {width} x {height} is over {limit} pixels | tile or shrink the image
size-aspect | warning | {width} x {height} is longer than {most} : 1 | no model reads it: tile it
sha256-malformed | fault | 'sha256' must be 64 digits of 0-9 and a-f | build the manifest again
defect-on-normal | fault | a normal sample must have no defect | correct the label or the defect
gold-marks | fault | cannot earn full marks: {why} | the boxes or the label are not usable for training

Paths
path-absolute | fault | path '{path}' must be relative and must not name a drive | build the manifest again
path-text | fault | path '{path}' cannot be the name of a file | rename the file
path-backslash | warning | path '{path}' holds a backslash | write / between folders
path-outside | fault | '{path}' leads outside the folders that may hold it | move the file, or name it by a path inside
link-outside | fault | '{path}' is a link, or is behind one, that leads outside | put the file there

Images
image-missing | fault | {path}: no such file | put it back or build again
image-unreadable | fault | {path}: is not a readable file ({why}) | replace or remove it
image-empty | fault | {path}: has 0 bytes | replace or remove it
image-format | fault | {path}: {why} | convert it
image-damaged | fault | {path}: is damaged or cut off | replace or remove it
image-limit | fault | {path}: is over {limit} pixels | tile or shrink it
image-suffix | warning | {path}: holds {format}, its name says otherwise | rename it
image-frames | fault | {path}: holds several images or frames | save the one that counts alone
image-values | fault | {path}: {why} | save it with 8 bits, or give the right --white
image-previews | warning | {path}: holds a smaller copy or a gain map behind the image, which is not read | none is needed
image-depth | warning | {path}: has over 8 bits a channel ({mode}) | 8 bits will be read
image-colours | warning | {path}: has {mode} colours, read without their profile | save it as RGB
image-alpha | warning | {path}: has a transparency channel, and white shows through | save it without
image-uniform | warning | {path}: has one colour all over | remove it, if the part cannot be seen
image-size | fault | {path}: is {width} x {height}, {origin} says {listed_width} x {listed_height} | build again, or correct the list
image-rotated | fault | {path}: EXIF rotates it to {width} x {height}, the manifest has the size before | build again
sha256-differs | fault | {path}: has changed since the manifest was built (sha256) | build the manifest again
known-bad | fault | {path}: is on a list of known bad images ({why}) | remove it from the set
known-bad-name | warning | {path}: has the name of a known bad image ({why}) | look at it, remove it if so

Masks
mask-missing | fault | {path}: no such file (a mask) | put it back or build again
mask-unreadable | fault | {path}: cannot be read as a mask ({why}) | export it again as PNG
mask-unclear | fault | {path}: {why}, so nobody can tell what it marks | save it as grey: 0 for what is sound, 255 for the defect
mask-marks | fault | {path}: has more than {most} separate marks | remove its noise, or export it again
mask-size | fault | {path}: mask is {width} x {height}, its image {image_width} x {image_height} | export it at the image's size
mask-is-image | fault | '{path}' is given as the image and as its mask | name the mask
mask-on-normal | fault | is normal but its mask marks a defect | correct the label or the mask
mask-empty | warning | is anomalous but its mask marks nothing | draw it, or set it to null
mask-inverted | warning | mask covers {share} of the image | if it is inverted, export it again
mask-lossy | warning | {path}: a mask is a JPEG; what is brighter than {cut} counts as defect | export it as PNG
mask-colour | warning | {path}: mask has colours; all but black is defect | export it as grey
mask-soft | warning | {path}: mask has over {most} grey levels; all above {cut} is defect | export it with hard edges
mask-orientation | warning | {path}: mask has another EXIF orientation than its image | see that it covers the image as shown
mask-shared | warning | '{path}' is also the mask of line {first} | a mask belongs to one image

Boxes
boxes-type | fault | 'boxes' must be a list or null | correct the value or build again
box-malformed | fault | box {box} must be four whole numbers [x1, y1, x2, y2] | build the manifest again
box-empty | fault | box {box} needs x1 < x2 and y1 < y2 | [x, y, width, height] is not the form here
box-outside | fault | box {box} must be inside {width} x {height} | correct the box or build again
boxes-on-normal | fault | a normal sample must have no boxes | correct the label or the boxes
boxes-empty | fault | an anomalous sample must have boxes, or null where they are unknown | correct the label or the boxes
box-twice | warning | box {box} is given twice | remove one of them
boxes-unsorted | warning | boxes are not sorted by (y1, x1, y2, x2) | sort them or build again
boxes-many | warning | has {count} boxes, more than {most} | build again with a larger --dilate
boxes-null | warning | boxes are null though a mask marks the defect | build the manifest again
boxes-differ | warning | boxes are not what the mask gives | build again, or drop the mask

Between samples
id-twice | fault | id '{id}' is also {first} | ids must be unique
id-case | warning | id '{id}' differs from {first} in its case alone | rename one
same-picture-labels | fault | is the same image as {first} with the opposite label | remove one
same-picture-splits | fault | is the same image as {first} in another split | keep one of them
same-picture | warning | is the same image as {first} | it counts twice: remove one
same-pixels-splits | fault | has the pixels of {first} in another split ({turn}) | keep one of them
near-duplicate | warning | looks like line {first} in another split ({turn}, {distance} grey levels off) | keep both in one, or --group-by
group-splits | fault | group '{group}' is in another split on {first} | a group is never split
name-variants | warning | {field} '{name}' differs from '{other}' (line {first}) in case or spaces alone | use one name

The set as a whole
split-empty | warning | the {split} split holds no sample | `adfm data build --split fractions` gives it some
split-one-label | warning | the {split} split holds no {label} sample | `adfm data build --split labelled` or `fractions` gives it some
category-untested | warning | category '{category}' is in train and not in test | nothing will measure it: build with another split
category-untrained | warning | category '{category}' is in test and not in train | build with another split, unless that is the question
defect-unnamed | warning | {count} anomalous samples of '{category}' have no defect type | name it for metrics by defect type

The meta file
meta-missing | warning | is missing, so less can be checked | build the manifest again
meta-unreadable | warning | cannot be read as a JSON object ({why}) | build the manifest again
meta-source | warning | 'source' must name a folder, so paths are unchecked | build the manifest again
meta-settings | warning | {why}; how boxes were made is unknown | build the manifest again
meta-counts | warning | counts are not the manifest's | build the manifest again
"""

KINDS: dict[str, Kind] = {
    kind.code: kind
    for part, *rows in (section.splitlines() for section in _TABLE.strip().split("\n\n"))
    for kind in (Kind(part, *cast("tuple[str, Level, str, str]", row.split(" | "))) for row in rows)
}
