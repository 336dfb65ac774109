"""One prompt: the images and texts that a model is shown, the frame of its boxes, and how its answer is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from adfm.errors import ConfigError
from adfm.geometry import Frame
from adfm.reasoning.protocol import DEFAULT, Protocol
from adfm.reasoning.tasks import read_answer, task_named
from adfm.records import Response
from adfm.storage import sha256_file

Shown = Image | Path
"""An RGB image, or the file that holds it where nothing is decoded (exports)."""


@dataclass(frozen=True)
class Question:
    """What one prompt shows and says.

    Attributes:
        parts: images and texts in the order in which the model meets them. The last image is the one asked about, the
            others are references.
        frame: the units in which boxes are written, on the image asked about.
        protocol: what is asked and how the answer is read.
    """

    parts: tuple[Shown | str, ...]
    frame: Frame
    protocol: Protocol = DEFAULT

    @property
    def images(self) -> tuple[Shown, ...]:
        """All images, in order."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def image(self) -> Shown:
        """The image asked about."""
        return self.images[-1]

    @property
    def text(self) -> str:
        """All texts, joined."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def sha256(self) -> str:
        """The SHA-256 of the texts and the reference images in their order. The image asked about is left out."""
        last = max((n for n, part in enumerate(self.parts) if not isinstance(part, str)), default=-1)
        items = [part if isinstance(part, str) else _digest(part) for n, part in enumerate(self.parts) if n != last]
        return hashlib.sha256("\0".join(items).encode("utf-8", "replace")).hexdigest()

    @property
    def chat(self) -> list[dict[str, Any]]:
        """The prompt as chat templates want it: one user turn, with a placeholder for each image."""
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in self.parts
        ]
        return [{"role": "user", "content": content}]

    def read(self, answer: str) -> Response:
        """Read an answer to this question. Any text gives a `Response`, with boxes in original pixels."""
        return read_answer(answer, self.frame, self.protocol)

    def decoded(self, load: Callable[[Path], Image]) -> Question:
        """Return the question with every file decoded by `load`."""
        return replace(self, parts=tuple(load(part) if isinstance(part, Path) else part for part in self.parts))


def ask(
    image: Shown, frame: Frame, protocol: Protocol, *, category: str | None, references: Sequence[Shown] = ()
) -> Question:
    """Put a question together. Training, evaluation, inspection, calibration, benchmarks and exports all do it here.

    Args:
        image: the image asked about.
        frame: the units in which the model writes boxes on it.
        protocol: what is asked.
        category: what the part is. The prompt names it where the protocol says so.
        references: images of good parts, shown before the image asked about.

    Raises:
        ConfigError: another number of references than the protocol shows, or an unknown task.
    """
    if len(references) != protocol.shots:
        raise ConfigError(
            f"the protocol shows {protocol.shots} reference images and {len(references)} were given; "
            "set protocol.shots, or give that many"
        )
    text = task_named(protocol.task).prompt(protocol, frame, category if protocol.name_category else None)
    return Question((*references, image, text), frame, protocol)


def _digest(image: Shown) -> str:
    """Name a reference image by its content."""
    if isinstance(image, Path):
        return f"file {sha256_file(image)}"
    header = f"{image.mode} {image.size} ".encode()
    return f"image {hashlib.sha256(header + image.tobytes()).hexdigest()}"
