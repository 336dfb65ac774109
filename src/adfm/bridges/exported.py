"""A sample as another tool gets it (image file, prompt, truth, canonical answer), and rows as the bytes of files.

A lone surrogate becomes a question mark in every file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from adfm.errors import UserError
from adfm.geometry import Box
from adfm.reasoning import Question, task_named
from adfm.records import SPLITS, Sample, Split
from adfm.rewards.truth import Truth, truth_text
from adfm.storage import encode_line

IMAGE = "<image>"
"""Where verl, EasyR1 and ms-swift put the image. Names from a data set lose their angle brackets, so no other appears."""


@dataclass(frozen=True)
class Exported:
    """One sample to export.

    Attributes:
        sample: its manifest line.
        question: what is asked. Its image is an absolute path that any decoder shows as `adfm.images.load` does.
        focus: where a normal part's canonical answer points, in original pixels. None: the middle.
    """

    sample: Sample
    question: Question
    focus: Box | None = None

    @property
    def image(self) -> str:
        """The path of the image asked about."""
        return str(self.question.image)

    @property
    def marked_prompt(self) -> str:
        """The prompt with a mark for each image, in the order in which our own training shows them."""
        return "".join(part if isinstance(part, str) else IMAGE for part in self.question.parts)

    @property
    def truth(self) -> str:
        """The text that our rewards read."""
        return truth_text(Truth(self.sample, self.question.frame, self.question.protocol))

    @property
    def answer(self) -> str:
        """The canonical answer, with boxes in the question's frame."""
        protocol = self.question.protocol
        return task_named(protocol.task).target(self.sample, self.question.frame, protocol, self.focus)


def by_split(items: Iterable[Exported]) -> dict[Split, list[Exported]]:
    """Return the samples of each split that has some, in the order train, validation, test."""
    parts: dict[Split, list[Exported]] = {split: [] for split in SPLITS}
    for item in items:
        parts[item.sample.split].append(item)
    return {split: part for split, part in parts.items() if part}


def parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a Parquet file of rows with equal keys. Lists and dictionaries become lists and structs.

    Raises:
        UserError: pyarrow is not installed. It comes with the `model` extra.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("Parquet needs pyarrow, which is not installed; pip install 'adfm[model]'") from error
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist([json.loads(json_file(row)) for row in rows]), buffer)
    return buffer.getvalue()


def json_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a JSON-lines file."""
    return "".join(map(encode_line, rows)).encode("utf-8", "replace")


def json_file(value: dict[str, Any]) -> bytes:
    """Return a JSON file on one line."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
