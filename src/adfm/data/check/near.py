"""Near duplicates across splits: images that look alike, turned or mirrored too, without being the same file.

Two images are near duplicates where the 32 x 32 grey thumbnail of one, in any of its eight positions, is at most `NEAR` grey
levels (RMS) from the other's, and where they also differ from their category's mean image in the same way: correlation of
the differences at least `ALIKE`. The second rule is for parts that all look alike under one lamp. Where the colours are
counted alike, pixel by pixel, too, the pixels are the same ones, and that is a fault.

Measured on five real sets: copies shrunk to 70 % and saved as JPEG of quality 60, in any
position, are within 0.9 of their source; different parts are 1.8 and more apart as they are, 4.7 and more turned.
An image's mean and its 16 x 16 thumbnail give a lower bound of the distance, and only where that is below `NEAR` the whole
thumbnails are compared, a matrix product a block. Of each image the nearest in each position counts, so 10,000 images take
seconds whatever they show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adfm.data.check.images import THUMB, Thumb
from adfm.data.check.rows import Line
from adfm.data.faults import Broken, broken
from adfm.records import SPLITS

NEAR = 1.5  # grey levels, RMS over the thumbnail
ALIKE = 0.75  # Pearson's correlation of what differs from the mean image
FEWEST = 8  # other images that a mean needs to say something
TURNS = ("", "turned by 90°", "turned by 180°", "turned by 270°", *("mirrored",) * 4)
_BLOCK = 256

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]


class Seen(NamedTuple):
    """A line, the thumbnail of its image, and a hash of how often the image holds each level of each colour."""

    line: Line
    thumb: Thumb
    colours: str


class Pair(NamedTuple):
    """Two images within `NEAR`: their numbers, the turn of the left one, their distance (RMS grey levels)."""

    left: int
    right: int
    turn: int
    distance: float


def near_duplicates(seen: Sequence[Seen]) -> Iterator[tuple[int, Broken]]:
    """Yield (later line, fault) for each image whose nearest image of another split is a near duplicate.

    Equal files and members of one group are left out: that they are in two splits is a fault of its own.
    """
    thumbs = np.array([image.thumb for image in seen], np.float32).reshape(-1, THUMB, THUMB) - 128
    means = _Means(seen, thumbs)
    samples = [image.line.sample for image in seen]
    # Numbers of each image's file and group. Without a group it has one of its own.
    groups = [f"of {n}" if sample.group is None else f"group {sample.group}" for n, sample in enumerate(samples)]
    names = [sample.sha256 for sample in samples], groups
    owners = np.stack([np.unique(each, return_inverse=True)[1] for each in names], axis=1).astype(np.int64)
    for one, other in combinations(SPLITS, 2):
        left, right = (np.flatnonzero([image.line.sample.split == s for image in seen]) for s in (one, other))
        best: dict[int, Pair] = {}
        for found in (
            nearest(thumbs[left], thumbs[right], owners[left], owners[right]) if left.size and right.size else ()
        ):
            pair = found._replace(left=int(left[found.left]), right=int(right[found.right]))
            known = best.get(pair.right)
            if (known is None or pair.distance < known.distance) and means.alike(pair):
                best[pair.right] = pair
        yield from (_fault(seen, pair) for pair in best.values())


def _fault(seen: Sequence[Seen], pair: Pair) -> tuple[int, Broken]:
    a, b = seen[pair.left], seen[pair.right]
    first, later = sorted((a.line.number, b.line.number))
    turn = TURNS[pair.turn] or "as it is"
    if a.colours == b.colours:
        return later, broken("same-pixels-splits", first=f"line {first}", turn=turn)
    return later, broken("near-duplicate", first=first, turn=turn, distance=f"{pair.distance:.1f}")


class _Means:
    """The mean thumbnail of each category, and whether two images differ from it alike."""

    def __init__(self, seen: Sequence[Seen], thumbs: Vectors) -> None:
        self.thumbs = thumbs
        self.categories = [image.line.sample.category for image in seen]
        members: dict[str, list[int]] = defaultdict(list)
        for number, category in enumerate(self.categories):
            members[category].append(number)
        self.sums = {category: thumbs[numbers].sum(axis=0) for category, numbers in members.items()}
        self.counts = {category: len(numbers) for category, numbers in members.items()}

    def alike(self, pair: Pair) -> bool:
        """Compare in the position of the right image, with the mean of the images of its category but these two."""
        category = self.categories[pair.right]
        a, b = self.thumbs[pair.left], self.thumbs[pair.right]
        others, total, own = self.counts[category] - 1, self.sums[category] - b, turned(a, pair.turn)
        if self.categories[pair.left] == category:
            others, total = others - 1, total - a
        mean = total / others if others >= FEWEST else np.zeros_like(b)
        return bool(np.corrcoef((own - mean).ravel(), (b - mean).ravel())[0, 1] >= ALIKE)


def turned(thumb: Vectors, turn: int) -> Vectors:
    """Return thumbnails (..., side, side) in one of eight positions: quarter turns, from 4 on of the mirror image."""
    shown = thumb[..., ::-1] if turn >= 4 else thumb
    return np.rot90(shown, turn % 4, axes=(-2, -1))


def nearest(left: Vectors, right: Vectors, owners_left: Numbers, owners_right: Numbers) -> Iterator[Pair]:
    """Yield, for each thumbnail (n, side, side) of `right` and each position, its nearest of `left` where that is `NEAR`.

    `owners` are (n, kinds) of numbers: images with an equal one in a column are not compared.
    """
    order = np.argsort(left.mean(axis=(1, 2)))
    left, owners_left = left[order], owners_left[order]
    means, small, whole = left.mean(axis=(1, 2)), _halved(left), left.reshape(len(left), -1)
    small_lengths, lengths = _lengths(small), _lengths(whole)
    by_mean = np.argsort(right.mean(axis=(1, 2)))
    for start in range(0, len(right), _BLOCK):
        block = by_mean[start : start + _BLOCK]
        level = right[block].mean(axis=(1, 2))
        near = slice(*np.searchsorted(means, [level.min() - NEAR, level.max() + NEAR]))
        if near.start == near.stop:
            continue
        owned = (owners_right[block][:, None] == owners_left[near]).any(axis=2)
        for turn in range(len(TURNS)):
            # The left one is turned forwards where the right one is turned back.
            back = turned(right[block], turn if turn >= 4 else -turn % 4)
            halves = _halved(back)
            # The distance of means over 2 x 2 pixels is never above that of the pixels; the slack is for rounding.
            least = _lengths(halves) - 2 * _closeness(halves, small[near], small_lengths[near]).max(axis=1)
            rows = np.flatnonzero(least <= halves.shape[1] * NEAR**2 * 1.01 + 1)
            closeness = _closeness(back[rows].reshape(len(rows), whole.shape[1]), whole[near], lengths[near])
            closeness[owned[rows]] = -np.inf
            columns = closeness.argmax(axis=1)
            distances = np.sqrt(((left[near][columns] - back[rows]) ** 2).mean(axis=(1, 2), dtype=np.float64))
            for k in np.flatnonzero((distances <= NEAR) & ~owned[rows, columns]).tolist():
                yield Pair(int(order[near][columns[k]]), int(block[rows[k]]), turn, float(distances[k]))


def _halved(thumbs: Vectors) -> Vectors:
    """Return (images, pixels) of thumbnails of half the side, each pixel the mean of four."""
    count, side = len(thumbs), thumbs.shape[-1] // 2
    return np.asarray(thumbs.reshape(count, side, 2, side, 2).mean(axis=(2, 4)).reshape(count, side * side))


def _lengths(vectors: Vectors) -> Vectors:
    """Return the squared length of each row."""
    return np.asarray((vectors**2).sum(axis=1))


def _closeness(vectors: Vectors, others: Vectors, lengths: Vectors) -> Vectors:
    """Return (vectors, others): half of what |vector|^2 is above |vector - other|^2, with the `lengths` of the others."""
    product: Vectors = np.matmul(vectors, others.T)
    product -= lengths / 2
    return product
