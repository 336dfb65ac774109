"""Reads and writes `manifest.jsonl`, the one form in which every later stage meets a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from adfm import images
from adfm.data.contract import LineError, sample_from_json, sample_json
from adfm.data.faults import DataFaultsError, broken
from adfm.errors import DataError
from adfm.records import Sample, Split
from adfm.storage import encode_line, read_jsonl, sha256_bytes, write_jsonl

MANIFEST = "manifest.jsonl"
META = "manifest.meta.json"


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
        if sha256_bytes(content) != sample.sha256:
            raise DataFaultsError([broken("sha256-differs", path=path).at(self.root / MANIFEST)])
        return images.decode(content, str(path), sample.white)


def mask_paths(sample: Sample) -> tuple[str, ...]:
    """Return the paths of a sample's masks as the manifest has them: none, one or several."""
    return (sample.mask,) if isinstance(sample.mask, str) else sample.mask or ()


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write a manifest atomically."""
    write_jsonl(path, map(sample_json, samples))


def manifest_path(path: Path) -> Path:
    """Accept a manifest file or the folder that holds one."""
    return path / MANIFEST if path.is_dir() else path


def read_manifest(path: Path | str) -> Manifest:
    """Read a manifest file, or the one in a folder; stops at the first fault (`adfm data check` lists them all).

    Raises:
        DataError: the file is missing or not JSON lines.
        DataFaultsError: it is empty, a line breaks the contract, or two lines have one id.
    """
    file = manifest_path(Path(path))
    rows = read_jsonl(file)
    if not rows:
        raise DataFaultsError([broken("manifest-empty").at(file)])
    samples: dict[str, Sample] = {}
    for number, row in enumerate(rows, 1):
        try:
            sample = sample_from_json(row)
        except LineError as error:
            raise DataFaultsError([fault.at(file, number) for fault in error.faults]) from error
        if sample.id in samples:
            first = list(samples).index(sample.id) + 1
            raise DataFaultsError([broken("id-twice", id=sample.id, first=f"line {first}").at(file, number)])
        samples[sample.id] = sample
    return Manifest(file.parent, tuple(samples.values()))
