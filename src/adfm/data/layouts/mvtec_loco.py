"""MVTec LOCO AD: the `mvtec` folders, a folder of masks per picture, and logical masks that may mark more than the defect.

A region holds its defect's code; `defects_config.json` has the area from which it is found in full: less is not tight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts import mvtec
from adfm.data.layouts.found import Found, Saturation, categories, recognised
from adfm.errors import DataError
from adfm.storage import read_json

NAME = "mvtec-loco"
SHAPE = "train/good, validation/good, test/{good,logical_anomalies,structural_anomalies}, ground_truth/<kind>/<stem>/"
TERMS: str | None = "MVTec LOCO AD: CC BY-NC-SA 4.0"

LOGICAL = "logical_anomalies"
CONFIG = "defects_config.json"


def _is_category(folder: Path) -> bool:
    return (folder / "test" / LOGICAL).is_dir() and (folder / "train" / "good").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is MVTec LOCO AD, or None."""
    return recognised(categories(root, _is_category), f"test/{LOGICAL}")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category; without its configuration no logical mask counts as tight.

    Raises:
        DataError: a configuration is not of its shape.
    """
    known = {name: _saturations(folder / CONFIG) for name, folder in categories(root, _is_category)}
    for each in mvtec.read(root):
        saturations = known.get(each.category, ())
        yield replace(each, saturations=saturations, tight=bool(saturations) or each.defect != LOGICAL)


def _saturations(file: Path) -> tuple[Saturation, ...]:
    """Return what a category's configuration says of its codes; nothing where there is none."""
    if not file.is_file():
        return ()
    try:
        rows = [
            (row["pixel_value"], row["saturation_threshold"], row["relative_saturation"]) for row in read_json(file)
        ]
        if not all(area > 0 for _, area, _ in rows):  # so that NaN is refused too
            raise ValueError("a saturation threshold is not above 0")
        return tuple(Saturation(int(code), float(area), bool(relative)) for code, area, relative in rows)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        wanted = "a list of pixel_value, saturation_threshold and relative_saturation"
        raise DataError(f"{file}: must be {wanted} ({error!r}); take the publisher's file") from error
