"""Reads and writes `manifest.jsonl`, the one form in which every later stage meets a data set."""

from __future__ import annotations

import json
import stat
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from adfm import images
from adfm.data.contract import LineError, sample_from_json, sample_json
from adfm.data.faults import Broken, DataFaultsError, broken
from adfm.errors import DataError
from adfm.records import Sample, Split
from adfm.storage import encode_line, regular_file, sha256_bytes, write_jsonl

MANIFEST = "manifest.jsonl"
META = "manifest.meta.json"
MAX_LINE = 1 << 20  # bytes
MAX_BYTES = 1 << 30  # of a manifest: two million lines


class Manifest(NamedTuple):
    """The samples of a manifest and the folder that their paths are relative to."""

    root: Path
    samples: tuple[Sample, ...]

    def only(self, split: Split) -> Manifest:
        """Return the manifest of one split.

        Raises:
            DataError: the split holds no sample.
        """
        chosen = tuple(sample for sample in self.samples if sample.split == split)
        if not chosen:
            raise DataError(f"{self.root / MANIFEST}: no sample is in the '{split}' split; build it with another split")
        return Manifest(self.root, chosen)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all samples as they are written. Another box makes another hash."""
        lines = "".join(encode_line(sample_json(sample)) for sample in self.samples)
        return sha256_bytes(lines.encode("utf-8", "replace"))

    @property
    def white(self) -> float | None:
        """The value that is white in images of more than 8 bits; None where there are none, or it is not the same in all."""
        levels = {sample.white for sample in self.samples if sample.white is not None}
        return levels.pop() if len(levels) == 1 else None

    def image_path(self, sample: Sample) -> Path:
        """Return the path of a sample's image file."""
        return self.root / sample.image

    def load(self, sample: Sample) -> Image.Image:
        """Decode a sample's image as `images.decode` does, from the bytes that the manifest was built from and no others.

        Raises:
            ImageError: it cannot be read or decoded.
            DataFaultsError: its file has other bytes than when the manifest was built.
        """
        path = self.image_path(sample)
        content = images.read(path)
        image = images.decode(content, str(path), sample.white)
        if sha256_bytes(content) != sample.sha256:
            raise DataFaultsError([broken("sha256-differs", path=path).at(self.root / MANIFEST)])
        return image


def mask_paths(sample: Sample) -> tuple[str, ...]:
    """Return the paths of a sample's masks as the manifest has them: none, one or several."""
    return (sample.mask,) if isinstance(sample.mask, str) else sample.mask or ()


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write a manifest atomically."""
    write_jsonl(path, map(sample_json, samples))


def manifest_path(path: Path) -> Path:
    """Accept a manifest file or the folder that holds one."""
    return path / MANIFEST if path.is_dir() else path


class Row(NamedTuple):
    """A line that is not blank: its number from 1, its JSON object (None: there is none), and its faults as JSON."""

    number: int
    content: dict[str, Any] | None
    faults: tuple[Broken, ...]


def manifest_rows(file: Path) -> Iterator[Row]:
    """Yield the lines of a manifest one by one, whatever they hold. No line of more than `MAX_LINE` bytes is parsed.

    Raises:
        DataFaultsError: the file as such cannot be read: missing, no regular file, over `MAX_BYTES`, not UTF-8, empty.
    """
    try:
        status = file.stat()
        why = "not a file" if not stat.S_ISREG(status.st_mode) else "too large" if status.st_size > MAX_BYTES else None
        if why:  # opening a pipe would wait for ever
            raise DataFaultsError([broken("manifest-unreadable", why=why).at(file)])
        with regular_file(file) as lines:
            yield from _rows(file, lines)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataFaultsError([broken("manifest-unreadable", why=why).at(file)]) from error


def _rows(file: Path, lines: BinaryIO) -> Iterator[Row]:
    start, empty = 0, True
    for number in count(1):
        line = lines.readline(MAX_LINE + 1)
        if not line:
            break
        if number == 1 and line.startswith(BOM_UTF8):
            raise DataFaultsError([broken("manifest-bom").at(file)])
        length, whole = len(line), len(line) <= MAX_LINE
        while not whole and line and not line.endswith(b"\n"):  # the rest of a line that is too long
            line = lines.readline(MAX_LINE)
            length += len(line)
        try:
            text = line.decode() if whole else "{"
        except UnicodeDecodeError as error:
            raise DataFaultsError([broken("manifest-encoding", byte=start + error.start).at(file)]) from error
        start += length
        if text.strip():
            empty = False
            yield (
                _row(number, text) if whole else Row(number, None, (broken("line-long", length=length, most=MAX_LINE),))
            )
    if empty:
        raise DataFaultsError([broken("manifest-empty").at(file)])


def _row(number: int, line: str) -> Row:
    twice: list[str] = []
    try:
        row = json.loads(line, object_pairs_hook=lambda pairs: _object(pairs, twice), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Row(number, None, (broken("line-json", why=error),))
    if not isinstance(row, dict):
        return Row(number, None, (broken("line-object"),))
    return Row(number, row, tuple(broken("key-twice", name=name) for name in twice))


def _object(pairs: list[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice += [name for name, times in Counter(name for name, _ in pairs).items() if times > 1 and name not in twice]
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def read_manifest(path: Path | str) -> Manifest:
    """Read a manifest file, or the one in a folder; stops at the first fault (`adfm data check` lists them all).

    Raises:
        DataFaultsError: it cannot be read or is empty, a line breaks the contract, or two lines have one id.
    """
    file = manifest_path(Path(path))
    samples: dict[str, Sample] = {}
    numbers: dict[str, int] = {}
    for number, row, faults in manifest_rows(file):
        if row is None or faults:
            raise DataFaultsError([fault.at(file, number) for fault in faults])
        try:
            sample = sample_from_json(row)
        except LineError as error:
            raise DataFaultsError([fault.at(file, number) for fault in error.faults]) from error
        if sample.id in samples:
            first = f"line {numbers[sample.id]}"
            raise DataFaultsError([broken("id-twice", id=sample.id, first=first).at(file, number)])
        samples[sample.id], numbers[sample.id] = sample, number
    return Manifest(file.parent, tuple(samples.values()))
