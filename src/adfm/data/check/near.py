"""Near duplicates across splits: images that look alike without being the same file; thumbnails in, pairs of lines out.

Two images are near duplicates where their 32 x 32 grey thumbnails are at most `NEAR` grey levels apart (RMS). Measured on
five real sets: copies shrunk to 70 % and saved as JPEG of quality 60 are within 0.9 of their source, KolektorSDD's kos38 and
kos39 (one commutator photographed twice) 0.7 to 1.0 apart, all other pairs 1.8 and more. Every pair of splits is compared
completely, one matrix product a block: 10,000 images take about a second, no pair is missed, and flat areas add no noise as
they do in hash bits.
"""

from __future__ import annotations

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
_BLOCK = 256

Vectors = NDArray[np.float32]


class Seen(NamedTuple):
    """A line and the thumbnail of its image."""

    line: Line
    thumb: Thumb


def near_duplicates(seen: Sequence[Seen]) -> Iterator[tuple[int, Broken]]:
    """Yield (later line, fault) for each image whose nearest image of another split is a near duplicate.

    Equal files and members of one group are left out: that they are in two splits is a fault of its own.
    """
    for one, other in combinations(SPLITS, 2):
        left, right = ([image for image in seen if image.line.sample.split == split] for split in (one, other))
        if not (left and right):
            continue
        index, distances = nearest(_vectors(left), _vectors(right))
        for b, place, distance in zip(right, index.tolist(), distances.tolist(), strict=True):
            a = left[place]
            same_group = a.line.sample.group is not None and a.line.sample.group == b.line.sample.group
            if distance <= NEAR and a.line.sample.sha256 != b.line.sample.sha256 and not same_group:
                first, later = sorted((a.line.number, b.line.number))
                yield later, broken("near-duplicate", first=first, distance=f"{distance:.1f}")


def nearest(left: Vectors, right: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return, for each row of `right`, its nearest row of `left` and their distance per element (RMS)."""
    lengths = (left**2).sum(axis=1)
    blocks = [right[start : start + _BLOCK] for start in range(0, len(right), _BLOCK)]
    # |a - b|^2 is smallest where |a|^2 - 2ab is; the distance itself is then taken without that cancellation.
    index = np.concatenate([(lengths - 2 * block @ left.T).argmin(axis=1) for block in blocks])
    apart = (right - left[index]).astype(np.float64)
    return index, np.sqrt((apart**2).mean(axis=1))


def _vectors(seen: Sequence[Seen]) -> Vectors:
    """Return (images, 1024) of grey levels around 0, which keeps the rounding of the products small."""
    return np.stack([image.thumb for image in seen]).reshape(-1, THUMB * THUMB).astype(np.float32) - 128
