"""A synthetic data set on disk, in the folder layout of MVTec AD, with the settings that made it; no manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from adfm.data.synthetic.benign import BENIGN_KINDS
from adfm.data.synthetic.fields import Bytes
from adfm.data.synthetic.materials import MATERIALS
from adfm.data.synthetic.part import Part, draw_part
from adfm.data.synthetic.product import Product, chosen, random_product

VERSION = 1
LICENCE = "CC0-1.0: made by the adfm synthetic parts generator; no photograph is part of it.\n"
COMBINED = "combined"


def _write(path: Path, data: bytes) -> None:
    """Write a file aside and rename it, so that no half-written file is ever seen under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(data)
    aside.replace(path)


def _png(image: Bytes) -> bytes:
    done, data = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape} as PNG")
    return data.tobytes()


def _shares(total: int, parts: int) -> list[int]:
    """Split `total` into `parts` counts that differ by at most one."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _split(images: int, train_good: float, anomalous: float) -> tuple[int, int, int]:
    """Return how many of one product's images go to train/good, test/good and test/<defect>."""
    train = round(images * train_good)
    bad = round((images - train) * anomalous)
    return train, images - train - bad, bad


def _folder(part: Part) -> str:
    kinds = set(part.defects)
    return "good" if not kinds else kinds.pop() if len(kinds) == 1 else COMBINED


def _store(category: Path, split: str, part: Part, counts: dict[str, int]) -> None:
    """Write one part under its split and kind, numbered in the order of arrival."""
    kind = _folder(part)
    folder = f"{split}/{kind}"
    number = counts.get(folder, 0)
    counts[folder] = number + 1
    # The mask goes first: an image is never there without the mask that belongs to it.
    if kind != "good":
        _write(category / "ground_truth" / kind / f"{number:03d}_mask.png", _png(part.mask))
    _write(category / split / kind / f"{number:03d}.png", _png(part.image))


def _check(out: Path, images: int, products: int, fractions: tuple[float, float]) -> None:
    if products < 1 or images < products:
        raise ValueError(f"images ({images}) must be at least products ({products}), and products at least 1")
    if not all(0.0 <= fraction <= 1.0 for fraction in fractions):
        raise ValueError("anomalous_fraction and train_good_fraction must lie in 0..1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is not an empty folder; name another one")


def _products(
    seed: int, products: int, materials: tuple[str, ...], benign: tuple[str, ...] | None, difficulty: float
) -> dict[str, Product]:
    """Draw the products, the materials taking turns, and name them."""
    drawn: dict[str, Product] = {}
    for index in range(products):
        material = materials[index % len(materials)]
        rng = np.random.default_rng([seed, index])
        name = f"{material}-{index // len(materials):02d}"
        drawn[name] = random_product(rng, materials=(material,), benign=benign, difficulty=difficulty)
    return drawn


def _record(settings: dict[str, object], counts: dict[str, dict[str, int]], drawn: dict[str, Product]) -> bytes:
    """Return the text of generator.json."""
    record = {
        "generator": "adfm.data.synthetic",
        "version": VERSION,
        "settings": settings,
        "counts": counts,
        "products": {name: asdict(product) for name, product in drawn.items()},
    }
    return (json.dumps(record, indent=2) + "\n").encode()


def make(
    out: Path,
    *,
    seed: int = 0,
    images: int = 200,
    size: tuple[int, int] = (256, 256),
    products: int = 4,
    difficulty: float = 0.5,
    materials: Iterable[str] | None = None,
    benign: Iterable[str] | None = None,
    anomalous_fraction: float = 0.5,
    train_good_fraction: float = 0.3,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, int]]:
    """Write `images` pictures of `products` products under `out`, which must be empty or not exist.

    The images are shared out evenly over the products. Of each product's, `train_good_fraction` are normal parts in
    `train/good`; of the rest, `anomalous_fraction` carry defects and lie in `test/<defect>` (several kinds on one
    part: `combined`) with masks in `ground_truth/<defect>`, and what is left are normal parts in `test/good`. `size`
    is (W, H) px. `progress` is called with (images done, images in all). Returns the number of images per category
    and folder, which `generator.json` also says, along with every setting and product.
    """
    out = Path(out)
    _check(out, images, products, (anomalous_fraction, train_good_fraction))
    families = chosen(materials, MATERIALS, "material")
    kinds = None if benign is None else chosen(benign, BENIGN_KINDS, "benign feature")
    if not families:
        raise ValueError("materials is empty; give at least one, or None for all")
    drawn = _products(seed, products, families, kinds, difficulty)
    counts: dict[str, dict[str, int]] = {}
    done = 0
    for index, (name, product) in enumerate(drawn.items()):
        counts[name] = {}
        train, good, _ = _split(_shares(images, products)[index], train_good_fraction, anomalous_fraction)
        for number in range(_shares(images, products)[index]):
            rng = np.random.default_rng([seed, index, number])
            part = draw_part(product, rng, size=size, defects=0 if number < train + good else None)
            _store(out / name, "train" if number < train else "test", part, counts[name])
            done += 1
            if progress is not None:
                progress(done, images)
    settings = {
        "seed": seed,
        "images": images,
        "size": list(size),
        "products": products,
        "difficulty": difficulty,
        "materials": list(families),
        "benign": None if kinds is None else list(kinds),
        "anomalous_fraction": anomalous_fraction,
        "train_good_fraction": train_good_fraction,
    }
    _write(out / "LICENSE.txt", LICENCE.encode())
    _write(out / "generator.json", _record(settings, counts, drawn))
    return counts
