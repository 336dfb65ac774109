"""MVTec LOCO AD: the `mvtec` folders, a folder of masks per image, and logical masks that may mark more than the defect.

A region holds its defect's code; `defects_config.json` has the area from which it is found in full: less is not tight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts import mvtec
from adfm.data.layouts.listed import read_list, wrong_shape
from adfm.data.layouts.walk import Saturation, SourceImage, below, categories, recogniser

NAME = "mvtec-loco"
SHAPE = "train/good, validation/good, test/{good,logical_anomalies,structural_anomalies}, ground_truth/<kind>/<stem>/"
TERMS: str | None = "MVTec LOCO AD: CC BY-NC-SA 4.0"

LOGICAL = "logical_anomalies"
CONFIG = "defects_config.json"


def _is_category(folder: Path) -> bool:
    return below(folder, "test", LOGICAL) and below(folder, "train", "good")


recognise = recogniser(_is_category, f"test/{LOGICAL}")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category; without its configuration no logical mask counts as tight.

    Raises:
        DataFaultsError: a configuration cannot be read.
    """
    known = {name: _saturations(folder / CONFIG) for name, folder in categories(root, _is_category)}
    for image in mvtec.read(root):
        saturations = known.get(image.category, ())
        yield replace(image, saturations=saturations, tight=bool(saturations) or image.defect != LOGICAL)


def _saturations(file: Path) -> tuple[Saturation, ...]:
    """Return what a category's configuration says of its codes; nothing where there is none."""
    if not file.is_file():
        return ()
    rows = read_list(file)
    try:
        areas = [(row["pixel_value"], row["saturation_threshold"], row["relative_saturation"]) for row in rows]
        if not all(area > 0 for _, area, _ in areas):  # so that NaN is refused too
            raise ValueError("a saturation threshold is not above 0")
        return tuple(Saturation(int(code), float(area), bool(relative)) for code, area, relative in areas)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        wanted = "a list of pixel_value, saturation_threshold and relative_saturation"
        raise wrong_shape(file, f"must be {wanted} ({error!r})") from error
