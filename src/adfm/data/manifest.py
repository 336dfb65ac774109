"""`manifest.jsonl` in and out: the one form in which every later stage meets a data set (design section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from adfm.data.contract import LineError, sample_from_json, sample_json
from adfm.data.faults import Fault
from adfm.errors import DataError
from adfm.records import Sample, Split
from adfm.storage import read_jsonl, write_jsonl

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

    def image_path(self, sample: Sample) -> Path:
        """Where a sample's picture lies."""
        return self.root / sample.image


def mask_paths(sample: Sample) -> tuple[str, ...]:
    """Return the paths of a sample's masks as they stand in the manifest: none, one or several."""
    return (sample.mask,) if isinstance(sample.mask, str) else sample.mask or ()


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write a manifest atomically."""
    write_jsonl(path, map(sample_json, samples))


def manifest_path(path: Path) -> Path:
    """Accept a manifest file or the folder that holds one."""
    return path / MANIFEST if path.is_dir() else path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file, or the one in a folder; stops at the first fault (`adfm data check` lists them all).

    Raises:
        DataError: missing, empty, or a line that breaks the contract.
    """
    file = manifest_path(path)
    rows = read_jsonl(file)
    if not rows:
        raise DataError(f"{file}: holds no sample; run `adfm data build` first")
    samples: dict[str, Sample] = {}
    for number, row in enumerate(rows, 1):
        try:
            sample = sample_from_json(row)
        except LineError as error:
            code, rule = error.faults[0]
            raise DataError(str(Fault(code, str(file), number, rule))) from error
        if sample.id in samples:
            raise DataError(f"{file}:{number}: id '{sample.id}' is used twice; ids must be unique")
        samples[sample.id] = sample
    return Manifest(file.parent, tuple(samples.values()))
