"""Each picture goes through the image processor once per generation batch, each prompt through the tokenizer once per call.

The engine prepares all G copies of a prompt, and all of them a second time for the loss. A processor of the same class, used only
while a batch is generated and scored, works on the distinct ones and repeats the results. Left out: videos and sound.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import torch

Digest = bytes


class PictureMemo:
    """An image processor that remembers the patches of the pictures it has seen, by their content."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._known: dict[tuple[Digest, str], tuple[torch.Tensor, torch.Tensor]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, images: Any, return_tensors: Any = None, **options: Any) -> Any:
        """Return patches and grids of all pictures, processing only those not seen before, together and in order."""
        from transformers.image_utils import make_flat_list_of_images

        pictures = make_flat_list_of_images(images)
        keys = [(digest, repr(sorted(options.items()))) for digest in digests(pictures)]
        missing = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in self._known}
        if missing:
            self._learn(list(missing), self._processor(list(missing.values()), return_tensors="pt", **options))
        found = [self._known[key] for key in keys]
        from transformers import BatchFeature

        data = {
            "pixel_values": torch.cat([pixels for pixels, _ in found]),
            "image_grid_thw": torch.stack([g for _, g in found]),
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def _learn(self, keys: list[tuple[Digest, str]], output: Any) -> None:
        grids = output["image_grid_thw"]
        ends = list(accumulate(grids.prod(dim=-1).tolist()))
        for key, grid, start, stop in zip(keys, grids, [0, *ends], ends, strict=False):
            self._known[key] = (output["pixel_values"][start:stop], grid)


def digests(pictures: Sequence[Any]) -> list[Digest]:
    """Return a digest of each picture's mode, size and pixels; one object is read once."""
    read: dict[int, Digest] = {}
    for picture in pictures:
        if id(picture) not in read:
            header = f"{picture.mode} {picture.size}".encode()
            read[id(picture)] = blake2b(header + picture.tobytes(), digest_size=16).digest()
    return [read[id(picture)] for picture in pictures]


class _OncePerPrompt:
    """Mixed in before a processor's class: equal neighbours (text and pictures) are prepared once."""

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        runs = neighbours(text, images) if isinstance(text, list) and nested(images) else []
        if len(runs) == (len(text) if isinstance(text, list) else 0):
            return super().__call__(images=images, text=text, **options)  # type: ignore[misc]
        first = [start for start, _ in runs]
        output = super().__call__(images=[images[row] for row in first], text=[text[row] for row in first], **options)  # type: ignore[misc]
        return repeated(output, [length for _, length in runs], [len(images[row]) for row in first])


def once_per_picture(processor: Any) -> Any:
    """Return a shallow copy of a processor that prepares equal neighbours once and remembers pictures; use it for one batch."""
    kind = type(processor)
    twin = copy.copy(processor)
    twin.__class__ = type(kind.__name__, (_OncePerPrompt, kind), {})
    twin.image_processor = PictureMemo(processor.image_processor)
    return twin


def nested(images: Any) -> bool:
    """Tell whether pictures come as a list per prompt, none of them empty."""
    return isinstance(images, list) and all(isinstance(album, list) and album for album in images)


def neighbours(texts: Sequence[Any], albums: Sequence[Sequence[Any]]) -> list[tuple[int, int]]:
    """Return (first, length) of each run of rows with equal text and equal pictures."""
    runs: list[tuple[int, int]] = []
    for row in range(len(texts)):
        if runs and texts[row] == texts[row - 1] and same_pictures(albums[row], albums[row - 1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((row, 1))
    return runs


def same_pictures(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Compare two lists of pictures, by identity first, then by content."""
    return len(ours) == len(theirs) and all(
        a is b or ((a.mode, a.size) == (b.mode, b.size) and a.tobytes() == b.tobytes())
        for a, b in zip(ours, theirs, strict=True)
    )


def repeated(output: Any, lengths: Sequence[int], counts: Sequence[int]) -> Any:
    """Repeat each row of a processor's output `lengths` times, pictures (`counts` of them a row) included."""
    index = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    first = [0, *accumulate(counts)]
    pictures = [number for row in index.tolist() for number in range(first[row], first[row + 1])]
    patches = output["pixel_values"].split(output["image_grid_thw"].prod(dim=-1).tolist())
    for name, values in output.items():
        if name == "pixel_values":
            output[name] = torch.cat([patches[number] for number in pictures])
        elif name == "image_grid_thw":
            output[name] = values[pictures]
        else:
            output[name] = (
                values[index] if isinstance(values, torch.Tensor) else [values[row] for row in index.tolist()]
            )
    return output
