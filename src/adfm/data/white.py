"""Decides which value is white in the images of a set with more than 8 bits a channel: one for all of them, and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adfm import images
from adfm.data.faults import DataFaultsError, Fault, broken
from adfm.data.measure import Measurement
from adfm.errors import ImageError


def levelled(root: Path, measured: Sequence[Measurement], given: float | None) -> tuple[list[Measurement], list[str]]:
    """Return the measurements with the white level of the deep images filled in, and a line that says which it is.

    It is `given`, or the end of the range of whole bits that holds the highest value of all of them.

    Raises:
        DataFaultsError: the images with a value above it, or that cannot be shown with one level.
    """
    depths = [one.depth for one in measured if one.depth]
    if not depths:
        return list(measured), []
    try:
        white = given or images.white_level(depths)
    except ValueError as error:
        raise DataFaultsError([broken("image-values", path=root, why=error).at(root)]) from error
    if faults := [fault for one in measured for fault in _faults(root, one, white)]:
        raise DataFaultsError(faults)
    white = int(white) if white and float(white).is_integer() else white
    origin = (
        "as given" if given else f"the highest is {max(depth.highest for depth in depths):g}; --white N sets another"
    )
    note = f"images of over 8 bits a channel: {len(depths)}, shown with the value {white:g} as white ({origin})"
    return [replace(one, white=white) if one.depth else one for one in measured], [note]


def _faults(root: Path, one: Measurement, white: float | None) -> list[Fault]:
    path = one.source.image
    try:
        if one.depth:
            images.require_white(one.depth, white, path.as_posix())
    except ImageError as error:
        return [broken("image-values", path=path, why=error.why).at(root)]
    return []
