"""Writes a synthetic data set in the folder layout of MVTec AD, with the settings that made it; no manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from adfm.data.synthetic.benign import BENIGN_KINDS
from adfm.data.synthetic.materials import MATERIALS
from adfm.data.synthetic.part import draw_part
from adfm.data.synthetic.product import Product, chosen, random_product
from adfm.progress import Progress, quiet
from adfm.storage import published_folder, require_new_folder, write_json, write_text

LICENCE = "CC0-1.0: made by the adfm synthetic parts generator; no photograph is part of it.\n"


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
    progress: Progress = quiet,
) -> dict[str, dict[str, int]]:
    """Write `images` images of `products` products under `out`, which must be empty or not exist.

    The images are shared out evenly over the products. Of each product's, `train_good_fraction` are normal parts in
    `train/good`. Of the rest, `anomalous_fraction` have defects and go to `test/<defect>` (several types on one part:
    `combined`) with masks in `ground_truth/<defect>`; the others are normal parts in `test/good`. `size` is (W, H) px.
    Returns the number of images per category and folder, which `generator.json` also holds, along with every setting
    and product.

    Raises:
        UserError: `out` is a file or is not empty.
        ValueError: a setting is unknown or out of range.
    """
    out = Path(out)
    require_new_folder(out)
    if products < 1 or images < products:
        raise ValueError(f"images ({images}) must be at least products ({products}), and products at least 1")
    if not all(0.0 <= fraction <= 1.0 for fraction in (anomalous_fraction, train_good_fraction)):
        raise ValueError("anomalous_fraction and train_good_fraction must be in 0..1")
    families = chosen(materials, MATERIALS, "material", required=True)
    kinds = None if benign is None else chosen(benign, BENIGN_KINDS, "benign feature")
    drawn: dict[str, Product] = {}
    counts: dict[str, dict[str, int]] = {}
    done = 0
    with published_folder(out) as staging:
        for index in range(products):
            material = families[index % len(families)]
            name = f"{material}-{index // len(families):02d}"
            rng = np.random.default_rng([seed, index])
            drawn[name] = random_product(rng, materials=(material,), benign=kinds, difficulty=difficulty)
            counts[name] = {}
            total = images // products + (index < images % products)
            train = round(total * train_good_fraction)
            normal = total - round((total - train) * anomalous_fraction)
            for number in range(total):
                rng = np.random.default_rng([seed, index, number])
                part = draw_part(drawn[name], rng, size=size, defects=0 if number < normal else None)
                types = sorted(set(part.defects)) or ["good"]
                kind = types[0] if len(types) == 1 else "combined"
                folder = f"{'train' if number < train else 'test'}/{kind}"
                place = counts[name].get(folder, 0)
                counts[name][folder] = place + 1
                if part.defects:
                    mask = staging / name / "ground_truth" / kind / f"{place:03d}_mask.png"
                    mask.parent.mkdir(parents=True, exist_ok=True)
                    mask.write_bytes(cv2.imencode(".png", part.mask)[1].tobytes())
                image = staging / name / folder / f"{place:03d}.png"
                image.parent.mkdir(parents=True, exist_ok=True)
                image.write_bytes(cv2.imencode(".png", part.image[..., ::-1])[1].tobytes())
                done += 1
                progress("parts", done, images)
        write_text(staging / "LICENSE.txt", LICENCE)
        record = {
            "generator": "adfm.data.synthetic",
            "version": 1,
            "settings": {
                "seed": seed,
                "images": images,
                "size": size,
                "products": products,
                "difficulty": difficulty,
                "materials": families,
                "benign": kinds,
                "anomalous_fraction": anomalous_fraction,
                "train_good_fraction": train_good_fraction,
            },
            "counts": counts,
            "products": {name: asdict(product) for name, product in drawn.items()},
        }
        write_json(staging / "generator.json", record)
    return counts
