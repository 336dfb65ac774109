"""What a run meets and goes on from: images that cannot be read any more, rewards that raise. Recorded and counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from adfm.errors import DataError, ImageError
from adfm.storage import Journal, encode_line, read_jsonl, writing
from adfm.training.examples import Example, Source

INCIDENTS = "incidents.jsonl"
MOST_UNREADABLE = 0.1
"""Share of the training images that may be unreadable before the run stops. One image may always be."""


class Incidents:
    """`incidents.jsonl` of a run: one row per distinct incident. Every process of the run may append to it."""

    def __init__(self, run: Path) -> None:
        self._path = run / INCIDENTS
        self._known = {encode_line(row) for row in self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return every distinct incident so far. A line that a kill cut off is left out."""
        rows = read_jsonl(self._path, torn_tail=True) if self._path.is_file() else []
        return list({encode_line(row): row for row in rows}.values())

    def note(self, kind: str, **what: str) -> None:
        """Record an incident, unless this process knows of it already."""
        line = encode_line({"incident": kind, **what})
        if line in self._known:
            return
        self._known.add(line)
        with writing(self._path):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(handle, line.encode(errors="replace"))
            finally:
                os.close(handle)

    def counts(self) -> dict[str, int]:
        """Return how many distinct incidents of each kind there were."""
        kinds = [row["incident"] for row in self.rows()]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def begin(run: Path, *, fresh: bool) -> None:
    """Let a run start without incidents, or go on after those that it has, without a line that a kill cut off."""
    path = run / INCIDENTS
    if fresh:
        path.unlink(missing_ok=True)
    elif path.is_file():
        Journal(path, fresh=False).close()


def with_image(example: Example) -> Example:
    """Return an example whose image is decoded."""
    image = example.image()
    return Example(example.sample, lambda: image)


class Readable:
    """A source whose unreadable images stay out for the rest of the run, resumes included.

    In the place of such an example comes the next readable one with the same label, so that every row of a group and every
    resume sees the same. An image that was replaced by another one is not skipped: nobody knows what its label would be.
    """

    def __init__(self, source: Source, incidents: Incidents) -> None:
        self._source, self._incidents = source, incidents
        self._out = {row["image"] for row in incidents.rows() if row["incident"] == "image"}

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        """Return an example whose image is decoded.

        Raises:
            DataError: too many images cannot be read, or an image was replaced.
        """
        example = first = self._source[index]
        for offset in range(len(self)):
            if offset:
                example = self._source[(index + offset) % len(self)]
            name = example.sample.image
            if example.sample.label != first.sample.label or name in self._out:
                continue
            try:
                return with_image(example)
            except ImageError as error:
                self._leave_out(name, str(error))
        raise DataError(
            f"no training image with the label '{first.sample.label}' can be read any more; restore them and resume"
        )

    def _leave_out(self, name: str, reason: str) -> None:
        self._out.add(name)
        self._incidents.note("image", image=name, reason=reason)
        images = len({self._source[index].sample.image for index in range(len(self))})
        if len(self._out) > max(1, MOST_UNREADABLE * images):
            raise DataError(
                f"{reason}; {len(self._out)} of {images} training images cannot be read any more: restore them and resume "
                f"with --resume"
            )
