"""`adfm bench data`: masks a second of `adfm data build`, against only decoding the same files.

The parts are drawn here: defects of random number, size and outline on flat grey, 1500 x 1000, each with a mask beside
it. Both are PNG files that decode in about two milliseconds. A photograph takes longer, which would hide the work on
masks behind a decoder. All images differ, because a build ties copies together. Left out: tiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

from adfm.config import make_settings
from adfm.data.build import build
from adfm.data.settings import BuildSettings
from adfm.data.threads import Threads
from adfm.images import FORMATS
from adfm.progress import Progress, quiet
from adfm.workflows.bench import quantiles

WIDTH, HEIGHT = 1500, 1000
MAX_DEFECTS = 6
DEFECT_SIDE = 200  # pixels from side to side, about
PART = 96  # the grey of a part; its defects are 80 above

Pair = tuple[Path, Path]
Spent = tuple[float, float]


def bench_data(
    *,
    count: int = 10_000,
    repeats: int = 3,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return masks a second of building and of decoding alone, in turn, and the ratio of both: wall and processor time.

    Both use the same threads (`workers`, None: the build's own choice). The files were just written, so neither waits
    for a disk.

    Raises:
        ConfigError: more threads than a build takes.
    """
    settings = make_settings(BuildSettings, {"layout": "folder", "workers": workers}, "--threads")
    with TemporaryDirectory() as folder:
        source = Path(folder) / "parts"
        pairs = draw_parts(source, count, seed, Threads(workers, progress))
        decoded, built = [], []
        for repeat in range(1, repeats + 1):
            alone = Threads(workers, _named(progress, "decoding", repeat))
            decoded.append(spent(partial(alone.map, "decoding", decode, pairs)))
            out = Path(folder) / f"{repeat}"
            built.append(spent(partial(build, source, out, settings, _named(progress, "building", repeat))))
    decoder = f"Pillow {pillow_version}, zlib {features.version('zlib')}"
    return {"count": count, "size": [WIDTH, HEIGHT], "decoder": decoder, **summary(count, decoded, built)}


def summary(count: int, decoded: Sequence[Spent], built: Sequence[Spent]) -> dict[str, Any]:
    """Return speeds and ratios of repeats whose times are (wall, processor) seconds. At a ratio of 1 building is free."""
    pairs = list(zip(decoded, built, strict=True))
    return {
        "seconds": {"build": [wall for wall, _ in built], "decode": [wall for wall, _ in decoded]},
        "build": quantiles([count / wall for wall, _ in built]),
        "decode": quantiles([count / wall for wall, _ in decoded]),
        "ratio": quantiles([alone[0] / build[0] for alone, build in pairs]),
        "processor_ratio": quantiles([alone[1] / build[1] for alone, build in pairs]),
    }


def draw_parts(root: Path, count: int, seed: int, threads: Threads) -> list[Pair]:
    """Write `count` defective parts and their masks in the folder layout and return (image, mask) of each."""
    for name in ("OK", "NG", "masks"):
        (root / name).mkdir(parents=True)
    pairs = [(root / "NG" / f"{number:06}.png", root / "masks" / f"{number:06}.png") for number in range(count)]
    threads.map("drawing", lambda number: _draw(*pairs[number], np.random.default_rng([seed, number])), range(count))
    return pairs


def _draw(image: Path, mask: Path, rng: np.random.Generator) -> None:
    marked = random_mask(rng)
    Image.fromarray(PART + marked // 255 * np.uint8(80)).save(image)
    Image.fromarray(marked).save(mask)


def random_mask(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return (HEIGHT, WIDTH) of 0 / 255: one to six blobs anywhere, some of them cut by the border or in fragments."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(rng.integers(1, MAX_DEFECTS, endpoint=True)):
        centre, reach = rng.uniform((0, 0), (WIDTH, HEIGHT)), DEFECT_SIDE / 2 * rng.uniform(0.02, 1)
        corners = centre + rng.normal(0, reach / 2, (int(rng.integers(5, 12)), 2))
        inside = corners.clip(0, (WIDTH - 1, HEIGHT - 1))
        cv2.fillPoly(mask, [inside.astype(np.int32)], 255)
    return mask


def decode(pair: Pair) -> None:
    """Decode an image and its mask, and throw the pixels away: the work that no build can save."""
    for path in pair:
        with Image.open(path, formats=FORMATS) as image:
            image.load()


def spent(work: Callable[[], object]) -> Spent:
    """Return the wall time and the processor time of all threads, in seconds, that `work` takes."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def _named(progress: Progress, stage: str, repeat: int) -> Progress:
    return lambda _, done, total: progress(f"{stage} {repeat}", done, total)
