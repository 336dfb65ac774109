"""Images that are known to be bad: published mistakes by name, a user's own list by hash; no image is opened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from adfm.data.faults import Broken, broken
from adfm.errors import DataError
from adfm.records import Sample

_LINE = re.compile(r"(?P<sha256>[0-9a-fA-F]{64})(?:\s+\*?(?P<why>.*))?")


class BadName(NamedTuple):
    """Images of one category that a published set got wrong: the end of their path, and what is wrong with them.

    A corrected copy of the set has the same names as the first one, so a name is a reason to look, not a verdict.
    """

    category: str
    ending: re.Pattern[str]
    why: str


NAMES = (
    BadName(
        "pill",
        re.compile(r"(?:^|/)pill/image/good/0(?:[01]\d|2[01])\.[^/.]+$"),
        "in the first MMAD archive DS-MVTec/pill/image/good/000 to 021 are metal nuts; jam-cc/MMAD issues 15, 19, 21",
    ),
)


def read_known(path: Path) -> dict[str, str]:
    """Read a list of bad images, sha256 -> reason: the output of `sha256sum`, or any text behind each hash.

    Raises:
        DataError: the file cannot be read, or a line does not begin with 64 hexadecimal digits.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of hashes ({error})") from error
    known = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise DataError(f"{path}:{number}: must begin with a sha256 of 64 digits; write `sha256sum` lines")
            known[match["sha256"].lower()] = match["why"] or path.name
    return known


def known_faults(sample: Sample, place: Path, digest: str, known: Mapping[str, str]) -> Iterator[Broken]:
    """Yield why an image is known, or likely, to be bad; `digest` is the sha256 of its file as it is now."""
    if digest in known:
        yield broken("known-bad", path=place, why=known[digest])
    for bad in NAMES:
        if sample.category == bad.category and bad.ending.search(sample.image):
            yield broken("known-bad-name", path=place, why=bad.why)
