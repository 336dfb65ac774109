"""Each image goes through the image processor once per generation batch, each prompt through the tokenizer once per call.

The engine prepares all G copies of a prompt, and all of them a second time for the loss. A processor of the same class, used only
while a batch is generated and scored, works on the distinct ones and repeats the results. Left out: videos and sound.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate, groupby
from typing import Any

import torch
from transformers import BatchFeature
from transformers.image_utils import make_flat_list_of_images

from adfm.models.image_tokens import Grid


class ImageMemo:
    """An image processor that remembers the patches of the images it has seen, by their content."""

    def __init__(self, processor: Any, form: Grid) -> None:
        self._processor, self._form = processor, form
        self._known: dict[tuple[bytes, str], dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, images: Any, return_tensors: Any = None, **options: Any) -> Any:
        """Return the fields of all images, processing only those not seen before, together and in order."""
        flat = make_flat_list_of_images(images)
        keys = [(digest(image), repr(sorted(options.items()))) for image in flat]
        missing = {key: image for key, image in zip(keys, flat, strict=True) if key not in self._known}
        if missing:
            output = self._processor(list(missing.values()), return_tensors="pt", **options)
            self._known |= zip(missing, self._form.split(output), strict=True)
        return BatchFeature(self._form.join([self._known[key] for key in keys]), tensor_type=return_tensors)


def digest(image: Any) -> bytes:
    """Return a digest of an image's mode, size and pixels."""
    return blake2b(f"{image.mode} {image.size}".encode() + image.tobytes(), digest_size=16).digest()


class _OncePerPrompt:
    """Mixed in before a processor's class: equal neighbours (text and images) are prepared once."""

    form: Grid

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        listed = isinstance(text, list) and isinstance(images, list)
        whole = listed and all(isinstance(own, list) and own for own in images)
        runs = neighbours(list(zip(text, images, strict=True))) if whole else []
        if not whole or len(runs) == len(text):
            return super().__call__(images=images, text=text, **options)  # type: ignore[misc]
        first = [start for start, _ in runs]
        output = super().__call__(images=[images[row] for row in first], text=[text[row] for row in first], **options)  # type: ignore[misc]
        return repeated(output, [length for _, length in runs], [len(images[row]) for row in first], self.form)


def once_per_image(processor: Any, form: Grid) -> Any:
    """Return a shallow copy of a processor that prepares equal neighbours once and remembers images, for one batch."""
    kind = type(processor)
    twin = copy.copy(processor)
    twin.__class__ = type(kind.__name__, (_OncePerPrompt, kind), {"form": form})
    twin.image_processor = ImageMemo(processor.image_processor, form)
    return twin


def neighbours(rows: Sequence[Any]) -> list[tuple[int, int]]:
    """Return (first, length) of each run of equal rows: chats, or texts with images. Images are equal by their content."""
    lengths = [len(list(run)) for _, run in groupby(rows)]
    return list(zip(accumulate([0, *lengths]), lengths, strict=False))


def repeated(output: Any, lengths: Sequence[int], counts: Sequence[int], form: Grid) -> Any:
    """Repeat each row of a processor's output `lengths` times, images (`counts` of them a row) included."""
    index = [row for row, length in enumerate(lengths) for _ in range(length)]
    first = [0, *accumulate(counts)]
    images = form.split(output)
    fields = form.join([image for row in index for image in images[first[row] : first[row + 1]]])
    for name, values in output.items():
        if name in fields:
            output[name] = fields[name]
        else:
            output[name] = values[index] if isinstance(values, torch.Tensor) else [values[row] for row in index]
    return output
